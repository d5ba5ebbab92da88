//! Packed values, that headers, commands and media packets are made of.

use super::limits;
use bytes::{BufMut, Bytes, BytesMut};

/// Type byte of a signed integer.
const INT: u8 = 0x01;
/// Type byte of a string or blob.
const BLOB: u8 = 0x02;
/// Type byte of nothing.
const NULL: u8 = 0x03;
/// Type byte of a floating-point number.
const DOUBLE: u8 = 0x04;
/// Type byte of an array.
const ARRAY: u8 = 0x0a;
/// Type byte of an object.
pub(super) const OBJECT: u8 = 0xe0;
/// Another one.
pub(super) const OBJECT_TOO: u8 = 0xff;
/// What ends arrays and objects.
pub(super) const END: [u8; 3] = [0, 0, 0xee];

/// Why bytes are no packed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of the packed value")]
pub struct ValueError {
    /// Byte from the start of what was read.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
    /// One of [`limits`] was reached, the bytes may be sound.
    pub limit: bool,
}

/// A packed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Signed integer; booleans are 0 and 1.
    Int(i64),
    /// String or blob.
    Blob(Bytes),
    /// Nothing.
    Null,
    /// Floating-point number.
    Double(f64),
    /// Named values in order.
    Object(Object),
    /// Values in order.
    Array(Vec<Self>),
}

/// Named values in the order in which they are written. Names aren't empty: an empty one is the end mark.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(Bytes, Value)>);

impl Object {
    /// Without members.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// With another member. One with an empty name is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Appends a member. One with an empty name is left out, and a name's first 65,535 bytes count.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let name = name.as_bytes();
        let name = name.get(..usize::from(u16::MAX)).unwrap_or(name);
        if !name.is_empty() {
            self.0.push((Bytes::copy_from_slice(name), value.into()));
        }
    }

    /// A member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, v)| v)
    }

    /// A member that is a number.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_int()
    }

    /// A member that is a string or blob.
    pub fn blob(&self, name: &str) -> Option<&Bytes> {
        match self.get(name)? {
            Value::Blob(b) => Some(b),
            _ => None,
        }
    }

    /// A member that is a string of UTF-8.
    pub fn str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.blob(name)?).ok()
    }

    /// A member that is an object.
    pub fn object(&self, name: &str) -> Option<&Self> {
        match self.get(name)? {
            Value::Object(o) => Some(o),
            _ => None,
        }
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Value)> {
        self.0.iter().map(|(n, v)| (n, v))
    }

    /// Reads one that is all of `data`. Blobs are slices of it.
    ///
    /// # Errors
    /// The bytes aren't one object, or exceed [`limits`].
    pub fn parse(data: &Bytes) -> Result<Self, ValueError> {
        match Value::parse(data)? {
            Value::Object(o) => Ok(o),
            _ => Err(ValueError { at: 0, what: "object expected", limit: false }),
        }
    }

    /// Appends its packed form.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u8(OBJECT);
        for (name, value) in &self.0 {
            out.put_u16(name.len() as u16);
            out.put_slice(name);
            value.write(out);
        }
        out.put_slice(&END);
    }

    /// Its packed form.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write(&mut out);
        out.freeze()
    }
}

impl Value {
    /// As a number: a double is cut to an integer.
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            Self::Double(d) => Some(*d as i64),
            _ => None,
        }
    }

    /// Reads one that starts at `data`; what follows it is passed over. Blobs are slices of `data`.
    ///
    /// # Errors
    /// The bytes aren't a value, end inside it, or exceed [`limits`].
    pub fn parse(data: &Bytes) -> Result<Self, ValueError> {
        Self::parse_prefix(data).map(|(v, _)| v)
    }

    /// Like [`parse`](Self::parse), and says how many bytes it has.
    ///
    /// # Errors
    /// As there.
    pub fn parse_prefix(data: &Bytes) -> Result<(Self, usize), ValueError> {
        let mut r = Reader { data, at: 0, values: 0 };
        let kind = r.byte()?;
        Ok((r.value(kind, 0)?, r.at))
    }

    /// Appends its packed form.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Int(i) => {
                out.put_u8(INT);
                out.put_i64(*i);
            }
            Self::Blob(b) => {
                out.put_u8(BLOB);
                // A longer one can't be said.
                let b = b.get(..u32::MAX as usize).unwrap_or(b);
                out.put_u32(b.len() as u32);
                out.put_slice(b);
            }
            Self::Null => out.put_u8(NULL),
            Self::Double(d) => {
                out.put_u8(DOUBLE);
                out.put_f64(*d);
            }
            Self::Object(o) => o.write(out),
            Self::Array(list) => {
                out.put_u8(ARRAY);
                for v in list {
                    v.write(out);
                }
                out.put_slice(&END);
            }
        }
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Blob(Bytes::copy_from_slice(s.as_bytes()))
    }
}

impl From<Bytes> for Value {
    fn from(b: Bytes) -> Self {
        Self::Blob(b)
    }
}

impl From<Object> for Value {
    fn from(o: Object) -> Self {
        Self::Object(o)
    }
}

