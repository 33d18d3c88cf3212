//! TLS, by rustls: versions 1.2 and 1.3.
//!
//! [`Tls`] has the settings of many connections: the trusted certificates and your own. A [`Session`] is the TLS of one
//! connection.
//!
//! ```no_run
//! use std::net::TcpStream;
//! use dugong_net::tls::{Session, Tls};
//! use dugong_net::{Progress, Socket};
//!
//! let tls = Tls::new(); // trusts the certificates of the platform
//! let socket = Socket::new(TcpStream::connect("example.org:443")?)?;
//! let mut session = Session::new(&tls, "example.org")?;
//! while let Progress::Needs(interest) = session.handshake(&mut &socket)? {
//!     socket.wait(interest, None)?;
//! }
//! assert_eq!(session.version(), Some("TLSv1.3"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;
mod session;
mod verify;

pub use config::{Tls, TlsSetupError};
pub use error::{Alert, Cause, NoCloseNotify, TlsError, TlsFailure};
pub use session::Session;
