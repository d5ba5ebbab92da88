//! From a request to an answer, by the URL patterns that outputs declare.

use super::body::{Body, Live};
use super::{NO_STORE, answer, info, pages};
use crate::config::{Config, ProtocolConfig};
use crate::drive::{Listeners, Terms};
use crate::registry::{self, Maker, Output};
use crate::session::{Client, Kind, Open, SessionGuard};
use crate::shared::Shared;
use crate::stream::{Document, SOURCE_WAIT, StreamHandle, build_segment, collect_segment, now};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use mist_core::buffer::StreamBuffer;
use mist_core::http::{Cache, HttpRequest, PlaySpec, Reply, SegmentSpec};
use mist_core::name::StreamName;
use mist_core::registry::Serve;
use mist_core::select::Selection;
use mist_core::session::Refusal;
use mist_core::url::percent_decode;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

/// Longest path and query.
const MAX_URL: usize = 4096;

/// An output that wants to wait is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What all requests of the listener need.
#[derive(Debug)]
pub struct Router {
    /// The server.
    pub shared: Shared,
    /// Where outputs listen, for absolute URLs.
    pub listeners: Arc<Listeners>,
}

/// A request as the outputs see it.
struct Call<'a> {
    output: &'static Output,
    req: HttpRequest<'a>,
    /// Path and query as they came.
    url: &'a str,
    name: StreamName,
    host: Option<&'a str>,
    agent: &'a str,
    playback: &'a str,
    peer: SocketAddr,
}

fn status(code: StatusCode, text: &'static str) -> Response<Body> {
    answer(code, "text/plain; charset=utf-8", NO_STORE, text.into())
}

fn not_found() -> Response<Body> {
    status(StatusCode::NOT_FOUND, "Stream not found. Sorry, we tried.\n")
}

fn refused(why: Refusal) -> Response<Body> {
    match why {
        Refusal::Denied => status(StatusCode::FORBIDDEN, "Not allowed.\n"),
        Refusal::Limit | Refusal::Busy => status(StatusCode::SERVICE_UNAVAILABLE, "Busy.\n"),
        Refusal::NoTracks => status(StatusCode::NOT_FOUND, "No track of this stream fits here.\n"),
        _ => not_found(),
    }
}

fn cache_control(c: Cache) -> HeaderValue {
    match c {
        Cache::No => HeaderValue::from_static("no-store"),
        Cache::Seconds(s) => HeaderValue::try_from(format!("public, max-age={s}"))
            .unwrap_or(HeaderValue::from_static("no-store")),
        Cache::Immutable => HeaderValue::from_static("public, max-age=31536000, immutable"),
    }
}

fn document(d: &Document) -> Response<Body> {
    let mut r = answer(StatusCode::OK, d.mime, NO_STORE, d.body.clone().into());
    r.headers_mut().insert(header::CACHE_CONTROL, cache_control(d.cache));
    r
}

fn enabled<'c>(config: &'c Config, o: &Output) -> Option<&'c ProtocolConfig> {
    config.protocols().iter().find(|p| p.connector.eq_ignore_ascii_case(o.connector.name))
}

/// How long the machine is up.
fn uptime_ms() -> i64 {
    let t = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    t.map_or(0, |t| t.tv_sec() * 1000 + t.tv_nsec() / 1_000_000)
}

