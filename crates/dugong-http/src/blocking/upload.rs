//! Uploads from a reader.

use std::io::{self, Read};

use dugong_proto::Misuse;

use super::ContentWriter;
use crate::error::Error;
use crate::upload::UploadError;

impl ContentWriter<'_> {
    /// Sends everything that `reader` gives, and ends the content. Returns how many bytes that was.
    ///
    /// If the request announced a length, the last bytes go out only after the reader has come to its end. So a reader with too
    /// many bytes never completes a request.
    ///
    /// ```
    /// # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
    /// # let url = format!("http://{}", origin.address());
    /// use dugong_http::{Connection, Request};
    ///
    /// let reader = std::io::Cursor::new("as much as you like"); // or a file, or a pipe
    /// let mut connection = Connection::connect(&url)?;
    /// connection.send_request(Request::put("/upload").chunked())?;
    /// connection.content().send_from(reader)?;
    /// assert_eq!(connection.read_response()?.status(), 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// - [`UploadError::Source`] if the reader fails.
    /// - [`UploadError::Sending`] with `Local(ContentRefused)` if the server has answered instead of reading on: see
    ///   [`is_refused`](UploadError::is_refused).
    /// - [`UploadError::Sending`] with `Local(ExcessContent)` or `Local(ContentShort)` if the reader gives more or fewer bytes than
    ///   the request announced; with any other error as for [`send`](ContentWriter::send).
    ///
    /// Unless the server refused the content, the request is incomplete after an error: send the rest by other calls
    /// ([`content_left`](crate::Connection::content_left) counts it), or drop the connection.
    pub fn send_from(mut self, mut reader: impl Read) -> Result<u64, UploadError<io::Error>> {
        let mut buffer = vec![0; PIECE];
        let mut sent = 0;
        loop {
            let count = read(&mut reader, &mut buffer)?;
            if count == 0 {
                self.finish()?;
                return Ok(sent);
            }
            if let Some(left) = self.connection.content_left()
                && count as u64 >= left
                && (count as u64 > left || read(&mut reader, &mut [0])? > 0)
            {
                return Err(Error::Local(Misuse::ExcessContent).into());
            }
            self.send_all(&buffer[..count])?;
            sent += count as u64;
        }
    }
}

fn read(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, UploadError<io::Error>> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(UploadError::Source),
        }
    }
}

/// Bytes read at once.
const PIECE: usize = 64 * 1024;
