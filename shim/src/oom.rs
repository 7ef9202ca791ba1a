//! Whom the kernel kills when memory runs out. A shim is the last to choose: it frees a megabyte,
//! and takes a container with it.
//!
//! The score is inherited by all that a process starts, and a container must not be spared because
//! its shim is. So what is started from here gets the score that the manager has, but none that
//! spares it.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use crate::diagnostics::debug;
use crate::linux;

const FILE: &str = "/proc/self/oom_score_adj";
/// What containerd's own shims have under a containerd that is spared itself: only -1000 is less.
const SPARED: i32 = -998;

/// The score of what is started from here, where it isn't this process's own.
static OF_CHILDREN: OnceLock<String> = OnceLock::new();

/// Has the kernel spare this process, if that is allowed, but nothing that it starts.
pub(crate) fn spare() {
    let Some(inherited) = fs::read_to_string(FILE).ok().and_then(|score| score.trim().parse().ok())
    else {
        return;
    };
    let is_spared = match fs::write(FILE, SPARED.to_string()) {
        Ok(()) => true,
        // This takes the capability CAP_SYS_RESOURCE.
        Err(error) => {
            debug(format_args!("{FILE}: {error}"));
            false
        }
    };
    if let Some(score) = of_children(inherited, is_spared) {
        // It is set once: a process becomes a server once.
        let _ = OF_CHILDREN.set(score.to_string());
    }
}

/// Has the program that `command` will run not be spared.
pub(crate) fn begin_unspared(command: &mut Command) {
    if let Some(score) = OF_CHILDREN.get() {
        linux::set_oom_score(command, score);
    }
}

/// What they have to set for themselves; `None` if they inherit it.
fn of_children(inherited: i32, is_spared: bool) -> Option<i32> {
    let wanted = inherited.max(0);
    (is_spared || wanted != inherited).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_started_is_spared() {
        // A manager that is spared, by itself or together with its shim; one that nobody spares.
        assert_eq!(of_children(-500, true), Some(0));
        assert_eq!(of_children(-500, false), Some(0));
        assert_eq!(of_children(0, true), Some(0));
        assert_eq!(of_children(0, false), None);
        assert_eq!(of_children(300, true), Some(300));
        assert_eq!(of_children(300, false), None);
    }
}
