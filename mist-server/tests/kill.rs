//! A server that is killed while it saves: the configuration is the old or the new one, never a part.

#![allow(clippy::print_stdout, reason = "the killed process tells how far it is")]

use mist_server::config::{ConfigStore, Overrides};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const NAME: &str = "a_killed_save_leaves_the_old_or_the_new";
const VARIABLE: &str = "MIST_TEST_SAVES_TO";

/// Saves over and over; large enough that a kill hits the middle of it.
fn save_for_ever(path: &Path) -> ! {
    let store = ConfigStore::load(path, Overrides::default()).unwrap();
    for n in store.current().document()["n"].as_u64().unwrap_or(0) + 1.. {
        store.update(|doc| *doc = json!({"n": n, "filling": vec![n; 50_000], "last": n}));
        store.save().unwrap();
        println!("saved {n}");
    }
    unreachable!("the numbers last longer than the process")
}

#[test]
fn a_killed_save_leaves_the_old_or_the_new() {
    if let Some(path) = std::env::var_os(VARIABLE) {
        save_for_ever(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let mut last = 0;
    for round in 0..15 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(VARIABLE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let saves = lines.map_while(Result::ok).filter(|l| l.contains("saved")).take(1 + round % 3);
        assert_eq!(saves.count(), 1 + round % 3);
        child.kill().unwrap();
        child.wait().unwrap();
        let doc: Value = ConfigStore::load(&path, Overrides::default()).unwrap().current().document().clone();
        let n = doc["n"].as_u64().unwrap();
        assert!(n > last && doc["last"] == n, "round {round}");
        last = n;
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().count() <= 2, "what is left over doesn't pile up");
}
