//! Logs that the shim writes itself, so that no line depends on anyone else being alive.

mod escape;
mod json_file;
mod lines;
mod options;
mod rotation;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tare_proto::tare::shim::v1::Log as LogConfig;

use super::hub::Channel;
use crate::error::{Error, Result};
use json_file::JsonFile;
use lines::{Line, Lines};

/// The log of one container: all its streams in one place.
#[derive(Clone)]
pub(crate) struct Log {
    driver: Arc<Mutex<JsonFile>>,
}

impl Log {
    /// Opens the log that `config` describes; `None` where nothing is to be kept.
    pub(crate) fn open(config: &LogConfig) -> Result<Option<Self>> {
        match config.driver.as_str() {
            "" | "none" => match config.options.keys().min() {
                None => Ok(None),
                Some(key) => {
                    Err(Error::invalid(format!("unknown log opt '{key}' for none log driver")))
                }
            },
            "json-file" => {
                let driver = JsonFile::open(config)?;
                Ok(Some(Log { driver: Arc::new(Mutex::new(driver)) }))
            }
            other => Err(Error::invalid(format!(
                "log driver {other:?} isn't supported: use json-file or none"
            ))),
        }
    }

    /// A writer for one of the container's streams.
    pub(crate) fn stream(&self, channel: Channel) -> LogStream {
        LogStream { log: self.clone(), channel, lines: Lines::default() }
    }
}

/// One stream's way into the log.
pub(crate) struct LogStream {
    log: Log,
    channel: Channel,
    lines: Lines,
}

impl LogStream {
    /// Takes output as it comes, and writes the lines that it completes.
    pub(crate) fn append(&mut self, data: &[u8]) {
        let mut driver = self.log.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = self.channel;
        self.lines.split(data, SystemTime::now, |line: Line<'_>| driver.append(channel, &line));
        driver.flush();
    }

    /// The stream has ended: writes what is left of a line that its end cut off.
    pub(crate) fn finish(&mut self) {
        let mut driver = self.log.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = self.channel;
        self.lines.finish(SystemTime::now, |line: Line<'_>| driver.append(channel, &line));
        driver.flush();
    }
}
