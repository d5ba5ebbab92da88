//! The small grammars in a playlist: attribute lists, decimals, dates, references (RFC 8216bis §4.2, ISO 8601, RFC 3986).

use super::limits;
use crate::hls::parse::model::ByteRange;
use mist_core::time::Duration;

/// A value of an attribute list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    /// Without its quotes.
    pub(super) value: &'a str,
    pub(super) quoted: bool,
}

/// An attribute list, in order. `Err` where it can't be read on.
pub(super) struct Attributes<'a>(pub(super) &'a str);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_start_matches([' ', '\t']);
        if text.trim_end().is_empty() {
            return None;
        }
        self.0 = "";
        let Some((name, rest)) = text.split_once('=') else { return Some(Err("attribute without a value")) };
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
        {
            return Some(Err("attribute name"));
        }
        let (value, quoted, rest) = match rest.strip_prefix('"') {
            Some(inner) => match inner.split_once('"') {
                Some((value, rest)) => (value, true, rest.trim_start()),
                None => return Some(Err("quoted string without an end")),
            },
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (value, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (value.trim(), false, rest)
            }
        };
        if !rest.is_empty() {
            match rest.strip_prefix(',') {
                Some(more) => self.0 = more,
                None => return Some(Err("no comma between attributes")),
            }
        }
        Some(Ok(Attribute { name, value, quoted }))
    }
}

/// A decimal number of seconds, also a negative one.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+');
    if !text.bytes().all(plain) {
        return None;
    }
    let v: f64 = text.parse().ok()?;
    if !v.is_finite() || v.abs() > limits::MAX_SECONDS {
        return None;
    }
    let ticks = (v * Duration::from_secs(1).ticks() as f64).round();
    Some(Duration::from_ticks(ticks as i64))
}

/// `LENGTH[@OFFSET]`.
pub(super) fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (len, offset) = match text.split_once('@') {
        Some((l, o)) => (l, Some(o.parse::<u64>().ok()?)),
        None => (text, None),
    };
    let len = len.parse::<u64>().ok()?;
    offset.unwrap_or(0).checked_add(len)?;
    Some((len, offset))
}

/// The range that starts where it says, or else where the one before it on the same resource ended.
pub(super) fn resolve_range(
    range: (u64, Option<u64>),
    uri: &str,
    before: Option<&(String, u64)>,
) -> Option<ByteRange> {
    let offset = match range.1 {
        Some(o) => o,
        None => before.filter(|(u, _)| u == uri)?.1,
    };
    offset.checked_add(range.0)?;
    Some(ByteRange { offset, len: range.0 })
}

