//! From what a container's user wants mounted to what is there to mount.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::ContainerConfig;
use super::host_config::HostConfig;
use super::id::ContainerId;
use super::mount::{BindSource, MountKind, Propagation, VolumeMount};
use super::record::{MountPoint, MountSource, ReadOnlyReach};
use super::settle::clean;
use crate::error::{Error, Result};
use crate::image::{Image, Images};
use crate::volume::{DriverConfig, LOCAL, NewVolume, Volume, Volumes};

/// Options that every tmpfs of a user's has unless it says otherwise.
const TMPFS_DEFAULTS: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];

/// How docker shows that a volume may be shared, where no option is said.
const SHARED: &str = "z";

/// One thing to be mounted, with its source not yet looked at.
#[derive(Debug, PartialEq)]
pub(super) struct Wish {
    point: MountPoint,
    source: WishedSource,
}

#[derive(Debug, PartialEq)]
enum WishedSource {
    Path {
        path: PathBuf,
        create: bool,
    },
    Volume(VolumeMount),
    /// A volume of another container, which is there.
    Shared {
        name: String,
    },
    Image {
        name: String,
        subpath: Option<String>,
    },
    Tmpfs,
}

/// All that is wished for, each target once; what `donated` has at the same place gives way.
///
/// # Errors
/// Invalid if two wishes have the same target.
pub(super) fn wishes(
    config: &ContainerConfig,
    host: &HostConfig,
    donated: Vec<MountPoint>,
) -> Result<Vec<Wish>> {
    let mut wishes: BTreeMap<String, Wish> = BTreeMap::new();
    let mut add = |wish: Wish| {
        let target = wish.point.target.clone();
        match wishes.insert(target.clone(), wish) {
            Some(_) => Err(Error::invalid(format!("Duplicate mount point: {target}"))),
            None => Ok(()),
        }
    };
    let usual_reach =
        if host.read_only_top_only { ReadOnlyReach::TopOnly } else { ReadOnlyReach::IfPossible };
    for bind in &host.binds {
        let mode = match &bind.source {
            BindSource::Volume(_) | BindSource::Anonymous if bind.mode.is_empty() => SHARED,
            _ => &bind.mode,
        };
        let point = MountPoint {
            mode: mode.to_owned(),
            writable: !bind.read_only,
            propagation: bind.propagation,
            read_only: usual_reach,
            ..point(&bind.target)
        };
        let source = match &bind.source {
            BindSource::Path(path) => {
                WishedSource::Path { path: PathBuf::from(clean(path)), create: true }
            }
            BindSource::Volume(name) => volume(Some(name.clone()), host),
            BindSource::Anonymous => volume(None, host),
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
                    (false, false) => usual_reach,
                };
                let path = PathBuf::from(clean(source));
                let (propagation, non_recursive) = (*propagation, *non_recursive);
                wish(
                    MountPoint { propagation, non_recursive, read_only, ..own },
                    WishedSource::Path { path, create: *create_source },
                )
            }
            MountKind::Volume(wanted) => {
                let own = MountPoint { mode: SHARED.to_owned(), ..own };
                wish(own, WishedSource::Volume(wanted.clone()))
            }
            MountKind::Image { image, subpath } => {
                let (name, subpath) = (image.clone(), subpath.clone());
                let propagation = Some(Propagation::Rprivate);
                let own = MountPoint { writable: false, propagation, ..own };
                wish(own, WishedSource::Image { name, subpath })
            }
            MountKind::Tmpfs { size, mode, options: own_options } => {
                let words = own_options.iter().map(|option| option.join("="));
                let mut options = tmpfs_options(&words.collect::<Vec<_>>().join(","));
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
    for point in donated {
        let source = match &point.source {
            MountSource::Path(path) => WishedSource::Path { path: path.clone(), create: true },
            MountSource::Volume { name, .. } => WishedSource::Shared { name: name.clone() },
            MountSource::Image { name, subpath, .. } => {
                WishedSource::Image { name: name.clone(), subpath: subpath.clone() }
            }
            // What is in memory is its container's alone.
            MountSource::Tmpfs { .. } => continue,
        };
        wishes.entry(point.target.clone()).or_insert_with(|| wish(point, source));
    }
    for target in &config.volumes {
        let own = point(target);
        // What its user mounts at a volume of the image's takes the volume's place.
        wishes.entry(own.target.clone()).or_insert_with(|| wish(own, volume(None, host)));
    }
    Ok(wishes.into_values().collect())
}

/// The targets of volumes that are to stay empty.
pub(super) fn not_copied(host: &HostConfig) -> BTreeSet<String> {
    let binds = host.binds.iter().filter(|bind| bind.no_copy).map(|bind| clean(&bind.target));
    let mounts = host.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume(volume) if volume.no_copy => Some(clean(&mount.target)),
        _ => None,
    });
    binds.chain(mounts).collect()
}

