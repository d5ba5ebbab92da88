//! The HTTP listener: connections, limits and headers. What is answered is in [`router`].

pub mod body;
pub mod info;
mod pages;
pub mod router;

use crate::drive::Stall;
use crate::shared::Shared;
use body::Body;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tracing::debug;

/// A request's head must be complete after this, and a kept-alive connection must bring another one within it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 100;
/// How long running answers may go on when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

fn builder() -> http1::Builder {
    let mut b = http1::Builder::new();
    b.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .keep_alive(true);
    b
}

/// Serves one connection with `answer` until it ends or the server stops.
pub async fn serve<F, Fut, B>(io: TcpStream, peer: SocketAddr, shared: &Shared, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: Send + 'static,
{
    let _counted = shared.connection();
    let service = service_fn(move |req| {
        let r = answer(req);
        async move { Ok::<_, Infallible>(r.await) }
    });
    let builder = builder();
    let conn = builder.serve_connection(TokioIo::new(Stall::new(io)), service);
    tokio::pin!(conn);
    let ended = tokio::select! {
        r = conn.as_mut() => r,
        () = shared.stopped() => {
            conn.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, conn).await {
                Ok(r) => r,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(e) = ended {
        debug!(%peer, connector = "HTTP", "{e}");
    }
}

/// Every answer may be read by pages of other sites: streams are public by their URL, log-in never is by cookie.
const CORS: [(&str, &str); 5] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
    ("access-control-allow-headers", "*"),
    ("access-control-expose-headers", "*"),
    ("access-control-max-age", "600"),
];

fn head(headers: &mut HeaderMap) {
    for (k, v) in CORS {
        headers.insert(k, HeaderValue::from_static(v));
    }
    headers.insert(header::SERVER, HeaderValue::from_static(concat!("mist/", env!("CARGO_PKG_VERSION"))));
}

/// An answer with the headers that all have.
fn answer(status: StatusCode, mime: &'static str, cache: &'static str, body: Body) -> Response<Body> {
    let mut r = Response::new(body);
    *r.status_mut() = status;
    let h = r.headers_mut();
    head(h);
    if !mime.is_empty() {
        h.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
        h.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    h.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    r
}

/// Never kept.
pub(crate) const NO_STORE: &str = "no-store";
