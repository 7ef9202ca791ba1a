//! What the shim itself has to say: lines on its stderr, which is the bundle's `log` (a fifo that
//! containerd reads) or a file `shim.log` there. Losing such a line is fine; waiting is not.

use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

static DEBUG: AtomicBool = AtomicBool::new(false);

/// Also write what [`debug`] is given.
pub(crate) fn enable_debug() {
    DEBUG.store(true, Ordering::Relaxed);
}

/// Something went wrong that no caller will hear of.
pub(crate) fn warn(message: Arguments<'_>) {
    write("warning", message);
}

/// A step that helps to follow what happened.
pub(crate) fn debug(message: Arguments<'_>) {
    if DEBUG.load(Ordering::Relaxed) {
        write("debug", message);
    }
}

fn write(level: &str, message: Arguments<'_>) {
    let time = crate::clock::rfc3339(SystemTime::now());
    let text = message.to_string();
    // `eprintln!` would panic where stderr is a pipe that is full or gone.
    let _ = writeln!(std::io::stderr(), "time={time:?} level={level} msg={text:?}");
}
