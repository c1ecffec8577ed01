//! The command that serves a store.

use cipherfold_service::{
    Error, Home, Result, Store,
    board::{Board, Setting},
    progress::Progress,
};
use tracing_subscriber::EnvFilter;

use super::{args, output::Output};

/// Serves until the process is asked to stop.
pub(super) fn run(args: &args::Board, output: &Output) -> Result<()> {
    let home = Home::open(&args.home.home)?;
    let store = Store::open(&args.store)?;
    let setting = Setting {
        operations: args.operations,
        attempts: args.attempts,
        capacity: args.capacity.map(|megabytes| megabytes << 20),
        memory: args.memory << 20,
        connections: args.connections,
        requests_per_party: args.requests_per_party,
        ..Setting::new(args.listen)
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if args.log_json {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
    // Maximum threads that block on the store. More would only wait for each other and take memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(32).enable_all().build();
    let runtime =
        runtime.map_err(|error| Error::Setting { setting: "threads", reason: error.to_string() })?;
    runtime.block_on(async {
        let board = Board::bind(&home, store, &setting).await?;
        output.note(&format_args!("board: https://{}", board.address()?));
        if let Some(address) = board.operations_address()? {
            output.note(&format_args!("health, metrics, status page: http://{address}/"));
        }
        board.serve(stop()).await;
        output.note(&"stopped");
        Ok(())
    })
}

/// Waits for SIGTERM or Ctrl-C.
async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
