// The connector for one version of object_store, which the module around this text calls `host`.

use async_trait::async_trait;
use host::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use host::ClientOptions;

use crate::connector::Connector;
use crate::kind::Kind;
use crate::options;
use crate::service::{ReplyBody, Service};

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> host::Result<HttpClient> {
        // Not all versions have all keys.
        let get = |name: &str| name.parse::<ClientConfigKey>().ok().and_then(|key| options.get_config_value(&key));
        let service = options::service(&self.settings, get, options.get_default_headers());
        let service = service.map_err(|source| host::Error::Generic { store: "HTTP client", source })?;
        Ok(HttpClient::new(service))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let bytes = body.as_bytes().cloned();
        let called = Service::call(self, &parts, bytes, body).await;
        let response = called.map_err(|refusal| {
            let (kind, source) = refusal.into_parts();
            HttpError::new(kind_of(kind), Shown(source))
        })?;
        Ok(response.map(|body| HttpResponseBody::new(HostBody(body))))
    }
}

fn kind_of(kind: Kind) -> HttpErrorKind {
    match kind {
        Kind::Connect => HttpErrorKind::Connect,
        Kind::Request => HttpErrorKind::Request,
        Kind::Timeout => HttpErrorKind::Timeout,
        Kind::Interrupted => HttpErrorKind::Interrupted,
        Kind::Decode => HttpErrorKind::Decode,
        Kind::Unknown => HttpErrorKind::Unknown,
    }
}

/// An error with a type of its own, as the host wants it. It prints its causes: the host shows the first one only.
#[derive(Debug)]
struct Shown(crate::kind::BoxError);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut causes = std::iter::successors(self.0.source(), |cause| cause.source());
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Shown {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// A body with the errors of the host.
struct HostBody(ReplyBody);

impl http_body::Body for HostBody {
    type Data = bytes::Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, HttpError>>> {
        let polled = std::pin::Pin::new(&mut self.0).poll_frame(cx);
        polled.map(|frame| frame.map(|frame| frame.map_err(|error| HttpError::new(kind_of(Kind::of_content(&error)), error))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}
