//! The settings: what can be set ([`values`]), where it may be set ([`gather`]), and what is made
//! of it ([`Settings`]).

mod config;
mod gather;
mod pairs;
mod registry;
mod size;
mod values;

use std::path::PathBuf;

use tare_core::config::Config;

pub(crate) use gather::gather;
pub(crate) use values::{LogFormat, LogLevel, Values};

use crate::error::Error;
use crate::listen::Address;

/// Where the API is served by default: where the docker command line looks for it.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The group whose members may use the socket by default, as docker has it.
const DEFAULT_GROUP: &str = "docker";

/// All that the program must know.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the domain must know.
    pub config: Config,
    /// Where to serve.
    pub hosts: Vec<Address>,
    /// The group whose members may use the sockets.
    pub group: Group,
    /// The file that has this process's id while it runs.
    pub pidfile: PathBuf,
    /// Which lines the log gets.
    pub log_level: LogLevel,
    /// How they look.
    pub log_format: LogFormat,
}

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Group {
    /// It was asked for, and must be there.
    Named(String),
    /// Nothing was asked for; root's group if this one is not there.
    IfThere(&'static str),
}

impl Settings {
    /// Checks the values and fills in the defaults.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first setting whose value cannot be.
    pub(crate) fn from_values(mut values: Values) -> Result<Self, Error> {
        let hosts = values.hosts.take().unwrap_or_else(|| vec![DEFAULT_HOST.to_owned()]);
        let hosts = hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>()?;
        let level = values.log_level.unwrap_or_default();
        let log_level = if values.debug == Some(true) { LogLevel::Debug } else { level };
        let log_format = values.log_format.unwrap_or_default();
        let group = values.group.take().map_or(Group::IfThere(DEFAULT_GROUP), Group::Named);
        let pidfile = values.pidfile.take();
        let config = config::config(values)?;
        let pidfile = pidfile.unwrap_or_else(|| config.exec_root.join("tared.pid"));
        Ok(Self { config, hosts, group, pidfile, log_level, log_format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_readme() {
        let settings = Settings::from_values(Values::default()).unwrap();
        assert_eq!(settings.config.data_root, PathBuf::from("/var/lib/tare"));
        assert_eq!(settings.config.exec_root, PathBuf::from("/run/tare"));
        assert_eq!(settings.pidfile, PathBuf::from("/run/tare/tared.pid"));
        assert_eq!(settings.hosts, [Address(PathBuf::from("/var/run/docker.sock"))]);
    }

    #[test]
    fn debug_is_the_strongest_word_on_the_log() {
        let values =
            Values { debug: Some(true), log_level: Some(LogLevel::Error), ..Values::default() };
        assert_eq!(Settings::from_values(values).unwrap().log_level, LogLevel::Debug);
    }
}
