//! `capabilities` (manual 4.1.3): what the registry holds, in the manual's words.

use super::{Api, Outcome};
use crate::registry::{self, Output};
use crate::system;
use mist_core::registry::{Codecs, InputInfo, OptionDef, OptionKind, Slot};
use serde_json::{Map, Value, json};

/// Inputs, outputs, and the machine.
pub(super) fn capabilities(api: &Api, _: &Value, out: &mut Outcome) {
    let mut v = system::describe();
    let connectors: Map<String, Value> =
        registry::outputs().iter().map(|o| (o.connector.name.to_owned(), connector(o))).collect();
    let inputs: Map<String, Value> =
        registry::inputs().iter().map(|i| (i.name.to_owned(), input(i))).collect();
    if let Some(v) = v.as_object_mut() {
        v.insert("connectors".to_owned(), Value::Object(connectors));
        v.insert("inputs".to_owned(), Value::Object(inputs));
        v.insert("cpu_use".to_owned(), json!(api.cpu.tenths()));
    }
    out.answer.insert("capabilities".to_owned(), v);
}

fn connector(o: &Output) -> Value {
    let c = &o.connector;
    let mut v = Map::new();
    let mut put = |k: &str, x: Value| drop(v.insert(k.to_owned(), x));
    put("name", json!(c.name));
    put("desc", json!(c.desc));
    put("deps", json!(c.deps));
    put("codecs", codecs(c.codecs));
    if !c.url_rel.is_empty() {
        put("url_rel", json!(c.url_rel));
    }
    for (key, list) in [("url_match", c.url_match), ("url_prefix", c.url_prefix)] {
        if !list.is_empty() {
            put(key, one_or_many(list));
        }
    }
    if !c.push_urls.is_empty() {
        put("push_urls", json!(c.push_urls));
    }
    if !c.methods.is_empty() {
        let one = |m: &mist_core::registry::Method| json!({"handler": m.handler, "type": m.kind, "priority": m.priority});
        put("methods", c.methods.iter().map(one).collect());
    }
    let mut all = registry::output_options(o);
    if let (Some(port), Some(d)) = (o.port, all.iter_mut().find(|d| d.key == "port"))
        && d.default.is_empty()
    {
        // The default of a listener is in the registry's entry of the protocol, not in the shared option.
        options(&all, Some(port), &mut v);
        return Value::Object(v);
    }
    options(&all, None, &mut v);
    Value::Object(v)
}

fn input(i: &InputInfo) -> Value {
    let mut v = Map::new();
    v.insert("name".to_owned(), json!(i.name));
    v.insert("desc".to_owned(), json!(i.desc));
    v.insert("codecs".to_owned(), codecs(i.codecs));
    v.insert("priority".to_owned(), json!(i.priority));
    v.insert("source_match".to_owned(), one_or_many(i.source_match));
    let mut all = i.options.to_vec();
    all.extend(registry::COMMON.iter().filter(|d| !i.options.iter().any(|o| o.key == d.key)));
    options(&all, None, &mut v);
    Value::Object(v)
}

fn one_or_many(list: &[&str]) -> Value {
    match list {
        [one] => json!(one),
        many => json!(many),
    }
}

fn codecs(all: Codecs) -> Value {
    let slot = |s: &Slot| match s {
        Slot::Any => json!(["*"]),
        Slot::Of(l) => l.iter().map(|c| json!(c.name())).collect(),
        // MistServer's mark for "all of these".
        Slot::Many(l) => l.iter().map(|c| json!(format!("+{}", c.name()))).collect(),
    };
    all.iter().map(|combination| combination.iter().map(slot).collect::<Value>()).collect()
}

/// Writes the members `optional` and `required`.
fn options(all: &[OptionDef], port: Option<u16>, v: &mut Map<String, Value>) {
    let (mut optional, mut required) = (Map::new(), Map::new());
    for d in all {
        let into = if d.required { &mut required } else { &mut optional };
        let mut o = option(d);
        if let (Some(port), "port", Some(o)) = (port, d.key, o.as_object_mut()) {
            o.insert("default".to_owned(), json!(port));
        }
        into.insert(d.key.to_owned(), o);
    }
    v.insert("optional".to_owned(), Value::Object(optional));
    v.insert("required".to_owned(), Value::Object(required));
}

fn option(d: &OptionDef) -> Value {
    let mut v = Map::new();
    let mut put = |k: &str, x: Value| drop(v.insert(k.to_owned(), x));
    put("name", json!(d.name));
    put("help", json!(d.help));
    put("option", json!(d.flag));
    match d.kind {
        OptionKind::Number { min, .. } => {
            let kind = match (d.key, min) {
                ("debug", _) => "debug",
                (_, 0..) => "uint",
                _ => "int",
            };
            put("type", json!(kind));
            if let Ok(n) = d.default.parse::<i64>() {
                put("default", json!(n));
            }
        }
        OptionKind::Choice(list) => {
            put("type", json!("select"));
            put("select", list.iter().map(|c| json!([c, c])).collect());
            put("default", d.default.parse::<i64>().map_or_else(|_| json!(d.default), |n| json!(n)));
        }
        // A switch has no type: its presence is its value.
        OptionKind::Flag => {}
        _ => {
            put("type", json!("str"));
            put("default", json!(d.default));
        }
    }
    Value::Object(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(v: &Value, keys: &[&str]) {
        for k in keys {
            assert!(v.get(*k).is_some(), "{k} in {v}");
        }
    }

    #[test]
    fn every_entry_has_the_manuals_keys() {
        for o in registry::outputs() {
            let v = connector(o);
            has(&v, &["name", "desc", "deps", "codecs", "optional", "required"]);
            if o.port.is_some() {
                assert!(v["optional"]["port"]["default"].is_u64(), "{v}");
            }
            check_options(&v);
        }
        for i in registry::inputs() {
            let v = input(i);
            has(&v, &["name", "desc", "codecs", "optional", "required", "priority", "source_match"]);
            check_options(&v);
        }
        let b = input(&registry::BUFFER);
        assert_eq!(b["source_match"], "push://*");
        assert_eq!(b["codecs"], json!([[["*"], ["*"], ["*"]]]));
        assert_eq!(b["optional"]["DVR"]["default"], 50000);
    }

    fn check_options(v: &Value) {
        for group in ["optional", "required"] {
            for o in v[group].as_object().unwrap().values() {
                has(o, &["name", "help", "option"]);
                assert!(o["option"].as_str().unwrap().starts_with("--"), "{o}");
            }
        }
    }
}
