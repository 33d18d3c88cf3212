//! Uploads files. The session opens each file when it sends it, and once more if it has to send it again.
//!
//! Above 1 MiB, it waits until the server wants the content (`Expect: 100-continue`). So a server that refuses a file need not receive it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use dugong_session::{Request, Session, Source};

struct Content {
    path: PathBuf,
    length: u64,
}

impl Source for Content {
    fn length(&self) -> Option<u64> {
        Some(self.length)
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let origin = arguments.next().ok_or("usage: put_files http://HOST:PORT/FOLDER FILE...")?;
    let (origin, folder) = origin.rsplit_once('/').ok_or("the URL needs a folder, such as http://localhost:8080/upload")?;
    let session = Session::new(origin)?;
    let paths: Vec<_> = arguments.map(PathBuf::from).collect();
    let mut requests = Vec::new();
    for path in &paths {
        let content = Content { path: path.clone(), length: path.metadata()?.len() };
        requests.push(Request::put(format!("/{folder}")).source(content));
    }
    for (outcome, path) in session.run(requests).zip(&paths) {
        let path = path.display();
        match outcome.result {
            Ok(reply) if reply.status().is_success() => println!("{path}: stored"),
            Ok(reply) => println!("{path}: refused, {}", reply.status()),
            Err(failed) => println!("{path}: {failed}"),
        }
    }
    Ok(())
}
