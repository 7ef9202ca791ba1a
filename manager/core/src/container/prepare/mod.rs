//! All that a start needs before the runtime is asked: the network, the bundle with its spec, the
//! files of ours, and a shim that waits. Each step says how it is taken back.

mod joined;
mod mounts;
mod network;
mod spec;

use std::sync::Arc;

use tare_proto::tare::shim::v1::{Log, Options};

use super::Containers;
use super::bundle::{Bundle, Parts};
use super::log::{Place, attributes_of, tag_of};
use super::modes::IpcMode;
use super::record::Container;
use super::remapped::Users;
use super::spec::user::Account;
use super::supervise::{policy, probe};
use super::undo::Undo;
use super::work::blocking;
use crate::error::{Error, Result};
use crate::network::{Reservation, Sandbox};
use crate::shim::{self, CreateTask, Launch, Shim, restart_policy};
use mounts::check_sources;
use spec::{Told, told_of};

/// What stands ready for the runtime.
pub(super) struct Prepared {
    pub(super) shim: Shim,
    pub(super) task: CreateTask,
    pub(super) sandbox: Option<Sandbox>,
}

impl Containers {
    /// All that comes before the runtime is asked.
    pub(super) async fn prepare(&self, container: &Container, undo: &mut Undo) -> Result<Prepared> {
        let joined = self.joined(container)?;
        let linked = self.linked(container)?;
        let users = self.users_for(container)?;
        check_sources(container).await?;
        let bundle = self.make_bundle(container, users.as_ref(), undo).await?;
        // A network stack belongs to the users that the bundle holds, if they aren't the host's.
        let owner = users.is_some().then(|| bundle.users());
        // The network is the kernel's to make, who runs the program is in files of the image.
        let (connected, account) =
            tokio::join!(self.connect(container, owner, undo), self.account_of(container));
        let (sandbox, reservations) = connected?;
        let account = account?;
        let attached = self.mount_volumes(container, undo).await?;
        self.write_files(container, sandbox.as_ref(), &linked).await?;
        let told = told_of(container, &linked);
        let told = Told { container: &told, users: users.as_ref(), account: &account };
        self.write_spec(told, &attached, sandbox.as_ref(), &joined, &bundle).await?;
        let shim = self.launch_shim(container, &bundle, reservations, undo).await?;
        let mut rootfs = self.images.snapshots().mounts(container.id.as_str())?;
        if users.is_some() {
            // So that the shim shows each part of it with their ids.
            let option = format!("X-tare.userns={}", bundle.users().display());
            rootfs.iter_mut().for_each(|mount| mount.options.push(option.clone()));
        }
        let task = CreateTask {
            bundle: bundle.path,
            rootfs,
            terminal: container.config.tty,
            open_stdin: container.config.open_stdin,
            options: self.shim_options(container, users.as_ref(), &account)?,
        };
        Ok(Prepared { shim, task, sandbox })
    }

    async fn make_bundle(
        &self,
        container: &Container,
        users: Option<&Users>,
        undo: &mut Undo,
    ) -> Result<Bundle> {
        let bundle = Bundle::of(&self.config, &container.id);
        let shared = container.host.ipc_mode == IpcMode::Shareable;
        let size = container.host.shm_size.unwrap_or_else(|| self.config.live().shm_size);
        let parts = Parts {
            shared_memory: shared.then_some(size),
            id_map: users.map(|users| users.id_map.clone()),
            joined_users: users.and_then(|users| users.joined.clone()),
        };
        let (made, gone) = (bundle.clone(), bundle.clone());
        undo.push("take the bundle away", blocking(move || gone.remove()));
        blocking(move || made.make(&parts)).await?;
        Ok(bundle)
    }

    async fn launch_shim(
        &self,
        container: &Container,
        bundle: &Bundle,
        reservations: Vec<Reservation>,
        undo: &mut Undo,
    ) -> Result<Shim> {
        let (config, id, path) =
            (Arc::clone(&self.config), container.id.to_string(), bundle.path.clone());
        undo.push("clean up after the shim", async move {
            shim::clean_up(&config.shim, &id, &path, &config.socket_directory()).await
        });
        let shim = shim::launch(Launch {
            program: &self.config.shim,
            id: container.id.as_str(),
            bundle: &bundle.path,
            sockets: &self.config.socket_directory(),
            reservations,
        })
        .await?;
        let last = shim.clone();
        undo.push("end the shim", async move { last.end().await });
        Ok(shim)
    }

    fn shim_options(
        &self,
        container: &Container,
        users: Option<&Users>,
        account: &Account,
    ) -> Result<Options> {
        let live = self.config.live();
        let runtime = live.runtime(&container.host.runtime).ok_or_else(|| {
            Error::invalid(format!("unknown or invalid runtime name: {}", container.host.runtime))
        })?;
        let log = &container.host.log;
        let (io_uid, io_gid) = users.map_or((0, 0), |users| users.id_map.root());
        Ok(Options {
            runtime: runtime.path.to_string_lossy().into_owned(),
            runtime_arguments: runtime.arguments.clone(),
            runtime_root: self.config.runtime_root().to_string_lossy().into_owned(),
            systemd_cgroup: false,
            state_directory: container.directory.to_string_lossy().into_owned(),
            log: Some(Log {
                driver: log.driver.clone(),
                options: log.options.clone().into_iter().collect(),
                path: Place::of(container)
                    .map(|place| place.path.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                attributes: attributes_of(container)?.into_iter().collect(),
                tag: tag_of(container)?,
                container_id: container.id.to_string(),
                container_name: container.name.clone(),
                image_name: container.image_name.clone(),
            }),
            stdin_once: container.config.stdin_once,
            restart: Some(restart_policy(policy::of_shim(container))),
            health: probe::check_of(container, account, &self.facts)?,
            restarts: container.restart_count,
            io_uid,
            io_gid,
        })
    }
}
