//! Where in each hierarchy a container's cgroup belongs.
//!
//! `linux.cgroupsPath` decides: an absolute path counts from the top of each hierarchy, a relative
//! one from the cgroup of the caller, and without one the container's id is taken as a relative
//! path. On a pure v2 host a relative path counts from the parent of the caller's cgroup: a cgroup
//! with processes in it cannot hand controllers to its children.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hierarchy::Hierarchy;
use crate::error::{Error, Result};

/// A container's place, the same in all hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placement {
    /// Below the top of the hierarchy.
    FromTop(PathBuf),
    /// Below the cgroup of the caller.
    FromCaller(PathBuf),
}

/// Which kind of cgroup host this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Host {
    /// All controllers are on v2.
    Unified,
    /// v1 hierarchies, with or without a v2 hierarchy beside them.
    Legacy,
}

impl Placement {
    /// Reads `cgroups_path`; `..` never leads out of the place that the path counts from.
    ///
    /// # Errors
    /// The path names no cgroup of its own (`/`, `..`), or holds a byte that no cgroup may have.
    pub(super) fn new(cgroups_path: Option<&str>, container_id: &str) -> Result<Placement> {
        let path = cgroups_path.filter(|path| !path.is_empty()).unwrap_or(container_id);
        let inner = clean(path);
        if inner.as_os_str().is_empty() || path.contains(['\0', '\n']) {
            return Err(Error::invalid(format!(
                "invalid cgroupsPath {path:?}: it must name a cgroup below the top, \
                 such as /tare/{container_id}"
            )));
        }
        Ok(if path.starts_with('/') {
            Placement::FromTop(inner)
        } else {
            Placement::FromCaller(inner)
        })
    }

    /// The container's directory, relative to the mount point of `hierarchy`.
    pub(super) fn within(&self, hierarchy: &Hierarchy, host: Host) -> PathBuf {
        match (self, host) {
            (Placement::FromTop(inner), _) => inner.clone(),
            (Placement::FromCaller(inner), Host::Legacy) => hierarchy.own.join(inner),
            (Placement::FromCaller(inner), Host::Unified) => {
                hierarchy.own.parent().unwrap_or(Path::new("")).join(inner)
            }
        }
    }
}

/// The names of `path` below its start, with `.` and `..` taken out.
fn clean(path: &str) -> PathBuf {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.iter().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::super::hierarchy::Holds;
    use super::*;

    fn caller_at(own: &str) -> Hierarchy {
        Hierarchy { holds: Holds::V2, mount_point: PathBuf::from("/cg"), own: PathBuf::from(own) }
    }

    fn place(path: Option<&str>, own: &str, host: Host) -> String {
        let placement = Placement::new(path, "id").unwrap();
        placement.within(&caller_at(own), host).display().to_string()
    }

    #[test]
    fn absolute_paths_count_from_the_top() {
        assert_eq!(place(Some("/docker/abc"), "user/me", Host::Legacy), "docker/abc");
        assert_eq!(place(Some("//docker/./abc/"), "user/me", Host::Unified), "docker/abc");
    }

    #[test]
    fn relative_paths_count_from_the_caller() {
        assert_eq!(place(Some("a/b"), "user/me", Host::Legacy), "user/me/a/b");
        assert_eq!(place(Some("a/b"), "user/me", Host::Unified), "user/a/b");
        assert_eq!(place(Some("a/b"), "", Host::Unified), "a/b");
        assert_eq!(place(None, "user/me", Host::Legacy), "user/me/id");
        assert_eq!(place(Some(""), "user/me", Host::Legacy), "user/me/id");
    }

    #[test]
    fn no_path_leads_out() {
        let pieces = ["..", ".", "", "a", "b c", "../..", "/", "...", "-", "é"];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    for path in
                        [format!("{first}/{second}/{third}"), format!("/{first}/{second}/{third}")]
                    {
                        let Ok(placement) = Placement::new(Some(&path), "id") else {
                            assert!(clean(&path).as_os_str().is_empty(), "{path}");
                            continue;
                        };
                        let within = placement.within(&caller_at("own"), Host::Legacy);
                        assert!(within.components().count() > 0, "{path}");
                        assert!(
                            within.components().all(|part| matches!(part, Component::Normal(_))),
                            "{path} gives {}",
                            within.display()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_path_without_a_cgroup_of_its_own_is_refused() {
        for path in ["/", "..", ".", "/..", "a/..", "../../..", "/./", "a\0b", "a\nb"] {
            let error = Placement::new(Some(path), "id").unwrap_err();
            assert!(error.to_string().contains("cgroupsPath"), "{error}");
        }
    }
}
