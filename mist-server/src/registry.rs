//! Every output and input of this program in one place: those of the formats and protocols, and the server's own.
//!
//! Router, listeners, capabilities, defaults and `addprotocol` all run by these entries.

use crate::config::{ProtocolConfig, text, whole};
use mist_core::registry::{
    Codecs, Connector, FormatDef, InputInfo, OptionDef, OptionKind, ProtocolDef, Serve, Slot, glob,
    url_stream,
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// Who does the work of an output.
#[derive(Debug, Clone, Copy)]
pub enum Maker {
    /// The server itself.
    Server,
    /// A container, over HTTP.
    Format(&'static FormatDef),
    /// A protocol.
    Protocol(&'static ProtocolDef),
}

/// An output.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// What it says about itself.
    pub connector: Connector,
    /// Its port unless configured otherwise; `None` for outputs on the HTTP listener.
    pub port: Option<u16>,
    /// Who does its work.
    pub maker: Maker,
}

const ANY: Codecs = &[&[Slot::Any]];

/// The HTTP listener, on which all other HTTP outputs depend.
pub static HTTP: Connector = Connector {
    name: "HTTP",
    desc: "The HTTP listener: every output over HTTP needs it, and it answers for pages and stream information.",
    deps: "",
    url_rel: "/$.html",
    url_match: &["/$.html", "/info_$.js", "/json_$.js"],
    url_prefix: &[],
    push_urls: &[],
    methods: &[],
    codecs: ANY,
    options: &[
        OptionDef {
            key: "pubaddr",
            name: "Public address",
            help: "The address under which viewers reach this listener, when a proxy stands before it.",
            flag: "--public-address",
            kind: OptionKind::Text,
            default: "",
            required: false,
        },
        OptionDef {
            key: "nostreamtext",
            name: "Stream unavailable text",
            help: "What the page of a stream shows while the stream is not available.",
            flag: "--nostreamtext",
            kind: OptionKind::Text,
            default: "",
            required: false,
        },
    ],
};

/// Default port of [`HTTP`].
pub const HTTP_PORT: u16 = 8080;

/// Live streams that are pushed to the server.
pub static BUFFER: InputInfo = InputInfo {
    name: "Buffer",
    desc: "Live streams: push://[host][@passphrase] lets publishers push here by any enabled protocol, \
           from that host or with that passphrase.",
    source_match: &["push://*"],
    priority: 9,
    codecs: &[&[Slot::Any, Slot::Any, Slot::Any]],
    options: &[
        OptionDef {
            key: "DVR",
            name: "Buffer time (ms)",
            help: "How far back viewers can seek, in milliseconds. Whole keyframe intervals are kept, and never less \
                   than stable playback needs.",
            flag: "--buffer",
            kind: OptionKind::Number { min: 0, max: crate::config::limits::MAX_DVR_MS as i64 },
            default: "50000",
            required: false,
        },
        OptionDef {
            key: "cut",
            name: "Cut time (ms)",
            help: "Media with timestamps before this is left out.",
            flag: "--cut",
            kind: OptionKind::Number { min: 0, max: i64::MAX },
            default: "0",
            required: false,
        },
        OptionDef {
            key: "resume",
            name: "Resume support",
            help: "1 keeps the buffer when the source goes away, so that the stream can go on later.",
            flag: "--resume",
            kind: OptionKind::Choice(&["0", "1"]),
            default: "0",
            required: false,
        },
        OptionDef {
            key: "segmentsize",
            name: "Segment size (ms)",
            help: "Segments are cut at the first keyframe after this time, in milliseconds.",
            flag: "--segment-size",
            kind: OptionKind::Number {
                min: *crate::config::limits::SEGMENT_MS.start() as i64,
                max: *crate::config::limits::SEGMENT_MS.end() as i64,
            },
            default: "5000",
            required: false,
        },
    ],
};

/// Options that every input and output has.
pub static COMMON: &[OptionDef] = &[OptionDef {
    key: "debug",
    name: "Debug",
    help: "How much it logs, 0 to 10; the server's level when not set.",
    flag: "--debug",
    kind: OptionKind::Number { min: 0, max: 10 },
    default: "",
    required: false,
}];

/// Options that every output with a listener has.
pub static LISTENER: &[OptionDef] = &[
    OptionDef {
        key: "interface",
        name: "Interface",
        help: "Address of the interface to listen on.",
        flag: "--interface",
        kind: OptionKind::Text,
        default: "0.0.0.0",
        required: false,
    },
    OptionDef {
        key: "port",
        name: "TCP port",
        help: "TCP port to listen on.",
        flag: "--port",
        kind: OptionKind::Number { min: 1, max: 65535 },
        default: "",
        required: false,
    },
];

static OUTPUTS: LazyLock<Vec<Output>> = LazyLock::new(|| {
    let server = Output { connector: HTTP, port: Some(HTTP_PORT), maker: Maker::Server };
    let formats = mist_formats::FORMATS
        .iter()
        .filter_map(|f| f.output.map(|connector| Output { connector, port: None, maker: Maker::Format(f) }));
    let protocols = mist_protocols::PROTOCOLS.iter().filter_map(|p| {
        p.output.map(|connector| Output { connector, port: p.port, maker: Maker::Protocol(p) })
    });
    std::iter::once(server).chain(formats).chain(protocols).collect()
});

static INPUTS: LazyLock<Vec<&'static InputInfo>> = LazyLock::new(|| {
    let formats = mist_formats::FORMATS.iter().filter_map(|f| f.input.as_ref());
    let protocols = mist_protocols::PROTOCOLS.iter().filter_map(|p| p.input.as_ref());
    std::iter::once(&BUFFER).chain(formats).chain(protocols).collect()
});

