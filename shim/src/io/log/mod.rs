//! Logs that the shim writes itself, so that no line depends on anyone else being alive.
//!
//! Drivers that write a file are called on the spot. Those that send lines away, and all where
//! docker's `mode=non-blocking` is asked for, have a thread and a [queue](queue) of their own. What
//! is sent away is also kept in a file here, in the `local` format, so that it can be read.

mod cri;
mod driver;
mod escape;
mod file;
mod journald;
mod json_file;
mod lines;
mod local;
mod options;
mod piece;
mod queue;
mod rotation;
mod syslog;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tare_proto::log::check_options;
use tare_proto::tare::shim::v1::Log as LogConfig;

use super::hub::Channel;
use crate::error::{Error, Result};
use cri::Cri;
use driver::{Both, Driver};
use journald::Journald;
use json_file::JsonFile;
use lines::{Line, Lines};
use local::Local;
use options::{Delivery, cache_is_wanted};
use queue::Queue;
use syslog::Syslog;

/// The log of one container: all its streams in one place.
#[derive(Clone)]
pub(crate) struct Log {
    way: Arc<Way>,
}

/// The way to the driver.
enum Way {
    Direct(Mutex<Box<dyn Driver>>),
    Queued(Queue),
}

impl Log {
    /// Opens the log that `config` describes; `None` where nothing is to be kept.
    pub(crate) fn open(config: &LogConfig) -> Result<Option<Self>> {
        let delivery = || Delivery::from_options(&config.options);
        let driver = if config.driver.is_empty() { "none" } else { config.driver.as_str() };
        check_options(driver, config.options.keys()).map_err(Error::invalid)?;
        let way = match driver {
            "none" => return Ok(None),
            "json-file" => near(JsonFile::open(config)?, delivery()?)?,
            "local" => near(Local::open(config)?, delivery()?)?,
            "cri" => near(Cri::open(config)?, Delivery::Blocking)?,
            "syslog" => away(config, Syslog::open(config)?, delivery()?)?,
            "journald" => away(config, Journald::open(config)?, delivery()?)?,
            other => {
                return Err(Error::invalid(format!(
                    "log driver {other:?} isn't supported: use json-file, local, syslog, journald \
                     or none"
                )));
            }
        };
        Ok(Some(Log { way: Arc::new(way) }))
    }

    /// A writer for one of the container's streams.
    pub(crate) fn stream(&self, channel: Channel) -> LogStream {
        LogStream { log: self.clone(), channel, lines: Lines::default() }
    }

    /// Somebody has moved the log's file away: goes on in a new one.
    pub(crate) fn reopen(&self) {
        match &*self.way {
            Way::Direct(driver) => lock(driver).reopen(),
            Way::Queued(queue) => queue.reopen(),
        }
    }

    /// How many lines are missing, because the driver was slow or could not keep them.
    pub(crate) fn dropped(&self) -> u64 {
        match &*self.way {
            Way::Direct(driver) => lock(driver).lost(),
            Way::Queued(queue) => queue.dropped(),
        }
    }
}

/// A driver that writes files of this machine.
fn near(driver: impl Driver + 'static, delivery: Delivery) -> Result<Way> {
    match delivery {
        Delivery::Blocking => Ok(Way::Direct(Mutex::new(Box::new(driver)))),
        Delivery::Dropping(_) => Queue::begin(driver, delivery).map(Way::Queued),
    }
}

/// A driver that sends lines away.
fn away(config: &LogConfig, driver: impl Driver + 'static, delivery: Delivery) -> Result<Way> {
    if cache_is_wanted(&config.options)? && !config.path.is_empty() {
        let both = Both(Local::cache(config)?, driver);
        return Queue::begin(both, delivery).map(Way::Queued);
    }
    Queue::begin(driver, delivery).map(Way::Queued)
}

/// One stream's way into the log.
pub(crate) struct LogStream {
    log: Log,
    channel: Channel,
    lines: Lines,
}

impl LogStream {
    /// Takes output as it comes, and writes the lines that it completes.
    pub(crate) async fn append(&mut self, data: &[u8]) {
        let channel = self.channel;
        // What was read at once has one time: asking for it is a tenth of what a short line costs.
        let now = SystemTime::now();
        match &*self.log.way {
            Way::Direct(driver) => {
                let mut driver = lock(driver);
                self.lines.split(data, now, |line| driver.append(channel, &line));
                driver.flush();
            }
            Way::Queued(queue) => {
                self.lines.split(data, now, |line| queue.push(channel, &line));
                queue.room().await;
            }
        }
    }

    /// The stream has ended: writes what is left of a line that its end cut off.
    pub(crate) async fn finish(&mut self) {
        let channel = self.channel;
        match &*self.log.way {
            Way::Direct(driver) => {
                let mut driver = lock(driver);
                let mut append = |line: Line<'_>| driver.append(channel, &line);
                self.lines.finish(SystemTime::now(), &mut append);
                driver.flush();
            }
            Way::Queued(queue) => {
                self.lines.finish(SystemTime::now(), |line| queue.push(channel, &line));
                queue.empty().await;
            }
        }
    }
}

fn lock(driver: &Mutex<Box<dyn Driver>>) -> std::sync::MutexGuard<'_, Box<dyn Driver>> {
    driver.lock().unwrap_or_else(PoisonError::into_inner)
}
