//! The table of commands.

use super::{Api, Outcome, active, capabilities, config, logs, protocols, streams};
use crate::config::truthy;
use serde_json::{Map, Value};

/// A command of the API.
#[derive(Clone, Copy)]
pub struct Command {
    /// Member of the request that calls it.
    pub key: &'static str,
    /// Carries it out with the member's value. Its answers go into [`Outcome::answer`].
    pub run: fn(&Api, &Value, &mut Outcome),
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Every command, in the order in which those of one request are carried out. All need a log-in.
pub static COMMANDS: &[Command] = &[
    Command { key: "config", run: config::config },
    Command { key: "addprotocol", run: protocols::add },
    Command { key: "deleteprotocol", run: protocols::delete },
    Command { key: "updateprotocol", run: protocols::update },
    Command { key: "streams", run: streams::streams },
    Command { key: "deletestream", run: streams::delete },
    Command { key: "addstream", run: streams::add },
    Command { key: "capabilities", run: capabilities::capabilities },
    Command { key: "ui_settings", run: logs::ui_settings },
    Command { key: "active_streams", run: active::active_streams },
    Command { key: "stats_streams", run: active::stats_streams },
    Command { key: "log", run: logs::log },
    Command { key: "clearstatlogs", run: logs::clear },
    // As the manual's example (4.1.13) spells it.
    Command { key: "clearstatlog", run: logs::clear },
    Command { key: "save", run: logs::save },
];

/// What a request that isn't `minimal` gets besides.
const ALWAYS: &[&str] = &["config", "streams", "log"];

/// Carries out the commands of a request.
pub(super) fn run(api: &Api, request: &Map<String, Value>, out: &mut Outcome) {
    let minimal = request.get("minimal").is_some_and(truthy);
    for c in COMMANDS {
        let always = !minimal && ALWAYS.contains(&c.key);
        match request.get(c.key) {
            Some(v) => (c.run)(api, v, out),
            // An incomplete list of streams is the answer that was asked for; it stays.
            None if always && !(c.key == "streams" && asks_part(request)) => (c.run)(api, &Value::Null, out),
            None => {}
        }
    }
}

fn asks_part(request: &Map<String, Value>) -> bool {
    request.contains_key("addstream") || request.contains_key("deletestream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique() {
        let mut keys: Vec<&str> = COMMANDS.iter().map(|c| c.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), COMMANDS.len());
        assert!(ALWAYS.iter().all(|k| keys.contains(k)));
    }
}
