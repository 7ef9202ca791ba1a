//! `tare`, an OCI runtime for Linux: one command per invocation, one job per process.

mod caller;
mod cgroup;
mod command;
mod container;
mod criu;
mod error;
#[cfg(test)]
mod fuzz;
mod init;
mod linux;
mod log;
mod network;
mod process;
mod resctrl;
mod rootfs;
mod shield;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
