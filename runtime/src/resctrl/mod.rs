//! Intel RDT: shares of the cache and of the memory's bandwidth, by the kernel's resctrl file
//! system.
//!
//! A group is a directory there. Its tasks have what its `schemata` say, and are measured together
//! where a monitoring group is made below it.

mod schema;

use crate::error::{Context, Error, Kind, Result};
use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The group of a container, as its state file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    path: PathBuf,
    /// Whether it goes with the container.
    owned: bool,
    /// The monitoring group, which always goes with the container.
    monitor: Option<PathBuf>,
}

impl Group {
    /// Makes what the bundle asks for, for the container `id`.
    pub(crate) fn create(settings: &LinuxIntelRdt, id: &str) -> Result<Group> {
        let root = find_mount()?.ok_or_else(|| {
            Error::unsupported(
                "intelRdt is specified in config, but Intel RDT is not supported or enabled: no \
                 resctrl file system is mounted",
            )
        })?;
        Group::create_in(&root, settings, id)
    }

    fn create_in(root: &Path, settings: &LinuxIntelRdt, id: &str) -> Result<Group> {
        let lines = schema::lines(settings)?;
        let class = settings.clos_id().as_deref().filter(|name| !name.is_empty());
        let path = match class {
            None => root.join(id),
            // The default class is the file system's root.
            Some("/") => root.to_owned(),
            Some(name) if matches!(name, "." | "..") || name.contains('/') => {
                return Err(Error::invalid(format!("invalid intelRdt.ClosID {name:?}")));
            }
            Some(name) => root.join(name),
        };
        let made = match (class, lines.is_empty()) {
            (Some(_), true) => {
                std::fs::metadata(&path).context(|| {
                    "clos dir not accessible (must be pre-created when schemata, l3CacheSchema and \
                     memBwSchema are empty)"
                })?;
                false
            }
            _ => make_directory(root, &path)?,
        };
        let mut group = Group { path, owned: made && class.is_none(), monitor: None };
        let filled = group.fill(root, settings, &lines, made, id);
        filled.inspect_err(|_| {
            let _ = group.remove();
            if made && class.is_some() {
                let _ = std::fs::remove_dir(&group.path);
            }
        })?;
        Ok(group)
    }

    fn fill(
        &mut self,
        root: &Path,
        settings: &LinuxIntelRdt,
        lines: &[&str],
        made: bool,
        id: &str,
    ) -> Result<()> {
        let schemata = self.path.join("schemata");
        if !made {
            let what = || format!("read {}", schemata.display());
            let present = match lines.is_empty() {
                true => String::new(),
                false => std::fs::read_to_string(&schemata).context(what)?,
            };
            schema::check_present(settings, &present)?;
        }
        if !lines.is_empty() {
            self.write(root, lines)?;
        }
        if settings.enable_monitoring().unwrap_or(false) {
            let path = self.path.join("mon_groups").join(id);
            make_directory(root, &path)?;
            self.monitor = Some(path);
        }
        Ok(())
    }

    /// Changes what the group has.
    pub(crate) fn update(&self, lines: &[&str]) -> Result<()> {
        schema::check_lines(lines)?;
        let root = find_mount()?.ok_or_else(|| {
            Error::unsupported("Intel RDT is not supported: no resctrl file system is mounted")
        })?;
        self.write(&root, lines)
    }

    fn write(&self, root: &Path, lines: &[&str]) -> Result<()> {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        std::fs::write(self.path.join("schemata"), &text)
            .map_err(|error| refused(root, format!("intelrdt: unable to write {text:?}"), error))
    }

    /// Makes the process `pid` one of the group's.
    pub(crate) fn add(&self, pid: u32) -> Result<()> {
        for group in [Some(&self.path), self.monitor.as_ref()].into_iter().flatten() {
            let tasks = group.join("tasks");
            std::fs::write(&tasks, pid.to_string())
                .context(|| format!("intelrdt: unable to add pid {pid} to {}", tasks.display()))?;
        }
        Ok(())
    }

