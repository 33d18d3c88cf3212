//! Ranges, downloads and remote files in tasks.

use std::fs;
use std::io::SeekFrom;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dugong_origin::{Config, Fault, Faults, Origin, Proxy};
use dugong_session::ranges::RangeError;
use dugong_session::tokio::{Session, Sessions};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

fn origin() -> (Origin, Session) {
    let origin = Origin::start(Config::default()).unwrap();
    let session = Session::new(&format!("http://{}", origin.address())).unwrap();
    (origin, session)
}

async fn content(session: &Session, target: &str) -> Vec<u8> {
    session.get(target).await.unwrap().content().to_vec()
}

#[tokio::test]
async fn ranges_are_fetched_together() {
    let (origin, session) = origin();
    let whole = content(&session, "/bytes/1000000").await;
    let ranges: Vec<_> = (0..400).rev().map(|i| (i * 2000, i * 2000 + 100)).collect();
    let parts = session.cat_ranges_merged("/bytes/1000000", &ranges, 0).await.unwrap();
    assert!(parts.iter().zip(&ranges).all(|(part, &(start, end))| part == &whole[start as usize..end as usize]));
    assert_eq!(origin.counts().requests, 401);
    let parts = session.cat_ranges("/bytes/1000000?ranges=no", &[(5, 10), (0, 0)]).await.unwrap();
    assert_eq!(parts, [&whole[5..10], b""]);
    let error = session.cat_ranges("/bytes/1000", &[(990, 1001)]).await.unwrap_err();
    assert!(matches!(error, RangeError::BeyondEnd { total: Some(1000), .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_in_a_task_of_its_own_survives_lost_connections() {
    let (origin, direct) = origin();
    let faults = |number: usize| Faults::default().to_client(200_000 + 7_919 * (number as u64 % 13), Fault::Reset);
    let proxy = Proxy::start_with(origin.address(), faults).unwrap();
    let builder = Session::builder(&format!("http://{}", proxy.address())).retry_budget(None);
    let session = Session::from(builder.backoff(Duration::from_millis(1), Duration::from_millis(1)).build().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let told = Arc::new(Mutex::new(0));
    let progress = {
        let told = told.clone();
        move |done, _| *told.lock().unwrap() = done
    };
    let download = session.download("/bytes/3000000", &path).part_size(300_000).progress(progress);
    assert_eq!(tokio::spawn(download.run()).await.unwrap().unwrap(), 3_000_000);
    assert_eq!(*told.lock().unwrap(), 3_000_000);
    assert!(fs::read(&path).unwrap() == content(&direct, "/bytes/3000000").await);
    assert!(proxy.connections() > 5);
}

#[tokio::test]
async fn a_dropped_download_is_continued() {
    let (origin, session) = origin();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (half, is_half) = tokio::sync::oneshot::channel();
    let mut half = Some(half);
    let progress = move |done, _| {
        if done > 500_000
            && let Some(half) = half.take()
        {
            let _ = half.send(());
        }
    };
    tokio::select! {
        biased;
        _ = is_half => {}
        _ = session.download("/bytes/1000000", &path).part_size(10_000).progress(progress).run() => panic!("it ended"),
    }
    assert!(!path.exists());
    let before = origin.counts().requests;
    session.download("/bytes/1000000", &path).part_size(10_000).run().await.unwrap();
    assert!(origin.counts().requests - before < 60, "{} requests", origin.counts().requests - before);
    assert!(fs::read(&path).unwrap() == content(&session, "/bytes/1000000").await);
}

#[tokio::test]
async fn a_path_in_use_is_an_error() {
    let (_origin, session) = origin();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let fetch = || session.download("/bytes/1000000", &path).run();
    let (first, second) = tokio::join!(fetch(), fetch());
    assert_eq!(first.unwrap(), 1_000_000);
    assert!(matches!(second, Err(RangeError::Busy { .. })), "{second:?}");
}

#[tokio::test]
async fn a_remote_file_is_read_and_sought() {
    let (origin, session) = origin();
    let whole = content(&session, "/bytes/3000000").await;
    let mut file = session.open("/bytes/3000000").await.unwrap();
    let mut all = Vec::new();
    file.read_to_end(&mut all).await.unwrap();
    assert!(all == whole);
    assert!(origin.counts().requests < 20, "{} requests", origin.counts().requests);
    let mut buffer = [0; 1000];
    for (to, position) in
        [(SeekFrom::Start(1_234_567), 1_234_567), (SeekFrom::End(-1000), 2_999_000), (SeekFrom::Current(-5000), 2_995_000)]
    {
        assert_eq!(file.seek(to).await.unwrap(), position);
        file.read_exact(&mut buffer).await.unwrap();
        assert_eq!(buffer, whole[position as usize..position as usize + 1000]);
    }
    assert_eq!(file.read_at(2_999_999, &mut buffer).await.unwrap(), 1);
    assert!(file.seek(SeekFrom::End(-3_000_001)).await.is_err());
    origin.set_version(1);
    let mut fresh = session.open("/bytes/3000001").await.unwrap();
    origin.set_version(2);
    let error = fresh.read_at(2_000_000, &mut buffer).await.unwrap_err();
    assert!(matches!(error, RangeError::Changed { what: "ETag", .. }), "{error:?}");
    assert!(session.open("/no/such").await.unwrap_err().to_string().contains("404"));
}

#[tokio::test]
async fn ranges_of_whole_urls_are_found_behind_redirects() {
    let origins = [(); 2].map(|()| Origin::start(Config::default()).unwrap());
    let [here, elsewhere] = [0, 1].map(|at: usize| format!("http://{}", origins[at].address()));
    let target = format!("{elsewhere}/bytes/3000000");
    let redirected = format!("{here}/redirect/3?to={}", target.replace(':', "%3A").replace('/', "%2F"));
    let directory = tempfile::tempdir().unwrap();
    for (url, redirects) in [(&target, 0), (&redirected, 3)] {
        let sessions = Sessions::from(Sessions::builder().redirects(redirects).build().unwrap());
        let parts = sessions.cat_ranges(url, &[(2_000_000, 2_000_004), (0, 4)]).await.unwrap();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [4, 4]);
        let path = directory.path().join(redirects.to_string());
        assert_eq!(sessions.download(url, &path).run().await.unwrap(), 3_000_000);
        assert_eq!(std::fs::read(&path).unwrap()[..4], parts[1]);
        assert_eq!(sessions.open(url).await.unwrap().size(), 3_000_000);
    }
}
