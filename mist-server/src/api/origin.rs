//! Where a request really comes from: this machine, a proxy on it, or a web page of another origin that uses the
//! visitor's browser (cross-site request forgery, DNS rebinding).
//!
//! Nothing that the browser adds by itself — an address, an open connection — counts for such a page. Only what
//! it can't know does: the answer to a challenge.

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN, REFERER, USER_AGENT};
use std::net::IpAddr;

/// What the head of a request says about its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// Address of the client; behind a proxy on this machine the one that the proxy names.
    pub(super) ip: IpAddr,
    /// From this machine itself, by a program or a page of this API.
    pub(super) local: bool,
    /// A web page of another origin is behind it, or could be.
    pub(super) foreign: bool,
}

impl Origin {
    pub(super) fn of(headers: &HeaderMap, uri_host: Option<&str>, peer: IpAddr) -> Self {
        let peer = peer.to_canonical();
        let forwarded = headers.keys().any(|k| {
            let k = k.as_str();
            matches!(k, "x-real-ip" | "forwarded" | "via") || k.starts_with("x-forwarded-")
        });
        let ip = if peer.is_loopback() { forwarded_for(headers).unwrap_or(peer) } else { peer };
        let host = text(headers, HOST.as_str()).or(uri_host).map(str::to_ascii_lowercase);
        let foreign = foreign(headers, host.as_deref());
        // A page of any name can have that name lead to 127.0.0.1; then it is the name that gives it away.
        let by_loopback_name = host.as_deref().is_none_or(is_loopback_name);
        Self { ip, local: peer.is_loopback() && !forwarded && !foreign && by_loopback_name, foreign }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim)
}

/// The client that the nearest proxy saw: the last address of the list, as those before come from the client.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let real = text(headers, "x-real-ip").and_then(|v| v.parse::<IpAddr>().ok());
    let list = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
    };
    real.or_else(list).map(|ip| ip.to_canonical())
}

fn foreign(headers: &HeaderMap, host: Option<&str>) -> bool {
    // Of the browser itself, out of a page's reach.
    let site = text(headers, "sec-fetch-site");
    if let Some(site) = site
        && !matches!(site, "same-origin" | "none")
    {
        return true;
    }
    let same = |url: &str| authority(url).is_some_and(|a| Some(a.to_ascii_lowercase().as_str()) == host);
    let own = [ORIGIN, REFERER].map(|h| headers.get(h).map(|v| v.to_str().is_ok_and(same)));
    if own.contains(&Some(false)) {
        return true;
    }
    // A browser that says nothing about the page could be anybody's.
    let browser = text(headers, USER_AGENT.as_str()).is_some_and(|a| a.starts_with("Mozilla/"));
    browser && site.is_none() && own == [None, None]
}

/// Host and port of an absolute URL; `None` for `null` and other opaque origins.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', '?', '#']).next().filter(|a| !a.is_empty())
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str, headers: &[(&'static str, &str)]) -> Origin {
        let map = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        Origin::of(&map, None, peer.parse().unwrap())
    }

    #[test]
    fn local_tools_and_own_pages_are_local() {
        for (peer, headers) in [
            ("127.0.0.1", &[][..]),
            ("::ffff:127.0.0.1", &[("host", "localhost:4242"), ("user-agent", "curl/8")]),
            ("::1", &[("host", "[::1]:4242")]),
            ("127.0.0.1", &[("host", "127.0.0.1:4242"), ("origin", "http://127.0.0.1:4242")]),
            (
                "127.0.0.1",
                &[
                    ("host", "LOCALHOST:4242"),
                    ("referer", "http://localhost:4242/x"),
                    ("user-agent", "Mozilla/5.0"),
                ],
            ),
            (
                "127.0.0.1",
                &[("host", "localhost"), ("sec-fetch-site", "none"), ("user-agent", "Mozilla/5.0")],
            ),
        ] {
            let o = origin(peer, headers);
            assert!(o.local && !o.foreign, "{peer} {headers:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_foreign() {
        for headers in [
            &[("host", "127.0.0.1:4242"), ("origin", "http://evil.example")][..],
            &[("host", "127.0.0.1:4242"), ("origin", "null")],
            &[("host", "127.0.0.1:4242"), ("origin", "http://127.0.0.1:8080")],
            &[("host", "127.0.0.1:4242"), ("referer", "http://evil.example/127.0.0.1:4242")],
            &[("host", "127.0.0.1:4242"), ("sec-fetch-site", "cross-site")],
            &[("host", "127.0.0.1:4242"), ("sec-fetch-site", "same-site")],
            &[("host", "127.0.0.1:4242"), ("user-agent", "Mozilla/5.0 (old)")],
        ] {
            let o = origin("127.0.0.1", headers);
            assert!(!o.local && o.foreign, "{headers:?}");
        }
        // A name of the attacker's that leads here is its own origin, and still not this machine's.
        let o = origin("127.0.0.1", &[("host", "evil.example:4242"), ("origin", "http://evil.example:4242")]);
        assert!(!o.local);
    }

    #[test]
    fn forwarded_requests_have_the_clients_address() {
        for (headers, ip) in [
            (&[("x-real-ip", "192.0.2.1")][..], "192.0.2.1"),
            (&[("x-forwarded-for", "10.0.0.1, 192.0.2.2")], "192.0.2.2"),
            (&[("x-forwarded-for", "nonsense")], "127.0.0.1"),
            (&[("forwarded", "for=192.0.2.3")], "127.0.0.1"),
            (&[("x-forwarded-proto", "https")], "127.0.0.1"),
            (&[("x-real-ip", "127.0.0.1")], "127.0.0.1"),
        ] {
            let o = origin("127.0.0.1", headers);
            assert_eq!((o.ip.to_string().as_str(), o.local), (ip, false), "{headers:?}");
        }
        // Whoever is far away can't choose an address.
        let o = origin("198.51.100.1", &[("x-real-ip", "127.0.0.1")]);
        assert_eq!((o.ip.to_string().as_str(), o.local), ("198.51.100.1", false));
    }
}
