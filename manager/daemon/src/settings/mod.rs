//! The settings: what can be set ([`values`]), where it may be set ([`gather`]), and what is made
//! of it ([`Settings`]).

mod builder;
mod config;
mod fixed;
mod gather;
mod live;
mod network;
mod pairs;
mod registry;
mod size;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tare_core::config::Config;

pub(crate) use gather::gather;
pub(crate) use values::{LogFormat, LogLevel, Values};

use crate::error::Error;
use crate::listen::{self, Address, TlsSettings, Trust};
use fixed::Fixed;

/// Where the API is served by default: where the docker command line looks for it.
const DEFAULT_HOST: &str = "unix://";

/// How long requests get to end by default, in seconds.
const SHUTDOWN_TIMEOUT: i64 = 15;

/// The group whose members may use the socket by default, as docker has it.
const DEFAULT_GROUP: &str = "docker";

/// What was set; nothing of it is checked yet.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Given {
    /// Settings that can be set.
    #[command(flatten)]
    pub values: Values,
    /// Settings of docker's that can't.
    #[command(flatten)]
    pub fixed: Fixed,
}

/// All that the program must know.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the domain must know.
    pub config: Config,
    /// What builds must know.
    pub builds: tare_build::Settings,
    /// Where to serve.
    pub hosts: Vec<Address>,
    /// Who may talk to us over the network.
    pub trust: Trust,
    /// Where to serve numbers for monitoring.
    pub metrics: Option<Address>,
    /// What may change while it runs.
    pub changeable: Changeable,
    /// The group whose members may use the sockets.
    pub group: Group,
    /// The file that has this process's id while it runs.
    pub pidfile: PathBuf,
    /// How the log looks.
    pub log_format: LogFormat,
    /// Without colours.
    pub raw_logs: bool,
}

/// What a SIGHUP may change of this program itself, beside what it may change of the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changeable {
    /// Which lines the log gets.
    pub log_level: LogLevel,
    /// How long requests get to end; none: as long as they take.
    pub drain: Option<Duration>,
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
    pub(crate) fn from_given(given: Given) -> Result<Self, Error> {
        given.fixed.check()?;
        let mut values = given.values;
        features(&values)?;
        let builds = builds(&mut values)?;
        let tls = TlsSettings {
            tls: values.tls,
            verify: values.tlsverify,
            authority: values.tlscacert.take(),
            certificate: values.tlscert.take(),
            key: values.tlskey.take(),
        };
        let trust = tls.trust()?;
        let hosts = hosts(values.hosts.take().unwrap_or_default(), &trust)?;
        listen::check(&hosts, &trust)?;
        let metrics = values.metrics_addr.take().filter(|address| !address.is_empty());
        let metrics = metrics.map(|address| metrics_address(&address)).transpose()?;
        let level = values.log_level.unwrap_or_default();
        let log_level = if values.debug == Some(true) { LogLevel::Debug } else { level };
        let drain = values.shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT);
        let drain = u64::try_from(drain).ok().map(Duration::from_secs);
        let raw_logs = values.raw_logs.unwrap_or_default();
        let log_format = values.log_format.unwrap_or_default();
        let group = values.group.take().map_or(Group::IfThere(DEFAULT_GROUP), Group::Named);
        let pidfile = values.pidfile.take();
        let live = live::live(&mut values)?;
        let config = config::config(values, live)?;
        let pidfile = pidfile.unwrap_or_else(|| config.exec_root.join("tared.pid"));
        let changeable = Changeable { log_level, drain };
        Ok(Self {
            config,
            builds,
            hosts,
            trust,
            metrics,
            changeable,
            group,
            pidfile,
            log_format,
            raw_logs,
        })
    }
}

/// Where to serve: each place once. As with docker, who only asks for TLS is served on this
/// machine's loopback.
fn hosts(given: Vec<String>, trust: &Trust) -> Result<Vec<Address>, Error> {
    let given = given.iter().map(|host| host.trim()).filter(|host| !host.is_empty());
    let mut hosts = given.map(str::parse).collect::<Result<Vec<Address>, _>>()?;
    if hosts.is_empty() {
        hosts.push(match trust {
            Trust::Encrypted(_) | Trust::Verified(_) => Address::default_encrypted(),
            Trust::Unsaid | Trust::Everyone => DEFAULT_HOST.parse()?,
        });
    }
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

fn metrics_address(text: &str) -> Result<Address, Error> {
    match text.parse() {
        Ok(address @ Address::Tcp { port: Some(_), .. }) => Ok(address),
        Ok(_) | Err(_) => Err(Error::setting("metrics-addr", format!("{text:?} is not HOST:PORT"))),
    }
}

/// What builds must know.
fn builds(values: &mut Values) -> Result<tare_build::Settings, Error> {
    let mut switches = values.features.iter().flatten();
    let prefers_classic = switches.any(|switch| switch.name == "buildkit" && !switch.enabled);
    Ok(tare_build::Settings { prefers_classic, ..builder::settings(values.builder.take())? })
}

/// Docker's switches: those that are as good as off here can't be turned on.
fn features(values: &Values) -> Result<(), Error> {
    for feature in values.features.iter().flatten() {
        match (feature.name.as_str(), feature.enabled) {
            ("cdi", true) | ("buildkit", _) | ("containerd-snapshotter", false) => {}
            (name, enabled) => {
                let reason = format!("there is no way for {name} to be {enabled} here");
                return Err(Error::setting("features", reason));
            }
        }
    }
    match values.exec_opts.iter().flatten().find(|option| *option != "native.cgroupdriver=cgroupfs")
    {
        None => Ok(()),
        Some(option) => Err(Error::setting(
            "exec-opts",
            format!("there is no {option}; cgroups are made as native.cgroupdriver=cgroupfs says"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_readme() {
        let settings = Settings::from_given(Given::default()).unwrap();
        assert_eq!(settings.config.data_root, PathBuf::from("/var/lib/tare"));
        assert_eq!(settings.config.exec_root, PathBuf::from("/run/tare"));
        assert_eq!(settings.pidfile, PathBuf::from("/run/tare/tared.pid"));
        assert_eq!(settings.hosts, [Address::Unix(PathBuf::from("/var/run/docker.sock"))]);
    }

    #[test]
    fn debug_is_the_strongest_word_on_the_log() {
        let values =
            Values { debug: Some(true), log_level: Some(LogLevel::Error), ..Values::default() };
        let settings = Settings::from_given(Given { values, ..Given::default() }).unwrap();
        assert_eq!(settings.changeable.log_level, LogLevel::Debug);
    }
}
