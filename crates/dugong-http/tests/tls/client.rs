//! A client that waits by poll, with a limit.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dugong_http::driver::{Progress, Session, Socket};
use dugong_http::transport::tls::{Tls, TlsError};
use dugong_net::StreamError;

/// The tests wait this long only if something is broken.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) session: Session,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, tls: &Tls, host: &str) -> Result<Client, TlsError> {
        let socket = Socket::new(TcpStream::connect(address).unwrap()).unwrap();
        let mut client = Client { socket, session: Session::new(tls, host)? };
        client.step(|session, stream| session.handshake(stream))?;
        Ok(client)
    }

    /// Repeats a step until it is done.
    pub(crate) fn step<T, E>(
        &mut self,
        mut step: impl FnMut(&mut Session, &mut &Socket) -> Result<Progress<T>, E>,
    ) -> Result<T, E> {
        loop {
            match step(&mut self.session, &mut &self.socket)? {
                Progress::Done(value) => return Ok(value),
                Progress::Needs(interest) => {
                    assert!(self.socket.wait(interest, Some(GUARD)).unwrap(), "nothing happened for a long time");
                }
            }
        }
    }

    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let count = self.step(|session, stream| session.write(stream, &[IoSlice::new(bytes)]))?;
            bytes = &bytes[count..];
        }
        self.step(|session, stream| session.flush(stream))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        self.step(|session, stream| session.read(stream, buffer))
    }

    pub(crate) fn read_exact(&mut self, count: usize) -> Result<Vec<u8>, StreamError> {
        let mut bytes = vec![0; count];
        let mut have = 0;
        while have < count {
            match self.read(&mut bytes[have..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => have += more,
            }
        }
        Ok(bytes)
    }

    pub(crate) fn read_to_end(&mut self) -> Result<Vec<u8>, StreamError> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 10_000]);
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Asks for a path, and returns the whole answer.
    pub(crate) fn get(&mut self, path: &str) -> Result<String, StreamError> {
        self.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes())?;
        self.read_to_end().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Returns the error of a session that must not begin.
pub(crate) fn refusal(address: SocketAddr, tls: &Tls, host: &str) -> TlsError {
    Client::connect(address, tls, host).expect_err("there should be no session")
}

/// Takes the TLS error out of an error of reading or writing.
pub(crate) fn inner(error: StreamError) -> TlsError {
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error:?}");
    match error {
        StreamError::Tls(error) => *error,
        other => panic!("not an error of TLS: {other:?}"),
    }
}

/// Settings that trust the certificates in `pem`.
pub(crate) fn trusting(pem: &str) -> Tls {
    Tls::new().roots_pem(pem.as_bytes()).unwrap()
}
