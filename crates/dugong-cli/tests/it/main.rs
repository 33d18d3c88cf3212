//! Runs the program as scripts do: arguments, standard streams, files, exit codes.

mod bench;
mod chaos;
mod connecting;
mod connections;
mod corpus;
mod files;
mod head;
mod interrupts;
mod json;
mod lists;
mod pipelining;
mod proxies;
mod seeing;
mod servers;
mod stdout;
mod support;
mod tls;
