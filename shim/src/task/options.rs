//! The options of Create: Tare's own, containerd's for runc, or none.

use std::path::{Path, PathBuf};

use prost::Message;
use tare_proto::containerd::linux::runc as legacy;
use tare_proto::containerd::runc::v1::Options as RuncOptions;
use tare_proto::tare::shim::v1::restart_policy::When;
use tare_proto::tare::shim::v1::{self as api, Log, Options as TareOptions};

use super::checkpoint::absolute;
use super::health::HealthCheck;
use super::legacy::create_options;
use super::restart::RestartPolicy;
use crate::error::{Context, Error, Result};
use crate::io::Owner;
use crate::runtime::RuntimeConfig;

/// The OCI runtime that is used where none is named.
const DEFAULT_RUNTIME: &str = "tare";
/// Where the runtime keeps its state for a containerd that names no place; each of containerd's
/// namespaces has a directory below, as ids may be the same in two of them.
const CONTAINERD_RUNTIME_ROOT: &str = "/run/containerd/tare";

/// What the options come down to.
#[derive(Debug)]
pub(crate) struct TaskOptions {
    /// Which runtime to call, and how.
    pub(crate) runtime: RuntimeConfig,
    /// Where the record goes; into the bundle where `None`.
    pub(crate) state_directory: Option<PathBuf>,
    /// What is logged.
    pub(crate) log: Option<Log>,
    /// End the init's input with its first client.
    pub(crate) stdin_once: bool,
    /// Who owns the pipes.
    pub(crate) owner: Owner,
    /// When it is started again.
    pub(crate) restart: RestartPolicy,
    /// How to find out whether it is well.
    pub(super) health: Option<HealthCheck>,
    /// How often others have started it again.
    pub(crate) restarts: u32,
    /// The files that the container is to be made of; empty where Create alone says.
    pub(crate) criu_images: String,
    /// Where criu's own files go.
    pub(crate) criu_work: Option<PathBuf>,
    /// The cgroup that the shim itself is to be in.
    pub(crate) shim_cgroup: Option<String>,
}

impl TaskOptions {
    /// Reads the options that a caller in `namespace` gave.
    pub(crate) fn read(options: Option<&prost_types::Any>, namespace: &str) -> Result<Self> {
        let Some(options) = options.filter(|any| !any.type_url.is_empty()) else {
            return Self::from_runc(RuncOptions::default(), namespace);
        };
        let what = || format!("understand the options {}", options.type_url);
        match options.type_url.rsplit('/').next().unwrap_or_default() {
            "tare.shim.v1.Options" => {
                let options = TareOptions::decode(options.value.as_slice()).context(what)?;
                Self::from_tare(options)
            }
            "containerd.runc.v1.Options" => {
                let options = RuncOptions::decode(options.value.as_slice()).context(what)?;
                Self::from_runc(options, namespace)
            }
            "containerd.linux.runc.CreateOptions" => {
                let options = legacy::CreateOptions::decode(options.value.as_slice());
                Self::from_runc(create_options(options.context(what)?)?, namespace)
            }
            other => Err(Error::invalid(format!(
                "options of type {other:?}: give tare.shim.v1.Options or containerd.runc.v1.Options"
            ))),
        }
    }

    fn from_tare(options: TareOptions) -> Result<Self> {
        let state_directory = non_empty(&options.state_directory).map(PathBuf::from);
        if state_directory.as_ref().is_some_and(|directory| !directory.is_absolute()) {
            let directory = options.state_directory;
            return Err(Error::invalid(format!("state directory {directory:?} must be absolute")));
        }
        Ok(TaskOptions {
            runtime: RuntimeConfig {
                program: runtime_program(&options.runtime),
                arguments: options.runtime_arguments,
                root: non_empty(&options.runtime_root).map(PathBuf::from),
                systemd_cgroup: options.systemd_cgroup,
                no_pivot: false,
                no_new_keyring: false,
            },
            state_directory,
            log: options.log,
            stdin_once: options.stdin_once,
            owner: Owner { uid: non_zero(options.io_uid), gid: non_zero(options.io_gid) },
            restart: options.restart.as_ref().map_or(Ok(RestartPolicy::Never), restart_policy)?,
            health: options.health.as_ref().map(HealthCheck::read).transpose()?,
            restarts: options.restarts,
            criu_images: String::new(),
            criu_work: None,
            shim_cgroup: None,
        })
    }

