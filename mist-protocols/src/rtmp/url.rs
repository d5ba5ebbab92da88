//! Which stream, which passphrase and which URL a peer means.

/// Wowza's default instance, which some encoders add to the application.
const DEFAULT_INSTANCE: &str = "/_definst_";

/// What a publish or play aims at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Stream name without query.
    pub(super) stream: String,
    /// The whole URL, query included.
    pub(super) url: String,
    /// The application without query: the passphrase (manual 3.3.1). It may hold slashes.
    pub(super) secret: String,
}

/// Splits a stream name from its query.
pub(super) fn split_query(name: &str) -> (&str, Option<&str>) {
    match name.split_once('?') {
        Some((n, q)) => (n, Some(q)),
        None => (name, None),
    }
}

/// What follows the host in a URL.
pub(super) fn app_of(tc_url: &str) -> &str {
    let rest = tc_url.split_once("://").map_or(tc_url, |(_, r)| r);
    rest.split_once('/').map_or("", |(_, app)| app)
}

impl Target {
    /// From the application and URL of `connect` and the name of `publish` or `play`. `None` for names that
    /// are empty, too long or hold control characters.
    pub(super) fn new(app: &str, tc_url: &str, name: &str, limit: usize) -> Option<Self> {
        if name.len() > limit || [app, tc_url, name].iter().any(|s| s.chars().any(char::is_control)) {
            return None;
        }
        let base = if tc_url.is_empty() { format!("rtmp:///{app}") } else { tc_url.to_owned() };
        let base = base.trim_end_matches('/');
        // Flash 9 players repeat the whole URL as name.
        let name = name.strip_prefix(base).filter(|r| r.is_empty() || r.starts_with('/')).unwrap_or(name);
        let name = name.trim_start_matches('/');
        let (app, _) = split_query(app);
        let app = app.trim_matches('/');
        let app = app.strip_suffix(DEFAULT_INSTANCE).unwrap_or(app);
        let (stream, _) = split_query(name);
        if !stream.is_empty() {
            let url = format!("{base}/{name}");
            return Some(Self { stream: stream.to_owned(), url, secret: app.to_owned() });
        }
        // All of the URL went into the field for the server, and the stream key is empty.
        let (app, stream) = app.rsplit_once('/')?;
        let url = if name.is_empty() { base.to_owned() } else { format!("{base}{name}") };
        (!stream.is_empty()).then(|| Self { stream: stream.to_owned(), url, secret: app.to_owned() })
    }
}

/// A URL as a client uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientUrl {
    /// Scheme, host, port and application.
    pub(super) tc_url: String,
    /// Application.
    pub(super) app: String,
    /// Stream name with its query.
    pub(super) key: String,
}

/// The application of a URL that has no path (manual 2.5, RTMP targets).
const DEFAULT_APP: &str = "default";

