//! A container for tests.

use std::path::PathBuf;

use jiff::Timestamp;

use super::config::ContainerConfig;
use super::host_config::HostConfig;
use super::id::ContainerId;
use super::record::Container;
use super::spec::paths;
use super::state::State;

/// An ordinary one that was never started.
pub(super) fn container() -> Container {
    let id = ContainerId::random();
    Container {
        name: "calm_turing".to_owned(),
        created: Timestamp::now(),
        path: "sleep".to_owned(),
        arguments: vec!["1".to_owned()],
        image_name: "box".to_owned(),
        image_id: "sha256:0".to_owned(),
        config: ContainerConfig { hostname: id.short().to_owned(), ..ContainerConfig::default() },
        host: HostConfig {
            masked_paths: Some(paths::masked()),
            readonly_paths: Some(paths::read_only()),
            runtime: "tare".to_owned(),
            shm_size: Some(64 << 20),
            ..HostConfig::default()
        },
        state: State::Created { failure: None },
        network: None,
        mounts: Vec::new(),
        restart_count: 0,
        stopped_by_user: false,
        frozen_for_commit: false,
        health: None,
        directory: PathBuf::from("/data/containers").join(id.as_str()),
        log_path: None,
        execs: Vec::new(),
        id,
    }
}
