//! `tared` itself: build the parts, serve, wait for a signal, drain.

use std::process::ExitCode;
use std::sync::Arc;

use tare_core::engine::Engine;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::claim::{self, Pidfile};
use crate::error::Error;
use crate::listen::Socket;
use crate::log;
use crate::settings::Settings;

/// Serves until a signal comes.
pub(crate) fn serve(settings: Settings) -> Result<ExitCode, Error> {
    log::start(settings.log_level, settings.log_format);
    claim::all_open_files();
    claim::root_directory(&settings.config.data_root)?;
    claim::root_directory(&settings.config.exec_root)?;
    // In this order, so that at the end the sockets go first and the pid file last.
    let _pidfile = Pidfile::claim(&settings.pidfile)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::system("start the threads", error))?;
    runtime.block_on(work(settings))?;
    Ok(ExitCode::SUCCESS)
}

async fn work(settings: Settings) -> Result<(), Error> {
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    // The parts take over what runs before anyone can ask for it.
    let engine = Arc::new(Engine::open(settings.config).await?);
    let sockets = settings
        .hosts
        .iter()
        .map(|address| Socket::bind(address, &settings.group))
        .collect::<Result<Vec<_>, _>>()?;

    let (stop, stopping) = watch::channel(());
    let mut servers = JoinSet::new();
    for (socket, address) in sockets.iter().zip(&settings.hosts) {
        let mut stopping = stopping.clone();
        let shutdown = async move {
            // The other end is dropped to say that it is time.
            while stopping.changed().await.is_ok() {}
        };
        servers.spawn(tare_docker::serve(socket.listener()?, Arc::clone(&engine), shutdown));
        tracing::info!("serving on unix://{}", address.0.display());
    }
    drop(stopping);

    tokio::select! {
        _ = terminate.recv() => tracing::info!("terminated; containers go on"),
        _ = interrupt.recv() => tracing::info!("interrupted; containers go on"),
    }
    drop(stop);
    tokio::select! {
        _ = servers.join_all() => {}
        // Who asks a second time does not want to wait for requests that are under way.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn on(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|error| Error::system("listen for signals", error))
}
