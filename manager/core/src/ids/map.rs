//! A mapping between the ids in containers and those on the host.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Ids that follow one another, in containers and on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// The first one in containers.
    #[serde(rename = "containerID")]
    pub inside: u32,
    /// The first one on the host.
    #[serde(rename = "hostID")]
    pub outside: u32,
    /// How many there are.
    pub size: u32,
}

/// Which users and groups of the host those of containers are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    uids: Vec<Range>,
    gids: Vec<Range>,
}

/// How many ranges the kernel takes.
const MOST_RANGES: usize = 340;

impl IdMap {
    /// The ids of containers count from 0 through these ranges of the host, one after the other:
    /// the first id and the number of each.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] if there is none of a kind, or what the kernel would refuse.
    pub fn new(uids: &[(u32, u32)], gids: &[(u32, u32)]) -> Result<Self> {
        Ok(Self { uids: ranges("user", uids)?, gids: ranges("group", gids)? })
    }

    /// User and group of the host that root of a container is.
    pub fn root(&self) -> (u32, u32) {
        let first = |ranges: &[Range]| ranges.first().map_or(0, |range| range.outside);
        (first(&self.uids), first(&self.gids))
    }

    /// The last group of the first range, in containers.
    pub(crate) fn last_group(&self) -> u32 {
        self.gids.first().map_or(0, |range| range.size - 1)
    }

    /// Who `uid` and `gid` of a container are on the host.
    ///
    /// # Errors
    /// Invalid if containers have no such user or group.
    pub fn outside(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        let find = |ranges: &[Range], id, kind| {
            map(ranges, id, |range| (range.inside, range.outside)).ok_or_else(|| {
                Error::invalid(format!(
                    "the {kind} {id} is not mapped in the container's user namespace: assign more \
                     subordinate ids"
                ))
            })
        };
        Ok((find(&self.uids, uid, "user")?, find(&self.gids, gid, "group")?))
    }

    /// Who `uid` and `gid` of the host are in containers; the kernel's nobody if they are no one.
    pub(crate) fn inside(&self, uid: u32, gid: u32) -> (u32, u32) {
        /// The kernel's `overflowuid`.
        const NOBODY: u32 = 65534;
        let find = |ranges: &[Range], id| {
            map(ranges, id, |range| (range.outside, range.inside)).unwrap_or(NOBODY)
        };
        (find(&self.uids, uid), find(&self.gids, gid))
    }

    /// As `/proc/PID/uid_map` takes it.
    pub(super) fn uid_lines(&self) -> String {
        lines(&self.uids)
    }

    /// As `/proc/PID/gid_map` takes it.
    pub(super) fn gid_lines(&self) -> String {
        lines(&self.gids)
    }
}

fn ranges(kind: &str, of_host: &[(u32, u32)]) -> Result<Vec<Range>> {
    let wrong = |what: &str| Error::invalid(format!("the subordinate {kind} ids {what}"));
    let mut inside: u32 = 0;
    let mut ranges = Vec::new();
    for &(outside, size) in of_host.iter().filter(|(_, size)| *size > 0) {
        let next = inside.checked_add(size).ok_or_else(|| wrong("are too many"))?;
        // The highest id stands for none.
        outside.checked_add(size).ok_or_else(|| wrong("are too high"))?;
        if outside == 0 {
            return Err(wrong("begin with root of the host"));
        }
        ranges.push(Range { inside, outside, size });
        inside = next;
    }
    let overlap = |one: &Range| {
        let end = one.outside + (one.size - 1);
        ranges
            .iter()
            .any(|other| other.inside != one.inside && (one.outside..=end).contains(&other.outside))
    };
    match ranges.len() {
        0 => Err(wrong("are none")),
        count if count > MOST_RANGES => Err(wrong("are in more ranges than the kernel takes")),
        _ if ranges.iter().any(overlap) => Err(wrong("are in ranges that overlap")),
        _ => Ok(ranges),
    }
}

/// `id` by the range that it is in, which `ends` gives the beginnings of: from, to.
fn map(ranges: &[Range], id: u32, ends: impl Fn(&Range) -> (u32, u32)) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let (from, to) = ends(range);
        let offset = id.checked_sub(from).filter(|offset| *offset < range.size)?;
        to.checked_add(offset)
    })
}

fn lines(ranges: &[Range]) -> String {
    let mut text = String::new();
    for Range { inside, outside, size } in ranges {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{inside} {outside} {size}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_through_all_ranges_and_back() {
        let map = IdMap::new(&[(100_000, 10), (5_000, 90)], &[(200_000, 65_536)]).unwrap();
        assert_eq!(map.root(), (100_000, 200_000));
        assert_eq!(map.outside(9, 0).unwrap(), (100_009, 200_000));
        assert_eq!(map.outside(10, 33).unwrap(), (5_000, 200_033));
        assert_eq!(map.inside(5_089, 265_535), (99, 65_535));
        assert_eq!(map.inside(0, 0), (65_534, 65_534));
        assert!(map.outside(100, 0).unwrap_err().to_string().contains("user 100 is not mapped"));
        assert_eq!(map.uid_lines(), "0 100000 10\n10 5000 90\n");
        assert_eq!(map.last_group(), 65_535);
    }

    #[test]
    fn what_the_kernel_refuses_or_would_give_the_host_away_is_refused() {
        let of = |uids: &[(u32, u32)]| IdMap::new(uids, &[(1, 1)]).unwrap_err().to_string();
        assert!(of(&[]).contains("are none"));
        assert!(of(&[(100, 0)]).contains("are none"));
        assert!(of(&[(0, 65_536)]).contains("begin with root"));
        assert!(of(&[(u32::MAX, 2)]).contains("too high"));
        assert!(of(&[(1, u32::MAX - 1), (1, 3)]).contains("too many"));
        assert!(of(&[(100, 10), (105, 10)]).contains("overlap"));
        assert!(of(&[(105, 10), (100, 10)]).contains("overlap"));
    }
}
