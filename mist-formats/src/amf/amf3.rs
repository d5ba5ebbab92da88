//! AMF3: reading and writing.

use super::{AmfError, Object, Scan, Value};
use bytes::Bytes;
use mist_core::format::ErrorKind;

const UNDEFINED: u8 = 0x00;
const NULL: u8 = 0x01;
const FALSE: u8 = 0x02;
const TRUE: u8 = 0x03;
const INTEGER: u8 = 0x04;
const DOUBLE: u8 = 0x05;
const STRING: u8 = 0x06;
const XML_DOC: u8 = 0x07;
const DATE: u8 = 0x08;
const ARRAY: u8 = 0x09;
const OBJECT: u8 = 0x0A;
const XML: u8 = 0x0B;
const BYTE_ARRAY: u8 = 0x0C;
const VECTOR_INT: u8 = 0x0D;
const VECTOR_UINT: u8 = 0x0E;
const VECTOR_DOUBLE: u8 = 0x0F;
const VECTOR_OBJECT: u8 = 0x10;
const DICTIONARY: u8 = 0x11;

/// The smallest and largest 29-bit integer.
const INTEGERS: std::ops::RangeInclusive<i32> = -(1 << 28)..=(1 << 28) - 1;

/// Classes whose external form is one value.
const PROXIES: [&str; 3] =
    ["flex.messaging.io.ArrayCollection", "flex.messaging.io.ArrayList", "flex.messaging.io.ObjectProxy"];

#[derive(Debug, Clone)]
struct Traits {
    class: String,
    sealed: Vec<String>,
    dynamic: bool,
    external: bool,
}

#[derive(Debug, Clone, Default)]
struct Tables {
    strings: Vec<String>,
    traits: Vec<Traits>,
    /// Where each complex value starts, and whether it has been read to its end.
    objects: Vec<(usize, bool)>,
    /// Reading again what a reference names: its parts are in the tables already.
    again: bool,
}

/// Reads the values of one message one after the other. The reference tables last for the message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    scan: Scan<'a>,
    tables: Tables,
}

impl<'a> Reader<'a> {
    /// For the body of one message.
    pub fn new(data: &'a [u8]) -> Self {
        Self { scan: Scan::new(data), tables: Tables::default() }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.scan.at
    }