/// What wishes come to.
#[derive(Debug, Default)]
pub(super) struct Provided {
    pub(super) points: Vec<MountPoint>,
    /// The volumes among them.
    pub(super) volumes: Vec<Volume>,
    /// The images among them, by the keys of the snapshots that are to show them.
    pub(super) images: Vec<(String, Arc<Image>)>,
}

/// Makes what has to be made of the wishes' sources: volumes, and directories of binds that aren't
/// there. Blocks.
pub(super) fn provide(
    wishes: Vec<Wish>,
    volumes: &Volumes,
    images: &Images,
    user: &ContainerId,
) -> Result<Provided> {
    let mut provided = Provided::default();
    for Wish { mut point, source } in wishes {
        match source {
            WishedSource::Tmpfs => {}
            WishedSource::Path { path, create } => {
                provide_path(&path, create)?;
                point.propagation.get_or_insert(Propagation::Rprivate);
                point.source = MountSource::Path(path);
            }
            WishedSource::Volume(wanted) => {
                let VolumeMount { name, labels, driver, subpath, .. } = wanted;
                let driver = driver.unwrap_or_default();
                let volume = volumes.provide(user.as_str(), NewVolume { name, labels, driver })?;
                // Docker says so of its own volumes alone.
                if volume.driver != LOCAL && point.mode == SHARED {
                    point.mode.clear();
                }
                point.source = MountSource::Volume {
                    name: volume.name.clone(),
                    path: volume.path.clone(),
                    driver: volume.driver.clone(),
                    anonymous: volume.anonymous,
                    subpath,
                };
                provided.volumes.push(volume);
            }
            WishedSource::Shared { name } => {
                provided.volumes.push(volumes.share(user.as_str(), &name)?);
            }
            WishedSource::Image { name, subpath } => {
                let image = images.resolve(&name)?;
                let snapshot = format!("{user}-{}", provided.images.len());
                point.source = MountSource::Image {
                    name,
                    id: image.id.to_string(),
                    snapshot: snapshot.clone(),
                    subpath,
                };
                provided.images.push((snapshot, image));
            }
        }
        provided.points.push(point);
    }
    Ok(provided)
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

/// A volume of which only the name is said, made by the container's driver of volumes.
fn volume(name: Option<String>, host: &HostConfig) -> WishedSource {
    let named = !host.volume_driver.is_empty();
    let driver = named.then(|| DriverConfig::named(&host.volume_driver));
    WishedSource::Volume(VolumeMount { name, driver, ..VolumeMount::default() })
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
        let wishes = wishes(&config, &host(&["/src:/data:ro"]), Vec::new()).unwrap();
        let targets: Vec<_> = wishes.iter().map(|wish| wish.point.target.as_str()).collect();
        assert_eq!(targets, ["/data", "/other"]);
        assert!(!wishes[0].point.writable);
        assert_eq!(wishes[1].source, volume(None, &HostConfig::default()));
    }

    #[test]
    fn what_is_donated_gives_way() {
        let donated = |target: &str| MountPoint {
            source: MountSource::Path("/of/donor".into()),
            ..point(target)
        };
        let config =
            ContainerConfig { volumes: ["/data".to_owned()].into(), ..ContainerConfig::default() };
        let points = vec![donated("/own"), donated("/data"), point("/memory")];
        let wishes = wishes(&config, &host(&["/src:/own"]), points).unwrap();
        let path = |path: &str| WishedSource::Path { path: path.into(), create: true };
        let sources: Vec<_> = wishes.iter().map(|wish| &wish.source).collect();
        assert_eq!(sources, [&path("/of/donor"), &path("/src")]);
    }

    #[test]
    fn two_mounts_at_one_place_are_refused() {
        let host = host(&["/a:/x", "/b:/x/"]);
        let error = wishes(&ContainerConfig::default(), &host, Vec::new()).unwrap_err();
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
