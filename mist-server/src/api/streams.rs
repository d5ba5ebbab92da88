//! `streams`, `addstream`, `deletestream` (manual 4.1.4 to 4.1.6).

use super::{Api, Outcome, StreamState};
use crate::config::{StreamConfig, member, object, stream_runs_commands};
use mist_core::name::StreamName;
use serde_json::{Map, Value, json};

/// The member of an answer that holds only a part of the streams.
const INCOMPLETE: &str = "incomplete list";

/// Gives all streams; an object replaces them first. Anything else only reads, so that no slip wipes them.
pub(super) fn streams(api: &Api, v: &Value, out: &mut Outcome) {
    let Some(new) = v.as_object() else {
        out.answer.insert("streams".to_owned(), all(api));
        return;
    };
    let list = accepted(api, new);
    let shown = list.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    api.config.update(|doc| *member(doc, "streams") = list);
    out.answer.insert("streams".to_owned(), Value::Object(shown));
}

/// Adds or replaces streams and leaves the others alone.
pub(super) fn add(api: &Api, v: &Value, out: &mut Outcome) {
    let empty = Map::new();
    let list = accepted(api, v.as_object().unwrap_or(&empty));
    let reply = part(out);
    for (name, stream) in &list {
        reply.insert(name.clone(), stream.clone());
    }
    if list.is_empty() {
        return;
    }
    api.config.update(|doc| {
        let streams = member(doc, "streams");
        for (key, name) in other_spellings(streams) {
            if list.contains_key(name.as_str()) {
                streams.remove(&key);
            }
        }
        streams.extend(list);
    });
}

/// Removes streams: one name, a list of names, or an object with names as keys.
pub(super) fn delete(api: &Api, v: &Value, out: &mut Outcome) {
    let names: Vec<&str> = match v {
        Value::String(s) => vec![s.as_str()],
        Value::Array(a) => a.iter().filter_map(Value::as_str).collect(),
        Value::Object(o) => o.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    part(out);
    if names.is_empty() {
        return;
    }
    api.config.update(|doc| {
        let streams = member(doc, "streams");
        let others = other_spellings(streams);
        for asked in names {
            if streams.remove(asked).is_none()
                && let Ok(name) = StreamName::new(asked)
            {
                streams.remove(name.as_str());
                for (key, _) in others.iter().filter(|(_, n)| *n == name) {
                    streams.remove(key);
                }
            }
        }
    });
}

/// The list of streams in the answer, marked as a part. A whole list that is there already stays one.
fn part(out: &mut Outcome) -> &mut Map<String, Value> {
    if !out.answer.get("streams").is_some_and(Value::is_object) {
        out.answer.insert("streams".to_owned(), json!({INCOMPLETE: 1}));
    }
    object(out.answer.entry("streams").or_insert(Value::Null))
}

/// The keys of a file that spell a name in another way, with the name. Few or none.
fn other_spellings(streams: &Map<String, Value>) -> Vec<(String, StreamName)> {
    let name = |k: &String| StreamName::new(k).ok().filter(|n| n.as_str() != k).map(|n| (k.clone(), n));
    streams.keys().filter_map(name).collect()
}

/// What of a request's streams is taken over, by sanitised names.
fn accepted(api: &Api, new: &Map<String, Value>) -> Map<String, Value> {
    let allow_exec = api.config.current().allow_exec();
    let mut out = Map::new();
    for (key, v) in new {
        // The mark of an answer comes back when a client sends what it was given.
        if key == INCOMPLETE {
            continue;
        }
        let name = match StreamName::new(key) {
            Ok(n) => n,
            Err(e) => {
                tracing::warn!("Stream not added: {e}: {key:?}");
                continue;
            }
        };
        let Some(stream) = v.as_object() else {
            tracing::warn!("Stream {name} not added: its configuration is not an object");
            continue;
        };
        if !allow_exec && stream_runs_commands(v) {
            tracing::warn!(
                "Stream {name} not added: it would run a command, and config.controller.allow_exec is off in the file"
            );
            continue;
        }
        let mut stream = stream.clone();
        for state in ["online", "error"] {
            stream.remove(state);
        }
        stream.insert("name".to_owned(), json!(name.as_str()));
        out.insert(name.as_str().to_owned(), Value::Object(stream));
    }
    out
}

fn all(api: &Api) -> Value {
    let config = api.config.current();
    let shown = config.streams().iter().map(|(name, s)| (name.clone(), shown(api, s)));
    Value::Object(shown.collect())
}

fn shown(api: &Api, s: &StreamConfig) -> Value {
    let mut v = s.raw.clone();
    v.remove("error");
    let state = if s.source.is_empty() {
        StreamState { online: 0, error: Some("Stream offline: Missing source parameter!".to_owned()) }
    } else {
        api.facts.stream_state(&s.name, &s.source)
    };
    v.insert("name".to_owned(), json!(s.name));
    v.insert("online".to_owned(), json!(state.online));
    if let Some(e) = state.error {
        v.insert("error".to_owned(), json!(e));
    }
    Value::Object(v)
}
