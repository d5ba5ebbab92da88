//! `addprotocol`, `deleteprotocol`, `updateprotocol` (manual 4.1.9 to 4.1.11). None has an answer.

use super::{Api, Outcome};
use crate::config::{Config, ProtocolConfig, member};
use crate::registry::{self, Invalid};
use serde_json::{Map, Value, json};

/// Adds outputs that aren't configured in the same way already.
pub(super) fn add(api: &Api, v: &Value, _: &mut Outcome) {
    let new = entries(v);
    change(api, |list| {
        for p in new {
            warn_if_invalid(&p);
            if !list.contains(&p) {
                list.push(p);
            }
        }
    });
}

/// Removes the outputs that are configured exactly so.
pub(super) fn delete(api: &Api, v: &Value, _: &mut Outcome) {
    let old = entries(v);
    change(api, |list| list.retain(|p| !old.contains(p)));
}

/// Changes the outputs that are configured exactly as the first entry into the second; then drops duplicates.
pub(super) fn update(api: &Api, v: &Value, _: &mut Outcome) {
    let Some([old, new]) = v.as_array().map(Vec::as_slice) else { return };
    let (Some(old), Some(new)) = (entry(old), entry(new)) else { return };
    change(api, |list| {
        if !list.contains(&old) {
            return;
        }
        warn_if_invalid(&new);
        let mut kept: Vec<Map<String, Value>> = Vec::with_capacity(list.len());
        for p in list.drain(..) {
            let p = if p == old { new.clone() } else { p };
            if !kept.contains(&p) {
                kept.push(p);
            }
        }
        *list = kept;
    });
}

/// An entry without its state, which clients send back with it.
pub(super) fn entry(v: &Value) -> Option<Map<String, Value>> {
    let mut m = v.as_object()?.clone();
    m.remove("online");
    Some(m)
}

fn entries(v: &Value) -> Vec<Map<String, Value>> {
    match v {
        Value::Array(a) => a.iter().filter_map(entry).collect(),
        v => entry(v).into_iter().collect(),
    }
}

pub(super) fn warn_if_invalid(p: &Map<String, Value>) {
    if let Err(e) = registry::validate(p) {
        tracing::warn!("Output: {e}");
    }
}

/// Changes the list. One that isn't configured starts as what is enabled without one.
fn change(api: &Api, f: impl FnOnce(&mut Vec<Map<String, Value>>)) {
    let defaults = api.config.current();
    api.config.update(|doc| {
        let before: Vec<Map<String, Value>> = match doc.pointer("/config/protocols") {
            Some(Value::Array(list)) => list.iter().filter_map(entry).collect(),
            _ => defaults.protocols().iter().map(|p| p.raw.clone()).collect(),
        };
        let mut list = before.clone();
        f(&mut list);
        if list != before {
            member(doc, "config").insert("protocols".to_owned(), json!(list));
        }
    });
}

/// The list as `config` answers it, with how each is doing.
pub(super) fn shown(api: &Api, config: &Config) -> Value {
    let one = |p: &ProtocolConfig| {
        let mut v = p.raw.clone();
        v.insert("online".to_owned(), online(api, p));
        Value::Object(v)
    };
    config.protocols().iter().map(one).collect()
}

/// Numbers for outputs with a listener, texts for others, as MistServer has it.
fn online(api: &Api, p: &ProtocolConfig) -> Value {
    match registry::validate(&p.raw) {
        Err(Invalid::NoName) => json!("Missing connector name"),
        Err(Invalid::Unknown(_)) => json!("Not installed"),
        Err(Invalid::Missing(..) | Invalid::Value(..)) => json!("Invalid configuration"),
        Ok(()) if p.port.is_none() => json!("Enabled"),
        Ok(()) => json!(u8::from(api.facts.listening(p))),
    }
}