impl Router {
    /// Answers one request.
    pub async fn handle(self: Arc<Self>, req: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let head = req.method() == Method::HEAD;
        let mut r = match *req.method() {
            Method::GET | Method::HEAD => self.get(&req, peer).await,
            Method::OPTIONS => answer(StatusCode::NO_CONTENT, "", NO_STORE, Body::Empty),
            _ => {
                let mut r = status(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
                r.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                r
            }
        };
        if head {
            // Nothing is sent; hyper keeps the length that it would have had.
            if let Body::Live(_) = r.body() {
                *r.body_mut() = Body::Empty;
            }
        }
        r
    }

    async fn get(&self, req: &Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let path = req.uri().path();
        let query = req.uri().query().unwrap_or("");
        if path.len() + query.len() > MAX_URL {
            return status(StatusCode::URI_TOO_LONG, "URL too long.\n");
        }
        if let Some(r) = pages::fixed(path) {
            return r;
        }
        let Some((output, raw, rest)) = registry::by_url(path) else {
            return status(StatusCode::NOT_FOUND, "Nothing here.\n");
        };
        let config = self.shared.config.current();
        let Some(as_configured) = enabled(&config, output) else {
            return status(StatusCode::NOT_FOUND, "This output is not enabled.\n");
        };
        let (Ok(name), rest) = (StreamName::new(&percent_decode(raw)), percent_decode(rest)) else {
            return not_found();
        };
        let text = |h| req.headers().get(h).and_then(|v| v.to_str().ok()).unwrap_or("");
        let host = req.headers().get(header::HOST).and_then(|v| v.to_str().ok());
        let host = host.or_else(|| req.uri().authority().map(Authority::as_str));
        let call = Call {
            output,
            req: HttpRequest { stream: name.as_str(), rest: &rest, query, options: &as_configured.options },
            url: req.uri().path_and_query().map_or(path, |p| p.as_str()),
            name: name.clone(),
            host,
            agent: text(header::USER_AGENT.as_str()),
            playback: text("x-playback-session-id"),
            peer,
        };
        match output.maker {
            Maker::Server => self.own(&call, &config).await,
            Maker::Protocol(p) => match p.serve {
                Serve::Http(h) => self.reply(&call, |r, b| h.reply(r, b, now())).await,
                _ => not_found(),
            },
            Maker::Format(f) => self.reply(&call, |r, b| mist_protocols::progressive::reply(f, r, b)).await,
        }
    }

    fn open(&self, call: &Call<'_>, single: bool) -> Option<SessionGuard> {
        let client = if single {
            Client::Requests { agent: call.agent, playback: call.playback }
        } else {
            Client::Connection
        };
        let o = Open {
            host: call.peer.ip(),
            stream: call.name.as_str(),
            connector: call.output.connector.name,
            kind: Kind::Viewer,
            client,
        };
        let g = self.shared.sessions.open(&o).ok()?;
        g.agent(call.agent);
        Some(g)
    }

    /// Asks an output until it doesn't want to wait any more, and carries out its answer.
    async fn reply(
        &self,
        call: &Call<'_>,
        ask: impl Fn(&HttpRequest<'_>, &StreamBuffer) -> Reply + Send + Sync,
    ) -> Response<Body> {
        let handle = match self.shared.hub.open(&call.name) {
            Ok(h) => h,
            Err(why) => return refused(why),
        };
        let until = Instant::now() + SOURCE_WAIT;
        let key = call.url;
        let mut view = None;
        loop {
            let version = handle.peek(StreamBuffer::version);
            if let Some(d) = handle.segments.document(key, version) {
                let _session = self.open(call, true);
                return document(&d);
            }
            let (version, reply) = handle.peek(|b| (b.version(), ask(&call.req, b)));
            match reply {
                Reply::Document { mime, body, cache } => {
                    let d = Document { mime, body, cache };
                    handle.segments.keep_document(key, version, d.clone());
                    if let Some(g) = self.open(call, true) {
                        g.sent(d.body.len() as u64);
                    }
                    return document(&d);
                }
                Reply::Segment(spec) => return self.segment(call, &handle, &spec),
                Reply::Play(spec) => return self.play(call, handle, &spec),
                Reply::Wait { version } => {
                    let view = view.get_or_insert_with(|| handle.view());
                    if Instant::now() >= until {
                        return not_found();
                    }
                    let news = view.wait_for(|b| b.version() >= version || b.ended());
                    // Some answers depend on the time as well: they are asked for again now and then.
                    if let Ok(Err(_)) = timeout(ASK_AGAIN, news).await {
                        return not_found();
                    }
                }
                Reply::Status(404) => return not_found(),
                Reply::Status(code) => {
                    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    return status(code, code.canonical_reason().unwrap_or(""));
                }
                _ => return status(StatusCode::NOT_IMPLEMENTED, ""),
            }
        }
    }

    fn segment(&self, call: &Call<'_>, handle: &StreamHandle, spec: &SegmentSpec) -> Response<Body> {
        let Some(format) = mist_formats::FORMATS.iter().find(|f| f.id == spec.format) else {
            return not_found();
        };
        // As many as are listed stay available after they left the list.
        let oldest = handle.peek(|b| {
            let count = b.segments().len() as u64;
            b.segments().next().map_or(0, |s| s.number.saturating_sub(count + 1))
        });
        let parts = handle.segments.get_or_build(spec, oldest, || {
            let gops = handle.peek(|b| collect_segment(spec, b))?;
            match build_segment(spec, format, &gops) {
                Ok(p) => Some(p),
                Err(e) => {
                    warn!(stream = %handle.name(), "segment {}: {e}", spec.number);
                    None
                }
            }
        });
        let Some(parts) = parts else { return not_found() };
        let guard = self.open(call, true);
        if let Some(g) = &guard {
            g.position(spec.from.as_millis());
        }
        let mut r = answer(StatusCode::OK, format.mime, NO_STORE, Body::parts(parts, guard));
        r.headers_mut().insert(header::CACHE_CONTROL, cache_control(Cache::Immutable));
        r
    }

    /// What the listener answers itself: the page and the information about a stream.
    async fn own(&self, call: &Call<'_>, config: &Config) -> Response<Body> {
        let file = call.url.split('?').next().unwrap_or("");
        if file.ends_with(".html") {
            return pages::player();
        }
        let json = self.information(call, config).await;
        if file.starts_with("/info_") {
            // Inside a script not even a name may end it.
            let name = serde_json::to_string(call.name.as_str()).unwrap_or_default();
            let safe = |s: &str| {
                s.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
            };
            let text = format!(
                "// Information about a stream\nif (!mistvideo){{var mistvideo = {{}}}}\nmistvideo[{}] = {};\n",
                safe(&name),
                safe(&json.to_string())
            );
            return answer(StatusCode::OK, "application/javascript", NO_STORE, Bytes::from(text).into());
        }
        answer(StatusCode::OK, "application/json", NO_STORE, Bytes::from(json.to_string()).into())
    }

    async fn information(&self, call: &Call<'_>, config: &Config) -> serde_json::Value {
        let Some(c) = self.shared.hub.configured(&call.name) else {
            return info::error("Could not retrieve stream. Sorry.");
        };
        let stream = if crate::stream::source::is_own(&c.source) {
            self.shared.hub.watch(&call.name).await.map(|(h, _)| h.clone()).ok()
        } else {
            self.shared.hub.existing(call.name.as_str())
        };
        let Some(stream) = stream.filter(|s| s.peek(|b| b.has_source() && b.tracks().next().is_some()))
        else {
            return info::error("Stream is offline");
        };
        let host = call.host.unwrap_or("localhost");
        let bare = match host.rsplit_once(':') {
            Some((h, port)) if port.bytes().all(|b| b.is_ascii_digit()) => h,
            _ => host,
        };
        let base = |o: &Output| match (o.port, o.connector.methods.first()) {
            (Some(default), Some(m)) => {
                let port = self.listeners.by_name(o.connector.name).map_or(default, |a| a.port());
                format!("{}://{bare}:{port}", m.handler)
            }
            _ => format!("http://{host}"),
        };
        let bases: Vec<(&'static Output, String)> = registry::outputs()
            .iter()
            .filter(|o| enabled(config, o).is_some())
            .map(|o| (o, base(o)))
            .collect();
        let reach: Vec<info::Reach<'_>> =
            bases.iter().map(|(o, base)| info::Reach { connector: &o.connector, base }).collect();
        stream.peek(|b| {
            let at = b.live_dts().map_or(0, mist_core::time::Timestamp::as_millis);
            info::document(call.name.as_str(), b, uptime_ms() - at, &reach)
        })
    }

    fn play(&self, call: &Call<'_>, handle: StreamHandle, spec: &PlaySpec) -> Response<Body> {
        let format = mist_formats::FORMATS.iter().find(|f| f.id == spec.format);
        let Some((format, make)) = format.and_then(|f| Some((f, f.muxer?))) else { return not_found() };
        let Some(guard) = self.open(call, false) else { return refused(Refusal::Limit) };
        let view = handle.view();
        let mut muxer = make();
        muxer.unpatched();
        let (cursor, tracks_version) = {
            let b = view.borrow();
            let mut c = b.cursor(spec.tracks.iter().copied());
            if let Some(from) = spec.from {
                b.seek(&mut c, from);
            }
            (c, b.tracks_version())
        };
        debug!(peer = %call.peer, connector = call.output.connector.name, stream = %call.name, "playing");
        let live = Live {
            shared: self.shared.clone(),
            view,
            handle,
            cursor,
            selection: Selection::parse(call.req.query),
            codecs: call.output.connector.codecs,
            to: spec.to,
            muxer,
            fresh: true,
            finished: false,
            carried: SmallVec::new(),
            spread: Terms::read(call.req.options).spread,
            tracks_version,
            guard,
            connector: call.output.connector.name,
            batch: Vec::new(),
        };
        let mut r = answer(StatusCode::OK, format.mime, NO_STORE, Body::live(live));
        if spec.download {
            let ext = format.extensions.first().copied().unwrap_or("bin");
            let name: String =
                call.name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            if let Ok(v) = HeaderValue::try_from(format!("attachment; filename=\"{name}.{ext}\"")) {
                r.headers_mut().insert(header::CONTENT_DISPOSITION, v);
            }
        }
        r
    }
}