/// Every output.
pub fn outputs() -> &'static [Output] {
    &OUTPUTS
}

/// Every input.
pub fn inputs() -> &'static [&'static InputInfo] {
    &INPUTS
}

/// The output of this name; upper and lower case count as the same.
pub fn output(name: &str) -> Option<&'static Output> {
    OUTPUTS.iter().find(|o| o.connector.name.eq_ignore_ascii_case(name))
}

/// The output that a URL path belongs to, the stream name in it as it stands there, and what follows a prefix.
/// Whole patterns go before prefixes.
pub fn by_url(path: &str) -> Option<(&'static Output, &str, &str)> {
    let whole = OUTPUTS.iter().flat_map(|o| o.connector.url_match.iter().map(move |p| (o, p, false)));
    let front = OUTPUTS.iter().flat_map(|o| o.connector.url_prefix.iter().map(move |p| (o, p, true)));
    whole.chain(front).find_map(|(o, pattern, prefix)| {
        let (stream, rest) = url_stream(pattern, path, prefix)?;
        Some((o, stream, rest))
    })
}

/// The input that reads a source: the one with the highest priority of those that match.
pub fn input_for(source: &str) -> Option<&'static InputInfo> {
    let fits = |i: &&&'static InputInfo| i.source_match.iter().any(|p| glob(p, source));
    // `max_by_key` would take the last of equals; the first registered is meant.
    INPUTS.iter().filter(fits).rev().max_by_key(|i| i.priority).copied()
}

/// The options of an output, those that all have included. An output's own definition wins.
pub fn output_options(o: &Output) -> Vec<OptionDef> {
    let mut all: Vec<OptionDef> = o.connector.options.to_vec();
    let listener = if o.port.is_some() { LISTENER } else { &[] };
    let delivers = match o.maker {
        Maker::Format(_) => true,
        Maker::Protocol(p) => matches!(p.serve, Serve::Tcp(_)),
        Maker::Server => false,
    };
    for d in COMMON.iter().chain(listener).chain(delivers.then_some(&crate::drive::SPREAD)) {
        if !all.iter().any(|x| x.key == d.key) {
            all.push(*d);
        }
    }
    all
}

/// The outputs that are enabled when the configuration doesn't say: all that need no settings.
pub fn default_protocols() -> Vec<ProtocolConfig> {
    let needs_none = |o: &&Output| !o.connector.options.iter().any(|d| d.required);
    OUTPUTS
        .iter()
        .filter(needs_none)
        .map(|o| {
            let mut raw = Map::new();
            raw.insert("connector".to_owned(), json!(o.connector.name));
            ProtocolConfig::read(&raw)
        })
        .collect()
}

