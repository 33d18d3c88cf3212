//! The program as scripts see it: arguments, standard streams, files, exit codes.

mod connections;
mod files;
mod interrupts;
mod json;
mod lists;
mod stdout;
mod support;
