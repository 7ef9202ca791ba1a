//! SIGHUP: the configuration file is read anew, and what may change while we run is changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tare_core::engine::Engine;
use tokio::sync::watch;

use crate::error::Error;
use crate::log::Log;
use crate::settings::{self, Changeable, Given, LogLevel, Settings};

/// What is needed to read the settings again, and to change them.
pub(crate) struct Reload {
    /// What the command line says.
    pub(crate) given: Given,
    /// The file that it names.
    pub(crate) file: Option<PathBuf>,
    /// The log.
    pub(crate) log: Log,
    /// What of this program may change.
    pub(crate) changeable: watch::Sender<Changeable>,
}

impl Reload {
    /// Does it. What is wrong with the file is logged, and changes nothing.
    pub(crate) fn again(&self, engine: &Engine) {
        match self.settings() {
            Ok(settings) => {
                self.change(engine, settings);
                tracing::info!("the settings were read anew");
            }
            Err(error) => tracing::error!("the settings are kept as they were: {error}"),
        }
    }

    fn settings(&self) -> Result<Settings, Error> {
        let given = settings::gather(self.given.clone(), self.file.as_deref())?;
        Settings::from_given(given)
    }

    fn change(&self, engine: &Engine, settings: Settings) {
        let Settings { config, changeable, .. } = settings;
        self.log.change(changeable.log_level);
        self.changeable.send_replace(changeable);
        let seconds = match changeable.drain {
            Some(drain) => drain.as_secs().to_string(),
            None => "-1".to_owned(),
        };
        let debug = changeable.log_level == LogLevel::Debug;
        let more = BTreeMap::from([
            ("debug".to_owned(), debug.to_string()),
            ("shutdown-timeout".to_owned(), seconds),
        ]);
        engine.reload((*config.live()).clone(), config.registry, more);
    }
}
