//! The container as the runtime is told of it.

use std::borrow::Cow;

use super::joined::{Joined, JoinedNetwork};
use crate::container::bundle::Bundle;
use crate::container::link::Linked;
use crate::container::modes::IpcMode;
use crate::container::record::Container;
use crate::container::remapped::Users;
use crate::container::rootfs::Rootfs;
use crate::container::settle::clean;
use crate::container::spec::namespaces::NetworkSource;
use crate::container::spec::user::Account;
use crate::container::spec::{self, Inputs};
use crate::container::work::blocking;
use crate::container::{Containers, cdi};
use crate::error::Result;
use crate::network::Sandbox;
use crate::volume::Attached;

/// A container as the runtime is told of it, and who runs it.
pub(super) struct Told<'a> {
    pub(super) container: &'a Container,
    pub(super) users: Option<&'a Users>,
    pub(super) account: &'a Account,
}

impl Containers {
    /// Who runs the container's program.
    pub(super) async fn account_of(&self, container: &Container) -> Result<Account> {
        let mounts = self.images.snapshots().mounts(container.id.as_str())?;
        let accounts = blocking(move || Rootfs::mount(&mounts)?.accounts()).await?;
        accounts.resolve(&container.config.user, &container.host.group_add)
    }

    pub(super) async fn write_spec(
        &self,
        Told { container, users, account }: Told<'_>,
        attached: &Attached,
        sandbox: Option<&Sandbox>,
        joined: &Joined,
        bundle: &Bundle,
    ) -> Result<()> {
        let files = self.files_of(container);
        let own_shm = bundle.shared_memory();
        let other_shm = match &container.host.ipc_mode {
            IpcMode::Container(other) => {
                Some(Bundle::of(&self.config, &self.find(other)?.id).shared_memory())
            }
            IpcMode::Shareable => Some(own_shm),
            IpcMode::Host => Some("/dev/shm".into()),
            IpcMode::Default | IpcMode::None | IpcMode::Private => None,
        };
        let held_users = bundle.users();
        let netns = sandbox.and_then(|sandbox| sandbox.netns.as_deref());
        let staged = self.stage(container, attached, users, bundle).await?;
        let mut spec = spec::generate(&Inputs {
            container,
            host: &self.facts,
            account,
            cgroup: self.cgroup_of(container),
            users: users.map(|users| (&users.id_map, held_users.as_path())),
            network: match (&joined.network, netns) {
                (Some(JoinedNetwork::Held(path)), _) => NetworkSource::Held(path),
                (None, Some(path)) => NetworkSource::Held(path),
                (Some(JoinedNetwork::Host), _) | (None, None) => NetworkSource::Host,
            },
            pid_of: joined.pid,
            ipc_of: joined.ipc,
            shared_memory: other_shm.as_deref(),
            limited: self.images.snapshots().is_limited(container.id.as_str())?,
            files: &files.targets(),
            staged: &staged,
            foreign: &attached.foreign,
            init: spec::wants_init(container, self.config.init_by_default)
                .then_some(self.config.init.as_path()),
        })?;
        let (bundle, wanted) = (bundle.clone(), container.host.resources.device_requests.clone());
        blocking(move || {
            cdi::add(&mut spec, &wanted)?;
            bundle.write_spec(&spec)
        })
        .await
    }

    /// The cgroup of a container.
    pub(in crate::container) fn cgroup_of(&self, container: &Container) -> String {
        let own = container.host.resources.cgroup_parent.as_str();
        let parent = if own.is_empty() { &self.config.cgroup_parent } else { own };
        format!("{}/{}", clean(parent).trim_end_matches('/'), container.id)
    }
}

/// The container with what its program shall know of those that it is linked to; what its user has
/// set counts more.
pub(super) fn told_of<'a>(container: &'a Container, linked: &[Linked]) -> Cow<'a, Container> {
    if linked.is_empty() {
        return Cow::Borrowed(container);
    }
    let mut told = container.clone();
    let own = std::mem::take(&mut told.config.env);
    told.config.env =
        linked.iter().flat_map(|other| other.variables(&container.name)).chain(own).collect();
    Cow::Owned(told)
}
