//! One state of the configuration, with what the server needs read out and checked.

use super::exec::document_runs_commands;
use super::value::{text, truthy, whole};
use super::{Overrides, limits};
use crate::registry;
use mist_core::name::StreamName;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A configured stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamConfig {
    /// Sanitised name.
    pub name: String,
    /// Source; empty when it is missing.
    pub source: String,
    /// Kept running without viewers.
    pub always_on: bool,
    /// Buffer time in milliseconds (`DVR`).
    pub dvr_ms: u64,
    /// Timestamps before this are cut from the buffer, in milliseconds (`cut`).
    pub cut_ms: u64,
    /// The buffer lingers after the source is gone (`resume`).
    pub resume: bool,
    /// Target duration of segments in milliseconds (`segmentsize`).
    pub segment_ms: u64,
    /// Log level of its own (`debug`).
    pub debug: Option<u8>,
    /// The entry as configured, for options of inputs that read their own.
    pub raw: Map<String, Value>,
}

/// An enabled output.
#[derive(Debug, Clone, PartialEq)]
pub struct ProtocolConfig {
    /// The output's name; empty when it is missing.
    pub connector: String,
    /// Where it listens: as configured, else the output's default; `None` for outputs without a listener.
    pub port: Option<u16>,
    /// Address where it listens, if it is not every one.
    pub interface: Option<String>,
    /// The entry as configured, `online` left out.
    pub raw: Map<String, Value>,
    /// The output's own options in it, as text.
    pub options: Vec<(String, String)>,
}

/// Where the API listens (`config.controller`), flags and environment applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Address.
    pub interface: String,
    /// Port.
    pub port: u16,
    /// User to drop privileges to.
    pub username: Option<String>,
    /// Whether a request from this machine counts as logged in (`locallogin`, on by default).
    pub local_login: bool,
}

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something is done differently from what is written.
    Warning,
    /// Something can't work as written.
    Error,
}

/// Something wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, like `streams.foo.DVR`.
    pub place: String,
    /// What, for people.
    pub what: String,
    /// How bad.
    pub level: Level,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// One state of the configuration.
#[derive(Debug)]
pub struct Config {
    doc: Value,
    over: Overrides,
    streams: BTreeMap<String, Arc<StreamConfig>>,
    protocols: Vec<ProtocolConfig>,
    problems: Vec<Problem>,
    ran_commands: bool,
}

impl Config {
    /// Reads a document. Never fails: what can't be used is left out and listed in [`Self::problems`].
    pub fn new(doc: Value, over: Overrides) -> Self {
        let ran = document_runs_commands(&doc);
        Self::with_history(doc, over, ran)
    }

    /// As [`Self::new`], with the word on whether the file already ran commands when it was loaded.
    pub(super) fn with_history(doc: Value, over: Overrides, ran_commands: bool) -> Self {
        let mut problems = Vec::new();
        let mut c = Check(&mut problems);
        let doc = if doc.is_object() { doc } else { Value::Object(Map::new()) };
        for key in ["account", "config", "streams"] {
            if doc.get(key).is_some_and(|v| !v.is_object() && !v.is_null()) {
                c.error(key, "expected an object");
            }
        }
        check_accounts(&doc, &mut c);
        let streams = read_streams(&doc, &mut c);
        let protocols = read_protocols(&doc, &mut c);
        check_controller(&doc, &mut c);
        Self { doc, over, streams, protocols, problems, ran_commands }
    }

    /// The whole document, secrets included.
    pub fn document(&self) -> &Value {
        &self.doc
    }

    /// What is wrong in it.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Configured streams by their sanitised names.
    pub fn streams(&self) -> &BTreeMap<String, Arc<StreamConfig>> {
        &self.streams
    }

    /// The configuration of a stream: its own, else for `base+anything` that of `base`.
    pub fn stream(&self, name: &str) -> Option<&Arc<StreamConfig>> {
        if let Some(s) = self.streams.get(name) {
            return Some(s);
        }
        let (base, _) = name.split_once(['+', ' '])?;
        self.streams.get(base)
    }

