//! Action Message Format: AMF0 (Adobe, 2007) and AMF3 (Adobe, January 2013), the values in RTMP commands and in
//! FLV script data.
//!
//! Both versions share one [`Value`]. What AMF3 distinguishes and no peer of a media server depends on is folded:
//! vectors become strict arrays, dictionaries become associative arrays, an array with both parts becomes an
//! associative one. Of externalizable classes only Flex's `ArrayCollection`, `ArrayList` and `ObjectProxy` are
//! known; others have no self-describing body and are refused, as are the reserved AMF0 types movie clip and record
//! set.
//!
//! References are resolved while reading, against the same [`limits`] as values that are written out, so that a
//! few bytes can't unfold into a large tree. A reference to a value that is still being read (a cycle) is refused.
//! Declared counts are never believed: memory follows the bytes that are there.

pub mod amf0;
pub mod amf3;

use bytes::Bytes;
use mist_core::format::ErrorKind;
use std::borrow::Cow;
use std::fmt::{self, Write};

/// What one message may hold.
pub mod limits {
    /// Nesting of objects and arrays.
    pub const DEPTH: u32 = 48;
    /// Values in one message, those that references repeat included. The seek tables of long recordings hold two
    /// numbers a keyframe.
    pub const VALUES: u32 = 1 << 18;
    /// Bytes of text and binary data in one message, those that references repeat included: the size of the
    /// largest FLV tag.
    pub const BYTES: usize = 1 << 24;
    /// Values, and bytes of text, that a message may have for each of its own bytes: references repeat a few things, and
    /// more of it is a short message that wants to become a long one.
    pub const UNFOLDED: usize = 16;
    /// So many may be repeated in any case.
    pub const UNFOLDED_MIN: usize = 1024;
}

/// Why AMF data can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("AMF: {kind} at byte {offset}")]
pub struct AmfError {
    /// Byte offset in the data given to the reader.
    pub offset: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// Named members in the order in which they came, and the class name where the peer gave one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    /// Class name of a typed object; empty for an anonymous one.
    pub class: String,
    /// Members. Names can repeat in what a peer sends; [`Object::get`] finds the last, as a player would.
    pub members: Vec<(String, Value)>,
}

impl Object {
    /// Anonymous and empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member; for building.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.push((name.to_owned(), value.into()));
        self
    }

    /// The last member with this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// An AMF value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Double.
    Number(f64),
    /// AMF3's 29-bit integer; written to AMF0 as a number.
    Integer(i32),
    /// Boolean.
    Boolean(bool),
    /// Text. Bytes that are not UTF-8 were replaced by U+FFFD.
    String(String),
    /// Object, anonymous or typed.
    Object(Object),
    /// Associative ("ECMA") array.
    EcmaArray(Object),
    /// Array with places but no names.
    StrictArray(Vec<Self>),
    /// Date: milliseconds since 1970-01-01 UTC and the time-zone field, which peers should leave 0.
    Date(f64, i16),
    /// XML text, never parsed here.
    Xml(String),
    /// Binary data; written to AMF0 through the switch to AMF3.
    Bytes(Bytes),
    /// Null.
    Null,
    /// Undefined, and AMF0's "unsupported".
    Undefined,
}

impl Value {
    /// Text of a string or XML value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) | Self::Xml(s) => Some(s),
            _ => None,
        }
    }

    /// Number, integer, or boolean as 0 and 1.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Integer(i) => Some(f64::from(*i)),
            Self::Boolean(b) => Some(f64::from(u8::from(*b))),
            _ => None,
        }
    }

    /// Boolean, or a number other than 0.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(b) => Some(*b),
            _ => self.as_f64().map(|n| n != 0.0),
        }
    }

    /// Members of an object or associative array.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(o) | Self::EcmaArray(o) => Some(o),
            _ => None,
        }
    }

    /// Elements of a strict array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(a) => Some(a),
            _ => None,
        }
    }

    /// Member of an object or associative array.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    /// True for null and undefined.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// As JSON text. Not-a-number and infinities become null, binary data its length, dates their milliseconds.
    pub fn to_json(&self) -> String {
        let mut s = String::new();
        self.json(&mut s);
        s
    }

    fn json(&self, out: &mut String) {
        match self {
            Self::Number(n) if n.is_finite() => json_number(*n, out),
            Self::Integer(i) => json_number(f64::from(*i), out),
            Self::Date(ms, _) if ms.is_finite() => json_number(*ms, out),
            Self::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::String(s) | Self::Xml(s) => json_string(s, out),
            Self::Bytes(b) => json_number(b.len() as f64, out),
            Self::Object(o) | Self::EcmaArray(o) => {
                out.push('{');
                for (i, (k, v)) in o.members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    json_string(k, out);
                    out.push(':');
                    v.json(out);
                }
                out.push('}');
            }
            Self::StrictArray(a) => {
                out.push('[');
                for (i, v) in a.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    v.json(out);
                }
                out.push(']');
            }
            _ => out.push_str("null"),
        }
    }
}

