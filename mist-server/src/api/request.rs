//! Finding the commands in an HTTP request: the variable `command` of the query or of a form, or a JSON body.

use percent_encoding::percent_decode;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a request holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    /// The commands; `None` if there were none that could be read.
    pub(super) commands: Option<Map<String, Value>>,
    /// Name of a function to wrap the answer in (JSONP). Set also when it is no usable name.
    pub(super) callback: Option<String>,
}

/// Reads a request. `content_type` is that of `body`.
pub(super) fn parse(query: &str, content_type: &str, body: &[u8]) -> Parsed {
    let mut out = Parsed::default();
    variables(query.as_bytes(), &mut out);
    if is_json(content_type) {
        if let Ok(Value::Object(o)) = serde_json::from_slice(body) {
            out.commands = Some(o);
        }
    } else if !body.is_empty() && is_form(content_type) {
        variables(body, &mut out);
    }
    out
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// `application/json`, `text/json`, `application/anything+json`, with or without a charset.
pub(super) fn is_json(content_type: &str) -> bool {
    let t = media_type(content_type).to_ascii_lowercase();
    matches!(t.as_str(), "application/json" | "text/json" | "application/x-json") || t.ends_with("+json")
}

fn is_form(content_type: &str) -> bool {
    let t = media_type(content_type);
    t.is_empty() || t.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Takes `command`, `callback` and `jsonp` from `a=b&c=d`. A later one of the same name wins.
fn variables(text: &[u8], out: &mut Parsed) {
    for pair in text.split(|b| *b == b'&') {
        let (key, value) = match pair.iter().position(|b| *b == b'=') {
            Some(i) => (pair.get(..i).unwrap_or_default(), pair.get(i + 1..).unwrap_or_default()),
            None => (pair, &[][..]),
        };
        match key {
            b"command" => {
                if let Ok(Value::Object(o)) = serde_json::from_slice(&decoded(value)) {
                    out.commands = Some(o);
                }
            }
            b"callback" | b"jsonp" => {
                out.callback = Some(String::from_utf8_lossy(&decoded(value)).into_owned());
            }
            _ => {}
        }
    }
}

fn decoded(value: &[u8]) -> Vec<u8> {
    let spaces: Cow<'_, [u8]> = if value.contains(&b'+') {
        value.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect::<Vec<u8>>().into()
    } else {
        value.into()
    };
    percent_decode(&spaces).collect()
}

/// Whether a text is a name of JavaScript, dots included, and nothing else.
pub(super) fn is_function_name(s: &str) -> bool {
    (1..=super::limits::CALLBACK_BYTES).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.'))
        && !s.starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_of_a_request() {
        let want = json!({"a": "b c+d"});
        let want = want.as_object();
        let form = "command=%7B%22a%22%3A%22b+c%2Bd%22%7D";
        let body = br#"{"a":"b c+d"}"#;
        assert_eq!(parse(form, "", b"").commands.as_ref(), want);
        assert_eq!(parse("", "application/x-www-form-urlencoded", form.as_bytes()).commands.as_ref(), want);
        assert_eq!(parse("", "", form.as_bytes()).commands.as_ref(), want);
        for t in
            ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/vnd.x+json"]
        {
            assert_eq!(parse("", t, body).commands.as_ref(), want, "{t}");
        }
        // A cross-origin form can send these without asking first.
        assert_eq!(parse("", "text/plain", body).commands, None);
        assert_eq!(parse("x=1&command=[1]&command", "", b"").commands, None);
    }

    #[test]
    fn hostile_json_is_no_request() {
        for n in [129, 100_000] {
            let deep = [br#"{"a":"#.as_slice(), &vec![b'['; n]].concat();
            assert_eq!(parse("", "application/json", &deep).commands, None);
        }
        for bad in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e999}"#,
            "{\"a\":\"\u{1}\"}",
            "{bad",
            "",
            "\u{feff}{}",
        ] {
            assert_eq!(parse("", "application/json", bad.as_bytes()).commands, None, "{bad}");
        }
        let last = parse("", "application/json", br#"{"a":1,"a":99999999999999999999999}"#).commands.unwrap();
        assert_eq!(last["a"].as_f64(), Some(1e23));
        assert_eq!(parse("command=%7B%22a%22%3A%22%FF%22%7D", "", b"").commands, None);
    }

    #[test]
    fn function_names() {
        assert_eq!(parse("callback=a.b%24", "", b"").callback.as_deref(), Some("a.b$"));
        assert!(is_function_name("jQuery123_4.cb"));
        for bad in ["", "alert(1)//", "1a", ".a", "a b", "a\u{2028}", &"x".repeat(65)] {
            assert!(!is_function_name(bad), "{bad}");
        }
    }
}
