//! The API over HTTP.

use super::origin::Origin;
use super::request::{self, Parsed, is_function_name};
use super::{Api, Caller, Login, Outcome, json, limits};
use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use hyper::ext::ReasonPhrase;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// What the API remembers of one connection: who logged in on it. Clients log in once and go on asking.
#[derive(Debug)]
pub struct Connection {
    peer: SocketAddr,
    // With the client's address: a proxy uses one connection for several.
    login: Mutex<Option<(IpAddr, Login)>>,
}

impl Connection {
    /// A new connection from `peer`.
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, login: Mutex::new(None) }
    }
}

/// As recorded from MistServer. No origin is allowed credentials by `*`, so a page of another origin gets no more
/// than anybody.
const HEADERS: &[(&str, &str)] = &[
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET, POST, OPTIONS, HEAD"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-expose-headers", "*"),
    ("access-control-max-age", "600"),
    ("access-control-request-headers", "*"),
    ("access-control-request-method", "GET"),
    ("cache-control", "no-cache, no-store, must-revalidate"),
    ("expires", "0"),
    ("pragma", "no-cache"),
    ("x-content-type-options", "nosniff"),
];

/// The web page of the API port.
static PAGE: &str = include_str!("../../web/api.html");

/// Lets the page's own script and style run, and nothing else; nobody may put it into a frame.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers a request to the API port.
pub async fn handle<B>(req: Request<B>, conn: &Connection, api: &Arc<Api>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = req.into_parts();
    if head.method == Method::OPTIONS {
        // A browser asks what it may send. Nothing is carried out.
        return respond(StatusCode::OK, "text/javascript", Bytes::new(), HEADERS);
    }
    if !matches!(head.method, Method::GET | Method::HEAD | Method::POST) {
        return closing(StatusCode::METHOD_NOT_ALLOWED);
    }
    let origin = Origin::of(
        &head.headers,
        head.uri.authority().map(hyper::http::uri::Authority::as_str),
        conn.peer.ip(),
    );
    let body = match read(body).await {
        Ok(b) => b,
        Err(status) => {
            tracing::info!("API request from {} refused: {status}", origin.ip);
            return closing(status);
        }
    };
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let Parsed { commands, callback } =
        request::parse(head.uri.query().unwrap_or_default(), content_type, &body);
    let path = head.uri.path();
    let minimal = path == "/api2";
    if commands.is_none() && path != "/api" && !minimal {
        return page(path);
    }
    let mut commands = commands.unwrap_or_default();
    if minimal {
        commands.insert("minimal".to_owned(), Value::Bool(true));
    }
    // A script tag can be on any page, so a request by one shows no more than it holds itself.
    let foreign = origin.foreign || callback.is_some();
    let known = {
        let login = conn.login.lock().unwrap_or_else(PoisonError::into_inner);
        login.as_ref().filter(|(ip, _)| *ip == origin.ip && !foreign).map(|(_, l)| l.clone())
    };
    let caller = Caller { ip: origin.ip, local: origin.local && !foreign, known };

    let by_header = header_login(head.headers.get(AUTHORIZATION));
    if let Some(login) = &by_header {
        commands.insert("authorize".to_owned(), Value::Object(login.clone()));
    }
    let outcome = execute(api, commands, caller).await;
    if let Some(login) = &outcome.login
        && !foreign
    {
        *conn.login.lock().unwrap_or_else(PoisonError::into_inner) = Some((origin.ip, login.clone()));
    }
    if by_header.is_some() && !outcome.allowed {
        return not_authorized(&outcome.answer);
    }
    let mut text = json::text(&Value::Object(outcome.answer));
    if let Some(name) = callback.filter(|n| is_function_name(n)) {
        let mut wrapped = Vec::with_capacity(text.len() + name.len() + 8);
        wrapped.extend_from_slice(name.as_bytes());
        wrapped.push(b'(');
        wrapped.append(&mut text);
        wrapped.extend_from_slice(b");");
        text = wrapped;
    }
    text.extend_from_slice(b"\n\n");
    respond(StatusCode::OK, "text/javascript", text.into(), HEADERS)
}

