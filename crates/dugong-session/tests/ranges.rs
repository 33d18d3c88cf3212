//! Ranges of contents: the machines, with a server that is a function.

#[path = "ranges/blocks.rs"]
mod blocks;
#[path = "ranges/cat.rs"]
mod cat;
#[path = "ranges/download.rs"]
mod download;
#[path = "ranges/faces.rs"]
mod faces;
#[path = "ranges/nginx.rs"]
mod nginx;
#[path = "ranges/server.rs"]
mod server;
