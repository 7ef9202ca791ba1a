//! `tared` itself: build the parts, serve, wait for a signal, drain.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tare_build::{Builder, Control};
use tare_core::engine::Engine;
use tare_docker::Served;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::claim::{self, Pidfile};
use crate::error::Error;
use crate::listen::{self, Handover};
use crate::log::Log;
use crate::notify::{self, State};
use crate::reload::Reload;
use crate::settings::{Changeable, Given, Settings};

/// Bytes that a thread's stack may take; what it never touches takes none. A build's way from its
/// client's request to the last step is long where nothing is optimized.
const STACK: usize = 16 << 20;

/// Serves until a signal comes. `given` and `file` are what the settings were read from.
pub(crate) fn serve(
    settings: Settings,
    given: Given,
    file: Option<PathBuf>,
) -> Result<ExitCode, Error> {
    // First of all, while it is known which descriptors are whose.
    let handover = Handover::of_environment()?;
    let log = Log::start(settings.changeable.log_level, settings.log_format, settings.raw_logs);
    claim::all_open_files();
    claim::root_directory(&settings.config.data_root)?;
    claim::root_directory(&settings.config.exec_root)?;
    // In this order, so that at the end the sockets go first and the pid file last.
    let _pidfile = Pidfile::claim(&settings.pidfile)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .map_err(|error| Error::system("start the threads", error))?;
    let (changeable, changed) = watch::channel(settings.changeable);
    let reload = Reload { given, file, log, changeable };
    runtime.block_on(work(settings, handover, &reload, changed))?;
    Ok(ExitCode::SUCCESS)
}

async fn work(
    settings: Settings,
    mut handover: Handover,
    reload: &Reload,
    changed: watch::Receiver<Changeable>,
) -> Result<(), Error> {
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut hangup = on(SignalKind::hangup())?;
    // The parts take over what runs before anyone can ask for it.
    let engine = Arc::new(Engine::open(settings.config).await?);
    let Settings { hosts, trust, group, metrics, builds, .. } = settings;
    let endpoints = listen::open(&hosts, &group, &trust, &mut handover)?;
    let metrics = metrics.as_ref().map(listen::open_metrics).transpose()?;
    let warnings = hosts.iter().filter_map(|host| listen::warning(host, &trust)).collect();
    let builder = Builder::open(Arc::clone(&engine), builds).await?;
    let control = Control::open(Arc::clone(&builder))?;
    let served = Served::new(Arc::clone(&engine), control, warnings);

    let (stop, stopping) = watch::channel(());
    let mut servers = JoinSet::new();
    for endpoint in &endpoints {
        let shutdown = shutdown(stopping.clone(), changed.clone());
        servers.spawn(tare_docker::serve(endpoint.listener()?, Arc::clone(&served), shutdown));
        tracing::info!("serving on {}", endpoint.place);
    }
    if let Some(endpoint) = &metrics {
        let shutdown = shutdown(stopping.clone(), changed);
        servers.spawn(tare_docker::serve_metrics(endpoint.listener()?, served, shutdown));
        tracing::info!("numbers are served on {}", endpoint.place);
    }
    drop(stopping);
    tokio::spawn(tare_core::memory::give_back());
    notify::tell(State::Ready);

    loop {
        tokio::select! {
            _ = hangup.recv() => {
                notify::tell(State::Reloading);
                reload.again(&engine);
                notify::tell(State::Ready);
            }
            _ = terminate.recv() => break tracing::info!("terminated; containers go on"),
            _ = interrupt.recv() => break tracing::info!("interrupted; containers go on"),
        }
    }
    notify::tell(State::Stopping);
    drop(stop);
    tokio::select! {
        _ = servers.join_all() => {}
        // Who asks a second time does not want to wait for requests that are under way.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // What the last build made would be made again.
    if let Err(error) = builder.cache.settle().await {
        tracing::warn!(%error, "results of builds are not kept");
    }
    Ok(())
}

/// Ready when the other end of `stopping` is dropped; how long requests get then.
async fn shutdown(
    mut stopping: watch::Receiver<()>,
    changed: watch::Receiver<Changeable>,
) -> Option<Duration> {
    while stopping.changed().await.is_ok() {}
    changed.borrow().drain
}

fn on(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|error| Error::system("listen for signals", error))
}
