//! A mount of the bundle, as the kernel will be asked for it.

use super::options::{
    ATIME, AtimeWord, Effect, NOATIME, NODIRATIME, NOSYMFOLLOW, RDONLY, RELATIME, STRICTATIME,
    SWITCHES, find,
};
use crate::error::{Error, Result};
use crate::linux::mount::Depth;
use oci_spec::runtime::{LinuxIdMapping, Mount};
use std::path::{Component, Path, PathBuf};

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A part of the host's tree, with the mounts below it or without.
    Bind(Depth),
    /// The container's own cgroups, in the way this host has them.
    Cgroups,
    /// A new instance of a file system of this type.
    New(String),
}

/// Attributes to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// MOUNT_ATTR_* bits to set.
    pub(crate) set: u64,
    /// MOUNT_ATTR_* bits to clear.
    pub(crate) clear: u64,
}

/// An option for the file system itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: String,
    /// Its value, if it takes one.
    pub(crate) value: Option<String>,
}

/// Which ids a mount shows.
#[derive(Debug, Clone)]
pub(crate) struct IdMap {
    /// Whether the mounts below are mapped too.
    pub(crate) depth: Depth,
    /// The user and group mappings; `None` takes those of the container's user namespace.
    pub(crate) mappings: Option<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>)>,
}

/// A mount of the bundle, ready to be made.
#[derive(Debug, Clone)]
pub(crate) struct MountPlan {
    /// Where, inside the container; absolute.
    pub(crate) destination: PathBuf,
    /// What, an absolute path on the host for a bind mount, else a name.
    pub(crate) source: Option<PathBuf>,
    /// The kind of mount.
    pub(crate) what: What,
    /// Changes to the mount.
    pub(crate) attributes: Attributes,
    /// Changes to the mount and all below it.
    pub(crate) tree_attributes: Attributes,
    /// Propagation types, in the order given.
    pub(crate) propagation: Vec<(u64, Depth)>,
    /// Options for the file system.
    pub(crate) parameters: Vec<Parameter>,
    /// Whether a tmpfs is filled with what lies below it.
    pub(crate) copy_up: bool,
    /// The mapping of ids.
    pub(crate) id_map: Option<IdMap>,
    /// Whether attributes that are not named keep their value.
    remount: bool,
    /// Whether any attribute is named.
    is_restricted: bool,
    /// What is said about access times.
    atime: Vec<AtimeWord>,
}

impl MountPlan {
    /// The same, without the right to write.
    pub(crate) fn read_only(mut self) -> MountPlan {
        self.attributes.set |= RDONLY;
        self.attributes.clear &= !RDONLY;
        self
    }

    /// Understands `mount` of the bundle in the directory `bundle`, whose container has its root at
    /// `rootfs` on the host, or says which option makes no sense.
    pub(crate) fn parse(mount: &Mount, bundle: &Path, rootfs: &Path) -> Result<MountPlan> {
        let typ = mount.typ().as_deref().unwrap_or_default();
        let mut plan = MountPlan {
            destination: inside(mount.destination(), rootfs),
            source: mount.source().clone(),
            what: match typ {
                "bind" => What::Bind(Depth::One),
                "cgroup" => What::Cgroups,
                other => What::New(other.to_owned()),
            },
            attributes: Attributes::default(),
            tree_attributes: Attributes::default(),
            propagation: Vec::new(),
            parameters: Vec::new(),
            copy_up: false,
            id_map: None,
            remount: false,
            is_restricted: false,
            atime: Vec::new(),
        };
        for option in mount.options().iter().flatten() {
            plan.take(option);
        }
        plan.settle_access_times();
        if let (What::Bind(_), Some(source)) = (&plan.what, &plan.source)
            && !source.as_os_str().is_empty()
        {
            plan.source = Some(bundle.join(source));
        }
        if mount.destination().as_os_str().is_empty() {
            return Err(Error::invalid("mount destination is empty"));
        }
        plan.take_mappings(mount)?;
        plan.check().map_err(|error| {
            error.context(format!("invalid mount {}", mount.destination().display()))
        })?;
        Ok(plan)
    }

