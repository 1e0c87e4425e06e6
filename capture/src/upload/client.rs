//! HTTP/1.1 for the object store, over TLS where the endpoint says https: the hyper that answers scrapers, and rustls.

use std::{fmt, time::Duration};

use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector as TcpConnector},
    },
    rt::TokioExecutor,
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpService,
    },
};

/// From the first byte of a request to the last of its answer.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(300);

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Answers to what is asked here are a few lines of XML.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Makes the client.
#[derive(Debug)]
pub(super) struct Connector {
    /// The store is asked without TLS, so it does without certificates to trust, where this host has none.
    pub(super) is_plain: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut tcp = TcpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIME_MAX));
        tcp.enforce_http(false);
        match HttpsConnectorBuilder::new().with_native_roots() {
            Ok(tls) => Ok(client(tls.https_or_http().enable_http1().wrap_connector(tcp))),
            Err(_) if self.is_plain => Ok(client(tcp)),
            Err(error) => Err(object_store::Error::Generic {
                store: "S3",
                source: format!(
                    "{error}: install ca-certificates, or name a file of those to trust in SSL_CERT_FILE"
                )
                .into(),
            }),
        }
    }
}

fn client<C: Connect + Clone + fmt::Debug + Send + Sync + 'static>(connector: C) -> HttpClient {
    HttpClient::new(Service(Client::builder(TokioExecutor::new()).build(connector)))
}

#[derive(Debug)]
struct Service<C>(Client<C, HttpRequestBody>);

#[async_trait::async_trait]
impl<C: Connect + Clone + fmt::Debug + Send + Sync + 'static> HttpService for Service<C> {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = async {
            let answer = self.0.request(request).await;
            let (parts, body) = answer.map_err(|error| HttpError::new(kind(&error), error))?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error))?;
            Ok(HttpResponse::from_parts(parts, body.to_bytes().into()))
        };
        let answer = tokio::time::timeout(REQUEST_TIME_MAX, answer).await;
        answer.unwrap_or_else(|late| Err(HttpError::new(HttpErrorKind::Timeout, late)))
    }
}

fn kind(error: &hyper_util::client::legacy::Error) -> HttpErrorKind {
    if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted }
}