/// Sixteen bytes of `0x` and hexadecimal digits; shorter ones are filled with zeros in front.
pub(super) fn iv(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// ISO 8601 with time zone: milliseconds since 1970-01-01 UTC. Without a zone UTC is meant.
pub(super) fn date(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut number = |len: usize, then: &[char]| -> Option<i64> {
        let (digits, tail) = rest.split_at_checked(len)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        rest = match then {
            [] => tail,
            _ => tail.strip_prefix(then).or(if tail.is_empty() { Some("") } else { None })?,
        };
        digits.parse().ok()
    };
    let (year, month, day) = (number(4, &['-'])?, number(2, &['-'])?, number(2, &['T', 't', ' '])?);
    let (hour, minute) = (number(2, &[':'])?, number(2, &[])?);
    let mut ms = 0;
    if let Some(tail) = rest.strip_prefix(':') {
        let (sec, tail) = tail.split_at_checked(2)?;
        if !sec.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        ms = sec.parse::<i64>().ok().filter(|s| *s <= 60)? * 1000;
        rest = tail;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            let (digits, tail) = fraction.split_at_checked(end)?;
            rest = tail;
            ms += digits.bytes().zip([100, 10, 1]).map(|(d, w)| i64::from(d - b'0') * w).sum::<i64>();
        }
    }
    let zone = match rest {
        "" | "Z" | "z" => 0,
        _ => {
            let sign = match rest.chars().next()? {
                '+' => 1,
                '-' => -1,
                _ => return None,
            };
            let digits: String = rest.chars().skip(1).filter(|c| *c != ':').collect();
            if !(digits.len() == 2 || digits.len() == 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let (h, m) = digits.split_at_checked(2)?;
            sign * (h.parse::<i64>().ok()? * 60 + m.parse::<i64>().unwrap_or(0))
        }
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 {
        return None;
    }
    let minutes = days(year, month, day) * 1440 + hour * 60 + minute - zone;
    Some(minutes * 60_000 + ms)
}

/// What `reference` means in a document that came from `base` (RFC 3986 §5.2). Both may be URLs or file paths.
pub fn resolve(base: &str, reference: &str) -> String {
    if has_scheme(reference) {
        return reference.to_owned();
    }
    let (origin, path) = match base.split_once("://") {
        Some((scheme, rest)) if has_scheme(base) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let cut = scheme.len() + 3 + end;
            base.split_at_checked(cut).unwrap_or((base, ""))
        }
        _ => ("", base),
    };
    if let Some(host) = reference.strip_prefix("//") {
        let scheme = origin.split_once("://").map_or("http", |(s, _)| s);
        return format!("{scheme}://{host}");
    }
    if origin.is_empty() {
        // A file: a query is part of a URL, never of its name.
        let reference = reference.split(['?', '#']).next().unwrap_or(reference);
        if reference.starts_with('/') {
            return reference.to_owned();
        }
        let dir = path.rfind('/').and_then(|i| path.get(..=i)).unwrap_or("");
        return format!("{dir}{reference}");
    }
    let path = path.split(['?', '#']).next().unwrap_or("");
    let (wanted, query) = match reference.find(['?', '#']) {
        Some(i) => reference.split_at_checked(i).unwrap_or((reference, "")),
        None => (reference, ""),
    };
    let joined = if wanted.is_empty() {
        path.to_owned()
    } else if wanted.starts_with('/') {
        wanted.to_owned()
    } else {
        let dir = path.rfind('/').and_then(|i| path.get(..=i)).unwrap_or("/");
        format!("{dir}{wanted}")
    };
    format!("{origin}{}{query}", without_dots(&joined))
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(usize::from(path.starts_with('/'))).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    out.pop();
                }
                if last {
                    out.push("");
                }
            }
            _ => out.push(part),
        }
    }
    format!("/{}", out.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_lists() {
        let read = |t| Attributes(t).map(|a| a.map(|a| (a.name, a.value, a.quoted))).collect::<Vec<_>>();
        assert_eq!(
            read("A=1,B-2=\"x,y=z\", C=0xAF ,D="),
            [
                Ok(("A", "1", false)),
                Ok(("B-2", "x,y=z", true)),
                Ok(("C", "0xAF", false)),
                Ok(("D", "", false))
            ]
        );
        assert_eq!(read(""), []);
        for (bad, why) in [
            ("A", "attribute without a value"),
            ("a=1", "attribute name"),
            ("A=\"1", "quoted string without an end"),
            ("A=\"1\"B=2", "no comma between attributes"),
        ] {
            assert_eq!(read(bad), [Err(why)], "{bad}");
        }
    }

    #[test]
    fn dates_and_seconds() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00.001Z", Some(951_782_400_001)),
            ("2024-02-29T23:59:59.999+00:00", Some(1_709_251_199_999)),
            ("2010-02-19T14:54:23.031+08:00", Some(1_266_562_463_031)),
            ("2010-02-19T14:54:23-0130", Some(1_266_596_663_000)),
            ("2100-03-01T00:00Z", Some(4_107_542_400_000)),
            ("2012-12-25 14:12:34,5", Some(1_356_444_754_500)),
            ("1969-12-31T23:59:59Z", Some(-1000)),
            ("2024-13-01T00:00:00Z", None),
            ("yesterday", None),
            ("2024-01-01", None),
            ("2024-01-01T00:00:0éZ", None),
            ("2024-01-01T00:00:00+9", None),
        ] {
            assert_eq!(date(text), want, "{text}");
        }
        assert_eq!(seconds("9.009"), Some(Duration::from_millis(9009)));
        assert_eq!(seconds("-2"), Some(Duration::from_secs(-2)));
        for bad in ["", "1e5", "inf", "nan", "99999999999999", "1.2.3"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn references() {
        for (base, reference, want) in [
            ("http://h/a/b.m3u8?t=1", "c.ts", "http://h/a/c.ts"),
            ("http://h/a/b.m3u8", "../c.ts?x=../y", "http://h/c.ts?x=../y"),
            ("http://h/a/b/c", "./d/../e/", "http://h/a/b/e/"),
            ("http://h/a/b/c", "../../../..", "http://h/"),
            ("http://h:81", "x", "http://h:81/x"),
            ("http://h/a?q=/z", "x", "http://h/x"),
            ("http://h/a/b", "/c", "http://h/c"),
            ("https://h/a/b", "//k/c", "https://k/c"),
            ("http://h/a/b", "?q", "http://h/a/b?q"),
            ("http://h/a/b", "https://k/c", "https://k/c"),
            ("/media/x/l.m3u8", "s 1.ts", "/media/x/s 1.ts"),
            ("l.m3u8", "a/s.ts?v=1", "a/s.ts"),
            ("x/l.m3u8", "/s.ts", "/s.ts"),
        ] {
            assert_eq!(resolve(base, reference), want, "{base} {reference}");
        }
    }

    #[test]
    fn ranges_and_vectors() {
        assert_eq!(byte_range("10@20"), Some((10, Some(20))));
        assert_eq!(byte_range("10"), Some((10, None)));
        assert_eq!(byte_range("18446744073709551615@1"), None);
        assert_eq!(byte_range("-1"), None);
        let before = ("a".to_owned(), 30);
        assert_eq!(resolve_range((5, None), "a", Some(&before)), Some(ByteRange { offset: 30, len: 5 }));
        assert_eq!(resolve_range((5, None), "b", Some(&before)), None);
        assert_eq!(iv("0x01").map(|v| v[15]), Some(1));
        assert_eq!(iv(&format!("0x{}", "f".repeat(33))), None);
        assert_eq!(iv("12"), None);
    }
}