    fn take(&mut self, option: &str) {
        let effect = find(option);
        self.is_restricted |= effect.is_some_and(|effect| effect.restricts());
        match effect {
            Some(Effect::Nothing | Effect::Default) => {}
            Some(Effect::Set(bits)) => self.attributes.assign(bits, bits),
            Some(Effect::Clear(bits)) => self.attributes.assign(bits, 0),
            Some(Effect::Atime(word)) => self.atime.push(word),
            Some(Effect::NotAtime(word)) => self.atime.retain(|said| *said != word),
            Some(Effect::SetTree(bits)) => self.tree_attributes.assign(bits, bits),
            Some(Effect::ClearTree(bits)) => self.tree_attributes.assign(bits, 0),
            Some(Effect::AtimeTree(value)) => self.tree_attributes.assign(ATIME, value),
            Some(Effect::NotAtimeTree(value)) => {
                let said = self.tree_attributes.set & ATIME;
                let left = if said == value { RELATIME } else { said };
                self.tree_attributes.assign(ATIME, left);
            }
            Some(Effect::Propagate(kind, depth)) => self.propagation.push((kind, depth)),
            Some(Effect::Bind(Depth::One)) if self.what == What::Bind(Depth::Tree) => {}
            Some(Effect::Bind(depth)) => self.what = What::Bind(depth),
            Some(Effect::IdMap(depth)) => {
                self.id_map = Some(IdMap { depth, mappings: None });
            }
            Some(Effect::CopyUp) => self.copy_up = true,
            Some(Effect::Remount) => self.remount = true,
            Some(Effect::FileSystem(name)) => {
                self.parameters.push(Parameter { name: name.to_owned(), value: None });
            }
            None => {
                let (name, value) = match option.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (option, None),
                };
                if !name.is_empty() {
                    self.parameters.push(Parameter { name: name.to_owned(), value });
                }
            }
        }
    }

    /// As mount(2) has it: whoever says anything about access times says all, and `relatime` is
    /// what is meant by saying little. To take back what was never said changes nothing.
    fn settle_access_times(&mut self) {
        let said = |word| self.atime.contains(&word);
        if self.atime.is_empty() {
            return;
        }
        let value = match (said(AtimeWord::Strict), said(AtimeWord::Never)) {
            (true, _) => STRICTATIME,
            (false, true) => NOATIME,
            (false, false) => RELATIME,
        };
        let directories = if said(AtimeWord::NotOfDirectories) { NODIRATIME } else { 0 };
        self.attributes.assign(ATIME, value);
        self.attributes.assign(NODIRATIME, directories);
    }

    /// Mappings that the mount brings itself ask for an id-mapped mount even without the option.
    fn take_mappings(&mut self, mount: &Mount) -> Result<()> {
        let mappings = match (mount.uid_mappings(), mount.gid_mappings()) {
            (None, None) => return Ok(()),
            (Some(uids), Some(gids)) if !uids.is_empty() && !gids.is_empty() => {
                (uids.clone(), gids.clone())
            }
            _ => {
                return Err(Error::invalid(
                    "id-mapped mounts must have both uid and gid mappings specified",
                ));
            }
        };
        let depth = self.id_map.as_ref().map_or(Depth::One, |map| map.depth);
        self.id_map = Some(IdMap { depth, mappings: Some(mappings) });
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let is_bind = matches!(self.what, What::Bind(_));
        if is_bind && self.source.as_ref().is_none_or(|source| source.as_os_str().is_empty()) {
            return Err(Error::invalid("a bind mount needs a source"));
        }
        if let Some(parameter) = self.parameters.first().filter(|_| is_bind) {
            let plain = ["async", "dirsync", "iversion", "lazytime", "mand", "nolazytime"];
            let plain = [&plain[..], &["nomand", "sync"]].concat();
            if !plain.contains(&parameter.name.as_str()) {
                return Err(Error::invalid(format!(
                    "bind mounts cannot have any filesystem-specific options applied: {}",
                    parameter.name
                )));
            }
        }
        if self.id_map.is_some() && !is_bind {
            return Err(Error::invalid("id-mapped mounts are only supported for bind-mounts"));
        }
        if matches!(&self.what, What::New(typ) if typ.is_empty()) {
            return Err(Error::invalid("type is missing"));
        }
        if self.copy_up && self.what != What::New("tmpfs".to_owned()) {
            return Err(Error::invalid("tmpcopyup is only supported for tmpfs"));
        }
        Ok(())
    }

    /// Whether the mount ends up read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.attributes.set & RDONLY != 0
    }

    /// The attributes of a bind mount: those that are named and no others, once one is named.
    pub(crate) fn bind_attributes(&self) -> Option<Attributes> {
        let Attributes { set, clear } = self.attributes;
        if !self.is_restricted {
            return None;
        }
        let clear = if self.remount { clear } else { clear | (SWITCHES & !set) };
        Some(Attributes { set, clear })
    }

    /// The same in a user namespace, where the host's attributes are locked but for one: what is
    /// not named stays as it is.
    pub(crate) fn bind_attributes_beside_locked(&self) -> Attributes {
        let Attributes { set, clear } = self.attributes;
        let free = if self.remount { 0 } else { NOSYMFOLLOW & !set };
        Attributes { set, clear: clear | free }
    }
}

/// The path in the container that `destination` stands for. A relative one counts from the root,
/// and one that starts with the root's own path on the host means what lies below that.
fn inside(destination: &Path, rootfs: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in destination.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    match clean.strip_prefix(rootfs) {
        Ok(below) => Path::new("/").join(below),
        Err(_) => clean,
    }
}

impl Attributes {
    /// Gives the field `mask` the value `value`; the last word on a field counts.
    fn assign(&mut self, mask: u64, value: u64) {
        self.set = (self.set & !mask) | value;
        // The kernel wants the whole field of access times cleared whenever a value is set, and a
        // switch in one of the two sets only.
        let clear = if mask == ATIME { ATIME } else { mask & !value };
        self.clear = (self.clear & !mask) | clear;
    }

