//! Command line and environment. Precedence: flag, environment, configuration file.
//!
//! Exit codes: 0 for a clean stop, `--help` and `--version`; 1 for a failure at run time; 2 for bad arguments
//! or a bad configuration.

use crate::config::{ConfigStore, Level, Overrides, check_name};
use clap::Parser;
use clap::builder::FalseyValueParser;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

/// Exit code of a clean stop.
pub const EXIT_OK: u8 = 0;
/// Exit code of a failure at run time.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of bad arguments or a bad configuration.
pub const EXIT_USAGE: u8 = 2;

/// The mist media server: takes live streams by RTMP, serves them by RTMP, HLS, HTTP-FLV and HTTP-TS.
#[derive(Parser, Debug, Clone)]
#[command(name = "mist-server", version, about, max_term_width = 100)]
pub struct Args {
    /// JSON configuration; made when it is first saved
    #[arg(short, long, env = "MIST_CONFIG", value_name = "FILE", default_value = "config.json")]
    pub config: PathBuf,

    /// Make or update this API account
    #[arg(short, long, env = "MIST_ACCOUNT", value_name = "USER:PASSWORD", hide_env_values = true)]
    pub account: Option<Secret>,

    /// Address where the API and the web interface listen [default: 0.0.0.0]
    #[arg(short, long, env = "MIST_INTERFACE", value_name = "ADDR")]
    pub interface: Option<String>,

    /// Port of the API and the web interface [default: 4242]
    #[arg(short, long, env = "MIST_PORT", value_name = "N")]
    pub port: Option<u16>,

    /// Drop privileges to this user after the ports are bound
    #[arg(short, long, env = "MIST_USERNAME", value_name = "USER")]
    pub username: Option<String>,

    /// How much to log: 0 nothing, 3 production, 10 everything [default: 3]
    #[arg(short = 'g', long, env = "MIST_DEBUG", value_name = "LEVEL",
          value_parser = clap::value_parser!(u8).range(0..=10))]
    pub debug: Option<u8>,

    /// Log to this file as well
    #[arg(short = 'L', long, env = "MIST_LOGFILE", value_name = "FILE")]
    pub logfile: Option<PathBuf>,

    /// Where the access log goes: LOG for the ordinary log, or a file
    #[arg(short = 'A', long, env = "MIST_ACCESSLOG", value_name = "LOG|FILE")]
    pub accesslog: Option<String>,

    /// Passphrase of the Prometheus page, stored in the configuration; empty switches it off
    #[arg(short = 'S', long, env = "MIST_PROMETHEUS", value_name = "PASSPHRASE", hide_env_values = true)]
    pub prometheus: Option<Secret>,

    /// Add the stream `demo`, a short clip in a loop, when no streams are configured
    #[arg(long, env = "MIST_DEMO", value_parser = FalseyValueParser::new())]
    pub demo: bool,

    /// Only load the configuration and say what is wrong with it
    #[arg(long, env = "MIST_CHECK", value_parser = FalseyValueParser::new())]
    pub check: bool,
}