    /// Enabled outputs, in the order of the configuration. Without a list, every output that needs no settings.
    pub fn protocols(&self) -> &[ProtocolConfig] {
        &self.protocols
    }

    /// Where the API listens.
    pub fn controller(&self) -> Controller {
        let get = |k: &str| self.doc.pointer("/config/controller").and_then(|c| c.get(k));
        let word = |k: &str| get(k).and_then(|v| text(v).ok().flatten());
        let port = get("port").and_then(|v| whole(v).ok().flatten()).and_then(|p| u16::try_from(p).ok());
        Controller {
            interface: self
                .over
                .interface
                .clone()
                .or_else(|| word("interface"))
                .unwrap_or_else(|| "0.0.0.0".to_owned()),
            port: self.over.port.or(port).unwrap_or(4242),
            username: self.over.username.clone().or_else(|| word("username")),
            local_login: get("locallogin").is_none_or(|v| v.is_null() || truthy(v)),
        }
    }

    /// Log level, 0 to 10.
    pub fn debug(&self) -> u8 {
        let at = |p: &str| self.doc.pointer(p).and_then(|v| whole(v).ok().flatten());
        let set = at("/config/debug").or_else(|| at("/config/controller/debug"));
        self.over.debug.or(set.map(|d| d.min(10) as u8)).unwrap_or(3)
    }

    /// Users and the MD5 of their passwords, in lower-case hexadecimal digits.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.doc.get("account").and_then(Value::as_object);
        all.into_iter()
            .flatten()
            .filter_map(|(user, a)| Some((user.as_str(), a.get("password").and_then(Value::as_str)?)))
            .filter(|(_, hash)| is_md5(hash))
    }

    /// Name of this server for people.
    pub fn serverid(&self) -> Option<&str> {
        self.doc.pointer("/config/serverid").and_then(Value::as_str).filter(|s| !s.is_empty())
    }

    /// Passphrase of the Prometheus page; `None` switches it off.
    pub fn prometheus(&self) -> Option<&str> {
        self.doc.pointer("/config/prometheus").and_then(Value::as_str).filter(|s| !s.is_empty())
    }

    /// `LOG` or the file of the access log.
    pub fn accesslog(&self) -> &str {
        let set = self.doc.pointer("/config/accesslog").and_then(Value::as_str);
        self.over.accesslog.as_deref().or(set).filter(|s| !s.is_empty()).unwrap_or("LOG")
    }

    /// Whether the API may configure things that run commands.
    pub fn allow_exec(&self) -> bool {
        match self.doc.pointer("/config/controller/allow_exec") {
            Some(v) if !v.is_null() => truthy(v),
            _ => self.ran_commands,
        }
    }

    pub(super) fn overrides(&self) -> &Overrides {
        &self.over
    }

    pub(super) fn ran_commands(&self) -> bool {
        self.ran_commands
    }
}

fn is_md5(s: &str) -> bool {
    s.len() == 32 && s.bytes().all(|b| b.is_ascii_hexdigit())
}

struct Check<'p>(&'p mut Vec<Problem>);

impl Check<'_> {
    fn push(&mut self, level: Level, place: &str, what: impl Into<String>) {
        self.0.push(Problem { place: place.to_owned(), what: what.into(), level });
    }

    fn error(&mut self, place: &str, what: impl Into<String>) {
        self.push(Level::Error, place, what);
    }

    fn warn(&mut self, place: &str, what: impl Into<String>) {
        self.push(Level::Warning, place, what);
    }

    /// A whole number within bounds, or `default` and a problem.
    fn number(
        &mut self,
        of: &Map<String, Value>,
        place: &str,
        key: &str,
        default: u64,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let Some(v) = of.get(key) else { return default };
        let place = format!("{place}.{key}");
        match whole(v) {
            Ok(None) => default,
            Ok(Some(n)) if bounds.contains(&n) => n,
            Ok(Some(n)) => {
                let (low, high) = (*bounds.start(), *bounds.end());
                self.error(&place, format!("{n} is not within {low} to {high}"));
                n.clamp(low, high)
            }
            Err(what) => {
                self.error(&place, format!("{what}, found {}", shown(v)));
                default
            }
        }
    }
}

