//! `active_streams` and `stats_streams` (manual 4.1.19, 4.1.20).
//!
//! Besides the manual's two forms there is MistServer 3's: an object with `fields` or `longform`.

use super::{ActiveStream, Api, Outcome};
use crate::config::truthy;
use crate::session::Summary;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One stream with everything that can be asked of it.
struct Row {
    name: String,
    stream: Option<ActiveStream>,
    sessions: Summary,
}

/// Streams that are active now.
pub(super) fn active_streams(api: &Api, v: &Value, out: &mut Outcome) {
    let mut sessions = api.sessions.summaries();
    let rows: BTreeMap<String, Row> = api
        .facts
        .active_streams()
        .into_iter()
        .map(|s| {
            let sessions = sessions.remove(&s.name).unwrap_or_default();
            (s.name.clone(), Row { name: s.name.clone(), stream: Some(s), sessions })
        })
        .collect();
    out.answer.insert("active_streams".to_owned(), answer(v, rows, |r| r.sessions.clients()));
}

/// Streams that had sessions in the last ten minutes. `clients` counts all their viewers.
pub(super) fn stats_streams(api: &Api, v: &Value, out: &mut Outcome) {
    let mut active: BTreeMap<String, ActiveStream> =
        api.facts.active_streams().into_iter().map(|s| (s.name.clone(), s)).collect();
    let rows = api
        .sessions
        .summaries()
        .into_iter()
        .map(|(name, sessions)| (name.clone(), Row { stream: active.remove(&name), name, sessions }))
        .collect();
    out.answer.insert("stats_streams".to_owned(), answer(v, rows, |r| r.sessions.recent));
}

fn answer(v: &Value, rows: BTreeMap<String, Row>, clients: fn(&Row) -> u32) -> Value {
    let names = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let values = |r: &Row, fields: &[String]| -> Vec<Value> {
        fields.iter().map(|f| if f == "clients" { json!(clients(r)) } else { field(r, f) }).collect()
    };
    match v {
        Value::Array(_) => {
            let fields = names(v);
            rows.values().map(|r| (r.name.clone(), json!(values(r, &fields)))).collect::<Map<_, _>>().into()
        }
        Value::Object(o) if o.contains_key("fields") || o.contains_key("longform") => {
            let mut fields = o.get("fields").map(names).unwrap_or_default();
            if fields.is_empty() {
                fields = FIELDS.iter().map(|f| (*f).to_owned()).collect();
            }
            let wanted = o.get("streams").map(names).unwrap_or_default();
            let rows = rows.into_values().filter(|r| wanted.is_empty() || wanted.contains(&r.name));
            if o.get("longform").is_some_and(truthy) {
                let long = |r: &Row| -> Value {
                    fields.iter().cloned().zip(values(r, &fields)).collect::<Map<_, _>>().into()
                };
                return rows.map(|r| (r.name.clone(), long(&r))).collect::<Map<_, _>>().into();
            }
            let data: Map<String, Value> =
                rows.map(|r| (r.name.clone(), json!(values(&r, &fields)))).collect();
            json!({"fields": fields, "data": data})
        }
        _ => rows.into_keys().map(Value::from).collect(),
    }
}

/// The fields of the object form when none are named.
const FIELDS: &[&str] = &[
    "status",
    "viewers",
    "inputs",
    "outputs",
    "tracks",
    "views",
    "viewseconds",
    "upbytes",
    "downbytes",
    "firstms",
    "lastms",
    "zerounix",
    "health",
];

/// The value of a field; null for one that there isn't.
fn field(r: &Row, name: &str) -> Value {
    let s = &r.sessions;
    let of = |f: fn(&ActiveStream) -> Value| r.stream.as_ref().map(f);
    match name {
        "viewers" => json!(s.viewers),
        "inputs" => json!(s.inputs),
        "outputs" => json!(s.outputs),
        "views" => json!(s.views),
        "viewseconds" => json!(s.view_seconds),
        "upbytes" => json!(s.up),
        "downbytes" => json!(s.down),
        "lastms" => of(|s| json!(s.last_ms)).unwrap_or_else(|| json!(-1)),
        "firstms" => of(|s| json!(s.first_ms)).unwrap_or_else(|| json!(-1)),
        "status" => of(|s| json!(s.status)).unwrap_or_else(|| json!("Offline")),
        "tracks" => of(|s| json!(s.tracks)).unwrap_or_else(|| json!(0)),
        "zerounix" => of(|s| json!(s.zero_unix)).unwrap_or(Value::Null),
        "health" => of(|s| s.health.clone()).unwrap_or(Value::Null),
        _ => Value::Null,
    }
}