impl ClientUrl {
    /// Parses `rtmp://[user@]host[:port]/app/stream?query`. `name` serves where there is no stream in it.
    pub(super) fn parse(url: &str, name: &str, limit: usize) -> Option<Self> {
        let rest = url.strip_prefix("rtmp://")?;
        if url.len().max(name.len()) > limit || url.chars().chain(name.chars()).any(char::is_control) {
            return None;
        }
        let (host, path) = match rest.split_once('/') {
            Some((h, p)) => (h, Some(p)),
            None => (rest, None),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
        let (app, key) = match path {
            None => (DEFAULT_APP, ""),
            Some(p) => {
                // A slash in the query belongs to it, unless there is none before: `app?key/stream`.
                let end = p.rfind('?').unwrap_or(p.len());
                let head = p.get(..end).unwrap_or(p);
                match head.rfind('/').or_else(|| p.rfind('/')) {
                    Some(i) => (p.get(..i)?, p.get(i + 1..)?),
                    None => ("", p),
                }
            }
        };
        let key = if key.is_empty() { name } else { key };
        (!host.is_empty() && !key.is_empty()).then(|| Self {
            tc_url: format!("rtmp://{host}/{app}"),
            app: app.to_owned(),
            key: key.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_clients() {
        for (url, name, tc_url, app, key) in [
            ("rtmp://e.com/live/stream01", "x", "rtmp://e.com/live", "live", "stream01"),
            ("rtmp://e.com/live/", "foo+bar", "rtmp://e.com/live", "live", "foo+bar"),
            ("rtmp://e.com:1950/live/foo", "", "rtmp://e.com:1950/live", "live", "foo"),
            ("rtmp://e.com", "foo", "rtmp://e.com/default", "default", "foo"),
            ("rtmp://e.com/", "foo", "rtmp://e.com/", "", "foo"),
            ("rtmp://e.com/live/stream?01", "", "rtmp://e.com/live", "live", "stream?01"),
            ("rtmp://e.com/live/s?token=a/b", "", "rtmp://e.com/live", "live", "s?token=a/b"),
            ("rtmp://e.com/app?key/s?x=y", "", "rtmp://e.com/app?key", "app?key", "s?x=y"),
            ("rtmp://e.com/app?key/s", "", "rtmp://e.com/app?key", "app?key", "s"),
            ("rtmp://u:p@e.com/a/b/c", "", "rtmp://e.com/a/b", "a/b", "c"),
            ("rtmp://[::1]:1935/a/b", "", "rtmp://[::1]:1935/a", "a", "b"),
        ] {
            let want = ClientUrl { tc_url: tc_url.into(), app: app.into(), key: key.into() };
            assert_eq!(ClientUrl::parse(url, name, 100), Some(want), "{url}");
        }
        for url in ["http://h/a/b", "rtmp://h/a/", "rtmp:///a/b", "rtmp://h/a\n/b"] {
            assert_eq!(ClientUrl::parse(url, "", 100), None, "{url}");
        }
    }

    #[test]
    fn dialects_of_urls() {
        for (app, tc_url, name, stream, url, secret) in [
            ("pw", "rtmp://h:1935/pw", "s", "s", "rtmp://h:1935/pw/s", "pw"),
            ("pw", "rtmp://h/pw/", "s?x=y", "s", "rtmp://h/pw/s?x=y", "pw"),
            ("pw/_definst_", "rtmp://h/pw/_definst_", "s", "s", "rtmp://h/pw/_definst_/s", "pw"),
            ("a/b", "rtmp://h/a/b", "/s", "s", "rtmp://h/a/b/s", "a/b"),
            (
                "app?key",
                "rtmp://host/app?key",
                "stream?x=y",
                "stream",
                "rtmp://host/app?key/stream?x=y",
                "app",
            ),
            ("pw", "", "s", "s", "rtmp:///pw/s", "pw"),
            ("", "rtmp://h", "s", "s", "rtmp://h/s", ""),
            ("pw/s", "rtmp://h/pw/s", "", "s", "rtmp://h/pw/s", "pw"),
            ("pw/", "rtmp://h/pw/", "rtmp://h/pw/s?x", "s", "rtmp://h/pw/s?x", "pw"),
            ("pw", "rtmp://h/pw", "live+s t", "live+s t", "rtmp://h/pw/live+s t", "pw"),
        ] {
            let want = Target { stream: stream.into(), url: url.into(), secret: secret.into() };
            assert_eq!(Target::new(app, tc_url, name, 100), Some(want), "{app} {tc_url} {name}");
        }
    }

    #[test]
    fn bad_names() {
        for name in ["", "?x", "rtmp://h/pw/", "a\0b", "a\r\nb", &"x".repeat(101)] {
            assert_eq!(Target::new("pw", "rtmp://h/pw", name, 100), None, "{name:?}");
        }
    }

    #[test]
    fn application_of_a_url() {
        assert_eq!(app_of("rtmp://h:1935/a/b?c"), "a/b?c");
        assert_eq!(app_of("rtmp://h"), "");
        assert_eq!(app_of(""), "");
    }
}
