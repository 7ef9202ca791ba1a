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
mod operation;
mod round;
mod tracer;
mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};

use operation::Operation;
use round::Round;
use tare_integration::{Host, on_host, peer};
use tracer::{End, Victim};

/// How many steps a test takes where it doesn't take all.
const SAMPLE: usize = 3;

/// Goes through the steps, and tells of all at which something went wrong.
fn nothing_is_lost(victim: Victim, operation: Operation) {
    if !peer::is_tared("programs that are traced") {
        return;
    }
    on_host(|host| {
        let round = Round { victim, operation };
        let mut before = host.footprint();
        let (mut killed, mut failures) = (0, Vec::new());
        let all = std::env::var_os("TARE_TEST_EVERY_STEP").is_some();
        for step in if all { Box::new(1..) } else { some_steps(host, round) } {
            match catch_unwind(AssertUnwindSafe(|| round.run(host, &before, step))) {
                Ok(End::Killed(_)) => killed += 1,
                // Each time it takes a few more steps, or a few less.
                Ok(End::Done) if all => break,
                Ok(End::Done) => {}
                Err(failure) => {
                    killed += 1;
                    let text = failure.downcast_ref::<String>().cloned().unwrap_or_default();
                    eprintln!("FAILED at step {step}: {text}");
                    failures.push(text);
                    let _ = catch_unwind(AssertUnwindSafe(|| round::clean_up(host)));
                    before = host.footprint();
                }
            }
        }
        eprintln!(
            "{operation:?}: {victim:?} was killed {killed} times, {} failures",
            failures.len()
        );
        assert!(killed > 0, "there was nothing to kill");
        assert!(failures.is_empty(), "{} of {killed}: {failures:#?}", failures.len());
    });
}

/// The one that is asked for, or some that are far from each other.
fn some_steps(host: &Host, round: Round) -> Box<dyn Iterator<Item = usize>> {
    let asked = std::env::var("TARE_TEST_STEP").ok().and_then(|value| value.parse().ok());
    if let Some(step) = asked {
        return Box::new(std::iter::once(step));
    }
    let all = round.count(host);
    let seed = std::process::id() as usize;
    Box::new((0..SAMPLE).map(move |n| 1 + (seed + n * all / SAMPLE) % all))
}

macro_rules! tests {
    ($($name:ident: $victim:ident, $operation:ident;)*) => {
        $(#[test]
        fn $name() {
            nothing_is_lost(Victim::$victim, Operation::$operation);
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
