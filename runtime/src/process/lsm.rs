//! AppArmor profiles and SELinux labels of a process.

use crate::error::{Context, Error, Result};
use crate::rootfs::procfs::Procfs;
use oci_spec::runtime::Process;
use std::path::Path;

/// The security module's confinement that a program is to start in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    apparmor: Option<String>,
    selinux: Option<String>,
}

impl Confinement {
    /// What `process` asks for, if the host has what it takes.
    pub(crate) fn plan(process: &Process) -> Result<Confinement> {
        let named = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let confinement = Confinement {
            apparmor: named(process.apparmor_profile()),
            selinux: named(process.selinux_label()),
        };
        if confinement.apparmor.is_some() && !has_apparmor() {
            return Err(Error::unsupported(
                "apparmor profile is specified in config, but apparmor is disabled or not supported",
            ));
        }
        if confinement.selinux.is_some() && !has_selinux() {
            return Err(Error::unsupported(
                "selinux label is specified in config, but selinux is disabled or not supported",
            ));
        }
        Ok(confinement)
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Confinement::default()
    }

    /// Arranges that the next program this process executes is confined.
    pub(crate) fn set_on_exec(&self, procfs: &Procfs) -> Result<()> {
        if let Some(profile) = &self.apparmor {
            let words = format!("exec {profile}");
            // Where several modules share the attributes, AppArmor has its own directory.
            match procfs.write("self/attr/apparmor/exec", words.as_bytes()) {
                Err(error) if error.errno() == Some(libc::ENOENT) => {
                    procfs.write("self/attr/exec", words.as_bytes())
                }
                other => other,
            }
            .context(|| "unable to apply apparmor profile")?;
        }
        if let Some(label) = &self.selinux {
            procfs
                .write("self/attr/exec", label.as_bytes())
                .context(|| "can't set process label")?;
        }
        Ok(())
    }

    /// Labels the keys and keyrings that this process makes.
    pub(crate) fn set_on_keys(&self, procfs: &Procfs) -> Result<()> {
        match &self.selinux {
            Some(label) => procfs.write("self/attr/keycreate", label.as_bytes()),
            None => Ok(()),
        }
    }

    /// Whether keys are to be labelled.
    pub(crate) fn labels_keys(&self) -> bool {
        self.selinux.is_some()
    }
}

/// Whether AppArmor is in force on this host.
pub(crate) fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with(b"Y"))
        && Path::new("/sys/kernel/security/apparmor").exists()
}

/// Whether SELinux is in force on this host.
pub(crate) fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
