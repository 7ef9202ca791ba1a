//! Cgroups that a container has made inside its own, as places for further processes.

use std::path::{Component, Path, PathBuf};

use super::Group;
use super::controller::Controller;
use crate::error::{Error, Result};

/// Where below the container's cgroups a process is to go (`exec --cgroup`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Below {
    /// A controller's name, or the empty name for all hierarchies, and a path.
    places: Vec<(String, PathBuf)>,
}

impl Below {
    /// Reads `[<controller>[,<controller>...]:]<path>`, once without controllers or any number of
    /// times with.
    ///
    /// # Errors
    /// A controller is empty or comes twice, or a path leads out of the container's cgroup.
    pub(crate) fn parse(arguments: &[String]) -> Result<Below> {
        let mut below = Below::default();
        for argument in arguments {
            let refuse = |why: &str| {
                Error::invalid(format!("invalid --cgroup argument: {argument} ({why})"))
            };
            let (names, path) = match argument.split_once(':') {
                Some((names, path)) => (names.split(',').collect(), path),
                None if arguments.len() == 1 => (vec![""], argument.as_str()),
                None => return Err(refuse("missing <controller>: prefix")),
            };
            let path = inner(path)?;
            for name in names {
                if name.is_empty() && argument.contains(':') {
                    return Err(refuse("empty <controller> prefix"));
                }
                if below.places.iter().any(|(known, _)| known == name) {
                    return Err(refuse(&format!("controller {name} specified multiple times")));
                }
                below.places.push((name.to_owned(), path.clone()));
            }
        }
        Ok(below)
    }

    /// Whether nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The container's `groups`, moved to the places below that were asked for.
    pub(super) fn of(&self, groups: &[Group]) -> Result<Vec<Group>> {
        let mut moved = groups.to_vec();
        for (name, path) in &self.places {
            let mut found = false;
            for group in moved.iter_mut().filter(|group| name.is_empty() || group.is_called(name)) {
                let directory = group.directory_mut();
                *directory = directory.join(path).components().collect();
                found = true;
            }
            if !found {
                return Err(Error::invalid(format!("unknown controller {name} in --cgroup")));
            }
        }
        Ok(moved)
    }
}

/// The path without a leading slash; `..` is refused, for it could lead out.
fn inner(path: &str) -> Result<PathBuf> {
    let outward = |part: &Component<'_>| matches!(part, Component::ParentDir);
    if path.contains('\0') || Path::new(path).components().any(|part| outward(&part)) {
        return Err(Error::invalid(format!("bad sub cgroup path: {path}")));
    }
    Ok(path.split('/').filter(|name| !matches!(*name, "" | ".")).collect())
}

impl Group {
    /// Whether this is the hierarchy of the controller `name`.
    fn is_called(&self, name: &str) -> bool {
        match Controller::from_v1_name(name).or_else(|| Controller::from_v2_name(name)) {
            Some(controller) => self.driver().has(controller),
            None => false,
        }
    }

    fn directory_mut(&mut self) -> &mut PathBuf {
        match self {
            Group::V1(group) => &mut group.directory,
            Group::V2(group) => &mut group.directory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::v1;
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Below> {
        Below::parse(&arguments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
    }

    fn groups() -> Vec<Group> {
        [Controller::Memory, Controller::Cpu]
            .map(|controller| {
                Group::V1(v1::Group {
                    controllers: vec![controller],
                    mount_point: PathBuf::from("/cg"),
                    directory: PathBuf::from("/cg/box"),
                })
            })
            .to_vec()
    }

    fn directories(below: &Below) -> Vec<String> {
        let moved = below.of(&groups()).unwrap();
        moved.iter().map(|group| group.driver().directory().display().to_string()).collect()
    }

    #[test]
    fn each_controller_may_go_elsewhere() {
        let below = parse(&["memory:a/b", "cpu:/c"]).unwrap();
        assert_eq!(directories(&below), ["/cg/box/a/b", "/cg/box/c"]);
        assert_eq!(directories(&parse(&["/x"]).unwrap()), ["/cg/box/x", "/cg/box/x"]);
        assert_eq!(directories(&parse(&["/"]).unwrap()), ["/cg/box", "/cg/box"]);
    }

    #[test]
    fn what_leads_out_or_is_unclear_is_refused() {
        for bad in [&[".."][..], &["a/../.."], &["a", "b"], &[":a"], &["cpu,cpu:a"], &["a\0"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let unknown = parse(&["whaat:/"]).unwrap().of(&groups()).unwrap_err();
        assert!(unknown.to_string().contains("unknown controller whaat"), "{unknown}");
    }
}
