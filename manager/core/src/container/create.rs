//! Making containers.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::entry::Entry;
use super::files::Files;
use super::id::ContainerId;
use super::membership::{self, Membership};
use super::modes::{IpcMode, NetworkMode, PidMode};
use super::mounting::Provided;
use super::options::{Create, Created};
use super::record::{Container, MountSource};
use super::rootfs::Rootfs;
use super::state::State;
use super::supervise::probe::Test;
use super::undo::Undo;
use super::work::{blocking, to_the_end};
use super::{
    Containers, HostConfig, RECORDS, announce, merge, mounting, name, remapped, settle, staging,
    storage,
};
use crate::disk::sync_directory;
use crate::error::{Error, Kind, Result};
use crate::image::{Image, Platform};
use crate::volume::Volume;

/// The file by which programs find out that they run in a container.
const MARK: &str = ".dockerenv";

impl Containers {
    /// Makes a container. Either all of it is there on return, or nothing.
    ///
    /// # Errors
    /// Not found for the image, conflict for the name, invalid or unsupported for the settings.
    pub async fn create(self: &Arc<Self>, request: Create) -> Result<Created> {
        let containers = Arc::clone(self);
        to_the_end(async move { containers.create_now(request).await }).await
    }

    async fn create_now(&self, mut request: Create) -> Result<Created> {
        let name = &request.config.image;
        let image = self.images.resolve_for(name, request.platform.as_ref())?;
        let mut warnings = self.settle(&mut request, &image)?;
        if request.platform.is_none() {
            warnings.extend(another_platform(&image));
        }
        let wanted = request.name.as_deref().map(name::check).transpose()?;
        let id = ContainerId::random();
        let reservation = self.index.reserve(wanted, &id)?;
        let _coming = self.index.coming(&id, &image.id.to_string());
        self.images.confirm(image.id, &request.config.image).await?;
        let mut undo = Undo::default();
        let made = self.make(&id, reservation.name(), request, &image, &mut undo).await;
        let container = match made {
            Ok(container) => container,
            Err(error) => {
                undo.run(id.as_str()).await;
                return Err(error);
            }
        };
        reservation.keep();
        announce::announce(&self.events, &container, "create");
        self.index.insert(Arc::new(Entry::new(container)));
        Ok(Created { id, warnings })
    }

    /// Judges the request before anything is made, and completes it.
    fn settle(&self, request: &mut Create, image: &Image) -> Result<Vec<String>> {
        settle::settle_config(&mut request.config)?;
        let defaults = &image.config.defaults;
        merge::merge(&mut request.config, defaults)?;
        settle::settle_config(&mut request.config)?;
        let judge =
            settle::Judge { config: &self.config, facts: &self.facts, cgroups: &self.cgroups };
        let mut warnings = judge.settle_host(&mut request.host)?;
        self.pin_joined(&mut request.host)?;
        self.pin_networks(&mut request.host);
        self.check_networks(&request.host)?;
        self.pin_links(&mut request.host)?;
        if let Test::Unknown(kind) = Test::of(request.config.healthcheck.as_ref()) {
            warnings.push(format!(
                "Unknown healthcheck type '{kind}' (expected 'CMD' or 'CMD-SHELL'): the health of \
                 the container is not checked."
            ));
        }
        Ok(warnings)
    }

    /// Turns names of containers whose namespaces are joined into ids, which outlive a renaming.
    fn pin_joined(&self, host: &mut HostConfig) -> Result<()> {
        let pin = |name: &mut String| -> Result<()> {
            self.find(name)?.id.as_str().clone_into(name);
            Ok(())
        };
        if let NetworkMode::Container(name) = &mut host.network_mode {
            pin(name)
                .map_err(|error| error.while_doing("joining network namespace of container"))?;
        }
        if let PidMode::Container(name) = &mut host.pid_mode {
            pin(name)?;
        }
        if let IpcMode::Container(name) = &mut host.ipc_mode {
            pin(name)?;
        }
        Ok(())
    }

