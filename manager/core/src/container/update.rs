//! Changing limits and the restart policy of a container that is there already.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::Entry;
use super::host_config::{HostConfig, RestartPolicy};
use super::id::ContainerId;
use super::ports::{Port, PortBinding};
use super::record::Container;
use super::resources::Resources;
use super::settle;
use super::spec::{document, limits};
use super::state::State;
use super::supervise::policy;
use super::work::to_the_end;
use super::{Containers, announce};
use crate::error::{Error, Result};

/// What is to be another way. What isn't said stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Limits. Devices, ulimits and the place of the cgroup can't be changed; nothing may be said of
    /// them here.
    pub resources: Resources,
    /// When it is started again.
    pub restart_policy: Option<RestartPolicy>,
    /// Where its ports are published, in place of where they were; for one that doesn't run.
    pub port_bindings: Option<BTreeMap<Port, Vec<PortBinding>>>,
}

impl Containers {
    /// Changes a container; what runs is changed at once. Gives what its user should know.
    ///
    /// # Errors
    /// Invalid for what makes no sense, conflict for what goes ill with what the container has.
    pub async fn update(
        self: &Arc<Self>,
        id: &ContainerId,
        mut update: Update,
    ) -> Result<Vec<String>> {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        let judge =
            settle::Judge { config: &self.config, facts: &self.facts, cgroups: &self.cgroups };
        let warnings = judge.settle_update(&mut update.resources)?;
        to_the_end(async move {
            let _doing = entry.doing.lock().await;
            let id = &entry.container().id;
            containers
                .update_locked(&entry, &update)
                .await
                .map_err(|error| error.while_doing(format!("Cannot update container {id}")))?;
            announce::announce(&containers.events, &entry.container(), "update");
            Ok(warnings)
        })
        .await
    }

    async fn update_locked(&self, entry: &Entry, update: &Update) -> Result<()> {
        let before = entry.container();
        self.index.get(&before.id)?;
        if matches!(before.state, State::Removing { .. } | State::Dead { .. }) {
            return Err(Error::conflict(
                "container is marked for removal and cannot be \"update\"",
            ));
        }
        if update.port_bindings.is_some() && before.state.is_running() {
            return Err(Error::conflict(
                "ports can be published elsewhere only while the container doesn't run; stop it first",
            ));
        }
        let host = HostConfig {
            port_bindings: update
                .port_bindings
                .clone()
                .unwrap_or_else(|| before.host.port_bindings.clone()),
            resources: merged(&before.host.resources, &update.resources)?,
            restart_policy: merged_policy(&before.host, update.restart_policy)?,
            ..before.host.clone()
        };
        let after = self.save(Container { host, ..(*before).clone() }).await?;
        // One that waits to be started again has them from its next start on.
        if update.resources != Resources::default()
            && before.state.is_running()
            && let Some(shim) = entry.any_shim()
            && let Err(error) =
                shim.update(&limits(&update.resources, &before.host.resources)?).await
        {
            self.save((*before).clone()).await?;
            return Err(error);
        }
        entry.publish(Arc::clone(&after));
        if update.restart_policy.is_some()
            && let Some(shim) = entry.any_shim()
        {
            shim.set_restart_policy(policy::of_shim(&after)).await?;
        }
        Ok(())
    }
}