/// What is wrong with an entry of `config.protocols`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No `connector`.
    #[error("has no connector name")]
    NoName,
    /// No such output in this program.
    #[error("there is no output \"{0}\"")]
    Unknown(String),
    /// A required option is missing.
    #[error("{0} needs the option \"{1}\"")]
    Missing(&'static str, &'static str),
    /// An option's value doesn't fit.
    #[error("{0}: option \"{1}\": {2}")]
    Value(&'static str, &'static str, String),
}

/// Checks an entry of `config.protocols` against the output's options. Options that it doesn't know are no error.
///
/// # Errors
/// The entry can't work.
pub fn validate(entry: &Map<String, Value>) -> Result<(), Invalid> {
    let name = entry.get("connector").and_then(Value::as_str).filter(|n| !n.is_empty());
    let name = name.ok_or(Invalid::NoName)?;
    let o = output(name).ok_or_else(|| Invalid::Unknown(name.chars().take(64).collect()))?;
    for d in output_options(o) {
        let connector = o.connector.name;
        let bad = |what: String| Invalid::Value(connector, d.key, what);
        let v = entry.get(d.key).unwrap_or(&Value::Null);
        let unset = v.is_null() || v.as_str() == Some("");
        if unset {
            if d.required {
                return Err(Invalid::Missing(connector, d.key));
            }
            continue;
        }
        match d.kind {
            OptionKind::Number { min, max } => {
                let n = whole(v).map_err(|e| bad(e.to_owned()))?.unwrap_or(0);
                if i64::try_from(n).is_ok_and(|n| (min..=max).contains(&n)) {
                    continue;
                }
                return Err(bad(format!("{n} is not within {min} to {max}")));
            }
            OptionKind::Text => drop(text(v).map_err(|e| bad(e.to_owned()))?),
            OptionKind::Choice(all) => {
                let t = text(v).map_err(|e| bad(e.to_owned()))?.unwrap_or_default();
                if !all.contains(&t.as_str()) {
                    return Err(bad(format!("expected one of {}", all.join(", "))));
                }
            }
            // A flag is set by any value; new kinds come with their own check.
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_patterns_are_sound() {
        let mut names: Vec<String> = outputs().iter().map(|o| o.connector.name.to_lowercase()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        for o in outputs() {
            for p in o.connector.url_match.iter().chain(o.connector.url_prefix) {
                let (a, z) = p.split_once('$').unwrap_or((p, ""));
                assert!(a.starts_with('/') && !(p.contains('$') && z.is_empty()), "{p}");
            }
            assert!(
                o.connector.deps.is_empty() || output(o.connector.deps).is_some(),
                "{}",
                o.connector.name
            );
        }
        let mut names: Vec<&str> = inputs().iter().map(|i| i.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), inputs().len());
    }

    #[test]
    fn look_up() {
        assert_eq!(output("http").unwrap().connector.name, "HTTP");
        assert!(output("NOPE").is_none());
        let (o, s, rest) = by_url("/json_live.js").unwrap();
        assert_eq!((o.connector.name, s, rest), ("HTTP", "live", ""));
        assert!(by_url("/json_.js").is_none() && by_url("/a/b.html").is_none());
        assert_eq!(input_for("push://@pw").unwrap().name, "Buffer");
        assert!(input_for("nope:").is_none());
    }

    #[test]
    fn entries_are_checked() {
        let v = |v: Value| validate(v.as_object().unwrap());
        assert_eq!(v(json!({"connector": "HTTP", "port": "8081", "interface": "::", "x": [1]})), Ok(()));
        assert_eq!(v(json!({"port": 5})), Err(Invalid::NoName));
        assert!(matches!(v(json!({"connector": "Carrier pigeon"})), Err(Invalid::Unknown(_))));
        for port in [json!(0), json!(65536), json!("a"), json!([])] {
            let e = v(json!({"connector": "HTTP", "port": port}));
            assert!(matches!(e, Err(Invalid::Value("HTTP", "port", _))), "{port}");
        }
        assert_eq!(v(json!({"connector": "HTTP", "port": null})), Ok(()));
    }
}