    /// The next value; `None` at the end of the data.
    ///
    /// # Errors
    /// Malformed or truncated data, an unsupported class, or a limit. Nothing more can be read then.
    pub fn read(&mut self) -> Result<Option<Value>, AmfError> {
        if self.scan.left() == 0 {
            return Ok(None);
        }
        self.tables.value(&mut self.scan, 0).map(Some)
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

/// One value behind AMF0's AVM+ marker.
pub(super) fn value_at(scan: &mut Scan<'_>, depth: u32) -> Result<Value, AmfError> {
    Tables::default().value(scan, scan.deeper(depth)?)
}

/// A reference, or what its lower bit says follows.
enum Head {
    Reference(usize),
    Inline(usize),
}

fn u29(scan: &mut Scan<'_>) -> Result<u32, AmfError> {
    let mut n = 0u32;
    for _ in 0..3 {
        let b = scan.u8()?;
        n = n << 7 | u32::from(b & 0x7f);
        if b & 0x80 == 0 {
            return Ok(n);
        }
    }
    Ok(n << 8 | u32::from(scan.u8()?))
}

fn head(scan: &mut Scan<'_>) -> Result<Head, AmfError> {
    let n = u29(scan)?;
    let rest = (n >> 1) as usize;
    Ok(if n & 1 == 0 { Head::Reference(rest) } else { Head::Inline(rest) })
}

impl Tables {
    fn value(&mut self, scan: &mut Scan<'_>, depth: u32) -> Result<Value, AmfError> {
        scan.value()?;
        let start = scan.at;
        let marker = scan.u8()?;
        Ok(match marker {
            UNDEFINED => Value::Undefined,
            NULL => Value::Null,
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            INTEGER => Value::Integer(((u29(scan)? << 3) as i32) >> 3),
            DOUBLE => Value::Number(scan.f64()?),
            STRING => Value::String(self.string(scan)?),
            _ => {
                let inline = match head(scan)? {
                    Head::Reference(i) => return self.reference(scan, i, depth),
                    Head::Inline(n) => n,
                };
                let depth = scan.deeper(depth)?;
                let slot = self.open(start);
                let value = self.complex(scan, marker, start, inline, depth)?;
                if let Some((_, done)) = slot.and_then(|i| self.objects.get_mut(i)) {
                    *done = true;
                }
                value
            }
        })
    }

    fn open(&mut self, start: usize) -> Option<usize> {
        if self.again {
            return None;
        }
        self.objects.push((start, false));
        Some(self.objects.len() - 1)
    }

    fn reference(&mut self, scan: &mut Scan<'_>, index: usize, depth: u32) -> Result<Value, AmfError> {
        match self.objects.get(index) {
            Some(&(start, true)) => {
                let depth = scan.deeper(depth)?;
                let (here, was) = (scan.at, self.again);
                scan.at = start;
                self.again = true;
                let value = self.value(scan, depth)?;
                scan.at = here;
                self.again = was;
                Ok(value)
            }
            Some(_) => Err(scan.error(ErrorKind::Unsupported("circular AMF reference"))),
            None => Err(scan.malformed("AMF reference to nothing")),
        }
    }

    fn string(&mut self, scan: &mut Scan<'_>) -> Result<String, AmfError> {
        match head(scan)? {
            Head::Reference(i) => {
                let s = self.strings.get(i).ok_or_else(|| scan.malformed("AMF reference to nothing"))?;
                scan.charge(s.len())?;
                Ok(s.clone())
            }
            Head::Inline(n) => {
                let s = scan.utf8(n)?;
                if !s.is_empty() && !self.again {
                    scan.charge(s.len())?;
                    self.strings.push(s.clone());
                }
                Ok(s)
            }
        }
    }

    fn complex(
        &mut self,
        scan: &mut Scan<'_>,
        marker: u8,
        start: usize,
        n: usize,
        depth: u32,
    ) -> Result<Value, AmfError> {
        Ok(match marker {
            XML | XML_DOC => Value::Xml(scan.utf8(n)?),
            DATE => Value::Date(scan.f64()?, 0),
            BYTE_ARRAY => {
                let raw = scan.take(n)?;
                scan.charge(n)?;
                Value::Bytes(Bytes::copy_from_slice(raw))
            }
            ARRAY => self.array(scan, n, depth)?,
            OBJECT => self.object(scan, n, depth)?,
            VECTOR_INT | VECTOR_UINT | VECTOR_DOUBLE | VECTOR_OBJECT => {
                self.vector(scan, marker, n, depth)?
            }
            DICTIONARY => {
                // Weak keys or not: no difference here.
                scan.u8()?;
                let mut members = Vec::new();
                for _ in 0..n {
                    let key = self.value(scan, depth)?;
                    let value = self.value(scan, depth)?;
                    let key = match key {
                        Value::String(k) => k,
                        Value::Number(_) | Value::Integer(_) | Value::Boolean(_) | Value::Null => {
                            key.to_json()
                        }
                        // As text each level of nesting would escape the one within: twice as long every time.
                        _ => {
                            return Err(scan
                                .error(ErrorKind::Unsupported("dictionary key that is no text or number")));
                        }
                    };
                    members.push((key, value));
                }
                Value::EcmaArray(Object { class: String::new(), members })
            }
            _ => return Err(AmfError { offset: start, kind: ErrorKind::Malformed("AMF3 type marker") }),
        })
    }

    fn array(&mut self, scan: &mut Scan<'_>, dense: usize, depth: u32) -> Result<Value, AmfError> {
        let mut members = Vec::new();
        loop {
            let name = self.string(scan)?;
            if name.is_empty() {
                break;
            }
            members.push((name, self.value(scan, depth)?));
        }
        if dense > scan.left() {
            return Err(scan.malformed("array longer than its message"));
        }
        if members.is_empty() {
            let mut items = Vec::new();
            for _ in 0..dense {
                items.push(self.value(scan, depth)?);
            }
            return Ok(Value::StrictArray(items));
        }
        for i in 0..dense {
            members.push((i.to_string(), self.value(scan, depth)?));
        }
        Ok(Value::EcmaArray(Object { class: String::new(), members }))
    }

    fn vector(&mut self, scan: &mut Scan<'_>, marker: u8, n: usize, depth: u32) -> Result<Value, AmfError> {
        // Fixed length or not: no difference here.
        scan.u8()?;
        if marker == VECTOR_OBJECT {
            self.string(scan)?;
        }
        if n > scan.left() {
            return Err(scan.malformed("vector longer than its message"));
        }
        let mut items = Vec::new();
        for _ in 0..n {
            if marker != VECTOR_OBJECT {
                scan.value()?;
            }
            items.push(match marker {
                VECTOR_INT => Value::Number(f64::from(i32::from_be_bytes(scan.array()?))),
                VECTOR_UINT => Value::Number(f64::from(scan.u32()?)),
                VECTOR_DOUBLE => Value::Number(scan.f64()?),
                _ => self.value(scan, depth)?,
            });
        }
        Ok(Value::StrictArray(items))
    }

    fn object(&mut self, scan: &mut Scan<'_>, flags: usize, depth: u32) -> Result<Value, AmfError> {
        let traits = self.traits(scan, flags)?;
        if traits.external {
            if PROXIES.contains(&traits.class.as_str()) {
                return self.value(scan, depth);
            }
            return Err(scan.error(ErrorKind::Unsupported("externalizable AMF3 class")));
        }
        let mut members = Vec::new();
        for name in traits.sealed {
            members.push((name, self.value(scan, depth)?));
        }
        if traits.dynamic {
            loop {
                let name = self.string(scan)?;
                if name.is_empty() {
                    break;
                }
                members.push((name, self.value(scan, depth)?));
            }
        }
        Ok(Value::Object(Object { class: traits.class, members }))
    }

    /// `flags` are those of U29O without the lowest bit: inline, externalizable, dynamic, count.
    fn traits(&mut self, scan: &mut Scan<'_>, flags: usize) -> Result<Traits, AmfError> {
        if flags & 1 == 0 {
            let t = self.traits.get(flags >> 1).ok_or_else(|| scan.malformed("AMF reference to nothing"))?;
            // Names are copied for each object: they count each time.
            scan.charge(t.class.len() + t.sealed.iter().map(String::len).sum::<usize>())?;
            return Ok(t.clone());
        }
        let external = flags & 2 != 0;
        let dynamic = flags & 4 != 0 && !external;
        let count = if external { 0 } else { flags >> 3 };
        let class = self.string(scan)?;
        if count > scan.left() {
            return Err(scan.malformed("more members than bytes in the message"));
        }
        let mut sealed = Vec::new();
        for _ in 0..count {
            // An empty name is one byte here and many in memory: it counts like a value.
            scan.value()?;
            sealed.push(self.string(scan)?);
        }
        let traits = Traits { class, sealed, dynamic, external };
        if !self.again {
            self.traits.push(traits.clone());
        }
        Ok(traits)
    }
}

/// Appends a value, without using references.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Undefined => out.push(UNDEFINED),
        Value::Null => out.push(NULL),
        Value::Boolean(b) => out.push(if *b { TRUE } else { FALSE }),
        Value::Integer(i) if INTEGERS.contains(i) => {
            out.push(INTEGER);
            put_u29(*i as u32 & 0x1fff_ffff, out);
        }
        Value::Integer(i) => double(f64::from(*i), out),
        Value::Number(n) => double(*n, out),
        Value::String(s) => {
            out.push(STRING);
            text(s, out);
        }
        Value::Xml(s) => {
            out.push(XML);
            text(s, out);
        }
        Value::Date(ms, _) => {
            out.extend_from_slice(&[DATE, 1]);
            out.extend_from_slice(&ms.to_be_bytes());
        }
        Value::Bytes(b) => {
            out.push(BYTE_ARRAY);
            length(b.len(), out);
            out.extend_from_slice(b);
        }
        Value::StrictArray(items) => {
            out.push(ARRAY);
            length(items.len(), out);
            out.push(1);
            for v in items {
                write(v, out);
            }
        }
        Value::EcmaArray(o) => {
            out.extend_from_slice(&[ARRAY, 1]);
            members(o, out);
        }
        Value::Object(o) => {
            // Inline, dynamic traits without sealed members.
            out.extend_from_slice(&[OBJECT, 0x0b]);
            text(&o.class, out);
            members(o, out);
        }
    }
}

