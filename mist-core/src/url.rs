//! Pieces of URLs: percent-encoding (RFC 3986 §2.1), queries, push targets and `push://` sources.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    let special = |b: &u8| *b == b'%' || (plus && *b == b'+');
    if !text.as_bytes().iter().any(special) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match (b, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = after;
            }
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(b),
        }
    }
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// Decodes `%XX`, once. A `%` without two hexadecimal digits stays; bytes that are no UTF-8 become U+FFFD.
/// Without anything to decode nothing is copied.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    decode(text, false)
}

/// [`percent_decode`] for names and values of queries and HTML forms, where `+` is a space.
pub fn form_decode(text: &str) -> Cow<'_, str> {
    decode(text, true)
}

/// Encodes a text as one segment of a path: everything but RFC 3986's unreserved characters and `+`, which
/// separates wildcard names.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a>(pub &'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+');
        for c in self.0.chars() {
            if c.is_ascii() && plain(c as u8) {
                fmt::Write::write_char(f, c)?;
            } else {
                for b in c.encode_utf8(&mut [0; 4]).bytes() {
                    write!(f, "%{b:02X}")?;
                }
            }
        }
        Ok(())
    }
}

/// The parameters of a URL, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// Of the text after the `?`, still encoded.
    pub const fn new(query: &'a str) -> Self {
        Self(query)
    }

    /// The text, still encoded.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// Names and values as they stand, still encoded. A parameter without `=` has an empty value.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.0.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
    }

    /// Decoded names and values, in order, repeated ones included.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        self.pairs().map(|(k, v)| (form_decode(k), form_decode(v)))
    }

    /// The decoded value of a parameter: of the last one, where it is repeated (manual 2.4.2).
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.pairs().filter(|(k, _)| form_decode(k) == name).last().map(|(_, v)| form_decode(v))
    }

    /// A parameter that is a whole number; `None` also when it is not.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }

    /// Whether a parameter is there and means yes: anything but nothing, `0` and `false`.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| !matches!(v.trim(), "" | "0" | "false"))
    }
}

/// Where a push or recording goes: a path or URL, and the parameters behind its last `?` (manual 2.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path or URL, which may have further `?` in it.
    pub url: &'a str,
    /// The parameters.
    pub query: Query<'a>,
}

impl<'a> Target<'a> {
    /// Splits a target.
    pub fn parse(text: &'a str) -> Self {
        let (url, query) = text.rsplit_once('?').unwrap_or((text, ""));
        Self { url, query: Query(query) }
    }
}

/// A source that waits for somebody to publish: `push://[host][/mask][@passphrase]` (manual 3.3.1).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PushSource {
    host: String,
    prefix: Option<u8>,
    secret: String,
}

/// What is wrong with a `push://` source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It doesn't start with `push://`.
    #[error("not a push:// source")]
    Scheme,
    /// The mask is not a whole number from 0 to 128 (32 for an IPv4 address).
    #[error("the mask of the push:// source is not a prefix length")]
    Mask,
    /// The host has characters that no host has, or an address in brackets is none.
    #[error("the host of the push:// source is malformed")]
    Host,
}