/// A value for a message: short, and on one line.
fn shown(v: &Value) -> String {
    let s = v.to_string();
    match s.char_indices().nth(40) {
        None => s,
        Some((i, _)) => format!("{}…", s.get(..i).unwrap_or_default()),
    }
}

fn check_accounts(doc: &Value, c: &mut Check<'_>) {
    for (user, a) in doc.get("account").and_then(Value::as_object).into_iter().flatten() {
        // Only the place: whatever stands there could be a password.
        match a.get("password").and_then(Value::as_str) {
            Some(hash) if is_md5(hash) => {}
            _ => c.error(
                &format!("account.{user}.password"),
                "expected the MD5 of the password, 32 hexadecimal digits",
            ),
        }
    }
}

fn check_controller(doc: &Value, c: &mut Check<'_>) {
    let Some(config) = doc.get("config").and_then(Value::as_object) else { return };
    c.number(config, "config", "debug", 3, 0..=10);
    for key in ["serverid", "prometheus", "accesslog"] {
        if config.get(key).is_some_and(|v| !v.is_null() && !v.is_string()) {
            c.error(&format!("config.{key}"), "expected a text");
        }
    }
    match config.get("controller") {
        None | Some(Value::Null) => {}
        Some(Value::Object(controller)) => {
            let place = "config.controller";
            c.number(controller, place, "port", 4242, 1..=65535);
            c.number(controller, place, "debug", 3, 0..=10);
            for key in ["interface", "username"] {
                if controller.get(key).is_some_and(|v| !v.is_null() && !v.is_string()) {
                    c.error(&format!("{place}.{key}"), "expected a text");
                }
            }
        }
        Some(_) => c.error("config.controller", "expected an object"),
    }
}

fn read_streams(doc: &Value, c: &mut Check<'_>) -> BTreeMap<String, Arc<StreamConfig>> {
    let mut out = BTreeMap::new();
    for (key, v) in doc.get("streams").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("streams.{key}");
        let Some(raw) = v.as_object() else {
            c.error(&place, format!("expected an object, found {}", shown(v)));
            continue;
        };
        let name = match StreamName::new(key) {
            Ok(n) => n.as_str().to_owned(),
            Err(e) => {
                c.error(&place, e.to_string());
                continue;
            }
        };
        if name != *key {
            c.warn(&place, format!("is known as \"{name}\""));
        }
        if out.contains_key(&name) {
            c.error(&place, format!("there is already a stream \"{name}\""));
            continue;
        }
        let s = read_stream(name, raw, &place, c);
        out.insert(s.name.clone(), Arc::new(s));
    }
    out
}

fn read_stream(name: String, raw: &Map<String, Value>, place: &str, c: &mut Check<'_>) -> StreamConfig {
    let source = match raw.get("source").map(text) {
        Some(Ok(Some(s))) => s,
        None | Some(Ok(None)) => {
            c.error(place, "has no source");
            String::new()
        }
        Some(Err(what)) => {
            c.error(&format!("{place}.source"), what);
            String::new()
        }
    };
    let any = 0..=u64::MAX;
    let debug = c.number(raw, place, "debug", u64::MAX, any.clone());
    StreamConfig {
        name,
        source,
        always_on: raw.get("always_on").is_some_and(truthy),
        dvr_ms: c.number(raw, place, "DVR", limits::DEFAULT_DVR_MS, 0..=limits::MAX_DVR_MS),
        cut_ms: c.number(raw, place, "cut", 0, any),
        resume: raw.get("resume").is_some_and(truthy),
        segment_ms: c.number(raw, place, "segmentsize", limits::DEFAULT_SEGMENT_MS, limits::SEGMENT_MS),
        debug: u8::try_from(debug).ok().map(|d| d.min(10)),
        raw: raw.clone(),
    }
}

