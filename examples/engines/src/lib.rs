//! The bucket of all examples.

use std::error::Error;

use dugong_object_store::Connector;
use object_store::aws::{AmazonS3, AmazonS3Builder};

/// An error that a program ends with.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The bucket of a URL `s3://BUCKET/PREFIX`, over the connector.
///
/// The variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and, for stores other than Amazon's, `AWS_ENDPOINT` and
/// `AWS_ALLOW_HTTP` are read.
///
/// # Errors
///
/// The URL is not one of a bucket, or a variable is wrong.
pub fn bucket(url: &str) -> object_store::Result<AmazonS3> {
    AmazonS3Builder::from_env().with_url(url).with_http_connector(Connector::default()).build()
}

/// The part `s3://BUCKET` of a URL: engines find the store by it.
pub fn store_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |slash| &url[..host + slash])
}
