//! `tare-init`, the first process of a container that was started with an init.
//!
//! A container's first process has two duties that programs rarely know of: the kernel ignores
//! signals to it that it does not handle, and it inherits every process whose parent is gone. This
//! one starts the container's command, passes signals on to it, collects what ended, and ends as
//! the command does.
//!
//! It is called as `tare-init -- COMMAND [ARGUMENT...]`.
#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code))] // Under test, the entry point is that of the test harness.

mod arguments;
mod sys;

use std::ffi::CStr;

use arguments::Request;
use sys::Ended;

/// What a shell reports for a command that is not there, and for one that cannot be run.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// The command line makes no sense, or the kernel refuses something basic.
const FAILED: i32 = 1;

const USAGE: &str = "\
Usage: tare-init [--] COMMAND [ARGUMENT...]
       tare-init --version

Runs COMMAND as the first process of a container should: passes signals on to it, collects every
process that ends, and ends with COMMAND's exit code, or 128 and the number of the signal that
ended it.
";

/// The whole program; returns its exit code.
fn run(arguments: &[&CStr]) -> i32 {
    match arguments::parse(arguments) {
        Request::Version => {
            sys::print(concat!("tare-init ", env!("CARGO_PKG_VERSION"), "\n"));
            0
        }
        Request::Help => {
            sys::print(USAGE);
            0
        }
        Request::Unknown(option) => {
            complain(format_args!("unknown option {}\n{USAGE}", option.to_string_lossy()));
            FAILED
        }
        Request::NoCommand => {
            complain(format_args!("no command given\n{USAGE}"));
            FAILED
        }
        Request::Run(command) => match supervise(command) {
            Ok(code) => code,
            Err(error) => {
                complain(format_args!("{error}\n"));
                FAILED
            }
        },
    }
}

/// Starts the command and stays until it has ended.
fn supervise(command: &[&CStr]) -> std::io::Result<i32> {
    // From here on signals wait until they are asked for, so none is lost around the start.
    let before = sys::hold_signals()?;
    sys::adopt_orphans()?;
    let child = sys::start(command, &before, |error| {
        let name = command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        complain(format_args!("exec {name} failed: {}\n", reason(&error)));
        match error.kind() {
            std::io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        }
    })?;
    loop {
        match sys::next_signal()? {
            libc::SIGCHLD => {
                if let Some(code) = collect(child)? {
                    return Ok(code);
                }
            }
            signal => sys::pass_on(child, signal)?,
        }
    }
}

/// Collects every process that has ended; gives the exit code once the command is among them.
fn collect(child: sys::ProcessId) -> std::io::Result<Option<i32>> {
    let mut code = None;
    while let Some((process, ended)) = sys::next_ended()? {
        if process == child {
            code = Some(match ended {
                Ended::Exited(code) => code,
                Ended::Killed(signal) => 128 + signal,
            });
        }
    }
    Ok(code)
}

/// What the C library says, without Rust's "(os error 2)" after it.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn complain(text: std::fmt::Arguments<'_>) {
    sys::print_error(&format!("tare-init: {text}"));
}
