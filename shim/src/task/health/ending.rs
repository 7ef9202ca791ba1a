//! Whether a process is on its way out: the kernel ends all others of its container first, a probe
//! among them, and its own end is seen after theirs.

use std::fs;

/// The kernel's mark on such a process, `PF_EXITING`.
const EXITING: u64 = 0x4;

/// Whether the process is ending, or has ended.
pub(super) fn is_ending(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.ok().and_then(|stat| flags(&stat)).is_none_or(|flags| flags & EXITING != 0)
}

/// See proc(5): the 9th field, of which the second may have anything in it but ends with the last
/// parenthesis.
fn flags(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(9 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194564 10 0";
        assert_eq!(flags(stat), Some(4_194_564));
        assert_eq!(flags("7 (cut"), None);
    }

    #[test]
    fn this_process_is_not_ending() {
        assert!(!is_ending(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(is_ending(child.id()));
    }
}
