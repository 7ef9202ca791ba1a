//! Checks a request for a container before anything is made, and fills in this manager's defaults,
//! so that the record says what really holds.

mod limits;
mod log;
mod mounts;

use std::net::IpAddr;

use super::config::ContainerConfig;
use super::host_config::{HostConfig, RestartPolicy};
use super::modes::{CgroupnsMode, IpcMode, NetworkMode, PidMode};
use super::mount::MountKind;
use super::remapped;
use super::resources::Resources;
use super::signal::Signal;
use super::spec::security::SecurityOptions;
use super::spec::{HostFacts, capabilities, devices, paths};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::host::{Cgroups, Security};
use crate::image::Healthcheck;

use limits::Means;
use log::settle_log;
use mounts::{check_mounts, check_tmpfs};

/// The longest host name that the kernel takes.
const LONGEST_HOSTNAME: usize = 64;
/// The shortest time of a health check, in nanoseconds.
const SHORTEST: i64 = 1_000_000;

/// What the host must be asked for before a request can be judged.
pub(super) struct Judge<'a> {
    pub(super) config: &'a Config,
    pub(super) facts: &'a HostFacts,
    pub(super) cgroups: &'a Cgroups,
}

/// Checks and completes what runs in the container.
pub(super) fn settle_config(config: &mut ContainerConfig) -> Result<()> {
    if config.hostname.len() > LONGEST_HOSTNAME {
        return Err(Error::invalid(format!(
            "hostname \"{}\" is too long (maximum {LONGEST_HOSTNAME} bytes)",
            config.hostname
        )));
    }
    if !config.working_dir.is_empty() {
        if !config.working_dir.starts_with('/') {
            return Err(Error::invalid(format!(
                "the working directory '{}' is invalid, it needs to be an absolute path",
                config.working_dir
            )));
        }
        config.working_dir = clean(&config.working_dir);
    }
    if let Some(signal) = &config.stop_signal {
        signal.parse::<Signal>()?;
    }
    if let Some(env) = config.env.iter().find(|env| env.is_empty() || env.starts_with('=')) {
        return Err(Error::invalid(format!("invalid environment variable: {env}")));
    }
    if config.env.iter().any(|env| env.contains('\0')) {
        return Err(Error::invalid("invalid environment variable: it contains a zero byte"));
    }
    config.healthcheck.as_ref().map_or(Ok(()), check_health)
}

impl Judge<'_> {
    /// Checks and completes how the container sits on this host; gives what its user should know.
    pub(super) fn settle_host(&self, host: &mut HostConfig) -> Result<Vec<String>> {
        self.check_runtime(host)?;
        check_policy(host)?;
        remapped::check(self.config, host)?;
        check_mounts(&host.mounts)?;
        check_tmpfs(&host.tmpfs)?;
        capabilities::of_container(
            &host.cap_add,
            &host.cap_drop,
            host.privileged,
            &self.facts.capabilities,
        )?;
        let security = SecurityOptions::parse(&host.security_options)?;
        for device in &host.resources.devices {
            devices::check_access(&device.permissions)?;
        }
        for rule in &host.resources.device_cgroup_rules {
            devices::parse_rule(rule)?;
        }
        if !(-1000..=1000).contains(&host.oom_score_adj) {
            return Err(Error::invalid(format!(
                "Invalid value {}, range for oom score adj is [-1000, 1000]",
                host.oom_score_adj
            )));
        }
        for extra in &host.extra_hosts {
            let (name, address) = extra.split_once([':', '=']).unwrap_or((extra, ""));
            if name.is_empty() || address.is_empty() {
                return Err(Error::invalid(format!("bad format for add-host: \"{extra}\"")));
            }
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            if bare != "host-gateway" && bare.parse::<IpAddr>().is_err() {
                return Err(Error::invalid(format!(
                    "invalid IP address in add-host: \"{address}\""
                )));
            }
        }
        if host.annotations.contains_key("") {
            return Err(Error::invalid(
                "invalid Annotations: the empty string is not permitted as an annotation key",
            ));
        }
        limits::fill_in(&mut host.resources, &self.config.default_ulimits);
        let mut warnings = limits::settle(&mut host.resources, &Means::of(self.cgroups))?;
        if security.names_confinements() {
            security.check(&Security::read())?;
            warnings.extend(security.without_effect());
        }
        if host.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Image { .. })) {
            warnings.push("Image mount is an experimental feature".to_owned());
        }
        if host.network_mode == NetworkMode::Host && !host.port_bindings.is_empty() {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        self.fill_in(host)?;
        Ok(warnings)
    }

    /// Checks limits that a container is to get which is there already; gives what its user should
    /// know.
    pub(super) fn settle_update(&self, resources: &mut Resources) -> Result<Vec<String>> {
        limits::settle_update(resources, &Means::of(self.cgroups))
    }

    fn check_runtime(&self, host: &mut HostConfig) -> Result<()> {
        let live = self.config.live();
        if host.runtime.is_empty() {
            host.runtime.clone_from(&live.default_runtime);
        }
        if live.runtime(&host.runtime).is_some() {
            return Ok(());
        }
        Err(Error::invalid(format!("unknown or invalid runtime name: {}", host.runtime)))
    }

    fn fill_in(&self, host: &mut HostConfig) -> Result<()> {
        let live = self.config.live();
        host.shm_size = Some(host.shm_size.filter(|size| *size > 0).unwrap_or(live.shm_size));
        if host.ipc_mode == IpcMode::Default {
            host.ipc_mode = live.ipc_mode.clone();
        }
        if host.cgroupns_mode == CgroupnsMode::Default {
            let unified = self.cgroups.is_unified();
            let usual = if unified { CgroupnsMode::Private } else { CgroupnsMode::Host };
            host.cgroupns_mode = live.cgroupns_mode.unwrap_or(usual);
        }
        // Docker's way to say that no label keeps the container from the host's processes.
        let is_labelled = |option: &String| option.starts_with("label");
        if (host.privileged || host.pid_mode == PidMode::Host || host.ipc_mode == IpcMode::Host)
            && !host.security_options.iter().any(is_labelled)
        {
            host.security_options.push("label=disable".to_owned());
        }
        if !host.privileged {
            host.masked_paths.get_or_insert_with(paths::masked);
            host.readonly_paths.get_or_insert_with(paths::read_only);
        }
        settle_log(&mut host.log, &self.config.log_driver, &self.config.log_options)
    }
}

