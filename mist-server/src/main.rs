//! The mist media server.

use clap::Parser;
use mist_server::args::{self, Args, EXIT_FAILURE, EXIT_OK, EXIT_USAGE};
use mist_server::config::ConfigStore;
use mist_server::log::{CONF, Log};
use mist_server::server::{Server, add_demo};
use mist_server::system;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn complain(what: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "mist-server: {what}");
    ExitCode::from(EXIT_USAGE)
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.check {
        return match args::check(&args, &mut std::io::stdout().lock()) {
            Ok(code) => ExitCode::from(code),
            Err(_) => ExitCode::from(EXIT_FAILURE),
        };
    }
    let over = match args.overrides() {
        Ok(o) => o,
        Err(e) => return complain(e),
    };
    let config = match ConfigStore::load(&args.config, over) {
        Ok(c) => Arc::new(c),
        Err(e) => return complain(e),
    };
    let log = match Log::new(config.current().debug(), args.logfile.as_deref()) {
        Ok(l) => l,
        Err(e) => return complain(format_args!("can't open the log file: {e}")),
    };
    log.install();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(r) => r,
        Err(e) => {
            error!("no runtime: {e}");
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    ExitCode::from(runtime.block_on(run(&args, config, log)))
}

async fn run(args: &Args, config: Arc<ConfigStore>, log: Log) -> u8 {
    for p in config.current().problems() {
        warn!("configuration: {p}");
    }
    system::raise_descriptor_limit();
    // Not part of what is saved: a demonstration leaves no trace in the configuration.
    let demo = args.demo && add_demo(&config);
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut int), Ok(mut term)) = signals else {
        error!("can't listen to signals");
        return EXIT_FAILURE;
    };
    let server = match Server::start(config.clone(), log).await {
        Ok(s) => s,
        Err(e) => {
            error!("{e}");
            return EXIT_FAILURE;
        }
    };
    if let Some(user) = config.current().controller().username
        && let Err(e) = system::drop_privileges(&user)
    {
        error!("can't drop privileges to {user}: {e}");
        return EXIT_FAILURE;
    }
    if demo && let Some(http) = server.address("HTTP") {
        let at = format!("http://localhost:{}", http.port());
        info!(target: CONF, "demo: watch it at {at}/demo.html, {at}/hls/demo/index.m3u8, {at}/demo.flv or {at}/demo.ts");
        if let Some(rtmp) = server.address("RTMP") {
            info!(target: CONF, "demo: or at rtmp://localhost:{}/play/demo", rtmp.port());
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    server.stop().await;
    if config.dirty() && !demo {
        config.save_or_log();
    }
    EXIT_OK
}
