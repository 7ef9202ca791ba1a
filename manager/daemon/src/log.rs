//! The daemon's own log, on its standard error.

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogLevel};

/// Starts it. Of the libraries that we use, only warnings are logged.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let others = if level == "error" { "error" } else { "warn" };
    let filter =
        EnvFilter::new(format!("{others},tared={level},tare_core={level},tare_docker={level}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init()
        }
        LogFormat::Json => log.json().init(),
    }
}
