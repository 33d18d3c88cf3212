//! Runs the program as scripts do: arguments, standard streams, files, exit codes.

mod bench;
mod chaos;
mod connecting;
mod connections;
mod corpus;
mod credentials;
mod files;
mod get;
mod head;
mod install;
mod interrupts;
mod json;
mod lists;
mod mirrors;
mod pipelining;
mod progress;
mod proxies;
mod resuming;
mod seeing;
mod servers;
mod stdout;
mod support;
mod tls;
mod uploads;
