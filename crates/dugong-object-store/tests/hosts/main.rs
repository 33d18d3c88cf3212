//! The suite of `object_store` itself: against moto's S3, and against Apache's and nginx's WebDAV for the HTTP store.
//!
//! Each function runs over the connector of `object_store`, reqwest, and over Dugong's. Those that pass over the former have to pass over
//! the latter. Some pass over neither: a server lacks what they need.
//!
//! `DUGONG_MOTO_SERVER` names the program `moto_server`; by default it is that of the Python tests.

mod judge;
mod servers;

mod with_0_14 {
    use object_store as host;

    include!("suite.rs");

    #[tokio::test]
    async fn what_passes_over_reqwest_passes_over_dugong_against_s3() {
        let more: Vec<Case<AmazonS3>> = cases!(s: multipart_with_opts(&*s, &*s), multipart_put_part_out_of_order(&*s, &*s));
        against_s3(more, 18).await;
    }
}

#[cfg(feature = "object_store_0_13")]
mod with_0_13 {
    use object_store_0_13 as host;

    include!("suite.rs");

    #[tokio::test]
    async fn what_passes_over_reqwest_passes_over_dugong_against_s3() {
        against_s3(Vec::new(), 16).await;
    }
}