    /// Calls networks by their names, whatever their user called them. One that isn't there may be
    /// when the container starts.
    fn pin_networks(&self, host: &mut HostConfig) {
        let wanted = std::mem::take(&mut host.networks);
        for (given, membership) in wanted {
            let given = NetworkMode::from(given);
            let name = given.network().unwrap_or_default();
            let found = self.networks.find(name);
            host.networks.insert(found.map_or_else(|_| name.to_owned(), |n| n.name), membership);
        }
        let Some(name) = host.network_mode.network() else { return };
        let Ok(found) = self.networks.find(name) else {
            if host.networks.is_empty() {
                host.networks.insert(name.to_owned(), Membership::default());
            }
            return;
        };
        if host.networks.is_empty() {
            host.networks.insert(found.name.clone(), Membership::default());
        }
        if !found.predefined && name != found.name && name != found.id {
            host.network_mode = NetworkMode::Named(found.id);
        }
    }

    /// Refuses what the networks that are there can't give.
    fn check_networks(&self, host: &HostConfig) -> Result<()> {
        host.networks.iter().try_for_each(|(name, wanted)| match self.networks.find(name) {
            Ok(network) => membership::check(&network, wanted)
                .map_err(|error| error.while_doing(format!("invalid config for network {name}"))),
            Err(_) => Ok(()),
        })
    }

    /// Makes everything that the container has on disk, its record last.
    async fn make(
        &self,
        id: &ContainerId,
        name: &str,
        request: Create,
        image: &Image,
        undo: &mut Undo,
    ) -> Result<Container> {
        let Create { mut config, host, .. } = request;
        if config.hostname.is_empty() {
            config.hostname = self.default_hostname(id, &host.network_mode)?;
        }
        let key = id.as_str().to_owned();
        let images = Arc::clone(&self.images);
        let limit = storage::limit(&host.storage_options, self.config.storage_limit)?;
        self.images.snapshots().prepare(&key, image, limit).await?;
        undo.push("take the snapshot away", async move { images.snapshots().remove(&key).await });

        let directory = self.config.container_directory(id.as_str());
        let gone = directory.clone();
        undo.push("take the directory away", blocking(move || remove_directory(&gone)));
        let (path, arguments) = merge::command(&config);
        let mut container = Container {
            id: id.clone(),
            name: name.to_owned(),
            created: Timestamp::now(),
            path,
            arguments,
            image_name: config.image.clone(),
            image_id: image.id.to_string(),
            config,
            host,
            state: State::Created { failure: None },
            network: None,
            mounts: Vec::new(),
            restart_count: 0,
            stopped_by_user: false,
            frozen_for_commit: false,
            health: None,
            log_path: None,
            directory,
            execs: Vec::new(),
        };
        if container.host.log.driver == "json-file" {
            container.log_path = Some(container.directory.join(format!("{id}-json.log")));
        }
        self.mark_root(&container).await?;
        let volumes = self.provide_mounts(&mut container, undo).await?;
        self.fill_root(&container, &volumes).await?;
        self.commit(container, volumes).await
    }

    /// The name that goes with the network's: the container that shares it has the same.
    fn default_hostname(&self, id: &ContainerId, network: &NetworkMode) -> Result<String> {
        Ok(match network {
            NetworkMode::Host => crate::host::System::read().host_name,
            NetworkMode::Container(other) => self.find(other)?.config.hostname.clone(),
            _ => id.short().to_owned(),
        })
    }

    /// Leaves the file by which programs find out that they run in a container.
    async fn mark_root(&self, container: &Container) -> Result<()> {
        let (images, id) = (Arc::clone(&self.images), container.id.clone());
        blocking(move || images.snapshots().upper(id.as_str())?.own.place(MARK)).await
    }

    /// Provides what the container's user wants mounted; gives the volumes among it.
    async fn provide_mounts(
        &self,
        container: &mut Container,
        undo: &mut Undo,
    ) -> Result<Vec<Volume>> {
        let donated = self.donated(&container.host)?;
        let wishes = mounting::wishes(&container.config, &container.host, donated)?;
        let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
        undo.push("give the volumes up", blocking(move || volumes.give_up(id.as_str())));
        let (volumes, images) = (Arc::clone(&self.volumes), Arc::clone(&self.images));
        let (id, directory) = (container.id.clone(), container.directory.clone());
        let Provided { points, volumes, images } = blocking(move || {
            make_directory(&directory)?;
            mounting::provide(wishes, &volumes, &images, &id)
        })
        .await?;
        for (key, image) in images {
            self.images.snapshots().prepare(&key, &image, None).await?;
            let images = Arc::clone(&self.images);
            undo.push("take an image's snapshot away", async move {
                images.snapshots().remove(&key).await
            });
        }
        container.mounts = points;
        Ok(volumes)
    }

