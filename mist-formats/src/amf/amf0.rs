//! AMF0: reading and writing.

use super::{AmfError, Object, Scan, Value, amf3};
use mist_core::format::ErrorKind;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const MOVIE_CLIP: u8 = 0x04;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const REFERENCE: u8 = 0x07;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const UNSUPPORTED: u8 = 0x0D;
const RECORD_SET: u8 = 0x0E;
const XML: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;
const AVM_PLUS: u8 = 0x11;

/// Reads the values of one message one after the other.
///
/// A value that starts with the AVM+ marker is AMF3 with reference tables of its own.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    scan: Scan<'a>,
    /// Where each complex value starts, and whether it has been read to its end.
    seen: Vec<(usize, bool)>,
    /// Reading again what a reference names: its parts are in `seen` already.
    again: bool,
}

impl<'a> Reader<'a> {
    /// For the body of one message.
    pub fn new(data: &'a [u8]) -> Self {
        Self { scan: Scan::new(data), seen: Vec::new(), again: false }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.scan.at
    }

    /// The next value; `None` at the end of the data.
    ///
    /// # Errors
    /// Malformed or truncated data, an unsupported type, or a limit. Nothing more can be read then.
    pub fn read(&mut self) -> Result<Option<Value>, AmfError> {
        if self.scan.left() == 0 {
            return Ok(None);
        }
        self.value(0).map(Some)
    }

    fn value(&mut self, depth: u32) -> Result<Value, AmfError> {
        self.scan.value()?;
        let start = self.scan.at;
        let marker = self.scan.u8()?;
        Ok(match marker {
            NUMBER => Value::Number(self.scan.f64()?),
            BOOLEAN => Value::Boolean(self.scan.u8()? != 0),
            STRING => Value::String(self.short()?),
            LONG_STRING => Value::String(self.long()?),
            XML => Value::Xml(self.long()?),
            NULL => Value::Null,
            UNDEFINED | UNSUPPORTED => Value::Undefined,
            DATE => {
                let ms = self.scan.f64()?;
                Value::Date(ms, i16::from_be_bytes(self.scan.array()?))
            }
            OBJECT => {
                let slot = self.open(start);
                let members = self.members(self.scan.deeper(depth)?)?;
                self.close(slot);
                Value::Object(Object { class: String::new(), members })
            }
            TYPED_OBJECT => {
                let slot = self.open(start);
                let class = self.short()?;
                let members = self.members(self.scan.deeper(depth)?)?;
                self.close(slot);
                Value::Object(Object { class, members })
            }
            ECMA_ARRAY => {
                let slot = self.open(start);
                // Writers put anything into the count, 0 and 2^32-1 included; the end marker decides.
                self.scan.u32()?;
                let members = self.members(self.scan.deeper(depth)?)?;
                self.close(slot);
                Value::EcmaArray(Object { class: String::new(), members })
            }
            STRICT_ARRAY => {
                let slot = self.open(start);
                let count = self.scan.u32()? as usize;
                if count > self.scan.left() {
                    return Err(self.scan.malformed("strict array longer than its message"));
                }
                let depth = self.scan.deeper(depth)?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.value(depth)?);
                }
                self.close(slot);
                Value::StrictArray(items)
            }
            REFERENCE => {
                let index = usize::from(self.scan.u16()?);
                self.reference(index, depth)?
            }
            AVM_PLUS => amf3::value_at(&mut self.scan, depth)?,
            MOVIE_CLIP | RECORD_SET => {
                return Err(self.scan.error(ErrorKind::Unsupported("reserved AMF0 type")));
            }
            _ => return Err(AmfError { offset: start, kind: ErrorKind::Malformed("AMF0 type marker") }),
        })
    }

    fn open(&mut self, start: usize) -> Option<usize> {
        if self.again {
            return None;
        }
        self.seen.push((start, false));
        Some(self.seen.len() - 1)
    }

    fn close(&mut self, slot: Option<usize>) {
        if let Some((_, done)) = slot.and_then(|i| self.seen.get_mut(i)) {
            *done = true;
        }
    }

    fn reference(&mut self, index: usize, depth: u32) -> Result<Value, AmfError> {
        match self.seen.get(index) {
            Some(&(start, true)) => {
                let depth = self.scan.deeper(depth)?;
                let (here, was) = (self.scan.at, self.again);
                self.scan.at = start;
                self.again = true;
                let value = self.value(depth)?;
                self.scan.at = here;
                self.again = was;
                Ok(value)
            }
            Some(_) => Err(self.scan.error(ErrorKind::Unsupported("circular AMF reference"))),
            None => Err(self.scan.malformed("AMF reference to nothing")),
        }
    }

    fn short(&mut self) -> Result<String, AmfError> {
        let n = self.scan.u16()?;
        self.scan.utf8(usize::from(n))
    }

    fn long(&mut self) -> Result<String, AmfError> {
        let n = self.scan.u32()?;
        self.scan.utf8(n as usize)
    }

    /// Members up to the end marker. Data that stops where a name would start ends the object as well: several
    /// encoders and editors leave the marker out, or only write a part of it.
    fn members(&mut self, depth: u32) -> Result<Vec<(String, Value)>, AmfError> {
        let mut members = Vec::new();
        loop {
            if self.scan.left() < 3 && self.scan.data.iter().skip(self.scan.at).all(|b| *b == 0) {
                self.scan.at = self.scan.data.len();
                return Ok(members);
            }
            let name = self.short()?;
            if name.is_empty() && self.scan.data.get(self.scan.at) == Some(&OBJECT_END) {
                self.scan.at += 1;
                return Ok(members);
            }
            members.push((name, self.value(depth)?));
        }
    }
}