struct Reader<'a> {
    data: &'a Bytes,
    at: usize,
    values: usize,
}

impl Reader<'_> {
    fn err<T>(&self, what: &'static str) -> Result<T, ValueError> {
        Err(ValueError { at: self.at, what, limit: false })
    }

    fn limit<T>(&self, what: &'static str) -> Result<T, ValueError> {
        Err(ValueError { at: self.at, what, limit: true })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        match self.data.get(self.at..).and_then(|d| d.first_chunk::<N>()) {
            Some(b) => {
                self.at += N;
                Ok(*b)
            }
            None => self.err("value ends early"),
        }
    }

    fn byte(&mut self) -> Result<u8, ValueError> {
        let [b] = self.array()?;
        Ok(b)
    }

    fn slice(&mut self, len: usize) -> Result<Bytes, ValueError> {
        match self.at.checked_add(len) {
            Some(end) if end <= self.data.len() => {
                let b = self.data.slice(self.at..end);
                self.at = end;
                Ok(b)
            }
            _ => self.err("string reaches beyond its packet"),
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Value, ValueError> {
        self.values += 1;
        if self.values > limits::VALUES {
            return self.limit("values in one packet");
        }
        if depth > limits::DEPTH {
            return self.limit("nesting");
        }
        Ok(match kind {
            INT => Value::Int(i64::from_be_bytes(self.array()?)),
            BLOB => {
                let len = u32::from_be_bytes(self.array()?);
                Value::Blob(self.slice(len as usize)?)
            }
            NULL => Value::Null,
            DOUBLE => Value::Double(f64::from_be_bytes(self.array()?)),
            OBJECT | OBJECT_TOO => {
                let mut members = Vec::new();
                loop {
                    let len = usize::from(u16::from_be_bytes(self.array()?));
                    if len == 0 {
                        // The third byte of the end mark, whatever it is.
                        self.byte()?;
                        break;
                    }
                    let name = self.slice(len)?;
                    let kind = self.byte()?;
                    members.push((name, self.value(kind, depth + 1)?));
                }
                Value::Object(Object(members))
            }
            ARRAY => {
                let mut list = Vec::new();
                loop {
                    let kind = self.byte()?;
                    if kind == 0 {
                        let [second, _] = self.array()?;
                        if second != 0 {
                            return self.err("type of a value");
                        }
                        break;
                    }
                    list.push(self.value(kind, depth + 1)?);
                }
                Value::Array(list)
            }
            _ => return self.err("type of a value"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Object {
        let inner = Object::new().with("a", -1).with("b", Value::Null).with("", 1);
        let list =
            Value::Array(vec![Value::Int(0), Value::Double(0.5), Value::Array(vec![]), inner.clone().into()]);
        Object::new().with("cmd", "hi").with("list", list).with("o", inner).with("e", Object::new())
    }

    #[test]
    fn values_go_through_their_bytes() {
        let o = sample();
        let b = o.to_bytes();
        assert_eq!(Object::parse(&b).unwrap(), o);
        assert_eq!(Object::new().to_bytes(), [0xe0, 0, 0, 0xee][..]);
        assert_eq!((o.str("cmd"), o.object("o").and_then(|o| o.int("a"))), (Some("hi"), Some(-1)));
        // The other type byte of objects, and an end mark of another kind.
        assert_eq!(
            Object::parse(&Bytes::from_static(&[0xff, 0, 1, b'x', 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 1]))
                .unwrap(),
            Object::new().with("x", 7)
        );
        for cut in 0..b.len() {
            assert!(Object::parse(&b.slice(..cut)).is_err(), "{cut}");
        }
        assert_eq!(Object::parse(&Bytes::from_static(&[3])).unwrap_err().what, "object expected");
    }

    #[test]
    fn a_recorded_greeting() {
        let hi = b"\xe0\0\x03cmd\x02\0\0\0\x02hi\0\x0bpack_method\x01\0\0\0\0\0\0\0\x02\0\0\xee";
        let o = Object::new().with("cmd", "hi").with("pack_method", 2);
        assert_eq!(Object::parse(&Bytes::from_static(hi)).unwrap(), o);
        assert_eq!(o.to_bytes(), hi[..]);
    }

    #[test]
    fn limits_hold() {
        let deep = vec![ARRAY; limits::DEPTH + 2];
        let e = Value::parse(&deep.into()).unwrap_err();
        assert!(e.limit && e.what == "nesting");
        let mut many = vec![ARRAY];
        many.resize(limits::VALUES + 10, NULL);
        let e = Value::parse(&many.into()).unwrap_err();
        assert!(e.limit && e.what == "values in one packet");
        assert!(Value::parse(&Bytes::from_static(&[BLOB, 0xff, 0xff, 0xff, 0xff, 1])).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut d = sample().to_bytes().to_vec();
            for (i, v) in hits {
                let n = d.len();
                d[i.index(n)] = v;
            }
            if let Ok(o) = Object::parse(&d.into()) {
                // Not compared: not-a-number isn't equal to itself.
                prop_assert_eq!(Object::parse(&o.to_bytes()).unwrap().iter().len(), o.iter().len());
            }
        }
    }
}
