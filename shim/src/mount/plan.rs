//! One mount, in mount(8)'s words or the file system's own.

use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
    mount_bind, mount_bind_recursive, mount_change, mount_remount, move_mount,
};
use tare_proto::containerd::types::Mount;

use super::held::hold;
use super::mapped::{self, Overlay};
use super::short::mount_shortened;
use crate::error::{Context, Error, Result};

/// The kernel takes one page of options, with its final zero.
pub(super) const DATA_LIMIT: usize = 4095;

/// How much of the options an error shows.
const SHOWN: usize = 1000;

/// One mount, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    kind: String,
    source: String,
    bind: Option<Bind>,
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    /// The file that holds the user namespace whose ids it is to show.
    users: Option<PathBuf>,
    /// What the file system itself is to understand.
    data: Vec<String>,
}

/// The option of [`Plan::users`], which no file system knows.
const USERS: &str = "X-tare.userns=";

/// How much of a tree is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bind {
    /// One mount.
    Single,
    /// With all that is mounted below.
    Recursive,
}

impl Plan {
    /// Reads a mount as containerd's managers describe it.
    pub(super) fn read(mount: &Mount) -> Result<Self> {
        if !mount.target.is_empty() && mount.target != "/" {
            return Err(Error::unimplemented(format!(
                "rootfs mount on {:?}: mounts below the root belong into the bundle's config.json",
                mount.target
            )));
        }
        let mut plan = Plan {
            kind: mount.r#type.clone(),
            source: mount.source.clone(),
            bind: (mount.r#type == "bind").then_some(Bind::Single),
            flags: MountFlags::empty(),
            propagation: None,
            users: None,
            data: Vec::new(),
        };
        for option in &mount.options {
            plan.read_option(option)?;
        }
        Ok(plan)
    }

    fn read_option(&mut self, option: &str) -> Result<()> {
        if let Some(path) = option.strip_prefix(USERS) {
            self.users = Some(PathBuf::from(path));
            return Ok(());
        }
        let (flag, set) = match option {
            "bind" => {
                self.bind = Some(Bind::Single);
                return Ok(());
            }
            "rbind" => {
                self.bind = Some(Bind::Recursive);
                return Ok(());
            }
            "loop" => {
                return Err(Error::unimplemented("rootfs mount option \"loop\": give a device"));
            }
            "defaults" => return Ok(()),
            "ro" => (MountFlags::RDONLY, true),
            "rw" => (MountFlags::RDONLY, false),
            "nosuid" => (MountFlags::NOSUID, true),
            "suid" => (MountFlags::NOSUID, false),
            "nodev" => (MountFlags::NODEV, true),
            "dev" => (MountFlags::NODEV, false),
            "noexec" => (MountFlags::NOEXEC, true),
            "exec" => (MountFlags::NOEXEC, false),
            "noatime" => (MountFlags::NOATIME, true),
            "atime" => (MountFlags::NOATIME, false),
            "nodiratime" => (MountFlags::NODIRATIME, true),
            "diratime" => (MountFlags::NODIRATIME, false),
            "relatime" => (MountFlags::RELATIME, true),
            "norelatime" => (MountFlags::RELATIME, false),
            "strictatime" => (MountFlags::STRICTATIME, true),
            "sync" => (MountFlags::SYNCHRONOUS, true),
            "async" => (MountFlags::SYNCHRONOUS, false),
            "dirsync" => (MountFlags::DIRSYNC, true),
            other => {
                match propagation(other) {
                    Some(flags) => self.propagation = Some(flags),
                    // Notes of a manager to itself.
                    None if other.starts_with("X-") || other.starts_with("x-") => {}
                    None => self.data.push(other.to_owned()),
                }
                return Ok(());
            }
        };
        self.flags.set(flag, set);
        Ok(())
    }

    /// Mounts it on `target`.
    pub(super) fn apply(&self, target: &Path) -> Result<()> {
        match (self.bind, &self.users) {
            (bind, Some(users)) => self.mount_mapped(bind, users, target)?,
            (Some(bind), None) => self.bind(bind, target)?,
            (None, None) => self.mount(target)?,
        }
        if let Some(flags) = self.propagation {
            mount_change(target, flags).context(|| self.what(target))?;
        }
        Ok(())
    }

    /// Mounts it with the ids of the user namespace that the file `users` holds.
    fn mount_mapped(&self, bind: Option<Bind>, users: &Path, target: &Path) -> Result<()> {
        let users = mapped::namespace(users)?;
        let tree = match bind {
            Some(bind) => {
                let depth = match bind {
                    Bind::Single => OpenTreeFlags::empty(),
                    Bind::Recursive => OpenTreeFlags::AT_RECURSIVE,
                };
                mapped::tree(Path::new(&self.source), depth, &users)?
            }
            None if self.kind == "overlay" => {
                let held = hold(&self.data)?;
                let (source, flags) = (self.source.as_str(), self.flags);
                let attributes = self.attributes();
                Overlay { source, data: &held.data, flags, attributes }.mount(&users, target)?
            }
            None => {
                let kind = &self.kind;
                return Err(Error::unimplemented(format!("a {kind} mount with other ids")));
            }
        };
        move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .context(|| self.what(target))?;
        match bind {
            Some(_) => self.restrict_bind(target),
            None => Ok(()),
        }
    }

    fn bind(&self, bind: Bind, target: &Path) -> Result<()> {
        match bind {
            Bind::Single => mount_bind(&self.source, target),
            Bind::Recursive => mount_bind_recursive(&self.source, target),
        }
        .context(|| self.what(target))?;
        self.restrict_bind(target)
    }

    fn restrict_bind(&self, target: &Path) -> Result<()> {
        if !self.flags.is_empty() {
            // A bind mount takes its flags in a second step.
            mount_remount(target, MountFlags::BIND | self.flags, "")
                .context(|| self.what(target))?;
        }
        Ok(())
    }

    fn mount(&self, target: &Path) -> Result<()> {
        let held = hold(&self.data)?;
        let data = held.data.join(",");
        if data.len() > DATA_LIMIT {
            let mounted = match self.mount_option_by_option(target, &held.data) {
                Err(Errno::INVAL) => {
                    mount_shortened(&self.source, target, &self.kind, self.flags, &held.data)
                }
                outcome => outcome,
            };
            return mounted.context(|| self.what(target));
        }
        let data = std::ffi::CString::new(data).context(|| self.what(target))?;
        mount(&self.source, target, &self.kind, self.flags, data.as_c_str())
            .context(|| self.what(target))
    }

    /// The way for an overlay of so many layers that their names don't fit into a page; each
    /// single option still has to fit into 256 bytes. `lowerdir+` needs Linux 6.8; before, it is an
    /// invalid argument.
    fn mount_option_by_option(&self, target: &Path, data: &[String]) -> rustix::io::Result<()> {
        let context = fsopen(self.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", self.source.as_str())?;
        for option in data {
            match option.split_once('=') {
                Some(("lowerdir", layers)) => {
                    for layer in layers.split(':') {
                        fsconfig_set_string(&context, "lowerdir+", layer)?;
                    }
                }
                Some((key, value)) => fsconfig_set_string(&context, key, value)?,
                None => fsconfig_set_flag(&context, option.as_str())?,
            }
        }
        fsconfig_create(&context)?;
        let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, self.attributes())?;
        move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }

    fn attributes(&self) -> MountAttrFlags {
        let pairs = [
            (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
            (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
            (MountFlags::NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
            (MountFlags::NODIRATIME, MountAttrFlags::MOUNT_ATTR_NODIRATIME),
            (MountFlags::STRICTATIME, MountAttrFlags::MOUNT_ATTR_STRICTATIME),
        ];
        let chosen = pairs.into_iter().filter(|(flag, _)| self.flags.contains(*flag));
        chosen.fold(MountAttrFlags::empty(), |all, (_, attribute)| all | attribute)
    }

    fn what(&self, target: &Path) -> String {
        let Plan { kind, source, data, .. } = self;
        let mut data = data.join(",");
        if data.len() > SHOWN {
            data.truncate(data.floor_char_boundary(SHOWN));
            data.push_str("...");
        }
        format!("mount {kind} {source} on {} ({data})", target.display())
    }
}

fn propagation(option: &str) -> Option<MountPropagationFlags> {
    use MountPropagationFlags as Flags;
    Some(match option {
        "private" => Flags::PRIVATE,
        "rprivate" => Flags::PRIVATE | Flags::REC,
        "shared" => Flags::SHARED,
        "rshared" => Flags::SHARED | Flags::REC,
        "slave" => Flags::DOWNSTREAM,
        "rslave" => Flags::DOWNSTREAM | Flags::REC,
        "unbindable" => Flags::UNBINDABLE,
        "runbindable" => Flags::UNBINDABLE | Flags::REC,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: &str, options: &[&str]) -> Result<Plan> {
        Plan::read(&Mount {
            r#type: kind.into(),
            source: "src".into(),
            target: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        })
    }

    #[test]
    fn tells_flags_from_data() {
        let overlay = plan("overlay", &["ro", "nodev", "lowerdir=/a:/b", "index=off", "X-note=1"]);
        let overlay = overlay.unwrap();
        assert_eq!(overlay.flags, MountFlags::RDONLY | MountFlags::NODEV);
        assert_eq!(overlay.data, ["lowerdir=/a:/b", "index=off"]);
        assert_eq!(overlay.bind, None);
        let bind = plan("bind", &["rbind", "ro", "rprivate"]).unwrap();
        assert_eq!(bind.bind, Some(Bind::Recursive));
        assert!(bind.propagation.is_some() && bind.data.is_empty());
    }

    #[test]
    fn names_what_it_does_not_do() {
        assert!(plan("ext4", &["loop"]).is_err_and(|error| error.to_string().contains("loop")));
        let below = Mount { target: "/sub".into(), ..Mount::default() };
        assert!(Plan::read(&below).is_err_and(|error| error.to_string().contains("/sub")));
    }
}