    fn from_runc(options: RuncOptions, namespace: &str) -> Result<Self> {
        let root = non_empty(&options.root).unwrap_or(CONTAINERD_RUNTIME_ROOT);
        Ok(TaskOptions {
            runtime: RuntimeConfig {
                program: runtime_program(&options.binary_name),
                arguments: Vec::new(),
                root: Some(Path::new(root).join(namespace)),
                systemd_cgroup: options.systemd_cgroup,
                no_pivot: options.no_pivot_root,
                no_new_keyring: options.no_new_keyring,
            },
            state_directory: None,
            log: None,
            stdin_once: false,
            owner: Owner { uid: non_zero(options.io_uid), gid: non_zero(options.io_gid) },
            restart: RestartPolicy::Never,
            health: None,
            restarts: 0,
            criu_work: absolute(&options.criu_work_path, "criu_work_path")?,
            criu_images: options.criu_image_path,
            shim_cgroup: Some(options.shim_cgroup).filter(|path| !path.is_empty()),
        })
    }
}

/// A policy as callers name it.
pub(crate) fn restart_policy(policy: &api::RestartPolicy) -> Result<RestartPolicy> {
    let maximum_retries = policy.maximum_retries;
    match When::try_from(policy.when) {
        Ok(When::OnFailure) => Ok(RestartPolicy::OnFailure { maximum_retries }),
        Ok(When::Never | When::Always) if maximum_retries != 0 => {
            Err(Error::invalid("a restart policy has maximum retries with ON_FAILURE only"))
        }
        Ok(When::Never) => Ok(RestartPolicy::Never),
        Ok(When::Always) => Ok(RestartPolicy::Always),
        Err(unknown) => Err(Error::invalid(format!("restart policy: {unknown}"))),
    }
}

/// The runtime to call: as it was named, or `tare` from where this program is, or from $PATH.
fn runtime_program(name: &str) -> PathBuf {
    if let Some(name) = non_empty(name) {
        return PathBuf::from(name);
    }
    let sibling = std::env::current_exe().ok().map(|shim| shim.with_file_name(DEFAULT_RUNTIME));
    sibling.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(DEFAULT_RUNTIME))
}

fn non_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn non_zero(id: u32) -> Option<u32> {
    Some(id).filter(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn any(type_url: &str, message: &impl Message) -> prost_types::Any {
        prost_types::Any { type_url: type_url.into(), value: message.encode_to_vec() }
    }

    #[test]
    fn containerds_namespaces_are_kept_apart() {
        let options = TaskOptions::read(None, "k8s.io").unwrap();
        assert_eq!(options.runtime.root, Some("/run/containerd/tare/k8s.io".into()));
        let runc = RuncOptions {
            binary_name: "/bin/crun".into(),
            root: "/r".into(),
            io_uid: 7,
            ..RuncOptions::default()
        };
        let options =
            TaskOptions::read(Some(&any("containerd.runc.v1.Options", &runc)), "n").unwrap();
        assert_eq!(options.runtime.root, Some("/r/n".into()));
        assert_eq!(options.runtime.program, Path::new("/bin/crun"));
        assert_eq!((options.owner.uid, options.owner.gid), (Some(7), None));
    }

    #[test]
    fn reads_tares_own() {
        let tare = TareOptions { state_directory: "/s".into(), ..TareOptions::default() };
        let options =
            TaskOptions::read(Some(&any("x.io/tare.shim.v1.Options", &tare)), "n").unwrap();
        assert_eq!(options.runtime.root, None);
        assert_eq!(options.state_directory, Some("/s".into()));
        assert_eq!(options.restart, RestartPolicy::Never);
        let tare = TareOptions { state_directory: "s".into(), ..tare };
        assert!(TaskOptions::read(Some(&any("tare.shim.v1.Options", &tare)), "n").is_err());
    }

    #[test]
    fn reads_restart_policies() {
        let read = |when: i32, maximum_retries| {
            restart_policy(&api::RestartPolicy { when, maximum_retries })
        };
        let on_failure = RestartPolicy::OnFailure { maximum_retries: 5 };
        assert_eq!(read(When::OnFailure.into(), 5).unwrap(), on_failure);
        assert_eq!(read(When::Always.into(), 0).unwrap(), RestartPolicy::Always);
        for (when, retries) in [(When::Always.into(), 1), (When::Never.into(), 1), (77, 0)] {
            assert_eq!(read(when, retries).unwrap_err().kind(), Kind::InvalidArgument);
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let unknown = TaskOptions::read(Some(&any("some.Options", &RuncOptions::default())), "n");
        assert_eq!(unknown.unwrap_err().kind(), Kind::InvalidArgument);
    }
}
