//! The blocking client: step, then wait.

mod access;
mod collected;
mod connection;
mod content;
mod pipeline;
mod response;
mod split;
mod upload;

pub use collected::Collecting;
pub use connection::Connection;
pub use content::ContentWriter;
pub use pipeline::Pipeline;
pub use response::Response;
pub use split::{RequestHalf, ResponseHalf};

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use crate::transport::TimeLimit;
    use crate::{Config, Error, Origin, Request};

    /// A stream that is always ready for writing, and takes one byte at a time.
    struct Slow {
        socket: UnixStream,
        takes: bool,
    }

    impl Write for Slow {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.takes = !self.takes;
            if self.takes { Ok(1) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.socket.read(buffer)
        }
    }

    impl AsFd for Slow {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }
    }

    #[test]
    fn a_deadline_ends_what_is_always_ready() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let stream = Slow { socket, takes: false };
        let mut connection = Config::new().over_stream(stream, &Origin::http("origin", 80)).unwrap();
        // Without the deadline this would take long.
        connection.send_request(Request::put("/").body(vec![0; 5_000_000])).unwrap();
        connection.set_deadline(Instant::now().checked_add(Duration::from_millis(20)));
        let error = connection.flush().unwrap_err();
        assert!(matches!(error, Error::TimedOut { limit: TimeLimit::Deadline, .. }), "{error:?}");
    }

    /// A stream that counts the writes that found no room.
    struct Counting(UnixStream, std::sync::Arc<std::sync::atomic::AtomicUsize>);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes).inspect_err(|_| {
                self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            })
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl AsFd for Counting {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    #[test]
    fn a_pipeline_without_bounds_seldom_writes_to_a_full_socket() {
        const REQUESTS: usize = 20_000;
        let (near, far) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            let (mut requests, mut responses) = (io::BufReader::new(far.try_clone().unwrap()), far);
            let mut lines = 0;
            while lines < REQUESTS {
                let mut line = String::new();
                assert_ne!(io::BufRead::read_line(&mut requests, &mut line).unwrap(), 0);
                if line == "\r\n" {
                    lines += 1;
                    responses.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                }
            }
        });
        let refused = std::sync::Arc::default();
        let stream = Counting(near, std::sync::Arc::clone(&refused));
        let mut connection = Config::new().over_stream(stream, &Origin::http("origin", 80)).unwrap();
        let requests = (0..REQUESTS).map(|_| Request::get("/"));
        let mut pipeline = connection.pipeline(requests).max_requests(usize::MAX).max_bytes(usize::MAX);
        let mut answered = 0;
        while pipeline.next().unwrap().is_some() {
            answered += 1;
        }
        assert_eq!(answered, REQUESTS);
        server.join().unwrap();
        let refused = refused.load(std::sync::atomic::Ordering::Relaxed);
        println!("{refused} writes found no room");
        assert!(refused < REQUESTS / 50, "{refused} writes found no room");
    }

    #[test]
    fn a_deadline_that_has_passed_ends_a_pipeline_whose_responses_have_come() {
        let (socket, mut other) = UnixStream::pair().unwrap();
        let mut connection = Config::new().over(socket, &Origin::http("origin", 80)).unwrap();
        connection.send_request(Request::get("/")).unwrap();
        other.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        connection.set_deadline(Some(Instant::now()));
        let error = connection.pipeline([Request::get("/")]).next().map(drop).unwrap_err();
        assert!(matches!(error, Error::TimedOut { limit: TimeLimit::Deadline, .. }), "{error:?}");
        connection.set_deadline(None);
        assert_eq!(connection.read_response().unwrap().status(), 204);
        assert!(connection.outstanding().unanswered.is_empty());
    }

    #[test]
    fn a_deadline_ends_a_wait_for_the_answer_to_an_expectation_in_a_half_too() {
        let (socket, mut other) = UnixStream::pair().unwrap();
        let config = Config::new().expect_timeout(Duration::from_secs(3600));
        let mut connection = config.over(socket, &Origin::http("origin", 80)).unwrap();
        connection.set_deadline(Instant::now().checked_add(Duration::from_millis(20)));
        let (mut requests, responses) = connection.split();
        let (sender, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            requests.send_request(Request::put("/").body("content").expect_continue()).unwrap();
            let _ = sender.send(requests.flush());
        });
        let result = result.recv_timeout(Duration::from_secs(20)).expect("an end");
        assert!(matches!(result, Err(Error::TimedOut { limit: TimeLimit::Deadline, .. })), "{result:?}");
        drop(responses);
        let mut sent = String::new();
        other.read_to_string(&mut sent).unwrap();
        assert!(sent.ends_with("\r\n\r\n"), "{sent}");
    }
}
