//! What goes: by whom it was asked for, or by the rules that keep the cache small.

use jiff::Timestamp;

use super::usage::{Prune, Usage};

/// The disk that all is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    /// Bytes that are free.
    pub(super) free: u64,
}

/// Which of `all` go, those first that were used longest ago.
pub(super) fn chosen(all: &[Usage], prune: &Prune<'_>, disk: Disk, now: Timestamp) -> Vec<usize> {
    let mut total: u64 =
        all.iter().filter(|usage| counts(usage, prune)).map(|usage| usage.size).sum();
    let kept = kept_bytes(total, prune, disk);
    let mut may_go: Vec<usize> =
        (0..all.len()).filter(|index| may_go(&all[*index], prune, now)).collect();
    may_go.sort_by_key(|index| {
        let usage = &all[*index];
        (usage.last_used.unwrap_or(usage.created), usage.times_used)
    });
    let Some(kept) = kept else { return may_go };
    let mut going = Vec::new();
    for index in may_go {
        if total <= kept {
            break;
        }
        total = total.saturating_sub(all[index].size);
        going.push(index);
    }
    going
}

/// Whether something takes space that a limit is about.
fn counts(usage: &Usage, prune: &Prune<'_>) -> bool {
    (prune.all || !usage.shared) && prune.holds.is_none_or(|holds| holds(usage))
}

fn may_go(usage: &Usage, prune: &Prune<'_>, now: Timestamp) -> bool {
    let unused = now.duration_since(usage.last_used.unwrap_or(usage.created)).unsigned_abs();
    !usage.in_use && counts(usage, prune) && unused >= prune.unused_for
}

/// The bytes that stay; none: nothing stays that may go.
fn kept_bytes(total: u64, prune: &Prune<'_>, disk: Disk) -> Option<u64> {
    if (prune.most, prune.reserved, prune.free) == (0, 0, 0) {
        return None;
    }
    let missing = prune.free.saturating_sub(disk.free);
    let most = match (prune.most, missing) {
        (0, 0) if prune.free > 0 => total,
        (most, 0) => most,
        (0, missing) => total.saturating_sub(missing),
        (most, missing) => most.min(total.saturating_sub(missing)),
    };
    Some(most.max(prune.reserved))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::usage::UsageKind;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn usage(id: &str, size: u64, used: i64) -> Usage {
        Usage {
            id: id.to_owned(),
            mutable: false,
            in_use: false,
            size,
            parents: Vec::new(),
            created: at(0),
            last_used: Some(at(used)),
            times_used: 1,
            description: String::new(),
            kind: UsageKind::Regular,
            shared: false,
        }
    }

    fn all() -> Vec<Usage> {
        let shared = Usage { shared: true, ..usage("shared", 100, 1) };
        let used = Usage { in_use: true, ..usage("used", 10, 2) };
        vec![usage("late", 10, 50), shared, used, usage("early", 10, 20), usage("middle", 10, 30)]
    }

    fn ids(prune: &Prune<'_>, free: u64) -> Vec<String> {
        let all = all();
        let chosen = chosen(&all, prune, Disk { free }, at(100));
        chosen.into_iter().map(|index| all[index].id.clone()).collect()
    }

    #[test]
    fn without_a_limit_all_goes_that_nobody_uses() {
        assert_eq!(ids(&Prune::default(), 0), ["early", "middle", "late"]);
        let all = Prune { all: true, ..Prune::default() };
        assert_eq!(ids(&all, 0), ["shared", "early", "middle", "late"]);
        let old = Prune { unused_for: Duration::from_secs(60), ..Prune::default() };
        assert_eq!(ids(&old, 0), ["early", "middle"]);
        let holds = |usage: &Usage| usage.id == "late";
        assert_eq!(ids(&Prune { holds: Some(&holds), ..Prune::default() }, 0), ["late"]);
    }

    #[test]
    fn with_one_as_much_stays_as_may() {
        assert_eq!(ids(&Prune { most: 20, ..Prune::default() }, 0), ["early", "middle"]);
        assert_eq!(ids(&Prune { most: 20, reserved: 30, ..Prune::default() }, 0), ["early"]);
        assert_eq!(ids(&Prune { reserved: 40, ..Prune::default() }, 0), [""; 0]);
        assert_eq!(ids(&Prune { free: 15, ..Prune::default() }, 0), ["early", "middle"]);
        assert_eq!(ids(&Prune { free: 15, ..Prune::default() }, 15), [""; 0]);
    }
}
