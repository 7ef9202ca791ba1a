//! Whoever is killed, and wherever in its work, nothing is lost: no exit, no byte of a log; and
//! nothing is left behind.
//!
//! The victims, `tared`, the shim and the runtime, are programs as they are installed. They are
//! traced, and killed at one after another of the system calls by which they change the world, while
//! a container is created, started, entered, ends and is removed. Then the daemon is started again
//! if it was the one, and the container looked at, used and removed.
//!
//! A test goes through some of the steps, others each time. `TARE_TEST_EVERY_STEP=1` has it go
//! through all, `TARE_TEST_STEP=N` through that one alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod container;
mod network;
mod operation;
mod round;
mod tracer;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};

use network::Change;
use operation::Operation;
use round::Round;
use tare_integration::footprint::Footprint;
use tare_integration::{Host, on_host, peer};
use tracer::{End, Victim};

/// How many steps a test takes where it doesn't take all.
const SAMPLE: usize = 3;

/// After how many failures a test goes no further.
const ENOUGH: usize = 5;

/// Something in the middle of which somebody is killed.
trait Tried: std::fmt::Debug {
    /// How many steps there are.
    fn count(&self, host: &Host) -> usize;

    /// Kills at the step number `step`, and requires that nothing is lost and nothing left.
    fn run(&self, host: &Host, before: &Footprint, step: usize) -> End;

    /// Makes the machine usable again after a round that went wrong.
    fn clean_up(&self, host: &Host);
}

/// Goes through the steps, and tells of all at which something went wrong.
fn nothing_is_lost(tried: &impl Tried) {
    if !peer::is_tared("programs that are traced") {
        return;
    }
    on_host(|host| {
        let mut before = host.footprint();
        let (mut killed, mut failures) = (0, Vec::new());
        let all = std::env::var_os("TARE_TEST_EVERY_STEP").is_some();
        for step in if all { Box::new(1..) } else { some_steps(host, tried) } {
            match catch_unwind(AssertUnwindSafe(|| tried.run(host, &before, step))) {
                Ok(End::Killed(_)) => killed += 1,
                // Each time it takes a few more steps, or a few less.
                Ok(End::Done) if all => break,
                Ok(End::Done) => {}
                Err(failure) => {
                    killed += 1;
                    let text = failure.downcast_ref::<String>().cloned().unwrap_or_default();
                    eprintln!("FAILED at step {step}: {text}");
                    failures.push(text);
                    let _ = catch_unwind(AssertUnwindSafe(|| tried.clean_up(host)));
                    before = host.footprint();
                }
            }
            if failures.len() == ENOUGH {
                break;
            }
        }
        eprintln!("{tried:?}: killed {killed} times, {} failures", failures.len());
        assert!(killed > 0, "there was nothing to kill");
        assert!(failures.is_empty(), "{} of {killed}: {failures:#?}", failures.len());
    });
}

/// The one that is asked for, or some that are far from each other.
fn some_steps(host: &Host, tried: &impl Tried) -> Box<dyn Iterator<Item = usize>> {
    let asked = std::env::var("TARE_TEST_STEP").ok().and_then(|value| value.parse().ok());
    if let Some(step) = asked {
        return Box::new(std::iter::once(step));
    }
    let all = tried.count(host);
    let seed = std::process::id() as usize;
    Box::new((0..SAMPLE).map(move |n| 1 + (seed + n * all / SAMPLE) % all))
}

#[test]
fn tared_is_killed_while_it_makes_a_network() {
    nothing_is_lost(&Change::Make);
}

#[test]
fn tared_is_killed_while_it_connects_a_container() {
    nothing_is_lost(&Change::Connect);
}

#[test]
fn tared_is_killed_while_it_disconnects_one() {
    nothing_is_lost(&Change::Disconnect);
}

#[test]
fn tared_is_killed_while_it_removes_a_network() {
    nothing_is_lost(&Change::Unmake);
}

macro_rules! tests {
    ($($name:ident: $victim:ident, $operation:ident;)*) => {
        $(#[test]
        fn $name() {
            let (victim, operation) = (Victim::$victim, Operation::$operation);
            nothing_is_lost(&Round { victim, operation });
        })*
    };
}

tests! {
    tared_is_killed_while_it_creates: Daemon, Create;
    tared_is_killed_while_it_starts: Daemon, Start;
    tared_is_killed_during_an_exec: Daemon, Exec;
    tared_is_killed_when_a_container_ends: Daemon, End;
    tared_is_killed_while_it_removes: Daemon, Remove;
    tared_is_killed_when_a_shim_is_lost: Daemon, Lose;
    the_shim_is_killed_during_a_start: Shim, Start;
    the_shim_is_killed_during_an_exec: Shim, Exec;
    the_shim_is_killed_when_its_container_ends: Shim, End;
    the_shim_is_killed_during_a_removal: Shim, Remove;
    the_shim_is_killed_cleaning_up_after_another: Shim, Lose;
    the_runtime_is_killed_during_a_start: Runtime, Start;
    the_runtime_is_killed_during_an_exec: Runtime, Exec;
    the_runtime_is_killed_when_a_container_ends: Runtime, End;
    the_runtime_is_killed_during_a_removal: Runtime, Remove;
    the_runtime_is_killed_when_a_shim_is_lost: Runtime, Lose;
}
