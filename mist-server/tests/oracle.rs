//! Replays what was recorded from a MistServer 2.14 and compares the shape of the answers: every member that it
//! gave is there, with a value of the same type. What a command answers exactly is compared exactly.

#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod support;

use serde_json::{Map, Value, json};
use std::path::PathBuf;
use support::{Server, answer, with_account};

fn recorded(name: &str) -> Option<Value> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracle/api-2.14");
    if !dir.is_dir() {
        println!("skipped: no recordings");
        return None;
    }
    let text = std::fs::read_to_string(dir.join(format!("{name}.json"))).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// The configuration of the recorded server, as far as its answers show it.
fn its_config() -> Option<Value> {
    let full = &recorded("full_nonminimal")?["response"];
    let mut doc = with_account("test", "test");
    doc["config"] = full["config"].clone();
    for made in ["iid", "time", "version"] {
        doc["config"].as_object_mut().unwrap().remove(made);
    }
    doc["streams"] = full["streams"].clone();
    Some(doc)
}

fn kind(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Every member of `theirs` is in `ours` with the same type. Null there is an empty list here.
fn same_shape(place: &str, theirs: &Value, ours: &Value) {
    match (theirs, ours) {
        (Value::Object(t), Value::Object(o)) => {
            for (k, t) in t {
                let Some(o) = o.get(k) else { panic!("{place}.{k} is missing in {ours}") };
                same_shape(&format!("{place}.{k}"), t, o);
            }
        }
        // Entries differ in what is set; see `states_of_outputs`.
        (Value::Array(_), Value::Array(_)) if place.ends_with(".protocols") => {}
        (Value::Array(t), Value::Array(o)) => {
            let mixed = t.iter().any(|v| kind(v) != kind(&t[0]));
            for (i, o) in o.iter().enumerate() {
                // A list of one kind of thing: all like the first. Else a row of values, each in its place.
                if let Some(t) = t.get(if mixed { i } else { 0 }) {
                    same_shape(&format!("{place}[{i}]"), t, o);
                }
            }
        }
        (Value::Null, _) => {}
        _ => assert_eq!(kind(theirs), kind(ours), "{place}: {theirs} and {ours}"),
    }
}

/// The recorded header lines are there, with the same values.
fn same_headers(r: &Value, head: &support::Reply) {
    for (k, v) in r["response_headers"].as_object().into_iter().flatten() {
        if k != "Content-Length" {
            assert_eq!(head.header(k), v.as_str(), "{k}");
        }
    }
}

/// Sends a recorded request as it was sent then.
async fn replay(s: &Server, name: &str) -> Option<(Value, Value)> {
    let r = recorded(name)?;
    let form: String =
        percent_encoding::utf8_percent_encode(&r["request"].to_string(), percent_encoding::NON_ALPHANUMERIC)
            .collect();
    let headers: Vec<(&str, &str)> = r["request_headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str().unwrap()))
        .collect();
    let got = s.client().await.send("POST", "/api", &headers, format!("command={form}").as_bytes()).await;
    assert_eq!(Some(u64::from(got.status)), r["status"].as_u64(), "{name}");
    same_headers(&r, &got);
    Some((r["response"].clone(), got.json()))
}

/// Answers that are equal, down to the values.
#[tokio::test]
async fn exact_answers() {
    let Some(doc) = its_config() else { return };
    let s = Server::memory(doc).await;
    for name in [
        "authorize_06_local",
        "addprotocol",
        "addprotocol_dup",
        "updateprotocol",
        "updateprotocol_nomatch",
        "deleteprotocol",
        "deleteprotocol_array",
        "deleteprotocol_partial_nomatch",
        "clearstatlogs",
        "clearstatlog_singular",
        "save",
        "ui_settings_set",
        "ui_settings_get",
        "version",
        "update",
        "addstream",
        "addstream_empty",
        "addstream_nosource",
        "addstream_update",
        "deletestream_add_together",
        "deletestream_array",
        "deletestream_missing",
        "deletestream_object",
        "deletestream_string",
        "streams_set_all",
        "streams_set_restore",
        "streams_after_add",
    ] {
        let Some((theirs, ours)) = replay(&s, name).await else { return };
        assert_eq!(theirs, ours, "{name}");
    }
}

/// Answers that depend on the machine and the moment.
#[tokio::test]
async fn shapes() {
    let Some(doc) = its_config() else { return };
    for name in [
        "config_get",
        "config_set",
        "config_set_null",
        "config_set_back",
        "full_nonminimal",
        "log",
        "log_nonminimal",
        "clearstatlogs_with_log",
        "addstream_multi",
        "active_streams",
        "active_streams_fields",
        "active_streams_object",
        "stats_streams",
        "stats_streams_fields",
        "authorize_01_challenge",
        "authorize_03_wrong",
        "authorize_04_none",
        "authorize_05_unauth_other_call",
    ] {
        let s = Server::memory(doc.clone()).await;
        s.facts
            .0
            .lock()
            .unwrap()
            .push(mist_server::api::ActiveStream { name: "live".into(), ..Default::default() });
        let o = mist_server::session::Open {
            host: [127, 0, 0, 1].into(),
            stream: "live",
            connector: "RTMP",
            kind: mist_server::session::Kind::Viewer,
            client: mist_server::session::Client::Connection,
        };
        let _viewer = s.sessions.open(&o).unwrap();
        s.log.access("a line");
        let Some((theirs, ours)) = replay(&s, name).await else { return };
        same_shape(name, &theirs, &ours);
        let keys = |v: &Value| v.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&theirs), keys(&ours), "{name}: the same members at the top");
    }
}