/// All values of a message.
///
/// # Errors
/// As [`Reader::read`].
pub fn read_all(data: &[u8]) -> Result<Vec<Value>, AmfError> {
    let mut reader = Reader::new(data);
    let mut values = Vec::new();
    while let Some(v) = reader.read()? {
        values.push(v);
    }
    Ok(values)
}

/// Appends a value. Text longer than 65535 bytes becomes a long string, and a name longer than that is cut at a
/// character's border.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(n) => number(*n, out),
        Value::Integer(i) => number(f64::from(*i), out),
        Value::Boolean(b) => out.extend_from_slice(&[BOOLEAN, u8::from(*b)]),
        Value::String(s) if s.len() <= usize::from(u16::MAX) => {
            out.push(STRING);
            name(s, out);
        }
        Value::String(s) => long(LONG_STRING, s, out),
        Value::Xml(s) => long(XML, s, out),
        Value::Object(o) => {
            if o.class.is_empty() {
                out.push(OBJECT);
            } else {
                out.push(TYPED_OBJECT);
                name(&o.class, out);
            }
            members(o, out);
        }
        Value::EcmaArray(o) => {
            out.push(ECMA_ARRAY);
            out.extend_from_slice(&count(o.members.len()));
            members(o, out);
        }
        Value::StrictArray(items) => {
            out.push(STRICT_ARRAY);
            out.extend_from_slice(&count(items.len()));
            for v in items {
                write(v, out);
            }
        }
        Value::Date(ms, zone) => {
            out.push(DATE);
            out.extend_from_slice(&ms.to_be_bytes());
            out.extend_from_slice(&zone.to_be_bytes());
        }
        Value::Bytes(_) => {
            out.push(AVM_PLUS);
            amf3::write(value, out);
        }
        Value::Null => out.push(NULL),
        Value::Undefined => out.push(UNDEFINED),
    }
}

/// Writes several values one after the other, as in the body of a command.
pub fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for v in values {
        write(v, &mut out);
    }
    out
}

fn number(n: f64, out: &mut Vec<u8>) {
    out.push(NUMBER);
    out.extend_from_slice(&n.to_be_bytes());
}

fn count(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes()
}

fn name(s: &str, out: &mut Vec<u8>) {
    let mut end = s.len().min(usize::from(u16::MAX));
    while !s.is_char_boundary(end) {
        end -= 1;
    }
    let s = s.get(..end).unwrap_or_default();
    out.extend_from_slice(&(s.len() as u16).to_be_bytes());
    out.extend_from_slice(s.as_bytes());
}

fn long(marker: u8, s: &str, out: &mut Vec<u8>) {
    out.push(marker);
    out.extend_from_slice(&count(s.len()));
    out.extend_from_slice(s.as_bytes());
}

fn members(o: &Object, out: &mut Vec<u8>) {
    for (k, v) in &o.members {
        name(k, out);
        write(v, out);
    }
    out.extend_from_slice(&[0, 0, OBJECT_END]);
}

#[cfg(test)]
mod tests {
    use super::super::limits;
    use super::*;
    use bytes::Bytes;

    fn every_type() -> Vec<Value> {
        vec![
            "connect".into(),
            Value::Number(-1.5),
            Value::Boolean(true),
            Value::Null,
            Value::Undefined,
            Value::String("é".repeat(40_000)),
            Value::Xml("<a/>".into()),
            Value::Date(1.6e12, -60),
            Value::Object(Object::new().with("app", "live").with("nested", Object::new().with("x", 1.0))),
            Value::Object(Object { class: "org.Thing".into(), members: vec![("y".into(), Value::Null)] }),
            Value::EcmaArray(Object::new().with("", 2.0).with("width", 1920.0)),
            Value::StrictArray(vec!["hvc1".into(), "*".into(), Value::StrictArray(vec![])]),
            Value::Bytes(Bytes::from_static(b"\0\x01\xff")),
        ]
    }