/// The limits that a container has after an update.
fn merged(current: &Resources, wanted: &Resources) -> Result<Resources> {
    let conflict = |text: &str| Err(Error::conflict(text));
    if wanted.nano_cpus > 0 && current.cpu_period > 0 {
        return conflict(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
    }
    if wanted.nano_cpus > 0 && current.cpu_quota > 0 {
        return conflict(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        );
    }
    if wanted.cpu_period > 0 && current.nano_cpus > 0 {
        return conflict(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    if wanted.cpu_quota > 0 && current.nano_cpus > 0 {
        return conflict(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    if wanted.memory > current.memory_swap && wanted.memory != 0 && wanted.memory_swap == 0 {
        return conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the \
             memoryswap at the same time",
        );
    }
    let number = |wanted: i64, current: i64| if wanted == 0 { current } else { wanted };
    let text = |wanted: &String, current: &String| {
        if wanted.is_empty() { current.clone() } else { wanted.clone() }
    };
    Ok(Resources {
        memory: number(wanted.memory, current.memory),
        memory_swap: number(wanted.memory_swap, current.memory_swap),
        memory_reservation: number(wanted.memory_reservation, current.memory_reservation),
        nano_cpus: number(wanted.nano_cpus, current.nano_cpus),
        cpu_shares: number(wanted.cpu_shares, current.cpu_shares),
        cpu_period: number(wanted.cpu_period, current.cpu_period),
        cpu_quota: number(wanted.cpu_quota, current.cpu_quota),
        cpu_realtime_period: number(wanted.cpu_realtime_period, current.cpu_realtime_period),
        cpu_realtime_runtime: number(wanted.cpu_realtime_runtime, current.cpu_realtime_runtime),
        cpuset_cpus: text(&wanted.cpuset_cpus, &current.cpuset_cpus),
        cpuset_mems: text(&wanted.cpuset_mems, &current.cpuset_mems),
        blkio_weight: if wanted.blkio_weight == 0 {
            current.blkio_weight
        } else {
            wanted.blkio_weight
        },
        pids_limit: wanted.pids_limit.or(current.pids_limit),
        ..current.clone()
    })
}

fn merged_policy(host: &HostConfig, wanted: Option<RestartPolicy>) -> Result<RestartPolicy> {
    match wanted {
        None => Ok(host.restart_policy),
        Some(RestartPolicy::No) => Ok(RestartPolicy::No),
        Some(_) if host.auto_remove => Err(Error::conflict(
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        )),
        Some(policy) => Ok(policy),
    }
}

/// What to tell a cgroup that has limits already: that there is to be none is to be said too.
fn limits(wanted: &Resources, current: &Resources) -> Result<document::Resources> {
    let mut memory = limits::memory(wanted);
    if wanted.memory_swap == -1 && current.memory_swap > 0 {
        memory.get_or_insert_default().swap = Some(-1);
    }
    Ok(document::Resources {
        devices: Vec::new(),
        memory,
        cpu: limits::cpu(wanted),
        pids: limits::pids(wanted),
        block_io: limits::block_io(wanted)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays_as_it_is() {
        let current = Resources {
            memory: 32 << 20,
            memory_swap: 64 << 20,
            cpuset_cpus: "0".to_owned(),
            pids_limit: Some(5),
            ..Resources::default()
        };
        let wanted = Resources { memory: 48 << 20, cpu_shares: 7, ..Resources::default() };
        let after = merged(&current, &wanted).unwrap();
        let expected = Resources { memory: 48 << 20, cpu_shares: 7, ..current.clone() };
        assert_eq!(after, expected);
        let more = Resources { memory: 128 << 20, ..Resources::default() };
        assert!(merged(&current, &more).unwrap_err().to_string().contains("memoryswap"));
        let both = Resources { memory_swap: -1, ..more };
        assert_eq!(merged(&current, &both).unwrap().memory, 128 << 20);
        assert_eq!(limits(&both, &current).unwrap().memory.unwrap().swap, Some(-1));
    }

    #[test]
    fn two_ways_to_limit_processors_exclude_each_other() {
        let current = Resources { cpu_quota: 50_000, ..Resources::default() };
        let wanted = Resources { nano_cpus: 1, ..Resources::default() };
        let error = merged(&current, &wanted).unwrap_err();
        assert!(error.to_string().ends_with("as CPU Quota has already been set"));
    }

    #[test]
    fn what_removes_itself_gets_no_policy() {
        let host = HostConfig { auto_remove: true, ..HostConfig::default() };
        assert!(merged_policy(&host, Some(RestartPolicy::Always)).is_err());
        assert_eq!(merged_policy(&host, Some(RestartPolicy::No)).unwrap(), RestartPolicy::No);
    }
}
