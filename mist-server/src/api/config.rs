//! `config` (manual 4.1.8).

use super::protocols;
use super::{Api, Outcome, VERSION, unix_now};
use crate::config::{member, object, triggers_run_commands};
use serde_json::{Map, Value, json};

/// Members that the server makes, and that a client only sends back.
const MADE: &[&str] = &["iid", "time", "version"];
/// Members of `controller` that only the file may set: they decide what the API may do.
const FILE_ONLY: &[&str] = &["allow_exec", "locallogin"];

/// Gives the configuration; members of an object replace what is set first, null unsets.
pub(super) fn config(api: &Api, v: &Value, out: &mut Outcome) {
    if let Some(new) = v.as_object() {
        change(api, new);
    }
    out.answer.insert("config".to_owned(), shown(api));
}

fn change(api: &Api, new: &Map<String, Value>) {
    let allow_exec = api.config.current().allow_exec();
    api.config.update(|doc| {
        let config = member(doc, "config");
        for (key, v) in new {
            if MADE.contains(&key.as_str()) {
                continue;
            }
            if v.is_null() && key != "controller" {
                config.remove(key);
                continue;
            }
            match key.as_str() {
                "controller" => controller(config, v),
                "protocols" => match v.as_array() {
                    Some(list) => {
                        let list: Vec<_> = list.iter().filter_map(protocols::entry).collect();
                        list.iter().for_each(protocols::warn_if_invalid);
                        config.insert(key.clone(), json!(list));
                    }
                    None => tracing::warn!("config.protocols not changed: expected a list"),
                },
                "triggers" if !allow_exec && triggers_run_commands(v) => tracing::warn!(
                    "config.triggers not changed: they would run a command, and config.controller.allow_exec is off in \
                     the file"
                ),
                _ => drop(config.insert(key.clone(), v.clone())),
            }
        }
    });
}

/// Replaces the controller's settings as a whole; what is left out or null is back at its default.
fn controller(config: &mut Map<String, Value>, v: &Value) {
    let mut new = match v {
        Value::Object(o) => o.clone(),
        Value::Null => Map::new(),
        _ => {
            tracing::warn!("config.controller not changed: expected an object");
            return;
        }
    };
    let old = config.get("controller").and_then(Value::as_object);
    for key in FILE_ONLY {
        new.remove(*key);
        if let Some(v) = old.and_then(|o| o.get(*key)) {
            new.insert((*key).to_owned(), v.clone());
        }
    }
    config.insert("controller".to_owned(), Value::Object(new));
}

fn shown(api: &Api) -> Value {
    let config = api.config.current();
    let set = config.document().get("config").and_then(Value::as_object);
    let mut v = set.cloned().unwrap_or_default();
    let c = config.controller();
    let controller = object(v.entry("controller").or_insert(Value::Null));
    controller.insert("interface".to_owned(), json!(c.interface));
    controller.insert("port".to_owned(), json!(c.port));
    controller.insert("username".to_owned(), json!(c.username));
    for (key, default) in [
        ("serverid", Value::Null),
        ("limits", Value::Null),
        ("triggers", json!({})),
        ("prometheus", json!("")),
    ] {
        v.entry(key).or_insert(default);
    }
    v.insert("accesslog".to_owned(), json!(config.accesslog()));
    v.insert("debug".to_owned(), json!(config.debug()));
    v.insert("iid".to_owned(), json!(api.iid));
    v.insert("protocols".to_owned(), protocols::shown(api, &config));
    v.insert("time".to_owned(), json!(unix_now()));
    v.insert("version".to_owned(), json!(VERSION));
    Value::Object(v)
}
