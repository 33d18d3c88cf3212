//! Reads parts of a large file, then downloads the whole. If the download is interrupted, run it again: it goes on where it was.

use std::io::{Read, Seek, SeekFrom};

use dugong_session::Session;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("usage: parts http://HOST:PORT /PATH FILE");
    let (origin, target, path) = (argument()?, argument()?, argument()?);
    let session = Session::new(&origin)?;

    // A file that you can read and seek, for readers of archives and tables:
    let mut file = session.open(&target)?;
    let mut tail = [0; 8];
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut tail)?;
    println!("{} bytes, of which the last are {}", file.size(), tail.escape_ascii());

    // Many small ranges in one burst:
    let pages: Vec<_> = (0..10).map(|page| (page * 100_000, page * 100_000 + 4)).collect();
    for (part, (begin, _)) in session.cat_ranges(&target, &pages)?.iter().zip(&pages) {
        println!("at byte {begin}: {}", part.escape_ascii());
    }

    // All of it, in parts over several connections:
    let length = session.download(&target, &path).run()?;
    println!("{path}: {length} bytes");
    Ok(())
}
