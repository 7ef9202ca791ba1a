//! Which capabilities a container's processes have.

use std::collections::BTreeSet;

use super::document::Capabilities;
use crate::error::{Error, Result};

/// Every capability of Linux, by its number.
pub(crate) const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What a container has unless told otherwise: enough for a package manager and a web server.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// One word of `--cap-add` or `--cap-drop`.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    All,
    One(&'static str),
}

/// Those of a container that asks for `add` and gives up `drop`.
///
/// # Errors
/// Invalid, naming the word, if it is no capability or this kernel does not have it.
pub(crate) fn of_container(
    add: &[String],
    drop: &[String],
    privileged: bool,
    available: &BTreeSet<&'static str>,
) -> Result<Vec<&'static str>> {
    let all = || ALL.into_iter().filter(|name| available.contains(name));
    let add = wishes(add, available).map_err(|error| error.while_doing("invalid CapAdd"))?;
    let drop = wishes(drop, available).map_err(|error| error.while_doing("invalid CapDrop"))?;
    if privileged {
        return Ok(all().collect());
    }
    let dropped = |name: &&'static str| drop.contains(&Wish::One(name));
    if add.contains(&Wish::All) {
        return Ok(all().filter(|name| !dropped(name)).collect());
    }
    let mut names: Vec<&'static str> = if drop.contains(&Wish::All) {
        Vec::new()
    } else {
        DEFAULT.into_iter().filter(|name| available.contains(name) && !dropped(name)).collect()
    };
    for wish in add {
        if let Wish::One(name) = wish
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// All that this kernel gives to this process, and so all that it can give away.
pub(crate) fn available() -> BTreeSet<&'static str> {
    let bits = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    // Without procfs the runtime decides.
    let bits = bits.unwrap_or(u64::MAX);
    ALL.into_iter()
        .enumerate()
        .filter(|(number, _)| bits >> number & 1 == 1)
        .map(|(_, name)| name)
        .collect()
}

/// The three sets that a process gets of `names`.
pub(crate) fn sets(names: &[&'static str]) -> Capabilities {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Capabilities { bounding: names.clone(), effective: names.clone(), permitted: names }
}

fn wishes(words: &[String], available: &BTreeSet<&'static str>) -> Result<Vec<Wish>> {
    words.iter().map(|word| wish(word, available)).collect()
}

fn wish(word: &str, available: &BTreeSet<&'static str>) -> Result<Wish> {
    let upper = word.to_ascii_uppercase();
    if upper == "ALL" {
        return Ok(Wish::All);
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    match ALL.into_iter().find(|name| *name == full) {
        None => Err(Error::invalid(format!("unknown capability: \"{full}\""))),
        Some(name) if available.contains(name) => Ok(Wish::One(name)),
        Some(_) => Err(Error::invalid(format!(
            "capability not supported by your kernel or not available in the current \
             environment: \"{full}\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str], privileged: bool) -> Result<Vec<&'static str>> {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        of_container(&owned(add), &owned(drop), privileged, &BTreeSet::from(ALL))
    }

    #[test]
    fn the_default_set_is_changed_word_by_word() {
        assert_eq!(of(&[], &[], false).unwrap(), DEFAULT);
        let names = of(&["net_admin", "CAP_CHOWN"], &["MKNOD"], false).unwrap();
        assert!(names.contains(&"CAP_NET_ADMIN") && !names.contains(&"CAP_MKNOD"));
        assert_eq!(names.iter().filter(|name| **name == "CAP_CHOWN").count(), 1);
    }

    #[test]
    fn all_means_all() {
        assert_eq!(of(&["ALL"], &[], false).unwrap(), ALL);
        assert_eq!(of(&["ALL"], &["SYS_ADMIN"], false).unwrap().len(), ALL.len() - 1);
        assert!(of(&[], &["all"], false).unwrap().is_empty());
        assert_eq!(of(&["CHOWN"], &["ALL"], false).unwrap(), ["CAP_CHOWN"]);
        assert_eq!(of(&[], &["ALL"], true).unwrap(), ALL);
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = of(&["nonsense"], &[], false).unwrap_err();
        assert_eq!(error.to_string(), "invalid CapAdd: unknown capability: \"CAP_NONSENSE\"");
    }
}
