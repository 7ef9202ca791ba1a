//! The commands that are measured.

use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tare_integration::turns::{Rounds, in_turns};

use crate::bundle::Bundle;
use crate::command::{measure, quiet};
use crate::contender::Contender;
use crate::figures::{Cost, Costs};

/// Rounds that come before those that count.
const WARM_UP: usize = 3;

/// Calls `one_round` for each contender in turn. Gives what it gave, if it gave something, contender by
/// contender.
fn rounds<T>(
    contenders: &[Contender],
    count: usize,
    mut one_round: impl FnMut(&Contender) -> Option<T>,
) -> Vec<Vec<T>> {
    let mut contenders: Vec<&Contender> = contenders.iter().collect();
    let rounds = Rounds { warm_up: WARM_UP, counted: count };
    let all = in_turns(&mut contenders, rounds, |one, _| one_round(one));
    all.into_iter().map(|given| given.into_iter().flatten().collect()).collect()
}

/// `run` of a program that ends at once.
pub(crate) fn run(contenders: &[Contender], bundle: &Bundle, count: usize) -> Vec<Costs> {
    rounds(contenders, count, |one| Some(measure(one.run(bundle, "one"))))
}

/// The life of a container, command by command: the name of each and its costs.
const STEPS: [&str; 5] = ["create", "start", "exec", "kill", "delete"];

/// A container's life in single steps.
pub(crate) fn steps(
    contenders: &[Contender],
    bundle: &Bundle,
    count: usize,
) -> Vec<(&'static str, Vec<Costs>)> {
    bundle.configure(&["/bin/sleep", "1000"], |_| {});
    let lives = rounds(contenders, count, |one| one.is_runtime().then(|| live(one, bundle)));
    bundle.configure(&["/bin/true"], |_| {});
    STEPS
        .iter()
        .enumerate()
        .map(|(step, name)| {
            let costs = lives.iter().map(|lives| lives.iter().map(|life| life[step]).collect());
            (*name, costs.collect())
        })
        .collect()
}

/// One life. What the container's first process does for a step, and goes on doing when the command
/// has ended, counts for that step too.
fn live(one: &Contender, bundle: &Bundle) -> [Cost; STEPS.len()] {
    let pid_file = bundle.path().join("pid");
    let mut used = Duration::ZERO;
    let mut pid = None;
    let step = |words: &[&str], pid: &mut Option<i32>, used: &mut Duration| {
        let mut command = one.command(bundle);
        command.args(words);
        let mut cost = measure(command);
        if pid.is_none() {
            let text = std::fs::read_to_string(&pid_file).expect("read the pid file");
            *pid = text.trim().parse().ok();
        }
        if let Some(now) = pid.and_then(cpu_so_far) {
            cost.cpu += now.saturating_sub(*used);
            *used = now;
        }
        cost
    };
    let file = pid_file.to_str().expect("the path is plain");
    let create = step(&["create", "--pid-file", file, "steps"], &mut pid, &mut used);
    let start = step(&["start", "steps"], &mut pid, &mut used);
    let exec = step(&["exec", "steps", "/bin/true"], &mut pid, &mut used);
    let kill = step(&["kill", "steps", "KILL"], &mut pid, &mut used);
    let ended = nix::unistd::Pid::from_raw(pid.expect("the container has a process"));
    waitpid(ended, None).expect("wait for the container's process");
    let delete = step(&["delete", "steps"], &mut pid, &mut used);
    reap();
    [create, start, exec, kill, delete]
}

/// What the process has used of the processors; nothing if it is gone.
fn cpu_so_far(pid: i32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// Takes leave of whatever was left to this process.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// Containers that run in a second: one at a time, and many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throughput {
    /// How many at once.
    pub(crate) crowd: usize,
    /// One after the other.
    pub(crate) alone: f64,
    /// All at once.
    pub(crate) together: f64,
    /// All at once, for each processor there is.
    pub(crate) per_core: f64,
}

/// Starts `crowd` containers at once and waits for them all, some times; and as many one after the
/// other.
pub(crate) fn crowd(
    contenders: &[Contender],
    bundle: &Bundle,
    crowd: usize,
    count: usize,
) -> Vec<Option<Throughput>> {
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let times = (count / 8).max(3);
    let all = rounds(contenders, times, |one| {
        let start = Instant::now();
        for _ in 0..crowd {
            measure(one.run(bundle, "alone"));
        }
        let alone = start.elapsed();
        let start = Instant::now();
        let running: Vec<_> = (0..crowd)
            .map(|number| {
                let mut command = one.run(bundle, &format!("crowd{number}"));
                quiet(&mut command);
                command.spawn().expect("start one of many")
            })
            .collect();
        for mut one in running {
            assert!(one.wait().is_ok_and(|status| status.success()), "one of many failed");
        }
        Some((alone, start.elapsed()))
    });
    let rate = |times: Vec<Duration>| {
        let mut times = times;
        times.sort();
        times.get(times.len() / 2).map(|time| crowd as f64 / time.as_secs_f64())
    };
    all.into_iter()
        .map(|rounds| {
            let (alone, together): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
            let (alone, together) = (rate(alone)?, rate(together)?);
            Some(Throughput { crowd, alone, together, per_core: together / cores })
        })
        .collect()
}