    /// Whether nothing is to be changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{NODEV, NOEXEC, NOSUID};
    use super::*;
    use oci_spec::runtime::MountBuilder;

    fn parse(typ: &str, options: &[&str]) -> Result<MountPlan> {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let mount = MountBuilder::default()
            .destination("/d")
            .source("/s")
            .typ(typ)
            .options(options)
            .build()
            .unwrap();
        MountPlan::parse(&mount, Path::new("/bundle"), Path::new("/bundle/rootfs"))
    }

    #[test]
    fn destinations_count_from_the_root() {
        let inside = |path: &str| inside(Path::new(path), Path::new("/bundle/rootfs"));
        for (path, place) in [
            ("/a/b", "/a/b"),
            ("a/./b/", "/a/b"),
            ("../../proc", "/proc"),
            ("/a/../b", "/b"),
            ("/bundle/rootfs/a", "/a"),
            ("/bundle/rootfs", "/"),
            ("/bundle/rootfs2/a", "/bundle/rootfs2/a"),
        ] {
            assert_eq!(inside(path), Path::new(place), "{path}");
        }
    }

    #[test]
    fn little_said_about_access_times_means_relatime() {
        let of = |options: &[&str]| {
            let plan = parse("bind", options).unwrap();
            (plan.attributes.set, plan.attributes.clear)
        };
        let all = ATIME | NODIRATIME;
        for (options, expected) in [
            (&["bind", "noatime"][..], (NOATIME, all)),
            (&["relatime"], (RELATIME, all)),
            (&["nodiratime"], (NODIRATIME, ATIME)),
            (&["nodiratime", "strictatime"], (NODIRATIME | STRICTATIME, ATIME)),
            (&["noatime", "relatime"], (NOATIME, all)),
            (&["noatime", "atime"], (0, 0)),
            (&["atime"], (0, 0)),
            (&["diratime"], (0, 0)),
            (&["norelatime"], (0, 0)),
            (&["nostrictatime"], (0, 0)),
        ] {
            assert_eq!(of(options), expected, "{options:?}");
        }
    }

    #[test]
    fn access_times_of_a_tree_are_always_set_whole() {
        let of = |options: &[&str]| parse("bind", options).unwrap().tree_attributes;
        for (options, set) in [
            (&["rnoatime"][..], NOATIME),
            (&["rstrictatime"], STRICTATIME),
            (&["rrelatime"], RELATIME),
            (&["ratime"], RELATIME),
            (&["rnorelatime"], RELATIME),
            (&["rnostrictatime"], RELATIME),
            (&["rnoatime", "ratime"], RELATIME),
            (&["rnoatime", "rnostrictatime"], NOATIME),
        ] {
            assert_eq!(of(options), Attributes { set, clear: ATIME }, "{options:?}");
        }
    }

    #[test]
    fn what_is_taken_back_counts_as_named() {
        assert!(
            parse("bind", &["bind", "rprivate", "defaults"]).unwrap().bind_attributes().is_none()
        );
        for option in ["norelatime", "dev", "sync", "loud"] {
            let plan = parse("bind", &["bind", option]).unwrap();
            assert_eq!(plan.bind_attributes().unwrap().clear & RDONLY, RDONLY, "{option}");
        }
        let locked = parse("bind", &["ro", "nodev"]).unwrap().bind_attributes_beside_locked();
        assert_eq!(locked, Attributes { set: RDONLY | NODEV, clear: NOSYMFOLLOW });
    }

    #[test]
    fn the_last_word_counts() {
        let plan = parse("tmpfs", &["ro", "rw", "noexec", "noatime", "size=1k", "huge"]).unwrap();
        assert_eq!(plan.attributes.set, NOEXEC | NOATIME);
        assert_eq!(plan.attributes.clear, RDONLY | ATIME | NODIRATIME);
        assert!(!plan.is_read_only());
        let names: Vec<_> = plan.parameters.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["size", "huge"]);
    }

    #[test]
    fn a_bind_mount_with_options_loses_those_of_its_source() {
        assert!(parse("bind", &["rbind"]).unwrap().bind_attributes().is_none());
        let attributes = parse("none", &["rbind", "ro"]).unwrap().bind_attributes().unwrap();
        assert_eq!(attributes.set, RDONLY);
        assert_eq!(attributes.clear, NOSUID | NODEV | NOEXEC | NOSYMFOLLOW);
        let kept = parse("bind", &["remount", "ro"]).unwrap().bind_attributes().unwrap();
        assert_eq!(kept.clear, 0);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let refused = parse("bind", &["bind", "size=1"]).unwrap_err().to_string();
        assert!(refused.contains("filesystem-specific options"), "{refused}");
        assert!(parse("", &["ro"]).is_err());
        assert!(parse("tmpfs", &["idmap"]).is_err());
        assert!(parse("proc", &["tmpcopyup"]).is_err());
    }
}
