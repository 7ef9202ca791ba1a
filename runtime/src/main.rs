//! `tare`, an OCI runtime for Linux: one command per invocation, one job per process.

mod error;
mod linux;
mod process;

fn main() {}
