//! Writing answers: keys sorted, ASCII only.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// Writes everything outside ASCII as `\u` escapes, so that no guess at the encoding and no line separator of
/// JavaScript (U+2028) can change what it means.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, w: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(i) = rest.find(|c: char| !c.is_ascii()) {
            let (plain, other) = rest.split_at(i);
            w.write_all(plain.as_bytes())?;
            let mut chars = other.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(w, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        w.write_all(rest.as_bytes())
    }
}

/// The text of a value. The map behind a [`Value`] is sorted by keys.
pub(super) fn text(v: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    // Writing to memory fails for nothing, and a `Value` has only texts as keys.
    let _ = v.serialize(&mut Serializer::with_formatter(&mut out, Ascii));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ascii_and_sorted() {
        let v = json!({"z": "é\u{2028}😀\"\n", "a": [1, 2.5, null, true]});
        let t = text(&v);
        assert_eq!(
            String::from_utf8(t.clone()).unwrap(),
            r#"{"a":[1,2.5,null,true],"z":"\u00e9\u2028\ud83d\ude00\"\n"}"#
        );
        assert_eq!(serde_json::from_slice::<Value>(&t).unwrap(), v);
    }
}
