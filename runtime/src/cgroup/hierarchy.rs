//! Which cgroup hierarchies this process can reach, where they are mounted, and where it is itself.
//!
//! Two files say it: `/proc/self/cgroup` has one line for each hierarchy, with its controllers and
//! this process's place in it; `/proc/self/mountinfo` says where each is mounted. The second grows
//! with everything that is mounted on the machine, so it is read only until all hierarchies of the
//! first are found; those of the host are mounted at boot and stand at its top.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use super::controller::Controller;
use super::file;
use crate::error::{Context, Error, Result};
use crate::linux::mount::table::unescape;

/// The v1 hierarchy without controllers in which systemd keeps its units.
const SYSTEMD: &str = "name=systemd";

/// What one hierarchy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A v1 hierarchy with these controllers.
    V1(Vec<Controller>),
    /// The v1 hierarchy `name=systemd`.
    Systemd,
    /// The v2 hierarchy.
    V2,
}

/// One cgroup hierarchy that is mounted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// What it holds.
    pub(crate) holds: Holds,
    /// Where it is mounted.
    pub(crate) mount_point: PathBuf,
    /// The cgroup of this process, as a path below the mount point.
    pub(crate) own: PathBuf,
}

/// Finds the hierarchies that a container has to be put into.
///
/// # Errors
/// `/proc` cannot be read, or no cgroup hierarchy is mounted at all.
pub(crate) fn detect() -> Result<Vec<Hierarchy>> {
    let memberships = file::read_path(Path::new("/proc/self/cgroup"))
        .context(|| "open /proc/self/cgroup")
        .map(|text| parse_memberships(&text))?;
    let mountinfo = File::open("/proc/self/mountinfo").context(|| "open /proc/self/mountinfo")?;
    let hierarchies = locate(memberships, BufReader::new(mountinfo))?;
    if hierarchies.is_empty() {
        return Err(Error::unsupported(
            "no cgroup hierarchy is mounted: mount cgroup2 at /sys/fs/cgroup",
        ));
    }
    Ok(hierarchies)
}

/// One line of `/proc/self/cgroup`.
#[derive(Debug, PartialEq, Eq)]
struct Membership {
    holds: Holds,
    /// The mount options by which a mount of this hierarchy is recognised.
    options: Vec<String>,
    path: PathBuf,
}

/// Takes the lines of the hierarchies that matter to a container.
fn parse_memberships(text: &str) -> Vec<Membership> {
    text.lines().filter_map(parse_membership).collect()
}

/// Parses `id:controllers:path`; a hierarchy that means nothing to a container gives nothing.
fn parse_membership(line: &str) -> Option<Membership> {
    let mut fields = line.splitn(3, ':');
    let (_id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
    let options: Vec<String> =
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let controllers: Vec<Controller> =
        options.iter().filter_map(|name| Controller::from_v1_name(name)).collect();
    let holds = if options.is_empty() {
        Holds::V2
    } else if !controllers.is_empty() {
        Holds::V1(controllers)
    } else if options.iter().any(|name| name == SYSTEMD) {
        Holds::Systemd
    } else {
        return None;
    };
    Some(Membership { holds, options, path: PathBuf::from(path) })
}

/// Finds where each of `memberships` is mounted; those that are not mounted are left out.
fn locate(mut memberships: Vec<Membership>, mut mountinfo: impl BufRead) -> Result<Vec<Hierarchy>> {
    let mut found = Vec::with_capacity(memberships.len());
    let mut line = Vec::new();
    while !memberships.is_empty() {
        line.clear();
        let length =
            mountinfo.read_until(b'\n', &mut line).context(|| "read /proc/self/mountinfo")?;
        if length == 0 {
            break;
        }
        let Some(mount) = parse_mount(&line) else { continue };
        if let Some(at) = memberships.iter().position(|membership| mount.shows(membership)) {
            let membership = memberships.swap_remove(at);
            found.push(Hierarchy {
                holds: membership.holds,
                own: below(&mount.root, &membership.path),
                mount_point: mount.point,
            });
        }
    }
    Ok(found)
}

/// A cgroup mount in `/proc/self/mountinfo`.
struct Mount {
    root: PathBuf,
    point: PathBuf,
    v2: bool,
    options: String,
}

impl Mount {
    /// Whether this is a mount of the hierarchy of `membership`.
    fn shows(&self, membership: &Membership) -> bool {
        match membership.holds {
            Holds::V2 => self.v2,
            Holds::V1(_) | Holds::Systemd => {
                !self.v2
                    && membership
                        .options
                        .iter()
                        .all(|wanted| self.options.split(',').any(|option| option == wanted))
            }
        }
    }
}

/// Parses a line of mountinfo (see proc(5)) if it is a cgroup mount.
fn parse_mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.trim_ascii_end().split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    // Optional fields end with a single dash.
    let mut after = fields.skip_while(|field| *field != b"-").skip(1);
    let v2 = match after.next()? {
        b"cgroup" => false,
        b"cgroup2" => true,
        _ => return None,
    };
    let options = String::from_utf8_lossy(after.nth(1)?).into_owned();
    Some(Mount { root: unescape(root), point: unescape(point), v2, options })
}