// Writing to a String can't fail, so the results of `write!` carry nothing.
fn json_number(n: f64, out: &mut String) {
    let _ = write!(out, "{n}");
}

fn json_string(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

impl fmt::Display for Value {
    /// JSON, as [`Value::to_json`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Number(f64::from(n))
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Boolean(b)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(s.to_owned())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(s)
    }
}

impl From<Object> for Value {
    fn from(o: Object) -> Self {
        Self::Object(o)
    }
}

impl From<Vec<Self>> for Value {
    fn from(a: Vec<Self>) -> Self {
        Self::StrictArray(a)
    }
}

/// Where a reader stands in its data, and what it may still make.
#[derive(Debug, Clone)]
struct Scan<'a> {
    data: &'a [u8],
    at: usize,
    values: u32,
    bytes: usize,
}

impl<'a> Scan<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, values: 0, bytes: 0 }
    }

    fn left(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }

    fn error(&self, kind: ErrorKind) -> AmfError {
        AmfError { offset: self.at, kind }
    }

    fn malformed(&self, what: &'static str) -> AmfError {
        self.error(ErrorKind::Malformed(what))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], AmfError> {
        let end = self.at.checked_add(n);
        match end.and_then(|end| self.data.get(self.at..end)) {
            Some(s) => {
                self.at += n;
                Ok(s)
            }
            None => Err(self.error(ErrorKind::Truncated)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u8(&mut self) -> Result<u8, AmfError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, AmfError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, AmfError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn f64(&mut self) -> Result<f64, AmfError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// Values, and bytes of text, that a message of this length may become.
    fn unfolded(&self) -> usize {
        limits::UNFOLDED_MIN.saturating_add(self.data.len().saturating_mul(limits::UNFOLDED))
    }

    /// Counts one value against the limit.
    fn value(&mut self) -> Result<(), AmfError> {
        self.values += 1;
        if self.values as usize > self.unfolded().min(limits::VALUES as usize) {
            return Err(self.error(ErrorKind::Limit("values in one AMF message")));
        }
        Ok(())
    }

    /// Counts text and binary data against the limit.
    fn charge(&mut self, n: usize) -> Result<(), AmfError> {
        self.bytes = self.bytes.saturating_add(n);
        if self.bytes > limits::BYTES.min(self.unfolded()) {
            return Err(self.error(ErrorKind::Limit("bytes in one AMF message")));
        }
        Ok(())
    }

    fn utf8(&mut self, n: usize) -> Result<String, AmfError> {
        let raw = self.take(n)?;
        self.charge(n)?;
        Ok(match String::from_utf8_lossy(raw) {
            Cow::Borrowed(s) => s.to_owned(),
            Cow::Owned(s) => s,
        })
    }

    fn deeper(&self, depth: u32) -> Result<u32, AmfError> {
        if depth >= limits::DEPTH {
            return Err(self.error(ErrorKind::Limit("depth of AMF values")));
        }
        Ok(depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_what_would_break_out() {
        let v = Value::EcmaArray(
            Object::new()
                .with("a\"\\\n", f64::NAN)
                .with("b", vec![Value::Number(1.0), Value::Number(0.5), Value::Null, true.into()])
                .with("c", "</x>\u{1}"),
        );
        assert_eq!(v.to_json(), r#"{"a\"\\\u000a":null,"b":[1,0.5,null,true],"c":"</x>\u0001"}"#);
    }

    #[test]
    fn the_last_of_repeated_names_counts() {
        let o = Object::new().with("a", 1.0).with("a", 2.0);
        assert_eq!(o.get("a"), Some(&Value::Number(2.0)));
    }
}