/// A text that is never shown: its debug form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    // Never an error: clap would print the value with it. What is wrong is found in `Args::overrides`.
    type Err = std::convert::Infallible;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(Self(s.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is wrong with an argument, beyond what its type says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// `--account` has no colon, or an empty part.
    #[error("--account takes USER:PASSWORD, both not empty")]
    Account,
    /// The user name has characters that no form of the API could send.
    #[error("--account: a user name has 1 to 64 characters and no control characters")]
    User,
}

impl Args {
    /// What the command line and environment say about the configuration.
    ///
    /// # Errors
    /// An argument can't be used.
    pub fn overrides(&self) -> Result<Overrides, ArgError> {
        let account = match &self.account {
            None => None,
            Some(a) => {
                let (user, password) = a.reveal().split_once(':').ok_or(ArgError::Account)?;
                if user.is_empty() || password.is_empty() {
                    return Err(ArgError::Account);
                }
                if !check_name(user) {
                    return Err(ArgError::User);
                }
                Some((user.to_owned(), crate::api::auth::password_hash(password)))
            }
        };
        Ok(Overrides {
            account,
            prometheus: self.prometheus.as_ref().map(|s| s.reveal().to_owned()),
            interface: self.interface.clone(),
            port: self.port,
            username: self.username.clone(),
            debug: self.debug,
            accesslog: self.accesslog.clone(),
        })
    }
}

/// Does `--check`: loads the configuration, says what is wrong and where, and returns the exit code.
///
/// # Errors
/// `out` can't be written.
pub fn check(args: &Args, out: &mut impl Write) -> io::Result<u8> {
    let over = match args.overrides() {
        Ok(o) => o,
        Err(e) => {
            writeln!(out, "error: {e}")?;
            return Ok(EXIT_USAGE);
        }
    };
    let config = match ConfigStore::load(&args.config, over) {
        Ok(store) => store.current(),
        Err(e) => {
            writeln!(out, "error: {e}")?;
            return Ok(EXIT_USAGE);
        }
    };
    let mut errors = 0;
    for p in config.problems() {
        let level = match p.level {
            Level::Error => {
                errors += 1;
                "error"
            }
            Level::Warning => "warning",
        };
        writeln!(out, "{level}: {}", crate::log::harmless(&p.to_string()))?;
    }
    let (path, streams, outputs) = (args.config.display(), config.streams().len(), config.protocols().len());
    if !args.config.exists() {
        writeln!(out, "{path} is not there yet; the server starts with defaults")?;
    } else if errors == 0 {
        writeln!(out, "{path} can be used: {streams} streams, {outputs} outputs")?;
    } else {
        writeln!(out, "{path}: {errors} errors")?;
    }
    Ok(if errors == 0 { EXIT_OK } else { EXIT_USAGE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn check_says_what_is_wrong_and_where() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        let run = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let mut out = Vec::new();
            let args = Args::parse_from(["x".as_ref(), "--check".as_ref(), "-c".as_ref(), path.as_os_str()]);
            let code = check(&args, &mut out).unwrap();
            (code, String::from_utf8(out).unwrap())
        };
        let (code, text) = run(None);
        assert!(code == 0 && text.contains("is not there yet"), "{text}");
        let (code, text) = run(Some(r#"{"streams": {"a": {"source": "push://"}}}"#));
        assert!(code == 0 && text.contains("can be used: 1 streams"), "{text}");
        let (code, text) = run(Some(r#"{"config": {"protocols": [{"connector": "NOPE"}]}}"#));
        assert!(code == 0 && text.starts_with("warning: config.protocols[0]: there is no output"), "{text}");
        let (code, text) = run(Some(r#"{"streams": {"a": {"source": "push://", "DVR": -1}}}"#));
        assert!(code == 2 && text.starts_with("error: streams.a.DVR: expected a whole number"), "{text}");
        let (code, text) = run(Some("{\n\"a\": x}"));
        assert!(code == 2 && text.contains("line 2, column 6"), "{text}");
    }

    #[test]
    fn definition_is_sound_and_every_option_has_an_environment_variable() {
        let cmd = Args::command();
        cmd.clone().debug_assert();
        for a in cmd.get_arguments() {
            let id = a.get_id().as_str();
            if matches!(id, "help" | "version") {
                continue;
            }
            let env = a.get_env().and_then(|e| e.to_str()).unwrap_or_default();
            assert_eq!(env, format!("MIST_{}", id.to_uppercase()));
        }
    }

    #[test]
    fn account_is_hashed_and_never_shown() {
        let a = Args::parse_from(["mist-server", "-a", "me:s3cr:et", "-S", "prom", "-p", "80", "-g", "10"]);
        assert!(!format!("{a:?}").contains("s3cr"), "{a:?}");
        let o = a.overrides().unwrap();
        assert_eq!(o.account, Some(("me".into(), crate::api::auth::password_hash("s3cr:et"))));
        assert_eq!((o.port, o.debug, o.prometheus.as_deref()), (Some(80), Some(10), Some("prom")));
        for bad in ["me", "me:", ":x", ""] {
            let a = Args::parse_from(["mist-server", "-a", bad]);
            assert_eq!(a.overrides().unwrap_err(), ArgError::Account, "{bad:?}");
        }
    }

    #[test]
    fn exit_codes_of_the_parser() {
        for (args, code) in [
            (&["x", "--version"][..], 0),
            (&["x", "--help"], 0),
            (&["x", "-g", "11"], 2),
            (&["x", "--no"], 2),
        ] {
            assert_eq!(Args::try_parse_from(args).unwrap_err().exit_code(), code, "{args:?}");
        }
    }
}