/// The part of `path` below `root`. A mount that shows another part of the hierarchy than the one
/// with this process in it gives its top, the nearest place that can be reached.
fn below(root: &Path, path: &Path) -> PathBuf {
    let relative = path.strip_prefix(root).unwrap_or(Path::new(""));
    relative.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 /docker/7 /my\\040groups rw,relatime - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
35 31 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
36 31 0:33 / /never-read rw - cgroup cgroup rw,pids
";

    fn find(memberships: &str, mountinfo: &str) -> Vec<Hierarchy> {
        let mut found = locate(parse_memberships(memberships), mountinfo.as_bytes()).unwrap();
        found.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
        found
    }

    #[test]
    fn a_hybrid_host_is_taken_apart() {
        let found = find(
            "9:name=systemd:/\n4:memory:/docker/7/inner\n3:debug:/\n2:cpu,cpuacct:/a\n0::/b\n",
            HYBRID,
        );
        let expected = [
            (Holds::V1(vec![Controller::Memory]), "/my groups", "inner"),
            (
                Holds::V1(vec![Controller::Cpu, Controller::Cpuacct]),
                "/sys/fs/cgroup/cpu,cpuacct",
                "a",
            ),
            (Holds::Systemd, "/sys/fs/cgroup/systemd", ""),
            (Holds::V2, "/sys/fs/cgroup/unified", "b"),
        ];
        assert_eq!(found.len(), expected.len());
        for (hierarchy, (holds, point, own)) in found.iter().zip(expected) {
            assert_eq!(hierarchy.holds, holds);
            assert_eq!(hierarchy.mount_point, Path::new(point));
            assert_eq!(hierarchy.own, Path::new(own));
        }
    }

    #[test]
    fn a_hierarchy_that_is_not_mounted_is_left_out() {
        assert_eq!(find("7:hugetlb:/\n", HYBRID), []);
    }

    #[test]
    fn a_place_outside_the_mount_becomes_its_top() {
        assert_eq!(below(Path::new("/docker/7"), Path::new("/elsewhere")), Path::new(""));
        assert_eq!(below(Path::new("/"), Path::new("/../../x")), Path::new("x"));
    }

    #[test]
    fn broken_lines_are_passed_over() {
        for line in ["", "1 2 3", "1 2 3 / /x rw - cgroup", "a b c d e f g h i j", "1 - -"] {
            assert!(parse_mount(line.as_bytes()).is_none_or(|mount| mount.options.is_empty()));
        }
    }

    #[test]
    fn this_host_has_hierarchies() {
        let hierarchies = detect().unwrap();
        assert!(hierarchies.iter().all(|hierarchy| hierarchy.mount_point.is_dir()));
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        #[test]
        fn fuzz_mountinfo(
            mounts in crate::fuzz::mutated(HYBRID.as_bytes()),
            own in crate::fuzz::mutated(b"5:memory:/docker/7/a\n4:cpu,cpuacct:/\n1:name=systemd:/x\n0::/y\n"),
        ) {
            let memberships = parse_memberships(&String::from_utf8_lossy(&own));
            for hierarchy in locate(memberships, mounts.as_slice()).unwrap() {
                let part = |part| matches!(part, Component::Normal(_));
                proptest::prop_assert!(hierarchy.own.components().all(part), "{hierarchy:?}");
            }
        }
    }
}
