//! The daemon's own log, on its standard error.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::settings::{LogFormat, LogLevel};

/// The way to another level while the log is written.
#[derive(Clone)]
pub(crate) struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Starts it.
    pub(crate) fn start(level: LogLevel, format: LogFormat, raw: bool) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let log = fmt::layer().with_writer(std::io::stderr);
        let lines = match format {
            LogFormat::Text => {
                let colours = !raw && std::io::IsTerminal::is_terminal(&std::io::stderr());
                log.with_ansi(colours).boxed()
            }
            LogFormat::Json => log.json().boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Self(handle)
    }

    /// Writes these lines from now on.
    pub(crate) fn change(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!("can't change what is logged: {error}");
        }
    }
}

/// Of the libraries that we use, only warnings are logged.
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let others = if level == "error" { "error" } else { "warn" };
    EnvFilter::new(format!("{others},tared={level},tare_core={level},tare_docker={level}"))
}
