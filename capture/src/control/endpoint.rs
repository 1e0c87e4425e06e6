//! Answers scrapers and probes over HTTP: `/metrics`, `/healthz` and `/balance`, on TCP or a Unix socket.
//!
//! Stands on the control plane beside the flow: each answer is made from one snapshot that the watch takes when asked.
//! Invariant: a client costs a bounded number of connections and a bounded time, and never a collector.

use std::{
    convert::Infallible, fs, io, net, os::unix::net as unix, path::PathBuf, sync::Arc, time::Duration,
};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Runtime,
    sync::{Semaphore, mpsc, oneshot},
};
use tracing::{info, warn};

use super::metrics::{self, Answer};
use crate::settings::MetricsAddress;

/// Connections to one address at a time: scrapers and probes are few.
const CONNECTION_COUNT_MAX: usize = 16;

/// How long a client may take to ask, and a connection may rest between two questions.
const ASKING_MAX: Duration = Duration::from_secs(30);

/// Questions that wait for the watch; it answers between two ticks.
pub(super) const QUESTION_COUNT_MAX: usize = 64;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Somebody who wants to know how things stand.
pub(super) type Question = oneshot::Sender<Answer>;

/// An address that is listened to, and nobody answered at yet.
pub(super) struct Endpoint {
    address: MetricsAddress,
    listener: Listener,
}

enum Listener {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener, SocketFile),
}

/// The name of a Unix socket, removed with it.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Where somebody else removed it there is nothing left to do.
        fs::remove_file(&self.0).unwrap_or_default();
    }
}

impl Endpoint {
    /// Takes an address, so that a mistake in it ends the start and not the first scrape.
    pub(super) fn bind(address: &MetricsAddress) -> anyhow::Result<Self> {
        let listener = match address {
            MetricsAddress::Tcp(socket) => {
                let taken = net::TcpListener::bind(socket).with_context(|| {
                    format!("--metrics {address}: could not listen there; see who does with: ss -ltnp")
                })?;
                taken.set_nonblocking(true).context("a socket that does not block")?;
                if !socket.ip().is_loopback() {
                    warn!(%address, "metrics can be read from other hosts: there is no password");
                }
                Listener::Tcp(taken)
            }
            MetricsAddress::Unix(path) => {
                remove_stale(path)
                    .with_context(|| format!("--metrics {address}: could not make way for it"))?;
                let taken = unix::UnixListener::bind(path).with_context(|| {
                    format!("--metrics {address}: could not make the socket; does its folder exist, and is it ours?")
                })?;
                taken.set_nonblocking(true).context("a socket that does not block")?;
                Listener::Unix(taken, SocketFile(path.clone()))
            }
        };
        Ok(Endpoint { address: address.clone(), listener })
    }

    /// Answers until the runtime ends; `questions` leads to the watch.
    pub(super) fn serve(self, runtime: &Runtime, questions: mpsc::Sender<Question>) -> io::Result<()> {
        let _entered = runtime.enter();
        let address = self.address;
        match self.listener {
            Listener::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                // Where the port was zero, the kernel chose one.
                let bound = listener.local_addr()?;
                info!("metrics at http://{bound}/metrics, health at /healthz, the balance at /balance");
                runtime.spawn(async move {
                    let slots = Arc::new(Semaphore::new(CONNECTION_COUNT_MAX));
                    loop {
                        match listener.accept().await {
                            Ok((stream, _)) => answer_one(stream, &slots, &questions),
                            Err(error) => refused(&address, &error).await,
                        }
                    }
                });
            }
            Listener::Unix(listener, file) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                info!(
                    "metrics at {address}: curl --unix-socket {} http://localhost/metrics",
                    file.0.display()
                );
                runtime.spawn(async move {
                    let _file = file;
                    let slots = Arc::new(Semaphore::new(CONNECTION_COUNT_MAX));
                    loop {
                        match listener.accept().await {
                            Ok((stream, _)) => answer_one(stream, &slots, &questions),
                            Err(error) => refused(&address, &error).await,
                        }
                    }
                });
            }
        }
        Ok(())
    }
}

/// Says that a connection could not be taken, and lets others go on: descriptors may be short for a while.
async fn refused(address: &MetricsAddress, error: &io::Error) {
    warn!(%address, "a scraper could not be answered: {error}");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Removes a socket that nobody answers at any more; anything else is left, and refuses the bind.
fn remove_stale(path: &PathBuf) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() && unix::UnixStream::connect(path).is_err() => {
            fs::remove_file(path)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Answers one connection, unless there are too many already.
fn answer_one<S>(stream: S, slots: &Arc<Semaphore>, questions: &mpsc::Sender<Question>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Ok(slot) = Arc::clone(slots).try_acquire_owned() else { return };
    let questions = questions.clone();
    tokio::spawn(async move {
        let _slot = slot;
        let answering = service_fn(|request| answer(request, questions.clone()));
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(ASKING_MAX);
        // What goes wrong on the way to a scraper is the scraper's to notice.
        server.serve_connection(TokioIo::new(stream), answering).await.unwrap_or_default();
    });
}

async fn answer(
    request: Request<Incoming>,
    questions: mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is answered\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refusal);
    }
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz" | "/balance") {
        let known = "there are /metrics, /healthz and /balance\n".to_owned();
        return Ok(response(StatusCode::NOT_FOUND, TEXT, known));
    }
    let Some(answer) = ask(&questions).await else {
        return Ok(response(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "the capture is starting or ending\n".to_owned(),
        ));
    };
    Ok(match path {
        "/healthz" => {
            let status = if answer.health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body = serde_json::to_string(&answer.health).expect("names and numbers serialise");
            response(status, JSON, body + "\n")
        }
        "/balance" => response(StatusCode::OK, JSON, answer.snapshot.balance().to_json() + "\n"),
        _ => match metrics::to_text(answer) {
            Ok(text) => response(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
    })
}

async fn ask(questions: &mpsc::Sender<Question>) -> Option<Answer> {
    let (question, answer) = oneshot::channel();
    questions.send(question).await.ok()?;
    answer.await.ok()
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