fn put_u29(n: u32, out: &mut Vec<u8>) {
    let low = |shift: u32| (n >> shift & 0x7f) as u8;
    match n {
        0..0x80 => out.push(n as u8),
        0x80..0x4000 => out.extend_from_slice(&[low(7) | 0x80, low(0)]),
        0x4000..0x20_0000 => out.extend_from_slice(&[low(14) | 0x80, low(7) | 0x80, low(0)]),
        _ => out.extend_from_slice(&[low(22) | 0x80, low(15) | 0x80, low(8) | 0x80, n as u8]),
    }
}

/// A length or count of what follows inline. More than 2^28-1 does not fit into AMF3 and is far over any limit.
fn length(n: usize, out: &mut Vec<u8>) {
    put_u29(((n as u32) << 1 | 1) & 0x1fff_ffff, out);
}

fn text(s: &str, out: &mut Vec<u8>) {
    length(s.len(), out);
    out.extend_from_slice(s.as_bytes());
}

fn double(n: f64, out: &mut Vec<u8>) {
    out.push(DOUBLE);
    out.extend_from_slice(&n.to_be_bytes());
}

/// Named members up to an empty name. AMF3 has no members with empty names, so those are left out.
fn members(o: &Object, out: &mut Vec<u8>) {
    for (k, v) in o.members.iter().filter(|(k, _)| !k.is_empty()) {
        text(k, out);
        write(v, out);
    }
    out.push(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(v: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        write(v, &mut out);
        out
    }

    #[test]
    fn round_trip_and_every_truncation() {
        let values = [
            Value::Undefined,
            Value::Null,
            true.into(),
            Value::Integer(-1),
            Value::Integer((1 << 28) - 1),
            Value::Integer(-(1 << 28)),
            Value::Integer(0x3fff),
            Value::Integer(0x4000),
            Value::Number(0.1),
            "héllo".into(),
            Value::Xml("<x/>".into()),
            Value::Date(5.0, 0),
            Value::Bytes(Bytes::from_static(&[0, 1, 2])),
            Value::StrictArray(vec![Value::Null, "a".into()]),
            Value::EcmaArray(Object::new().with("k", 1.0)),
            Value::Object(Object { class: "C".into(), members: vec![("m".into(), "héllo".into())] }),
        ];
        let mut data = Vec::new();
        for v in &values {
            write(v, &mut data);
        }
        assert_eq!(read_all(&data).unwrap(), values);
        for n in 0..data.len() {
            if let Err(e) = read_all(&data[..n]) {
                assert!(e.offset <= n);
            }
        }
    }

    #[test]
    fn strings_traits_and_objects_by_reference() {
        // [{class "C", sealed "n": "n"}, {same traits: 5}, the first again]
        let d = [
            ARRAY, 7, 1, //
            OBJECT, 0x13, 3, b'C', 3, b'n', STRING, 2, //
            OBJECT, 0x01, INTEGER, 5, //
            OBJECT, 2,
        ];
        let v = read_all(&d).unwrap();
        let items = v[0].as_array().unwrap();
        assert_eq!(items[0].get("n").and_then(Value::as_str), Some("n"));
        assert_eq!(items[1].get("n"), Some(&Value::Integer(5)));
        assert_eq!(items[1].as_object().unwrap().class, "C");
        assert_eq!(items[2], items[0]);
    }

    #[test]
    fn vectors_dictionaries_and_proxies_are_folded() {
        let v = read_all(&[VECTOR_INT, 3, 0, 0xff, 0xff, 0xff, 0xff]).unwrap();
        assert_eq!(v, [Value::StrictArray(vec![Value::Number(-1.0)])]);
        let v = read_all(&[DICTIONARY, 3, 0, INTEGER, 4, TRUE]).unwrap();
        assert_eq!(v, [Value::EcmaArray(Object::new().with("4", true))]);
        let mut d = vec![OBJECT, 0x07];
        text(PROXIES[0], &mut d);
        d.extend_from_slice(&[ARRAY, 3, 1, NULL]);
        assert_eq!(read_all(&d).unwrap(), [Value::StrictArray(vec![Value::Null])]);
        let mut d = vec![OBJECT, 0x07];
        text("evil.Class", &mut d);
        assert!(matches!(read_all(&d).unwrap_err().kind, ErrorKind::Unsupported(_)));
    }

    #[test]
    fn limits_hold() {
        let deep: Vec<u8> = [ARRAY, 3, 1].repeat(50_000);
        assert_eq!(read_all(&deep).unwrap_err().kind, ErrorKind::Limit("depth of AMF values"));
        // Declared counts of 2^28-1.
        for d in [
            &[ARRAY, 0xff, 0xff, 0xff, 0xff, 1, NULL][..],
            &[VECTOR_DOUBLE, 0xff, 0xff, 0xff, 0xff, 0],
            &[STRING, 0xff, 0xff, 0xff, 0xff, b'a'],
            &[BYTE_ARRAY, 0xff, 0xff, 0xff, 0xff],
            &[DICTIONARY, 0xff, 0xff, 0xff, 0xff, 0],
            &[OBJECT, 0xff, 0xff, 0xff, 0xfb, 1],
        ] {
            assert!(read_all(d).is_err(), "{d:?}");
        }
        // Traits with many members, repeated by three bytes each.
        let mut bomb = vec![ARRAY];
        length(100_001, &mut bomb);
        bomb.extend([1, OBJECT]);
        put_u29(60_000 << 4 | 3, &mut bomb);
        bomb.push(1);
        bomb.extend(std::iter::repeat_n([3, b'x'], 60_000).flatten());
        bomb.extend(std::iter::repeat_n(NULL, 60_000));
        bomb.extend(std::iter::repeat_n([OBJECT, 0x01], 100_000).flatten());
        assert!(matches!(read_all(&bomb).unwrap_err().kind, ErrorKind::Limit(_)));
        // A long string by reference.
        let mut bomb = bytes_of(&Value::String("y".repeat(1 << 20)));
        bomb.extend([STRING, 0].repeat(100));
        assert_eq!(read_all(&bomb).unwrap_err().kind, ErrorKind::Limit("bytes in one AMF message"));
        // Dictionaries that are keys of dictionaries: two bytes of each level double the text of all within.
        let nested = [DICTIONARY, 3, 0].repeat(40);
        assert!(matches!(
            read_all(&[&nested[..], &[NULL; 80]].concat()).unwrap_err().kind,
            ErrorKind::Unsupported(_)
        ));
        let cycle = [ARRAY, 3, 1, ARRAY, 0];
        assert!(matches!(read_all(&cycle).unwrap_err().kind, ErrorKind::Unsupported(_)));
    }

    #[test]
    fn twenty_nine_bits() {
        for n in [0, 0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000, 0x1fff_ffff] {
            let mut out = Vec::new();
            put_u29(n, &mut out);
            assert_eq!(u29(&mut Scan::new(&out)).unwrap(), n);
        }
    }
}
