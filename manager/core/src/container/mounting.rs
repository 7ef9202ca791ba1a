//! From what a container's user wants mounted to what is there to mount.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::config::ContainerConfig;
use super::host_config::HostConfig;
use super::id::ContainerId;
use super::mount::{BindSource, MountKind, Propagation};
use super::record::{MountPoint, MountSource, ReadOnlyReach};
use super::settle::clean;
use crate::error::{Error, Result};
use crate::volume::{Volume, Volumes};

/// Options that every tmpfs of a user's has unless it says otherwise.
const TMPFS_DEFAULTS: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];

/// One thing to be mounted, with its source not yet looked at.
#[derive(Debug, PartialEq)]
pub(super) struct Wish {
    point: MountPoint,
    source: WishedSource,
}

#[derive(Debug, PartialEq)]
enum WishedSource {
    Path { path: PathBuf, create: bool },
    Volume { name: Option<String>, labels: BTreeMap<String, String> },
    Tmpfs,
}

/// All that is wished for, each target once.
///
/// # Errors
/// Invalid if two wishes have the same target.
pub(super) fn wishes(config: &ContainerConfig, host: &HostConfig) -> Result<Vec<Wish>> {
    let mut wishes: BTreeMap<String, Wish> = BTreeMap::new();
    let mut add = |wish: Wish| {
        let target = wish.point.target.clone();
        match wishes.insert(target.clone(), wish) {
            Some(_) => Err(Error::invalid(format!("Duplicate mount point: {target}"))),
            None => Ok(()),
        }
    };
    for bind in &host.binds {
        let point = MountPoint {
            mode: bind.mode.clone(),
            writable: !bind.read_only,
            propagation: bind.propagation,
            ..point(&bind.target)
        };
        let source = match &bind.source {
            BindSource::Path(path) => {
                WishedSource::Path { path: PathBuf::from(clean(path)), create: true }
            }
            BindSource::Volume(name) => volume(Some(name.clone())),
        };
        add(wish(point, source))?;
    }
    for mount in &host.mounts {
        let own = MountPoint { writable: !mount.read_only, ..point(&mount.target) };
        add(match &mount.kind {
            MountKind::Bind {
                source,
                propagation,
                non_recursive,
                create_source,
                read_only_non_recursive,
                read_only_force_recursive,
            } => {
                let read_only = match (read_only_non_recursive, read_only_force_recursive) {
                    (true, _) => ReadOnlyReach::TopOnly,
                    (false, true) => ReadOnlyReach::Required,
                    (false, false) => ReadOnlyReach::IfPossible,
                };
                let path = PathBuf::from(clean(source));
                let (propagation, non_recursive) = (*propagation, *non_recursive);
                wish(
                    MountPoint { propagation, non_recursive, read_only, ..own },
                    WishedSource::Path { path, create: *create_source },
                )
            }
            MountKind::Volume { name, labels, .. } => {
                let (name, labels) = (name.clone(), labels.clone());
                wish(own, WishedSource::Volume { name, labels })
            }
            MountKind::Tmpfs { size, mode } => {
                let mut options = tmpfs_options("");
                options.extend(size.map(|size| format!("size={size}")));
                options.extend(mode.map(|mode| format!("mode={mode:o}")));
                if mount.read_only {
                    options.push("ro".to_owned());
                }
                tmpfs(own, options)
            }
        })?;
    }
    for (target, options) in &host.tmpfs {
        let own = MountPoint { mode: options.clone(), ..point(target) };
        add(tmpfs(own, tmpfs_options(options)))?;
    }
    for target in &config.volumes {
        let own = point(target);
        // What its user mounts at a volume of the image's takes the volume's place.
        if !wishes.contains_key(&own.target) {
            wishes.insert(own.target.clone(), wish(own, volume(None)));
        }
    }
    Ok(wishes.into_values().collect())
}

/// The targets of volumes that are to stay empty.
pub(super) fn not_copied(host: &HostConfig) -> BTreeSet<String> {
    let binds = host.binds.iter().filter(|bind| bind.no_copy).map(|bind| clean(&bind.target));
    let mounts = host.mounts.iter().filter_map(|mount| match mount.kind {
        MountKind::Volume { no_copy: true, .. } => Some(clean(&mount.target)),
        _ => None,
    });
    binds.chain(mounts).collect()
}

