//! What is kept of a container on disk, and the two forms in which it is shown.

use super::identity::Identity;
use super::status::Status;
use crate::cgroup::Cgroup;
use crate::error::{Context, Error, Result};
use crate::resctrl;
use oci_spec::runtime::{ContainerState, State, StateBuilder};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// The version of the specification that this program, and the state that it shows, follow.
pub(crate) const SPEC_VERSION: &str = "1.3.0";

/// How far `create` has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The environment is being made.
    Creating,
    /// The environment is there.
    Ready,
}

/// A container's `state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The version of the specification that the state follows.
    pub(crate) oci_version: String,
    /// The container's id.
    pub(crate) id: String,
    /// The bundle's directory.
    pub(crate) bundle: PathBuf,
    /// The root filesystem's directory.
    pub(crate) rootfs: PathBuf,
    /// When it was created (RFC 3339).
    pub(crate) created: String,
    /// How far `create` came.
    pub(crate) phase: Phase,
    /// Its first process.
    pub(crate) init: Identity,
    /// The bundle's annotations.
    pub(crate) annotations: BTreeMap<String, String>,
    /// The namespaces that its processes share, as CLONE_NEW* bits.
    pub(crate) namespaces: i32,
    /// Whether its pid namespace is its own, so that its processes end with its init.
    pub(crate) own_pid_namespace: bool,
    /// Whether its processes get a session keyring of their own.
    pub(crate) new_keyring: bool,
    /// Its cgroups.
    pub(crate) cgroup: Cgroup,
    /// Its group of the resctrl file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<resctrl::Group>,
}

/// A container as the commands `state` and `list` show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    oci_version: String,
    /// The container's id.
    pub(crate) id: String,
    /// Its init's process id; 0 when it has ended.
    pub(crate) pid: u32,
    /// Its status.
    pub(crate) status: String,
    /// The bundle's directory.
    pub(crate) bundle: PathBuf,
    rootfs: PathBuf,
    /// When it was created.
    pub(crate) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    /// Who owns it.
    pub(crate) owner: String,
}

impl Record {
    /// The state as the specification has it, for hooks and seccomp supervisors. `pid` is the init's
    /// id where the reader is.
    pub(crate) fn oci_state(&self, status: Status, pid: u32) -> Result<State> {
        let builder = StateBuilder::default()
            .version(self.oci_version.as_str())
            .id(self.id.as_str())
            .status(match status {
                Status::Creating => ContainerState::Creating,
                Status::Created => ContainerState::Created,
                Status::Running | Status::Paused => ContainerState::Running,
                Status::Stopped => ContainerState::Stopped,
            })
            .bundle(self.bundle.clone());
        let builder = match self.annotations.is_empty() {
            true => builder,
            false => {
                let annotations: HashMap<_, _> = self.annotations.clone().into_iter().collect();
                builder.annotations(annotations)
            }
        };
        match pid {
            0 => builder,
            pid => builder.pid(pid as i32),
        }
        .build()
        .map_err(|error| Error::invalid(format!("container state: {error}")))
    }

    /// What `state` and `list` show.
    pub(crate) fn listing(self, status: Status, owner: String) -> Listing {
        Listing {
            oci_version: self.oci_version,
            id: self.id,
            pid: if status == Status::Stopped { 0 } else { self.init.pid },
            status: status.to_string(),
            bundle: self.bundle,
            rootfs: self.rootfs,
            created: self.created,
            annotations: self.annotations,
            owner,
        }
    }
}

/// `value` as JSON on one line.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::system("write JSON", std::io::Error::from(error)))
        .context(|| "container state")
}