/// The outputs' states are the same text or number wherever this program has the output.
#[tokio::test]
async fn states_of_outputs() {
    let Some(doc) = its_config() else { return };
    let s = Server::memory(doc).await;
    let Some((theirs, ours)) = replay(&s, "config_get").await else { return };
    let (theirs, ours) = (&theirs["config"]["protocols"], &ours["config"]["protocols"]);
    assert_eq!(theirs.as_array().unwrap().len(), ours.as_array().unwrap().len());
    for (t, o) in theirs.as_array().unwrap().iter().zip(ours.as_array().unwrap()) {
        let mut as_theirs = o.clone();
        // Each has outputs that the other has not.
        if o["online"] == "Not installed" || t["online"] == "Not installed" {
            as_theirs["online"] = t["online"].clone();
        }
        assert_eq!(*t, as_theirs);
    }
}

/// The password of the recorded dialogue was "test"; the challenge is ours.
#[tokio::test]
async fn the_recorded_log_in() {
    let Some(doc) = its_config() else { return };
    let s = Server::memory(doc).await;
    let Some((_, ours)) = replay(&s, "authorize_01_challenge").await else { return };
    let right = answer("test", ours["authorize"]["challenge"].as_str().unwrap());
    let Some(theirs) = recorded("authorize_02_ok") else { return };
    let commands = json!({"authorize": {"username": "test", "password": right}, "minimal": 1});
    assert_eq!(s.ask_as(&[("X-Real-IP", "127.0.0.1")], commands).await, theirs["response"]);
}

/// Every connector and input that both have is described with the same members, and options that both have with
/// the same type and default.
#[tokio::test]
async fn capabilities() {
    let Some(doc) = its_config() else { return };
    let s = Server::memory(doc).await;
    let Some((theirs, ours)) = replay(&s, "capabilities").await else { return };
    let (theirs, ours) = (&theirs["capabilities"], &ours["capabilities"]);
    for key in ["cpu", "cpu_use", "load", "mem", "speed", "threads"] {
        same_shape(key, &theirs[key], &ours[key]);
    }
    // What 2.14 has beyond the manual, for its own programs or for things of another time.
    let beyond = [
        "forward",
        "protocol",
        "provides",
        "exceptions",
        "socket",
        "url_pushlist",
        "non-provider",
        "source_file",
        "always_match",
        "morphic",
    ];
    for group in ["connectors", "inputs"] {
        for (name, o) in ours[group].as_object().unwrap() {
            let Some(t) = theirs[group].get(name) else { continue };
            for (k, tv) in t.as_object().unwrap() {
                // What an output can do is its own affair: here the words are compared.
                if beyond.contains(&k.as_str()) || matches!(k.as_str(), "methods" | "url_match" | "push_urls")
                {
                    continue;
                }
                let ov = o.get(k).unwrap_or_else(|| panic!("{group}.{name}.{k} is missing"));
                if k == "optional" || k == "required" {
                    same_options(&format!("{name}.{k}"), tv.as_object().unwrap(), ov.as_object().unwrap());
                }
            }
        }
    }
}

fn same_options(place: &str, theirs: &Map<String, Value>, ours: &Map<String, Value>) {
    for (key, o) in ours {
        let Some(t) = theirs.get(key) else { continue };
        for member in ["type", "default"] {
            assert_eq!(t.get(member), o.get(member), "{place}.{key}.{member}");
        }
    }
}