fn check_policy(host: &HostConfig) -> Result<()> {
    match host.restart_policy {
        RestartPolicy::No => Ok(()),
        RestartPolicy::Always | RestartPolicy::UnlessStopped | RestartPolicy::OnFailure { .. } => {
            if host.auto_remove {
                Err(Error::invalid("can't create 'AutoRemove' container with restart policy"))
            } else {
                Ok(())
            }
        }
    }
}

fn check_health(check: &Healthcheck) -> Result<()> {
    for (name, nanoseconds) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if nanoseconds != 0 && nanoseconds < SHORTEST {
            return Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

/// An absolute path without `.`, `..` and doubled slashes, by its text alone.
pub(super) fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn settle(change: impl FnOnce(&mut HostConfig)) -> Result<HostConfig> {
        let mut host = HostConfig::default();
        change(&mut host);
        let config = Config::with_roots(Path::new("/data"), Path::new("/run"));
        let facts = HostFacts {
            capabilities: BTreeSet::from(capabilities::ALL),
            kernel: (6, 1),
            seccomp: true,
            no_new_privileges: false,
        };
        let cgroups = Cgroups::default();
        let judge = Judge { config: &config, facts: &facts, cgroups: &cgroups };
        judge.settle_host(&mut host)?;
        Ok(host)
    }

    #[test]
    fn defaults_are_filled_in() {
        let host = settle(|_| {}).unwrap();
        assert_eq!(host.runtime, "tare");
        assert_eq!(host.shm_size, Some(64 << 20));
        assert_eq!(host.ipc_mode, IpcMode::Private);
        assert_eq!(host.cgroupns_mode, CgroupnsMode::Host);
        assert_eq!(host.log.driver, "json-file");
        assert!(host.masked_paths.is_some_and(|paths| !paths.is_empty()));
        assert!(settle(|host| host.privileged = true).unwrap().masked_paths.is_none());
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let error = settle(|host| host.runtime = "kata".to_owned()).unwrap_err();
        assert_eq!(error.to_string(), "unknown or invalid runtime name: kata");
    }

    #[test]
    fn what_removes_itself_is_not_started_again() {
        let policy = RestartPolicy::OnFailure { maximum_retries: 1 };
        assert!(settle(|host| host.restart_policy = policy).is_ok());
        let error = settle(|host| {
            host.restart_policy = policy;
            host.auto_remove = true;
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("can't create 'AutoRemove' container"));
    }

    #[test]
    fn a_health_checks_times_make_sense() {
        let refused = |check: Healthcheck| {
            let mut config =
                ContainerConfig { healthcheck: Some(check), ..ContainerConfig::default() };
            settle_config(&mut config).unwrap_err().to_string()
        };
        let short = Healthcheck { interval: 999_999, ..Healthcheck::default() };
        assert_eq!(refused(short), "Interval in Healthcheck cannot be less than 1ms");
        let negative = Healthcheck { start_period: -1, ..Healthcheck::default() };
        assert_eq!(refused(negative), "StartPeriod in Healthcheck cannot be less than 1ms");
        let negative = Healthcheck { retries: -1, ..Healthcheck::default() };
        assert_eq!(refused(negative), "Retries in Healthcheck cannot be negative");
    }

    #[test]
    fn the_program_is_checked_before_anything_is_made() {
        let refused = |config: ContainerConfig| settle_config(&mut config.clone()).is_err();
        assert!(refused(ContainerConfig { working_dir: "x".to_owned(), ..Default::default() }));
        assert!(refused(ContainerConfig { env: vec!["=x".to_owned()], ..Default::default() }));
        assert!(refused(ContainerConfig { hostname: "x".repeat(65), ..Default::default() }));
        let mut config =
            ContainerConfig { working_dir: "/a//b/../c".to_owned(), ..Default::default() };
        settle_config(&mut config).unwrap();
        assert_eq!(config.working_dir, "/a/c");
    }
}
