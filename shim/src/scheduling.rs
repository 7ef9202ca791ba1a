//! How the kernel treats this process beside others, as containerd wants it for its shims.

use std::fs;

use rustix::process::Pid;
use rustix::thread::{CoreSchedulingScope, create_core_scheduling_cookie};

use crate::error::{Context, Result};

/// The score of what is killed first when memory runs out.
const HIGHEST_SCORE: i32 = 1000;

/// Is killed before `manager` when memory runs out: one shim is worth less than the one that has
/// them all. To be called by a process that is about to serve; containers whose bundle doesn't say
/// anything else have the same score.
pub(crate) fn be_killed_before(manager: Pid) -> Result<()> {
    let pid = manager.as_raw_nonzero();
    let place = format!("/proc/{pid}/oom_score_adj");
    let score = fs::read_to_string(&place).context(|| format!("read {place}"))?;
    let score: i32 = score.trim().parse().context(|| format!("understand {place}"))?;
    let higher = (score + 1).min(HIGHEST_SCORE).to_string();
    fs::write("/proc/self/oom_score_adj", &higher)
        .context(|| format!("set the out-of-memory score to {higher}"))
}

/// Shares a processor's core with nothing but what this process starts.
pub(crate) fn keep_core_to_itself() -> Result<()> {
    create_core_scheduling_cookie(rustix::process::getpid(), CoreSchedulingScope::ThreadGroup)
        .context(|| "have processor cores for this container alone ($SCHED_CORE)".to_owned())
}
