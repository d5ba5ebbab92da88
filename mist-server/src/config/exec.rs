//! What in a configuration would run a command of the machine.
//!
//! Such things come from the configuration file. From the API only when `config.controller.allow_exec` is on, or
//! the file already used them when it was loaded: a stolen or forged API request must not become a shell.

use serde_json::Value;

/// Whether a stream's configuration runs commands: a source `exec:…` or `FORMAT-exec:…`, or processes.
pub fn stream_runs_commands(stream: &Value) -> bool {
    let Some(stream) = stream.as_object() else { return false };
    if stream.get("source").and_then(Value::as_str).is_some_and(source_runs_commands) {
        return true;
    }
    // A process is a program, and some have their own member with a command line.
    let some = |v: &Value| match v {
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => false,
    };
    stream.get("processes").is_some_and(some)
}

fn source_runs_commands(source: &str) -> bool {
    let Some((scheme, _)) = source.trim_start().split_once(':') else { return false };
    let scheme = scheme.to_ascii_lowercase();
    !scheme.contains('/') && (scheme == "exec" || scheme.ends_with("-exec"))
}

/// Whether a `triggers` member has handlers that are programs: anything but an HTTP URL.
pub fn triggers_run_commands(triggers: &Value) -> bool {
    let Some(triggers) = triggers.as_object() else { return false };
    triggers.values().filter_map(Value::as_array).flatten().any(|t| {
        let handler = match t {
            Value::Object(o) => o.get("handler"),
            Value::Array(a) => a.first(),
            _ => None,
        };
        handler.and_then(Value::as_str).is_some_and(|h| {
            let h = h.trim_start();
            let http = |p: &str| h.get(..p.len()).is_some_and(|x| x.eq_ignore_ascii_case(p));
            !h.is_empty() && !http("http://") && !http("https://")
        })
    })
}

/// Whether anything in a whole document runs commands.
pub(super) fn document_runs_commands(doc: &Value) -> bool {
    let streams = doc.get("streams").and_then(Value::as_object);
    streams.is_some_and(|s| s.values().any(stream_runs_commands))
        || doc.pointer("/config/triggers").is_some_and(triggers_run_commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_way_to_a_command_is_seen() {
        for s in ["ts-exec:rm -rf /", " EXEC:x", "mkv-exec:ffmpeg"] {
            assert!(stream_runs_commands(&json!({"source": s})), "{s}");
        }
        for s in ["push://", "/media/my-exec:clip.ts", "http://host/x-exec:y", "rtmp://h/ts-exec:"] {
            assert!(!stream_runs_commands(&json!({"source": s})), "{s}");
        }
        assert!(stream_runs_commands(&json!({"source": "push://", "processes": [{"process": "FFMPEG"}]})));
        assert!(triggers_run_commands(&json!({"CONN_OPEN": [{"handler": "/bin/x"}]})));
        assert!(triggers_run_commands(&json!({"CONN_OPEN": [["/bin/x", true, []]]})));
        assert!(!triggers_run_commands(
            &json!({"CONN_OPEN": [{"handler": "HTTP://x/"}, ["https://y", true]]})
        ));
        assert!(document_runs_commands(&json!({"streams": {"a": {"source": "ts-exec:x"}}})));
    }
}
