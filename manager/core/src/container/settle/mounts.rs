//! Which mounts make sense, in docker's words where they don't.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use crate::container::mount::{MountKind, MountRequest, check_absolute, check_target};
use crate::error::{Error, Result};
use crate::volume::check_name;

/// What `--tmpfs` can be told with a value,
const TMPFS_SETTINGS: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
/// and what it can be told without.
const TMPFS_FLAGS: [&str; 32] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "bind",
    "rbind",
    "unbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
];

/// Refuses mounts that make no sense, and binds of what isn't there.
pub(super) fn check_mounts(mounts: &[MountRequest]) -> Result<()> {
    for mount in mounts {
        check(mount).map_err(|what| {
            let kind = mount.kind.name();
            Error::invalid(format!("invalid mount config for type \"{kind}\": {what}"))
        })?;
        if let MountKind::Volume(volume) = &mount.kind
            && let Some(name) = &volume.name
        {
            check_name(name)?;
        }
        check_reach(mount)?;
    }
    Ok(())
}

/// Refuses places where nothing can be mounted.
pub(super) fn check_tmpfs(tmpfs: &BTreeMap<String, String>) -> Result<()> {
    for (target, options) in tmpfs {
        check_target(target).map_err(Error::invalid)?;
        if let Some(name) = options.split(',').find_map(unknown_tmpfs_option) {
            return Err(Error::invalid(format!("invalid tmpfs option {name:?}")));
        }
    }
    Ok(())
}

/// The name of an option of `--tmpfs` that is none.
fn unknown_tmpfs_option(option: &str) -> Option<&str> {
    match option.split_once('=') {
        Some((name, _)) => (!TMPFS_SETTINGS.contains(&name)).then_some(name),
        None => (!option.is_empty() && !TMPFS_FLAGS.contains(&option)).then_some(option),
    }
}

fn check(mount: &MountRequest) -> std::result::Result<(), String> {
    check_target(&mount.target)?;
    match &mount.kind {
        MountKind::Bind { source, create_source, .. } => {
            check_named(source)?;
            check_absolute(source)?;
            if !create_source && !Path::new(source).exists() {
                return Err(format!("bind source path does not exist: {source}"));
            }
        }
        MountKind::Volume(volume) => {
            if volume.subpath.is_some() && volume.name.is_none() {
                return Err("must not set Subpath when using anonymous volumes".to_owned());
            }
            check_subpath(volume.subpath.as_deref())?;
        }
        MountKind::Tmpfs { options, .. } => {
            options.iter().try_for_each(|option| check_tmpfs_option(option))?;
        }
        MountKind::Image { image, subpath } => {
            check_named(image)?;
            check_subpath(subpath.as_deref())?;
        }
    }
    Ok(())
}

fn check_named(source: &str) -> std::result::Result<(), String> {
    if source.is_empty() { Err("field Source must not be empty".to_owned()) } else { Ok(()) }
}

/// A path inside must not lead out by its text already.
fn check_subpath(subpath: Option<&str>) -> std::result::Result<(), String> {
    let mut depth = 0_u32;
    for component in Path::new(subpath.unwrap_or(".")).components() {
        let inside = match component {
            Component::CurDir => Some(depth),
            Component::Normal(_) => depth.checked_add(1),
            Component::ParentDir => depth.checked_sub(1),
            Component::RootDir | Component::Prefix(_) => None,
        };
        depth = inside.ok_or("subpath must be a relative path within the volume")?;
    }
    Ok(())
}

fn check_tmpfs_option(option: &[String]) -> std::result::Result<(), String> {
    let (1 | 2, Some(name)) = (option.len(), option.first()) else {
        return Err("invalid option array length".to_owned());
    };
    if matches!(name.as_str(), "exec" | "noexec") {
        return Ok(());
    }
    Err(format!("invalid option: {name}"))
}

