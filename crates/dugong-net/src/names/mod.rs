//! From host names to addresses.

pub(crate) mod host_name;
mod name_servers;
pub(crate) mod question;
pub(crate) mod resolve;
pub(crate) mod resolver;
pub(crate) mod system_resolver;
