//! Running the program.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod server;

use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// What it did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(o: Output) -> Self {
        Self {
            code: o.status.code().expect("ended by itself"),
            out: String::from_utf8(o.stdout).expect("text"),
            err: String::from_utf8(o.stderr).expect("text"),
        }
    }
}

/// A file of the repository.
pub(crate) fn clip(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join(path).to_str().unwrap().to_owned()
}

pub(crate) fn program(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_mist-analyser"));
    c.args(args);
    c
}

pub(crate) fn analyse(args: &[&str]) -> Ran {
    program(args).stdin(Stdio::null()).output().unwrap().into()
}

/// Gives it `input` through a pipe.
pub(crate) fn analyse_stdin(args: &[&str], input: &[u8]) -> Ran {
    let mut child =
        program(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Summaries are short: the pipe takes them while we write.
    let sent = child.stdin.take().unwrap().write_all(input);
    assert!(sent.is_ok() || sent.unwrap_err().kind() == std::io::ErrorKind::BrokenPipe);
    child.wait_with_output().unwrap().into()
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
