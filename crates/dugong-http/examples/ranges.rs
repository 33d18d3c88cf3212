//! Downloads a large file, and resumes where it stopped when a connection is lost (RFC 9110 §14).
//!
//!     cargo run --example ranges -- http://HOST:PORT/PATH FILE

use std::fs::File;
use std::io::{self, Seek};
use std::time::Duration;

use dugong_http::{Config, Connection, Error, Origin, Request, Status};

/// Connections without progress, one after another, before this program gives up.
const TRIES: u32 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ranges http://HOST:PORT/PATH FILE".into());
    };
    let (origin, target) = Origin::of_url(&url)?;
    let config = Config::new().timeout(Duration::from_secs(10));
    let mut file = File::create(path)?;
    let (mut tag, mut tries) = (None, 0);
    loop {
        let before = file.stream_position()?;
        let result = config.connect_to(&origin).map_err(io::Error::from);
        let result = result.and_then(|mut connection| resume(&mut connection, &target, &mut file, &mut tag));
        let Err(error) = result else { break };
        // A lost connection or a timeout may go well next time; a missing file or a full disk will not.
        if !Error::find_in(&error).is_some_and(Error::is_temporary) {
            return Err(error.into());
        }
        tries = if file.stream_position()? > before { 0 } else { tries + 1 };
        if tries == TRIES {
            return Err(error.into());
        }
        println!("{error}; {} bytes so far", file.stream_position()?);
    }
    println!("{} bytes", file.stream_position()?);
    Ok(())
}

/// Downloads the part of the file that is missing. `tag` identifies the version of the file that the first part belongs to.
fn resume(connection: &mut Connection, target: &str, file: &mut File, tag: &mut Option<String>) -> io::Result<()> {
    let have = file.stream_position()?;
    let mut request = Request::get(target);
    if let (1.., Some(tag)) = (have, &tag) {
        // If the file has changed, the server sends all of the new version instead.
        request = request.header("Range", format!("bytes={have}-")).header("If-Range", tag);
    }
    connection.send_request(request)?;
    let mut response = connection.read_response()?;
    let begins_here = |range: &str| range.starts_with(&format!("bytes {have}-"));
    match response.status() {
        Status::PARTIAL_CONTENT if response.header("Content-Range").is_some_and(begins_here) => {}
        Status::OK => {
            file.set_len(0)?;
            file.rewind()?;
        }
        status => return Err(io::Error::other(format!("the server answered {status}"))),
    }
    // A weak tag does not promise that two versions are the same byte for byte.
    *tag = response.header("ETag").filter(|tag| !tag.starts_with("W/")).map(str::to_owned);
    // The content is complete, or this is an error; the bytes before the error are in the file.
    io::copy(&mut response, file)?;
    Ok(())
}
