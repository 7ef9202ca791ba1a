//! Running one command and measuring what it costs.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};

use crate::figures::Cost;

/// Runs `command` to its end and says what it cost: it, and all of its children that had ended.
pub(crate) fn measure(mut command: Command) -> Cost {
    let said = quiet(&mut command);
    let before = children();
    let start = Instant::now();
    let status = command.status();
    let wall = start.elapsed();
    let cpu = cpu_of(&children()) - cpu_of(&before);
    let ended_well = status.as_ref().is_ok_and(|status| status.success());
    assert!(ended_well, "{command:?}: {status:?}: {}", text_of(said));
    Cost { wall, cpu }
}

/// Runs `command` to its end; whether that was a good one.
pub(crate) fn succeeds(mut command: Command) -> bool {
    quiet(&mut command);
    command.status().is_ok_and(|status| status.success())
}

/// What a command says goes to a file without a name, which this gives: a terminal would be slow.
pub(crate) fn quiet(command: &mut Command) -> File {
    let file = tempfile::tempfile_in("/dev/shm").expect("make a file");
    let copy = file.try_clone().expect("hold a file");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(copy);
    file
}

fn text_of(mut file: File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    read.map_or_else(|error| error.to_string(), |_| text)
}

fn children() -> Usage {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage")
}

fn cpu_of(usage: &Usage) -> Duration {
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let total = micros(usage.user_time()) + micros(usage.system_time());
    Duration::from_micros(total.try_into().unwrap_or(0))
}

/// The word by which this program is asked to be a witness.
const WITNESS: &str = "--witness";

/// The kernel tells the peak of all children of a process together. So for the peak of one, this
/// program starts itself anew, runs the command given after the word, and prints the peak in KiB.
/// Gives the exit status if it was asked to do that.
pub(crate) fn serve_as_witness() -> Option<i32> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != WITNESS {
        return None;
    }
    let mut command = Command::new(words.next()?);
    command.args(words).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    let status = command.status().ok()?;
    println!("{}", children().max_rss());
    Some(i32::from(!status.success()))
}

/// The largest resident set, in KiB, of a process of `command`.
pub(crate) fn peak_of(command: &Command) -> u64 {
    let mut witness = Command::new("/proc/self/exe");
    witness.arg(WITNESS).arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        witness.current_dir(directory);
    }
    let output = witness.output().expect("run a witness");
    assert!(output.status.success(), "{command:?} failed under a witness");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a witness says a number")
}
