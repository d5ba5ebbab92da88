//! Stream names (manual 3.1): lower-case letters, digits and underscores, optionally `+` and a wildcard part.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest name in bytes, separator and wildcard part included (manual 3.1).
pub const MAX_NAME: usize = 100;

/// A sanitised stream name. Cloning is one reference count.
///
/// Compares and hashes as its text, so that maps keyed by it can be asked with a `&str`.
#[derive(Clone)]
pub struct StreamName {
    text: Arc<str>,
    base: u8,
}

/// Why a text can't be a stream name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is left of the base name.
    #[error("the stream name is empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("the stream name is longer than 100 bytes")]
    TooLong,
    /// A control character in the wildcard part: it would end up in logs, headers and file names.
    #[error("the stream name has a control character")]
    Control,
}

impl StreamName {
    /// Sanitises `raw`: the base name becomes lower case and loses every character that is not an ASCII letter,
    /// digit or underscore; after the first `+` or space any text without control characters stays as it is.
    ///
    /// A separator without anything behind it is dropped.
    ///
    /// # Errors
    /// [`NameError`] if nothing is left, too much is left, or the wildcard part has a control character.
    pub fn new(raw: &str) -> Result<Self, NameError> {
        let (base, wildcard) = match raw.split_once(['+', ' ']) {
            Some((base, wildcard)) => (base, wildcard),
            None => (raw, ""),
        };
        if wildcard.len() >= MAX_NAME {
            return Err(NameError::TooLong);
        }
        if wildcard.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        let mut text = String::with_capacity(raw.len().min(MAX_NAME));
        for c in base.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            if text.len() == MAX_NAME {
                return Err(NameError::TooLong);
            }
            text.push(c.to_ascii_lowercase());
        }
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let length = text.len();
        if !wildcard.is_empty() {
            if length + 1 + wildcard.len() > MAX_NAME {
                return Err(NameError::TooLong);
            }
            text.push('+');
            text.push_str(wildcard);
        }
        Ok(Self { text: text.into(), base: length as u8 })
    }

    /// The whole name; the separator is always `+`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the separator: the name that is configured.
    pub fn base(&self) -> &str {
        self.text.get(..usize::from(self.base)).unwrap_or_default()
    }

    /// The part after the separator, where there is one.
    pub fn wildcard(&self) -> Option<&str> {
        self.text.get(usize::from(self.base) + 1..)
    }

    /// Whether a pattern of pushes and triggers means this name (manual 2.4): `foo` only itself, `foo+` every
    /// name with that base and a wildcard part, `foo+bar` only itself.
    pub fn matches(&self, pattern: &str) -> bool {
        match pattern.strip_suffix(['+', ' ']) {
            Some(base) if !base.contains(['+', ' ']) => self.base() == base && self.wildcard().is_some(),
            _ => match pattern.split_once(['+', ' ']) {
                Some((base, wildcard)) => self.base() == base && self.wildcard() == Some(wildcard),
                None => self.as_str() == pattern,
            },
        }
    }
}

impl PartialEq for StreamName {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for StreamName {}
impl PartialOrd for StreamName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for StreamName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}
impl Hash for StreamName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.text
    }
}
impl AsRef<str> for StreamName {
    fn as_ref(&self) -> &str {
        &self.text
    }
}
impl std::str::FromStr for StreamName {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}
impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Fuzz body: sanitising is idempotent and keeps the rules of [`StreamName`].
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[expect(clippy::expect_used, reason = "a fuzz body reports by panicking")]
pub fn fuzz(data: &[u8]) {
    let raw = String::from_utf8_lossy(data);
    let Ok(name) = StreamName::new(&raw) else { return };
    assert!(!name.base().is_empty() && name.as_str().len() <= MAX_NAME);
    assert!(name.base().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
    assert_eq!(StreamName::new(name.as_str()).expect("a sanitised name is a name"), name);
    assert!(name.matches(name.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn sanitises_as_the_manual_says() {
        for (raw, want) in [
            ("Test-Stream-1", "teststream1"),
            ("foo+bar", "foo+bar"),
            ("Foo bar", "foo+bar"),
            ("A2 Weird/Name", "a2+Weird/Name"),
            ("a_b.c", "a_bc"),
            ("live+", "live"),
            ("live ", "live"),
            ("caf\u{e9}+\u{e9}t\u{e9} + more", "caf+\u{e9}t\u{e9} + more"),
            ("../../etc/passwd", "etcpasswd"),
            ("vod+../../etc/passwd", "vod+../../etc/passwd"),
            ("\0x", "x"),
        ] {
            assert_eq!(StreamName::new(raw).unwrap().as_str(), want, "{raw:?}");
        }
        assert_eq!(StreamName::new(""), Err(NameError::Empty));
        assert_eq!(StreamName::new("+foo"), Err(NameError::Empty));
        assert_eq!(StreamName::new("-./\u{430}"), Err(NameError::Empty));
        assert_eq!(StreamName::new("a+b\r\nc"), Err(NameError::Control));
        assert_eq!(StreamName::new("a+\0"), Err(NameError::Control));
    }

    #[test]
    fn a_hundred_bytes_and_no_more() {
        let hundred = "a".repeat(MAX_NAME);
        assert_eq!(StreamName::new(&hundred).unwrap().as_str(), hundred);
        assert_eq!(StreamName::new(&format!("{}{hundred}", "-".repeat(9))).unwrap().as_str(), hundred);
        assert_eq!(StreamName::new(&"a".repeat(101)), Err(NameError::TooLong));
        assert_eq!(StreamName::new(&"a".repeat(1 << 16)), Err(NameError::TooLong));
        assert!(StreamName::new(&format!("a+{}", "b".repeat(98))).is_ok());
        assert_eq!(StreamName::new(&format!("a+{}", "b".repeat(99))), Err(NameError::TooLong));
        assert_eq!(StreamName::new(&format!("a+{}", "\u{e9}".repeat(50))), Err(NameError::TooLong));
    }

    #[test]
    fn parts_patterns_and_maps() {
        let plain = StreamName::new("foo").unwrap();
        let wild = StreamName::new("foo bar").unwrap();
        assert_eq!((plain.base(), plain.wildcard()), ("foo", None));
        assert_eq!((wild.base(), wild.wildcard()), ("foo", Some("bar")));
        for (pattern, plain_too, wild_too) in [
            ("foo", true, false),
            ("foo+", false, true),
            ("foo+bar", false, true),
            ("foo bar", false, true),
            ("foo+ba", false, false),
            ("bar+foo", false, false),
            ("", false, false),
            ("+", false, false),
        ] {
            assert_eq!((plain.matches(pattern), wild.matches(pattern)), (plain_too, wild_too), "{pattern:?}");
        }
        let map = HashMap::from([(wild, 1)]);
        assert_eq!(map.get("foo+bar"), Some(&1));
    }

    #[test]
    fn any_text_keeps_the_rules() {
        proptest::proptest!(|(data in proptest::collection::vec(proptest::num::u8::ANY, 0..200))| fuzz(&data));
        proptest::proptest!(|(text in "[a-zA-Z0-9_+ ./\u{e9}-]{0,120}")| fuzz(text.as_bytes()));
    }
}
