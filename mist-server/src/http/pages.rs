//! The files of the player page.

use super::body::Body;
use super::{answer, head};
use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

const PAGE: &str = include_str!("../../web/player.html");
const SCRIPT: &str = include_str!("../../web/player.js");
const STYLE: &str = include_str!("../../web/player.css");
const HLS_JS: &[u8] = include_bytes!("../../web/vendor/hls.min.js");

/// Scripts and styles of our own only; media and playlists from here; workers are what hls.js makes of itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; base-uri 'none'; \
                      form-action 'none'";

/// Files whose name is fixed.
pub(super) fn fixed(path: &str) -> Option<Response<Body>> {
    const SHORT: &str = "public, max-age=300";
    let (mime, body) = match path {
        "/player.js" => ("text/javascript; charset=utf-8", Bytes::from_static(SCRIPT.as_bytes())),
        "/player.css" => ("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes())),
        "/hls.min.js" => ("text/javascript; charset=utf-8", Bytes::from_static(HLS_JS)),
        "/crossdomain.xml" => ("text/xml; charset=utf-8", Bytes::from_static(CROSSDOMAIN.as_bytes())),
        "/favicon.ico" => {
            let mut r = Response::new(Body::Empty);
            *r.status_mut() = StatusCode::NO_CONTENT;
            head(r.headers_mut());
            return Some(r);
        }
        _ => return None,
    };
    Some(answer(StatusCode::OK, mime, SHORT, body.into()))
}

const CROSSDOMAIN: &str = "<?xml version=\"1.0\"?>\n<cross-domain-policy>\
                           <allow-access-from domain=\"*\"/></cross-domain-policy>\n";

/// The page that plays a stream. It takes the stream's name out of its own address.
pub(super) fn player() -> Response<Body> {
    let mut r = answer(StatusCode::OK, "text/html; charset=utf-8", "no-cache", PAGE.into());
    r.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    r
}
