//! Mirrors a bucket into a folder: `mirror s3://BUCKET/PREFIX/ FOLDER`. A file of the same size and time is left as it is.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use engines::{Failure, bucket};
use futures_util::TryStreamExt;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, path};

/// Objects in flight, over the connector's 4 connections.
const AT_ONCE: usize = 128;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, folder] = &arguments[..] else { return Err("usage: mirror s3://BUCKET/PREFIX/ FOLDER".into()) };
    let (store, folder) = (&bucket(url)?, Path::new(folder));
    let prefix = path::Path::parse(url.splitn(4, '/').nth(3).unwrap_or(""))?;
    let fetched = store
        .list(Some(&prefix))
        .map_err(Failure::from)
        .map_ok(|object| async move {
            let file = folder.join(object.location.as_ref());
            if is_the_same(&object, &file) {
                return Ok(0);
            }
            fetch(store, &object, &file).await.map_err(|error| format!("{}: {error}", object.location).into())
        })
        .try_buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await?;
    println!("{fetched} objects fetched");
    Ok(())
}

fn is_the_same(object: &ObjectMeta, file: &Path) -> bool {
    let Ok(found) = fs::metadata(file) else { return false };
    found.len() == object.size && found.modified().ok() == Some(SystemTime::from(object.last_modified))
}

/// Fetches an object, which must still be that of the listing. The file appears when it is complete.
async fn fetch(store: &impl ObjectStore, object: &ObjectMeta, file: &Path) -> Result<u32, Failure> {
    // The connector reads a range of up to 1 MiB at once. Without one, the reply would hold its connection until we read it.
    let range = (object.size > 0).then_some(GetRange::Bounded(0..object.size));
    let options = GetOptions { if_match: object.e_tag.clone(), range, ..GetOptions::default() };
    let mut content = store.get_opts(&object.location, options).await?.into_stream();
    let aside = file.with_added_extension("part");
    fs::create_dir_all(file.parent().ok_or("an object needs a name")?)?;
    let mut out = File::create(&aside)?;
    while let Some(piece) = content.try_next().await? {
        std::io::Write::write_all(&mut out, &piece)?;
    }
    out.set_modified(object.last_modified.into())?;
    fs::rename(aside, file)?;
    Ok(1)
}
