//! The formats of logs that shims write, each as a few steps over a file's entries.

mod json;
mod local;

use std::fs::File;
use std::io::{BufRead, Result};

use super::super::options::LogLine;

/// The most of one entry that is kept: far more than a shim writes into one.
const LONGEST: usize = 4 << 20;

/// How a log's lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// docker's `json-file`.
    Json,
    /// docker's `local`.
    Local,
}

impl Format {
    /// What an entry says; `None` if it isn't one, as after a crash of the machine.
    pub(super) fn parse(self, entry: &[u8]) -> Option<LogLine> {
        match self {
            Format::Json => json::parse(entry),
            Format::Local => local::parse(entry),
        }
    }

    /// Reads on in `entry`, which may hold the beginning already; whether its end has come.
    pub(super) fn read(self, input: &mut dyn BufRead, entry: &mut Vec<u8>) -> Result<bool> {
        match self {
            Format::Json => json::read(input, entry),
            Format::Local => local::read(input, entry),
        }
    }

    /// How many entries follow.
    pub(super) fn count(self, input: &mut dyn BufRead) -> Result<u64> {
        match self {
            Format::Json => json::count(input),
            Format::Local => local::count(input),
        }
    }

    /// Where the last `wanted` entries of a file begin, and how many there are: at most `wanted`.
    pub(super) fn last(self, file: &File, wanted: u64) -> Result<(u64, u64)> {
        match self {
            Format::Json => json::last(file, wanted),
            Format::Local => local::last(file, wanted),
        }
    }
}