/// Carries out the commands, and saves before the answer if they ask for it.
async fn execute(api: &Arc<Api>, commands: Map<String, Value>, caller: Caller) -> Outcome {
    let outcome = api.execute(&commands, &caller);
    if outcome.save {
        let config = api.config().clone();
        // Disks can take their time, and other requests wait on this thread.
        let done = tokio::task::spawn_blocking(move || config.save()).await;
        if let Ok(Err(e)) = done {
            tracing::error!("{e}");
        }
    }
    outcome
}

async fn read<B>(body: B) -> Result<Bytes, StatusCode>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if body.size_hint().lower() > limits::BODY_BYTES as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let all = Limited::new(body, limits::BODY_BYTES).collect();
    match tokio::time::timeout(limits::BODY_TIME, all).await {
        Ok(Ok(b)) => Ok(b.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The object of an `Authorization: json {…}` header (manual 4.1.2).
fn header_login(v: Option<&HeaderValue>) -> Option<Map<String, Value>> {
    let (scheme, object) = v?.to_str().ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("json") {
        return None;
    }
    // What can't be read is a log-in that failed, not a request without one.
    Some(serde_json::from_str(object).unwrap_or_default())
}

/// The refusal of a log-in by header. It tells status and challenge, and repeats nothing of the request.
fn not_authorized(answer: &Map<String, Value>) -> Response<Full<Bytes>> {
    let status = answer.get("authorize").map(json::text).unwrap_or_default();
    let mut r = closing(StatusCode::FORBIDDEN);
    r.extensions_mut().insert(ReasonPhrase::from_static(b"Not authorized"));
    if let Ok(v) = HeaderValue::from_bytes(&[b"json ", status.as_slice()].concat()) {
        r.headers_mut().insert(WWW_AUTHENTICATE, v);
    }
    r
}

fn closing(status: StatusCode) -> Response<Full<Bytes>> {
    let mut r = respond(status, "text/plain", Bytes::new(), HEADERS);
    r.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    r
}

fn page(path: &str) -> Response<Full<Bytes>> {
    let (status, mime, text) = match path {
        "/api.js" => (StatusCode::OK, "text/javascript; charset=utf-8", include_str!("../../web/api.js")),
        "/api.css" => (StatusCode::OK, "text/css; charset=utf-8", include_str!("../../web/api.css")),
        "/favicon.ico" => (StatusCode::NOT_FOUND, "text/plain", ""),
        _ => (StatusCode::OK, "text/html; charset=utf-8", PAGE),
    };
    let headers = [
        ("x-info", "To force an API response, request the file /api"),
        ("content-security-policy", PAGE_POLICY),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ];
    respond(status, mime, Bytes::from_static(text.as_bytes()), &headers)
}

fn respond(
    status: StatusCode,
    mime: &'static str,
    body: Bytes,
    headers: &[(&'static str, &'static str)],
) -> Response<Full<Bytes>> {
    let mut r = Response::new(Full::new(body));
    *r.status_mut() = status;
    let h = r.headers_mut();
    h.insert(CONTENT_TYPE, HeaderValue::from_static(mime));
    for (k, v) in headers {
        h.insert(HeaderName::from_static(k), HeaderValue::from_static(v));
    }
    r
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Frame;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A body that never comes.
    struct Never;

    impl Body for Never {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_time_and_a_size() {
        let start = tokio::time::Instant::now();
        assert_eq!(read(Never).await.unwrap_err(), StatusCode::REQUEST_TIMEOUT);
        assert!(start.elapsed() >= limits::BODY_TIME);
        let full = |n: usize| Full::new(Bytes::from(vec![b'x'; n]));
        assert_eq!(read(full(limits::BODY_BYTES)).await.unwrap().len(), limits::BODY_BYTES);
        assert_eq!(read(full(limits::BODY_BYTES + 1)).await.unwrap_err(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