impl PushSource {
    /// Reads a source.
    ///
    /// # Errors
    /// [`SourceError`], rather than a source that admits more than was meant.
    pub fn parse(source: &str) -> Result<Self, SourceError> {
        let rest = match source.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("push://") => source.get(7..).unwrap_or_default(),
            _ => return Err(SourceError::Scheme),
        };
        let (place, secret) = rest.split_once('@').unwrap_or((rest, ""));
        let (host, prefix) = match place.trim().split_once('/') {
            Some((host, "")) => (host, None),
            Some((host, mask)) => (host, Some(mask.parse().map_err(|_| SourceError::Mask)?)),
            None => (place.trim(), None),
        };
        let bare = match host.strip_prefix('[') {
            Some(h) => {
                let h = h.strip_suffix(']').ok_or(SourceError::Host)?;
                h.parse::<std::net::Ipv6Addr>().map_err(|_| SourceError::Host)?;
                h
            }
            None => host,
        };
        let address = bare.parse::<IpAddr>().ok();
        let named = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if address.is_none() && !bare.chars().all(named) {
            return Err(SourceError::Host);
        }
        let widest = if address.is_some_and(|a| a.is_ipv4()) { 32 } else { 128 };
        if prefix.is_some_and(|p| p > widest || bare.is_empty()) {
            return Err(SourceError::Mask);
        }
        Ok(Self { host: bare.to_owned(), prefix, secret: secret.to_owned() })
    }

    /// The host's name or address, without brackets; empty if any host will do.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The length of the network prefix, where a mask is given.
    pub const fn prefix(&self) -> Option<u8> {
        self.prefix
    }

    /// Whether a passphrase is set.
    pub fn has_passphrase(&self) -> bool {
        !self.secret.is_empty()
    }

    /// The host's name, if it has to be resolved before [`PushSource::admits`] is asked.
    pub fn needs_resolving(&self) -> Option<&str> {
        (!self.host.is_empty() && self.host.parse::<IpAddr>().is_err()).then_some(&self.host)
    }

    /// Whether a publisher from `peer` that gave `secret` may publish.
    ///
    /// `resolved` are the addresses of [`PushSource::needs_resolving`]. With the right passphrase the address is
    /// not looked at; without it, the host decides, and where no host is given but a passphrase is, the answer is
    /// no. The mask applies to IPv4 and IPv6 addresses alike. IPv4 addresses in IPv6 form count as IPv4.
    pub fn admits(&self, peer: IpAddr, resolved: &[IpAddr], secret: Option<&str>) -> bool {
        if self.has_passphrase() && secret.is_some_and(|s| same_secret(&self.secret, s)) {
            return true;
        }
        if self.host.is_empty() {
            return !self.has_passphrase();
        }
        match self.host.parse() {
            Ok(address) => self.covers(address, peer),
            Err(_) => resolved.iter().any(|a| self.covers(*a, peer)),
        }
    }

    fn covers(&self, network: IpAddr, peer: IpAddr) -> bool {
        // A mask on an IPv4 address that is written as IPv6 counts from the IPv6 form's first bit.
        let mapped = network.is_ipv6() && network.to_canonical().is_ipv4();
        let prefix = self.prefix.map(|p| if mapped { p.saturating_sub(96) } else { p });
        match (network.to_canonical(), peer.to_canonical()) {
            (IpAddr::V4(n), IpAddr::V4(p)) => {
                let host = 32u32.saturating_sub(prefix.unwrap_or(32).into());
                ((n.to_bits() ^ p.to_bits()).checked_shr(host)).unwrap_or(0) == 0
            }
            (IpAddr::V6(n), IpAddr::V6(p)) => {
                let host = 128u32.saturating_sub(prefix.unwrap_or(128).into());
                ((n.to_bits() ^ p.to_bits()).checked_shr(host)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The passphrase stays out of logs.
impl fmt::Debug for PushSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "push://{}", self.host)?;
        if let Some(p) = self.prefix {
            write!(f, "/{p}")?;
        }
        if self.has_passphrase() { f.write_str("@***") } else { Ok(()) }
    }
}

/// Compares two secrets in a time that depends only on the length of what was `given`.
pub fn same_secret(secret: &str, given: &str) -> bool {
    let mut wrong = u8::from(secret.len() != given.len());
    let mut expected = secret.bytes().chain(std::iter::repeat(0));
    for b in given.bytes() {
        wrong |= std::hint::black_box(b ^ expected.next().unwrap_or(0));
    }
    wrong == 0
}

/// Fuzz body: decoding is total and undoes encoding; sources and targets parse or refuse.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert_eq!(percent_decode(&Encoded(&text).to_string()), text);
    assert!(percent_decode(&text).len() <= text.len().saturating_mul(3));
    let target = Target::parse(&text);
    assert!(!target.query.as_str().contains('?'));
    for (name, value) in target.query.iter() {
        assert!(target.query.get(&name).is_some());
        let _ = (value.len(), target.query.number(&name), target.query.flag(&name));
    }
    if let Ok(source) = PushSource::parse(&text) {
        let peers = ["203.0.113.9", "2001:db8::9", "::ffff:203.0.113.9"].map(str::parse);
        for peer in peers.into_iter().flatten() {
            let open = source.admits(peer, &[], None);
            assert!(
                !open || source.host().is_empty() != source.has_passphrase() || source.prefix().is_some()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_keeps_what_is_broken() {
        for (text, want) in [
            ("plain", "plain"),
            ("vod%2Bsample.mp4", "vod+sample.mp4"),
            ("a+b", "a+b"),
            ("%252e%2e", "%2e."),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%+1%-1", "%+1%-1"),
            ("%C3%A9", "\u{e9}"),
            ("%ff%00", "\u{fffd}\0"),
        ] {
            assert_eq!(percent_decode(text), want);
        }
        assert!(matches!(percent_decode("plain"), Cow::Borrowed(_)));
        assert_eq!(form_decode("a+b%2B"), "a b+");
        assert_eq!(Encoded("foo+b/r \u{e9}?#\"").to_string(), "foo+b%2Fr%20%C3%A9%3F%23%22");
    }

    #[test]
    fn the_last_parameter_wins() {
        let q = Query::new("a=1&b&a=2&&c=x%3Dy=z&=e&d=+7");
        assert_eq!(q.get("a").as_deref(), Some("2"));
        assert_eq!(q.get("b").as_deref(), Some(""));
        assert_eq!(q.get("c").as_deref(), Some("x=y=z"));
        assert_eq!((q.number("d"), q.number("b"), q.get("none")), (Some(7), None, None));
        assert!(q.flag("a") && !q.flag("b") && !q.flag("none"));
        assert_eq!(q.iter().count(), 6);
    }

    #[test]
    fn targets_split_at_the_last_question_mark() {
        for (text, url, query) in [
            ("rtmp://example.com/live/stream?01?", "rtmp://example.com/live/stream?01", ""),
            (
                "rtmp://example.com/live/stream?01?recstartunix=1517490000",
                "rtmp://example.com/live/stream?01",
                "recstartunix=1517490000",
            ),
            ("/media/$stream.ts", "/media/$stream.ts", ""),
            ("tsudp://example.com:8765?a=1&passthrough=1", "tsudp://example.com:8765", "a=1&passthrough=1"),
        ] {
            let t = Target::parse(text);
            assert_eq!((t.url, t.query.as_str()), (url, query));
        }
    }

    fn admits(source: &str, peer: &str, resolved: &[&str], secret: Option<&str>) -> bool {
        let resolved: Vec<IpAddr> = resolved.iter().map(|r| r.parse().unwrap()).collect();
        PushSource::parse(source).unwrap().admits(peer.parse().unwrap(), &resolved, secret)
    }

    #[test]
    fn who_may_publish() {
        for (source, peer, secret, want) in [
            ("push://", "203.0.113.9", None, true),
            ("push://", "2001:db8::9", Some("anything"), true),
            ("push://@", "203.0.113.9", None, true),
            ("push://127.0.0.1", "127.0.0.1", None, true),
            ("push://127.0.0.1", "::ffff:127.0.0.1", None, true),
            ("push://127.0.0.1", "127.0.0.2", None, false),
            ("push://127.0.0.1", "127.0.0.2", Some(""), false),
            ("push://127.0.0.1", "::1", None, false),
            ("push://@123abc", "203.0.113.9", Some("123abc"), true),
            ("push://@123abc", "203.0.113.9", Some("123abC"), false),
            ("push://@123abc", "203.0.113.9", Some("123abcd"), false),
            ("push://@123abc", "203.0.113.9", Some("123ab"), false),
            ("push://@123abc", "203.0.113.9", Some("123abc\0"), false),
            ("push://@123abc", "203.0.113.9", Some(""), false),
            ("push://@123abc", "203.0.113.9", None, false),
            ("push://127.0.0.1@123abc", "127.0.0.1", Some("wrong"), true),
            ("push://127.0.0.1@123abc", "9.9.9.9", Some("123abc"), true),
            ("push://127.0.0.1@123abc", "9.9.9.9", Some("wrong"), false),
            ("push://127.0.0.1 @a@b", "9.9.9.9", Some("a@b"), true),
            ("push://192.168.0.0/16", "192.168.255.1", None, true),
            ("push://192.168.0.0/16", "192.169.0.1", None, false),
            ("push://0.0.0.0/0", "192.169.0.1", None, true),
            ("push://0.0.0.0/0", "2001:db8::1", None, false),
            ("push://10.0.0.7/32@x", "10.0.0.8", None, false),
            ("push://2001:db8::/32", "2001:db8:ffff::1", None, true),
            ("push://[2001:db8::]/32", "2001:db9::1", None, false),
            ("push://[::1]", "::1", None, true),
            ("push://::/0", "2001:db9::1", None, true),
            ("push://::ffff:10.0.0.0/104", "10.9.9.9", None, true),
            ("push://::ffff:10.0.0.0/104", "11.9.9.9", None, false),
            ("PUSH://10.0.0.1/", "10.0.0.1", None, true),
        ] {
            assert_eq!(admits(source, peer, &[], secret), want, "{source} {peer} {secret:?}");
        }
        assert!(admits("push://cam.example/24", "198.51.100.200", &["198.51.100.7"], None));
        assert!(admits("push://cam.example/24", "2001:db0::1", &["198.51.100.7", "2001:db8::1"], None));
        assert!(!admits("push://cam.example", "198.51.100.200", &["198.51.100.7"], None));
        assert!(!admits("push://cam.example", "198.51.100.200", &[], None));
        assert_eq!(PushSource::parse("push://cam.example").unwrap().needs_resolving(), Some("cam.example"));
        assert_eq!(PushSource::parse("push://::1").unwrap().needs_resolving(), None);
    }

    #[test]
    fn refuses_sources_that_could_admit_too_many() {
        for (source, want) in [
            ("rtmp://x", SourceError::Scheme),
            ("push:/", SourceError::Scheme),
            ("push://10.0.0.0/33", SourceError::Mask),
            ("push://10.0.0.0/-1", SourceError::Mask),
            ("push://::/129", SourceError::Mask),
            ("push://h/256", SourceError::Mask),
            ("push:///8", SourceError::Mask),
            ("push://[::1", SourceError::Host),
            ("push://[cam]", SourceError::Host),
            ("push://a b", SourceError::Host),
            ("push://host:1935", SourceError::Host),
        ] {
            assert_eq!(PushSource::parse(source), Err(want), "{source}");
        }
        let shown = format!("{:?}", PushSource::parse("push://h/8@secret").unwrap());
        assert_eq!(shown, "push://h/8@***");
    }

    #[test]
    fn any_text_parses_or_is_refused() {
        proptest::proptest!(|(data in proptest::collection::vec(proptest::num::u8::ANY, 0..200))| fuzz(&data));
        proptest::proptest!(|(text in "push://[a-z0-9.:/@\\[\\]%? ]{0,40}")| fuzz(text.as_bytes()));
    }
}
