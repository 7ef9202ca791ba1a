//! The name and the place of a container's scope.

use super::Manager;
use crate::error::{Error, Result};

/// Where a container without `cgroupsPath` is put, and the start of its scope's name.
const SYSTEM_SLICE: &str = "system.slice";
const USER_SLICE: &str = "user.slice";
const PREFIX: &str = "tare";

/// The longest name of a unit (`UNIT_NAME_MAX`).
const LONGEST: usize = 255;

/// A scope that is to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// Its name, which ends with `.scope`.
    pub(super) unit: String,
    /// The slice that it is in.
    pub(super) slice: String,
    /// The container, for people.
    pub(super) container: String,
}

impl Scope {
    /// Reads `cgroupsPath`, which has the form `slice:prefix:name` here.
    ///
    /// # Errors
    /// It has not, or its parts are no names of units.
    pub(super) fn new(
        cgroups_path: Option<&str>,
        container_id: &str,
        manager: Manager,
    ) -> Result<Scope> {
        let default_slice = match manager {
            Manager::System => SYSTEM_SLICE,
            Manager::User => USER_SLICE,
        };
        let (slice, prefix, name) = match cgroups_path.filter(|path| !path.is_empty()) {
            None => (default_slice, PREFIX, container_id),
            Some(path) => match path.split(':').collect::<Vec<_>>().as_slice() {
                ["", prefix, name] => (default_slice, *prefix, *name),
                [slice, prefix, name] => (*slice, *prefix, *name),
                _ => {
                    return Err(Error::invalid(format!(
                        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd \
                         cgroups, got {path:?} instead"
                    )));
                }
            },
        };
        let unit = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        check(slice, ".slice")?;
        check(&unit, ".scope")?;
        Ok(Scope { unit, slice: slice.to_owned(), container: name.to_owned() })
    }
}

/// Refuses what systemd does not take as the name of a unit, and so everything that could lead
/// somewhere else in the tree.
fn check(unit: &str, suffix: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
    let stem = unit.strip_suffix(suffix).unwrap_or_default();
    if stem.is_empty() || unit.len() > LONGEST || !unit.chars().all(allowed) {
        return Err(Error::invalid(format!(
            "{unit:?} is no name of a systemd unit: it needs letters, digits or any of :-_.\\@ and \
             {suffix} at its end"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_has_three_parts() {
        let scope = |path| Scope::new(path, "abc", Manager::System).unwrap();
        let given = scope(Some("kubepods-burstable.slice:cri-tare:7"));
        assert_eq!(given.unit, "cri-tare-7.scope");
        assert_eq!(given.slice, "kubepods-burstable.slice");
        assert_eq!(scope(None).unit, "tare-abc.scope");
        assert_eq!(scope(None).slice, "system.slice");
        assert_eq!(scope(Some(":docker:7")).slice, "system.slice");
        assert_eq!(Scope::new(None, "abc", Manager::User).unwrap().slice, "user.slice");
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        let long = format!("a.slice:p:{}", "x".repeat(300));
        for path in [
            "/docker/7",
            "a.slice:b",
            "a:b:c",
            "../x.slice:a:b",
            "a.slice:p:../../x",
            "a.slice:p:a b",
            &long,
        ] {
            Scope::new(Some(path), "abc", Manager::System).unwrap_err();
        }
    }
}
