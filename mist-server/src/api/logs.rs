//! `log`, `clearstatlogs`, `save`, `ui_settings` (manual 4.1.12, 4.1.13, 4.1.15, 4.1.16).

use super::{Api, Outcome};
use serde_json::{Value, json};

/// The last messages as `[unix time, kind, text]`, oldest first.
pub(super) fn log(api: &Api, _: &Value, out: &mut Outcome) {
    let list: Vec<Value> = api.log.last().iter().map(|e| json!([e.unix, e.kind, e.text])).collect();
    out.answer.insert("log".to_owned(), Value::Array(list));
}

/// Forgets the log. A `log` of the same request comes first and still has it.
pub(super) fn clear(api: &Api, _: &Value, _: &mut Outcome) {
    api.log.clear();
}

/// Asks for the configuration to be saved. Has no answer; failing is a line of the log.
pub(super) fn save(_: &Api, _: &Value, out: &mut Outcome) {
    out.save = true;
}

/// Keeps an object for web interfaces, which means nothing to the server; anything else only reads it.
pub(super) fn ui_settings(api: &Api, v: &Value, out: &mut Outcome) {
    if v.is_object() {
        api.config.update(|doc| {
            if let Some(doc) = doc.as_object_mut() {
                doc.insert("ui_settings".to_owned(), v.clone());
            }
        });
    }
    let config = api.config.current();
    let kept = config.document().get("ui_settings").filter(|v| v.is_object()).cloned();
    out.answer.insert("ui_settings".to_owned(), kept.unwrap_or_else(|| json!({})));
}