fn read_protocols(doc: &Value, c: &mut Check<'_>) -> Vec<ProtocolConfig> {
    let list = match doc.pointer("/config/protocols") {
        None | Some(Value::Null) => return registry::default_protocols(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            c.error("config.protocols", "expected a list");
            return registry::default_protocols();
        }
    };
    let mut out: Vec<ProtocolConfig> = Vec::new();
    for (i, v) in list.iter().enumerate() {
        let place = format!("config.protocols[{i}]");
        let Some(raw) = v.as_object() else {
            c.error(&place, format!("expected an object, found {}", shown(v)));
            continue;
        };
        match registry::validate(raw) {
            Ok(()) => {}
            Err(e @ registry::Invalid::Unknown(_)) => c.warn(&place, e.to_string()),
            Err(e) => c.error(&place, e.to_string()),
        }
        let p = ProtocolConfig::read(raw);
        if out.iter().any(|o| o.raw == p.raw) {
            c.warn(&place, "is listed twice");
            continue;
        }
        if let Some(port) = p.port
            && out.iter().any(|o| o.port == Some(port) && o.interface == p.interface)
        {
            c.error(&place, format!("port {port} is taken by another output of this list"));
        }
        out.push(p);
    }
    out
}

impl ProtocolConfig {
    /// Reads an entry of `config.protocols`.
    pub fn read(raw: &Map<String, Value>) -> Self {
        let mut raw = raw.clone();
        raw.remove("online");
        let connector = raw.get("connector").and_then(Value::as_str).unwrap_or_default().to_owned();
        let default = registry::output(&connector).and_then(|o| o.port);
        // A port without a listener behind it means nothing.
        let port = default.map(|d| {
            raw.get("port")
                .and_then(|v| whole(v).ok().flatten())
                .and_then(|p| u16::try_from(p).ok())
                .filter(|p| *p != 0)
                .unwrap_or(d)
        });
        let interface = raw.get("interface").and_then(|v| text(v).ok().flatten());
        let own = raw.iter().filter(|(k, _)| !matches!(k.as_str(), "connector" | "port" | "interface"));
        let options = own
            .filter_map(|(k, v)| {
                let v = match v {
                    Value::Bool(b) => b.then(|| "1".to_owned()),
                    v => text(v).ok().flatten(),
                };
                Some((k.clone(), v?))
            })
            .collect();
        Self { connector, port, interface, raw, options }
    }

