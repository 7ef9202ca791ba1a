//! Whole containers, run by the built program.
#![allow(clippy::unwrap_used, clippy::panic)] // The helpers of a test may stop it, like the test.

mod bundle;
mod checkpoint;
mod commands;
mod crash;
mod criu;
mod escapes;
mod escapes_binary;
mod escapes_descriptors;
mod escapes_masks;
mod escapes_mounts;
mod escapes_process;
mod fake_systemd;
mod fields;
mod hooks;
mod hostile_input;
mod lifecycle;
mod messages;
mod mount_options;
mod mounts;
mod namespaces;
mod network;
mod notify;
mod racer;
mod restored;
mod rootless;
mod rootless_escapes;
mod seccomp;
mod surroundings;
mod systemd;
mod terminals;
mod user;