    /// Removes what was made. One that is gone already is no error.
    pub(crate) fn remove(&self) -> Result<()> {
        let own = self.owned.then_some(&self.path);
        for group in [self.monitor.as_ref(), own].into_iter().flatten() {
            match std::fs::remove_dir(group) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::system(format!("remove {}", group.display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Makes a directory; `false` if it is there already.
fn make_directory(root: &Path, path: &Path) -> Result<bool> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(refused(root, format!("mkdir {}", path.display()), error)),
    }
}

/// The error, with what the kernel says about it beside its number.
fn refused(root: &Path, what: String, error: std::io::Error) -> Error {
    let status = std::fs::read_to_string(root.join("info/last_cmd_status")).unwrap_or_default();
    let error = Error::system(what, error);
    match status.trim() {
        "" | "ok" => error,
        status => Error::new(Kind::System, format!("{error}, last_cmd_status: {status}")),
    }
}

/// Where the file system is mounted, if it is.
fn find_mount() -> Result<Option<PathBuf>> {
    let what = || "read /proc/self/mountinfo";
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context(what)?;
    Ok(mounts.lines().find_map(mount_point))
}

/// The mount point of a line of mountinfo, if it is of resctrl.
fn mount_point(line: &str) -> Option<PathBuf> {
    let (before, after) = line.split_once(" - ")?;
    (after.split(' ').next()? == "resctrl").then(|| before.split(' ').nth(4).map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn settings(json: serde_json::Value) -> LinuxIntelRdt {
        serde_json::from_value(json).unwrap()
    }

    fn create(root: &Path, json: serde_json::Value) -> Result<Group> {
        Group::create_in(root, &settings(json), "c1")
    }

    /// A directory like the file system's root.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("mon_groups")).unwrap();
        root
    }

    #[test]
    fn a_group_of_its_own_comes_and_goes_with_the_container() {
        let root = root();
        let group = create(
            root.path(),
            json!({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L2:0=3"]}),
        )
        .unwrap();
        let path = root.path().join("c1");
        assert_eq!(fs::read_to_string(path.join("schemata")).unwrap(), "L3:0=f\nMB:0=20\nL2:0=3\n");
        group.add(4711).unwrap();
        assert_eq!(fs::read_to_string(path.join("tasks")).unwrap(), "4711");
        // The kernel's files do not hold up the removal of their directory.
        for file in ["schemata", "tasks"] {
            fs::remove_file(path.join(file)).unwrap();
        }
        group.remove().unwrap();
        group.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_class_stays_and_its_monitoring_group_goes() {
        let root = root();
        fs::create_dir_all(root.path().join("gold/mon_groups")).unwrap();
        let group =
            create(root.path(), json!({"closID": "gold", "enableMonitoring": true})).unwrap();
        let monitor = root.path().join("gold/mon_groups/c1");
        group.add(4711).unwrap();
        assert_eq!(fs::read_to_string(monitor.join("tasks")).unwrap(), "4711");
        fs::remove_file(monitor.join("tasks")).unwrap();
        group.remove().unwrap();
        assert!(!monitor.exists());
        assert!(root.path().join("gold").exists());
    }

    #[test]
    fn the_default_class_is_the_root() {
        let root = root();
        create(root.path(), json!({"closID": "/"})).unwrap().add(7).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("tasks")).unwrap(), "7");
    }

    #[test]
    fn a_class_that_is_there_must_be_as_asked() {
        let root = root();
        let class = root.path().join("gold");
        fs::create_dir(&class).unwrap();
        fs::write(class.join("schemata"), "    L3:0=0ff;1=00f\n    MB:0= 20;1=100\n").unwrap();
        let same = json!({"closID": "gold", "l3CacheSchema": "L3:0=ff", "memBwSchema": "MB:1=100"});
        create(root.path(), same).unwrap();
        fs::write(class.join("schemata"), "L3:0=0ff\n").unwrap();
        let other = create(root.path(), json!({"closID": "gold", "l3CacheSchema": "L3:0=f"}));
        let error = other.unwrap_err().to_string();
        assert!(error.contains("does not match"), "{error}");
        assert!(class.exists());
    }

    #[test]
    fn what_is_not_there_or_not_a_class_is_refused() {
        let root = root();
        for (json, words) in [
            (json!({"closID": "gold"}), "clos dir not accessible"),
            (json!({"closID": ".."}), "invalid intelRdt.ClosID \"..\""),
            (json!({"closID": "a/b"}), "invalid intelRdt.ClosID \"a/b\""),
            (json!({"memBwSchema": "L3:0=f"}), "memBwSchema \"L3:0=f\" does not start with MB:"),
            (json!({"schemata": ["L3:0=f\nMB:0=1"]}), "contains a newline"),
        ] {
            let error = create(root.path(), json).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        // A monitoring group that cannot be made takes the group back.
        let error = create(root.path(), json!({"enableMonitoring": true})).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOENT));
        assert!(!root.path().join("c1").exists());
    }

    #[test]
    fn the_mount_is_found_wherever_it_is() {
        let line = "60 25 0:50 / /mnt/rdt rw,relatime shared:9 - resctrl resctrl rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/rdt")));
        assert_eq!(mount_point("60 25 0:50 / /resctrl rw - tmpfs resctrl rw"), None);
        assert_eq!(mount_point("resctrl"), None);
    }
}
