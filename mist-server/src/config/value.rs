//! Reading JSON values the way MistServer's clients write them: numbers as numbers or texts, flags as anything.

use serde_json::{Map, Value};

/// Whether a value means yes. MistServer takes numbers, texts and booleans.
pub fn truthy(v: &Value) -> bool {
    match v {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !matches!(s.trim(), "" | "0" | "false" | "no" | "off"),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The object that a value is, or is made now.
pub(crate) fn object(v: &mut Value) -> &mut Map<String, Value> {
    if !v.is_object() {
        *v = Value::Object(Map::new());
    }
    let Value::Object(m) = v else { unreachable!("made an object above") };
    m
}

/// A whole number, given as number or text. `Ok(None)` for null and an empty text, which unset a value.
pub(crate) fn whole(v: &Value) -> Result<Option<u64>, &'static str> {
    match v {
        Value::Null => Ok(None),
        Value::Number(n) => match n.as_u64() {
            Some(n) => Ok(Some(n)),
            // 5000.0 is what some JSON writers make of 5000. Past 2^53 such a number isn't exact.
            None => match n.as_f64() {
                Some(f) if f >= 0.0 && f.fract() == 0.0 && f <= 9_007_199_254_740_992.0 => Ok(Some(f as u64)),
                _ => Err("expected a whole number, not below zero"),
            },
        },
        Value::String(s) if s.trim().is_empty() => Ok(None),
        Value::String(s) => s.trim().parse().map(Some).map_err(|_| "expected a whole number, not below zero"),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err("expected a whole number"),
    }
}

/// A text. Numbers count as their text; null and empty are `None`.
pub(crate) fn text(v: &Value) -> Result<Option<String>, &'static str> {
    match v {
        Value::Null => Ok(None),
        Value::String(s) if s.is_empty() => Ok(None),
        Value::String(s) => Ok(Some(s.clone())),
        Value::Number(n) => Ok(Some(n.to_string())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err("expected a text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_in_every_form_that_clients_send() {
        for v in [json!(20000), json!("20000"), json!(" 20000 "), json!(20000.0)] {
            assert_eq!(whole(&v), Ok(Some(20000)), "{v}");
        }
        for v in [json!(null), json!(""), json!("  ")] {
            assert_eq!(whole(&v), Ok(None), "{v}");
        }
        for v in [json!(-1), json!(1.5), json!(1e300), json!("1x"), json!([]), json!({}), json!(true)] {
            assert!(whole(&v).is_err(), "{v}");
        }
        assert_eq!(whole(&json!(u64::MAX)), Ok(Some(u64::MAX)));
    }

    #[test]
    fn flags() {
        for v in [json!(1), json!("1"), json!(true), json!("true"), json!({}), json!([])] {
            assert!(truthy(&v), "{v}");
        }
        for v in [json!(0), json!("0"), json!(false), json!(null), json!(""), json!(0.0)] {
            assert!(!truthy(&v), "{v}");
        }
    }
}
