// The suite of one version of object_store, which the module around this text calls `host`.

use std::cell::Cell;

use dugong_object_store::Connector;
use host::ClientOptions;
use host::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use host::client::ReqwestConnector;
use host::http::{HttpBuilder, HttpStore};

use crate::judge::{Case, judge};
use crate::servers::{Dav, Moto};

/// The client of object_store, without a choice of cryptography.
fn own() -> ReqwestConnector {
    let _ = rustls::crypto::ring::default_provider().install_default();
    ReqwestConnector::default()
}

/// The functions of the suite, and one whose result has to be checked.
mod functions {
    pub(super) use super::host::integration::*;

    use super::host::{DynObjectStore, Error};

    pub(super) async fn a_missing_object_is_not_found(store: &DynObjectStore) {
        let error = get_nonexistent_object(store, None).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
}

macro_rules! cases {
    ($store:ident: $($name:ident $arguments:tt),* $(,)?) => {
        vec![$((stringify!($name), |$store| Box::pin(async move { functions::$name $arguments.await }))),*]
    };
}

async fn against_s3(more: Vec<Case<AmazonS3>>, least: usize) {
    let moto = Moto::start();
    let buckets = Cell::new(0);
    let make = |is_ours| {
        let bucket = format!("bucket-{}", buckets.replace(buckets.get() + 1));
        moto.make_bucket(&bucket);
        let builder = AmazonS3Builder::new()
            .with_endpoint(moto.url())
            .with_allow_http(true)
            .with_bucket_name(bucket)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart);
        let builder = match is_ours {
            true => builder.with_http_connector(Connector::default()),
            false => builder.with_http_connector(own()),
        };
        builder.build().unwrap()
    };
    let mut cases: Vec<Case<AmazonS3>> = cases!(s:
        put_get_delete_list(&*s),
        put_get_attributes(&*s),
        get_opts(&*s),
        put_opts(&*s, true),
        stream_get(&*s),
        list_uses_directories_correctly(&*s),
        list_with_delimiter(&*s),
        list_with_offset_exclusivity(&*s),
        list_paginated(&*s, &*s),
        a_missing_object_is_not_found(&*s),
        rename_and_copy(&*s),
        copy_if_not_exists(&*s),
        copy_rename_nonexistent_object(&*s),
        multipart(&*s, &*s),
        multipart_race_condition(&*s, true),
        multipart_out_of_order(&*s),
    );
    cases.extend(more);
    judge(cases, &make, least).await;
}

/// The functions for a store that neither uploads in parts nor lists pages.
async fn against_webdav(server: Dav, least: usize) {
    let make = |is_ours| {
        server.empty();
        let options = ClientOptions::new().with_allow_http(true);
        let builder = HttpBuilder::new().with_url(server.url()).with_client_options(options);
        let builder = match is_ours {
            true => builder.with_http_connector(Connector::default()),
            false => builder.with_http_connector(own()),
        };
        builder.build().unwrap()
    };
    let cases: Vec<Case<HttpStore>> = cases!(s:
        put_get_delete_list(&*s),
        put_get_attributes(&*s),
        get_opts(&*s),
        put_opts(&*s, false),
        stream_get(&*s),
        list_uses_directories_correctly(&*s),
        list_with_delimiter(&*s),
        list_with_offset_exclusivity(&*s),
        a_missing_object_is_not_found(&*s),
        rename_and_copy(&*s),
        copy_if_not_exists(&*s),
        copy_rename_nonexistent_object(&*s),
    );
    judge(cases, &make, least).await;
}

#[tokio::test]
async fn what_passes_over_reqwest_passes_over_dugong_against_apache() {
    // `put_get_delete_list` wants the length of an empty file, which Apache does not tell; `list_with_delimiter` wants an order, and
    // Apache lists a directory in that of its disk.
    against_webdav(Dav::apache(), 6).await;
}

#[tokio::test]
async fn what_passes_over_reqwest_passes_over_dugong_against_nginx() {
    // Its module lists one level at once, and the store asks for all of them.
    against_webdav(Dav::nginx(), 3).await;
}