/// How far read-only reaches is to be said of what is read-only, and in one way.
fn check_reach(mount: &MountRequest) -> Result<()> {
    let MountKind::Bind { read_only_non_recursive, read_only_force_recursive, .. } = mount.kind
    else {
        return Ok(());
    };
    let conflict = match (mount.read_only, read_only_non_recursive, read_only_force_recursive) {
        (false, true, _) => "!ReadOnly && BindOptions.ReadOnlyNonRecursive",
        (false, _, true) => "!ReadOnly && BindOptions.ReadOnlyForceRecursive",
        (true, true, true) => "ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive",
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("mount options conflict: {conflict}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::mount::VolumeMount;

    #[test]
    fn a_tmpfs_is_told_what_it_knows() {
        let check = |options: &str| {
            let tmpfs = BTreeMap::from([("/t".to_owned(), options.to_owned())]);
            check_tmpfs(&tmpfs).map_err(|error| error.to_string())
        };
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("rw,noexec,size=1m,mode=1777"), Ok(()));
        assert_eq!(check("size=1m,bogus=1"), Err("invalid tmpfs option \"bogus\"".to_owned()));
        assert_eq!(check("quick"), Err("invalid tmpfs option \"quick\"".to_owned()));
    }

    fn bind(source: &str, target: &str) -> MountRequest {
        let kind = MountKind::Bind {
            source: source.to_owned(),
            propagation: None,
            non_recursive: false,
            create_source: false,
            read_only_non_recursive: false,
            read_only_force_recursive: false,
        };
        MountRequest { target: target.to_owned(), read_only: false, kind }
    }

    fn of_kind(kind: MountKind) -> MountRequest {
        MountRequest { target: "/x".to_owned(), read_only: false, kind }
    }

    fn refused(mount: MountRequest) -> String {
        check_mounts(&[mount]).unwrap_err().to_string()
    }

    #[test]
    fn binds_have_a_source_and_a_place() {
        let missing = refused(bind("/does/not/exist", "/x"));
        assert!(missing.ends_with("bind source path does not exist: /does/not/exist"), "{missing}");
        assert!(refused(bind("/", "/x/..")).contains("destination can't be '/'"));
        assert!(refused(bind("", "/x")).contains("field Source must not be empty"));
        assert!(refused(bind("/", "")).contains("field Target must not be empty"));
        assert!(check_mounts(&[bind("/", "/x")]).is_ok());
        let tmpfs = |target: &str| BTreeMap::from([(target.to_owned(), String::new())]);
        assert!(check_tmpfs(&tmpfs("t")).unwrap_err().to_string().contains("must be absolute"));
        assert!(check_tmpfs(&tmpfs("/")).is_err());
    }

    #[test]
    fn a_subpath_stays_inside() {
        let volume = |name: Option<&str>, subpath: &str| {
            let (name, subpath) = (name.map(str::to_owned), Some(subpath.to_owned()));
            of_kind(MountKind::Volume(VolumeMount { name, subpath, ..VolumeMount::default() }))
        };
        assert!(refused(volume(None, "a")).contains("must not set Subpath"));
        for path in ["/a", "../a", "a/../../b"] {
            assert!(
                refused(volume(Some("data"), path)).contains("must be a relative path"),
                "{path}"
            );
        }
        assert!(check_mounts(&[volume(Some("data"), "a/../b")]).is_ok());
        let image = MountKind::Image { image: "bb".to_owned(), subpath: Some("/".to_owned()) };
        assert!(refused(of_kind(image)).contains("for type \"image\": subpath"));
    }

    #[test]
    fn of_a_tmpfs_only_running_programs_can_be_said() {
        let tmpfs = |option: &[&str]| {
            let options = vec![option.iter().map(|&word| word.to_owned()).collect()];
            of_kind(MountKind::Tmpfs { size: None, mode: None, options })
        };
        assert!(check_mounts(&[tmpfs(&["exec"])]).is_ok());
        assert!(refused(tmpfs(&["uid", "7"])).ends_with("invalid option: uid"));
        assert!(refused(tmpfs(&[])).ends_with("invalid option array length"));
    }
}