    #[test]
    fn round_trip_and_every_truncation() {
        let values = every_type();
        let data = write_all(&values);
        assert_eq!(read_all(&data).unwrap(), values);
        let short: Vec<u8> = write_all(values.iter().filter(|v| v.as_str().is_none_or(|s| s.len() < 100)));
        for n in 0..short.len() {
            match read_all(&short[..n]) {
                Ok(v) => assert!(v.len() <= values.len()),
                Err(e) => assert!(e.offset <= n, "{e}"),
            }
        }
    }

    #[test]
    fn counts_that_lie_neither_allocate_nor_mislead() {
        let mut ecma = vec![ECMA_ARRAY, 0xff, 0xff, 0xff, 0xff, 0, 1, b'a', NULL, 0, 0, OBJECT_END];
        assert_eq!(read_all(&ecma).unwrap(), [Value::EcmaArray(Object::new().with("a", Value::Null))]);
        ecma[1..5].fill(0);
        assert_eq!(read_all(&ecma).unwrap()[0].as_object().unwrap().members.len(), 1);
        let strict = [STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff, NULL];
        assert!(matches!(read_all(&strict).unwrap_err().kind, ErrorKind::Malformed(_)));
        let long = [LONG_STRING, 0xff, 0xff, 0xff, 0xff, b'x'];
        assert_eq!(read_all(&long).unwrap_err().kind, ErrorKind::Truncated);
    }

    #[test]
    fn a_missing_end_marker_is_tolerated() {
        for tail in [&[][..], &[0], &[0, 0]] {
            let mut d = vec![OBJECT, 0, 1, b'a', BOOLEAN, 1];
            d.extend_from_slice(tail);
            assert_eq!(read_all(&d).unwrap(), [Value::Object(Object::new().with("a", true))]);
        }
    }

    #[test]
    fn references_resolve_and_cycles_are_refused() {
        let mut d = write_all(&[Value::StrictArray(vec![]), Object::new().with("k", "v").into()]);
        d.extend_from_slice(&[REFERENCE, 0, 1]);
        let v = read_all(&d).unwrap();
        assert_eq!(v[1], v[2]);
        let cycle = [OBJECT, 0, 1, b'a', REFERENCE, 0, 0, 0, 0, OBJECT_END];
        assert!(matches!(read_all(&cycle).unwrap_err().kind, ErrorKind::Unsupported(_)));
        assert!(matches!(read_all(&[REFERENCE, 0, 9]).unwrap_err().kind, ErrorKind::Malformed(_)));
    }

    #[test]
    fn limits_hold() {
        let deep: Vec<u8> = [STRICT_ARRAY, 0, 0, 0, 1].repeat(100_000);
        assert_eq!(read_all(&deep).unwrap_err().kind, ErrorKind::Limit("depth of AMF values"));
        let deep: Vec<u8> = [OBJECT, 0, 1, b'a'].repeat(100_000);
        assert_eq!(read_all(&deep).unwrap_err().kind, ErrorKind::Limit("depth of AMF values"));
        let many = vec![NULL; limits::VALUES as usize + 1];
        assert_eq!(read_all(&many).unwrap_err().kind, ErrorKind::Limit("values in one AMF message"));
        // Each array holds the one before it twice: 2^40 values out of 400 bytes.
        let mut bomb = vec![STRICT_ARRAY, 0, 0, 0, 0];
        for i in 0..40u8 {
            bomb.extend_from_slice(&[STRICT_ARRAY, 0, 0, 0, 2, REFERENCE, 0, i, REFERENCE, 0, i]);
        }
        assert!(matches!(read_all(&bomb).unwrap_err().kind, ErrorKind::Limit(_)));
        // One megabyte of text, referenced again and again.
        let text = Value::StrictArray(vec![Value::String("x".repeat(1 << 20))]);
        let mut repeat = write_all([&text]);
        for _ in 0..20 {
            repeat.extend_from_slice(&[REFERENCE, 0, 0]);
        }
        assert_eq!(read_all(&repeat).unwrap_err().kind, ErrorKind::Limit("bytes in one AMF message"));
    }

    #[test]
    fn the_switch_to_amf3() {
        // Flash's connect in a type-17 message: integer 5 as AMF3 behind an AMF0 string.
        let d = [STRING, 0, 1, b'c', AVM_PLUS, 0x04, 5, NULL];
        assert_eq!(read_all(&d).unwrap(), ["c".into(), Value::Integer(5), Value::Null]);
    }
}
