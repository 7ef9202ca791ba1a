//! What the bench is told.

use std::num::NonZeroUsize;

use clap::{Parser, ValueEnum};

use crate::common::{Common, is_wanted};

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The shim's start, and an exec through it.
    Calls,
    /// Memory and wake-ups of many idle containers.
    Idle,
    /// Output to a log, and the log read back.
    Output,
    /// What a user waits for: docker's run and exec.
    Users,
}

/// Measures what the shim and the daemon cost, beside containerd, conmon and dockerd
#[derive(Debug, Parser)]
#[command(name = "bench shim")]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Measure these parts alone
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each call is measured
    #[arg(long, value_name = "N", default_value = "30")]
    rounds: NonZeroUsize,
    /// How many containers are idle
    #[arg(long, value_name = "N", default_value = "100")]
    containers: NonZeroUsize,
    /// How much a container writes
    #[arg(long, value_name = "N", default_value = "200")]
    pub(crate) megabytes: usize,
}

impl Settings {
    /// Understands the command line, or ends with what is wrong with it.
    pub(crate) fn read() -> Settings {
        Settings::parse()
    }

    /// Whether this part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        is_wanted(&self.only, &part)
    }

    /// How often each call is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.get()
    }

    /// How many containers are idle.
    pub(crate) fn containers(&self) -> usize {
        self.containers.get()
    }
}
