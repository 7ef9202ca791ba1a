//! `containerd-shim-tare-v2`: supervises a container, and outlives whoever had it started.
//!
//! It speaks containerd's Task API (version 3, over gRPC or ttrpc) to its manager, and runc's command
//! line to the OCI runtime. It is started by `start`, which leaves a server behind; `delete` cleans up
//! after one that died.
//!
//! The server has one thread. `service` translates requests, `task` decides, `io` moves bytes,
//! `runtime` calls the OCI runtime, `reaper` learns of ends, `record` keeps them. What needs no
//! manager stands under `task`: a container that ends is started again by its policy, and its health
//! is checked.

mod address;
mod args;
mod cgroup;
mod clock;
mod delete;
mod diagnostics;
mod error;
mod info;
mod io;
mod linux;
mod memory;
mod metrics;
mod mount;
mod noted;
mod oom;
mod ports;
mod publish;
mod reaper;
mod record;
mod runtime;
mod scheduling;
mod server;
mod service;
mod start;
mod task;
mod ttrpc;

use std::io::Write;
use std::process::ExitCode;

use args::Invocation;
use error::{Context, Result};

fn main() -> ExitCode {
    linux::forget_ignored_signals();
    let inherited = inherited_count();
    let reservations = linux::take_inherited(inherited);
    let closed = linux::close_from(3 + i32::from(inherited));
    let name = env!("CARGO_PKG_NAME");
    let invocation = match args::parse(std::env::args().skip(1)) {
        Ok(invocation) => invocation,
        Err(message) => {
            eprintln!("{name}: {message}");
            return ExitCode::from(2);
        }
    };
    let done = closed
        .context(|| "close inherited descriptors".to_owned())
        .and_then(|()| run(invocation, reservations));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(invocation: Invocation, reservations: Vec<std::os::fd::OwnedFd>) -> Result<()> {
    match invocation {
        Invocation::Version => print(info::version().as_bytes()),
        Invocation::Info => print(&info::encoded()?),
        Invocation::Start(flags) => match start::start(&flags, reservations)? {
            Some(address) => print(address.as_bytes()),
            None => Ok(()),
        },
        Invocation::Delete(flags) => print(&delete::delete(&flags)?),
    }
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context(|| "print the answer".to_owned())
}

/// How many descriptors were handed to us, as sd_listen_fds(3) has it. Where the caller couldn't
/// know our pid before it became us, `LISTEN_PID` may be missing.
fn inherited_count() -> u16 {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    let for_us = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    let count = if for_us { number("LISTEN_FDS") } else { None };
    count.and_then(|count| u16::try_from(count).ok()).unwrap_or(0)
}