    /// Makes the working directory if the image doesn't have it, and fills new volumes with what
    /// the image has at their places.
    async fn fill_root(&self, container: &Container, used: &[Volume]) -> Result<()> {
        let working_dir = container.config.working_dir.clone();
        let no_copy = mounting::not_copied(&container.host);
        let to_fill: Vec<(Volume, String, Option<String>)> = container
            .mounts
            .iter()
            .filter(|point| !no_copy.contains(&point.target))
            .filter_map(|point| match &point.source {
                MountSource::Volume { name, subpath, .. } => {
                    let volume = used.iter().find(|volume| volume.name == *name)?;
                    Some((volume.clone(), point.target.clone(), subpath.clone()))
                }
                MountSource::Path(_) | MountSource::Tmpfs { .. } | MountSource::Image { .. } => {
                    None
                }
            })
            .collect();
        if to_fill.is_empty() && matches!(working_dir.as_str(), "" | "/") {
            return Ok(());
        }
        let mounts = self.images.snapshots().mounts(container.id.as_str())?;
        let (volumes, id) = (Arc::clone(&self.volumes), container.id.clone());
        let id_map = remapped::id_map_for(&self.config, &container.host).cloned();
        blocking(move || {
            let root = Rootfs::mount(&mounts)?;
            root.make_directory(&working_dir)
                .map_err(|error| error.while_doing("make the working directory"))?;
            for (volume, target, subpath) in to_fill {
                let from = match root.directory(&target) {
                    // It may be a file of the volume's that is mounted there.
                    Err(_) if subpath.is_some() => None,
                    from => from.map_err(|_| {
                        Error::invalid(format!(
                            "cannot mount volume over existing file, file exists {target}"
                        ))
                    })?,
                };
                if let Some(from) = from {
                    let mounted = volumes.mount_provided(id.as_str(), &volume);
                    let filled = mounted.and_then(|attached| {
                        let at = attached.places.get(&volume.name).unwrap_or(&volume.path);
                        let at = staging::part_of(at, subpath.as_deref())?;
                        // It keeps the host's ids, and the image has the container's.
                        let ids = id_map.as_ref();
                        let ids = ids.filter(|_| attached.foreign.contains(&volume.name));
                        volumes.fill(&volume, at.as_fd(), from.as_fd(), ids)
                    });
                    volumes.unmount(id.as_str())?;
                    match filled {
                        // Its device may come before the container is started.
                        Err(error) if error.kind() == Kind::NotFound => {}
                        filled => filled?,
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Writes the record, with those of the volumes that are new: from here on, the container is.
    async fn commit(&self, container: Container, used: Vec<Volume>) -> Result<Container> {
        let volumes = Arc::clone(&self.volumes);
        blocking(move || {
            volumes
                .commit(&used, |change| change.put(&RECORDS, container.id.as_str(), &container))?;
            Ok(container)
        })
        .await
    }

    /// Where the container's hosts file and the like are: its own, or those of the container whose
    /// network it shares.
    pub(super) fn files_of(&self, container: &Container) -> Files {
        let directory = match &container.host.network_mode {
            NetworkMode::Container(other) => self.config.container_directory(other),
            _ => container.directory.clone(),
        };
        Files::in_directory(&directory)
    }
}

fn make_directory(directory: &PathBuf) -> Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o710)
        .recursive(true)
        .create(directory)
        .map_err(|error| Error::io(format!("make the directory {}", directory.display()), error))?;
    // Its name must be there when the record is.
    directory.parent().map_or(Ok(()), sync_directory)
}

/// Takes a directory and all in it away; it is no error if there is none.
pub(super) fn remove_directory(directory: &PathBuf) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", directory.display()), error))
        }
        _ => Ok(()),
    }
}

/// What its user should know if nobody asked for an image that this machine does not run by itself.
fn another_platform(image: &Image) -> Option<String> {
    let (host, config) = (Platform::of_this_machine(), &image.config);
    if host.rank_of(&image.platform()).is_some() {
        return None;
    }
    let variant = config.variant.as_deref().map(|variant| format!("/{variant}"));
    Some(format!(
        "The requested image's platform (linux/{}{}) does not match the detected host platform \
         ({host}) and no specific platform was requested",
        config.architecture,
        variant.unwrap_or_default(),
    ))
}