    /// An option's value as text.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(doc: Value) -> Config {
        Config::new(doc, Overrides::default())
    }

    #[test]
    fn defaults_of_an_empty_document() {
        let c = config(json!({}));
        assert!(c.problems().is_empty() && c.streams().is_empty());
        let ctl = c.controller();
        assert_eq!(
            (ctl.interface.as_str(), ctl.port, ctl.username, ctl.local_login),
            ("0.0.0.0", 4242, None, true)
        );
        assert_eq!((c.debug(), c.accesslog(), c.serverid(), c.prometheus()), (3, "LOG", None, None));
        assert!(c.protocols().iter().any(|p| p.connector == "HTTP" && p.port == Some(8080)));
        assert!(!c.allow_exec());
    }

    #[test]
    fn streams_take_numbers_and_texts_and_keep_what_they_do_not_know() {
        let c = config(json!({"streams": {
            "a": {"source": "push://", "DVR": 20000, "segmentsize": "2000", "resume": "1", "tags": ["x"]},
            "b": {"source": "push://", "DVR": "", "resume": "0", "always_on": true, "cut": null},
        }}));
        assert!(c.problems().is_empty(), "{:?}", c.problems());
        let a = c.stream("a").unwrap();
        assert_eq!((a.dvr_ms, a.segment_ms, a.resume, a.always_on), (20000, 2000, true, false));
        assert_eq!(a.raw["tags"], json!(["x"]));
        let b = c.stream("b+wild card").unwrap();
        assert_eq!(
            (b.name.as_str(), b.dvr_ms, b.cut_ms, b.resume, b.always_on),
            ("b", 50_000, 0, false, true)
        );
        assert!(c.stream("c").is_none() && c.stream("c+x").is_none());
    }

    #[test]
    fn problems_say_where_and_what_and_the_rest_works() {
        let c = config(json!({
            "account": {"u": {"password": "plain text"}},
            "config": {"controller": {"port": 70000}, "protocols": [{"connector": "HTTP"}, {"connector": "NOPE"},
                {"connector": "HTTP", "port": "x"}, 5]},
            "streams": {"ok": {"source": "push://"}, "x": 5, "y": {"source": "push://", "DVR": "soon"},
                "z": {}, "Bad Name!": {"source": "push://"}, "---": {"source": "push://"}},
        }));
        let all: Vec<String> = c.problems().iter().map(ToString::to_string).collect();
        let has = |p: &str| assert!(all.iter().any(|x| x.starts_with(p)), "{p} in {all:#?}");
        has("account.u.password: expected the MD5");
        has("config.controller.port: 70000 is not within 1 to 65535");
        has("config.protocols[1]: ");
        has("config.protocols[2]: ");
        has("config.protocols[3]: expected an object, found 5");
        has("streams.x: expected an object, found 5");
        has("streams.y.DVR: expected a whole number, not below zero, found \"soon\"");
        has("streams.z: has no source");
        has("streams.---: the stream name is empty");
        assert!(!all.iter().any(|x| x.contains("plain text")));
        assert!(c.stream("ok").is_some());
        assert_eq!(c.stream("y").unwrap().dvr_ms, 50_000);
        assert_eq!(c.accounts().count(), 0);
    }

    #[test]
    fn bounds() {
        let stream = |key: &str, n: u64| {
            let c = config(json!({"streams": {"a": {"source": "push://", key: n}}}));
            (c.problems().len(), c.stream("a").unwrap().clone())
        };
        let (bad, s) = stream("DVR", limits::MAX_DVR_MS);
        assert_eq!((bad, s.dvr_ms), (0, limits::MAX_DVR_MS));
        let (bad, s) = stream("DVR", limits::MAX_DVR_MS + 1);
        assert_eq!((bad, s.dvr_ms), (1, limits::MAX_DVR_MS));
        let (bad, s) = stream("segmentsize", 0);
        assert_eq!((bad, s.segment_ms), (1, *limits::SEGMENT_MS.start()));
        assert!(crate::config::check_name(&"x".repeat(limits::USER_CHARS)));
        assert!(!crate::config::check_name(&"x".repeat(limits::USER_CHARS + 1)));
        assert!(!crate::config::check_name("a\nb") && !crate::config::check_name(""));
    }

    #[test]
    fn flags_win_over_the_file() {
        let over = Overrides {
            port: Some(1),
            debug: Some(9),
            accesslog: Some("/var/log/a".into()),
            ..Overrides::default()
        };
        let doc = json!({"config": {"debug": 4, "accesslog": "LOG", "controller": {"port": "4343", "interface": "::1"}}});
        let c = Config::new(doc.clone(), over);
        assert_eq!((c.controller().port, c.debug(), c.accesslog()), (1, 9, "/var/log/a"));
        assert_eq!(c.controller().interface, "::1");
        let c = config(doc);
        assert_eq!((c.controller().port, c.debug(), c.accesslog()), (4343, 4, "LOG"));
        assert_eq!(config(json!({"config": {"controller": {"debug": 6}}})).debug(), 6);
    }

    #[test]
    fn exec_is_allowed_by_its_switch_or_by_a_file_that_uses_it() {
        assert!(config(json!({"streams": {"a": {"source": "ts-exec:x"}}})).allow_exec());
        assert!(config(json!({"config": {"controller": {"allow_exec": 1}}})).allow_exec());
        let both = json!({"config": {"controller": {"allow_exec": false}}, "streams": {"a": {"source": "ts-exec:x"}}});
        assert!(!config(both).allow_exec());
    }
}