/// Makes what has to be made of the wishes' sources: volumes, and directories of binds that aren't
/// there. Blocks.
pub(super) fn provide(
    wishes: Vec<Wish>,
    volumes: &Volumes,
    user: &ContainerId,
) -> Result<(Vec<MountPoint>, Vec<Volume>)> {
    let (mut points, mut used) = (Vec::new(), Vec::new());
    for Wish { mut point, source } in wishes {
        match source {
            WishedSource::Tmpfs => {}
            WishedSource::Path { path, create } => {
                provide_path(&path, create)?;
                point.propagation.get_or_insert(Propagation::Rprivate);
                point.source = MountSource::Path(path);
            }
            WishedSource::Volume { name, labels } => {
                let volume = volumes.provide(user.as_str(), name.as_deref(), labels)?;
                point.source = MountSource::Volume {
                    name: volume.name.clone(),
                    path: volume.path.clone(),
                    anonymous: volume.anonymous,
                };
                used.push(volume);
            }
        }
        points.push(point);
    }
    Ok((points, used))
}

/// Makes sure of a bind's source: `-v` makes a directory of what isn't there, `--mount` refuses it.
pub(super) fn provide_path(path: &Path, create: bool) -> Result<()> {
    let shown = path.display();
    match (path.try_exists(), create) {
        (Ok(true), _) => Ok(()),
        (Ok(false), true) => std::fs::create_dir_all(path).map_err(|error| {
            Error::io(format!("error while creating mount source path '{shown}'"), error)
        }),
        (Ok(false), false) => Err(Error::invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {shown}"
        ))),
        (Err(error), _) => Err(Error::io(format!("look at the mount source {shown}"), error)),
    }
}

fn wish(point: MountPoint, source: WishedSource) -> Wish {
    Wish { point, source }
}

fn volume(name: Option<String>) -> WishedSource {
    WishedSource::Volume { name, labels: BTreeMap::new() }
}

fn tmpfs(mut point: MountPoint, options: Vec<String>) -> Wish {
    point.source = MountSource::Tmpfs { options };
    Wish { point, source: WishedSource::Tmpfs }
}

/// The defaults, but for those that `own` contradicts, and then `own`.
fn tmpfs_options(own: &str) -> Vec<String> {
    let own: Vec<&str> = own.split(',').filter(|option| !option.is_empty()).collect();
    let contradicted = |default: &&str| {
        let opposite = default.strip_prefix("no").unwrap_or(default);
        own.contains(default) || own.contains(&opposite)
    };
    let defaults = TMPFS_DEFAULTS.iter().filter(|default| !contradicted(default));
    defaults.chain(&own).map(|&option| option.to_owned()).collect()
}

fn point(target: &str) -> MountPoint {
    MountPoint {
        source: MountSource::Tmpfs { options: Vec::new() },
        target: clean(target),
        mode: String::new(),
        writable: true,
        propagation: None,
        non_recursive: false,
        read_only: ReadOnlyReach::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(binds: &[&str]) -> HostConfig {
        let binds = binds.iter().map(|bind| bind.parse().unwrap()).collect();
        HostConfig { binds, ..HostConfig::default() }
    }

    #[test]
    fn a_users_mount_takes_the_place_of_an_images_volume() {
        let config = ContainerConfig {
            volumes: ["/data".to_owned(), "/other/".to_owned()].into(),
            ..ContainerConfig::default()
        };
        let wishes = wishes(&config, &host(&["/src:/data:ro"])).unwrap();
        let targets: Vec<_> = wishes.iter().map(|wish| wish.point.target.as_str()).collect();
        assert_eq!(targets, ["/data", "/other"]);
        assert!(!wishes[0].point.writable);
        assert_eq!(wishes[1].source, volume(None));
    }

    #[test]
    fn two_mounts_at_one_place_are_refused() {
        let error = wishes(&ContainerConfig::default(), &host(&["/a:/x", "/b:/x/"])).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate mount point: /x");
    }

    #[test]
    fn a_tmpfs_keeps_the_defaults_that_it_does_not_contradict() {
        assert_eq!(
            tmpfs_options("exec,size=1m"),
            ["nosuid", "nodev", "rprivate", "exec", "size=1m"]
        );
        assert_eq!(tmpfs_options(""), TMPFS_DEFAULTS);
    }

    #[test]
    fn a_missing_source_is_made_for_v_and_refused_for_mount() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        let error = provide_path(&path, false).unwrap_err();
        assert!(error.to_string().contains("bind source path does not exist"));
        provide_path(&path, true).unwrap();
        assert!(path.is_dir());
    }
}
