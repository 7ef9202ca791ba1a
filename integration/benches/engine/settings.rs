//! What the bench is told.

use std::num::NonZeroUsize;

use clap::{Parser, ValueEnum};

use crate::common::{Common, is_wanted};
use crate::engine::Kind;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What a daemon costs that does nothing, beside dockerd.
    Idle,
    /// Commands, one at a time, by the command line.
    Verbs,
    /// The same by the API, beside dockerd.
    Calls,
    /// Many containers made, started and removed at once, beside dockerd.
    Crowd,
    /// A daemon with a thousand containers, beside dockerd.
    Many,
}

/// Measures what users of an engine wait for, beside dockerd and podman
#[derive(Debug, Parser)]
#[command(name = "bench engine")]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Measure these parts alone
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure these engines alone
    #[arg(long, value_name = "ENGINE", value_delimiter = ',')]
    engines: Vec<Kind>,
    /// How often each command is measured
    #[arg(long, value_name = "N", default_value = "30")]
    rounds: NonZeroUsize,
    /// How many containers are started at once, and listed
    #[arg(long, value_name = "N", default_value = "50")]
    crowd: NonZeroUsize,
    /// How many containers a daemon has that has many; half of them run
    #[arg(long, value_name = "N", default_value = "1000")]
    many: NonZeroUsize,
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

    /// Those of `all` that are to be measured.
    pub(crate) fn engines(&self, all: &[Kind]) -> Vec<Kind> {
        all.iter().filter(|kind| is_wanted(&self.engines, kind)).copied().collect()
    }

    /// How often each command is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.get()
    }

    /// How many containers are started at once.
    pub(crate) fn crowd(&self) -> usize {
        self.crowd.get()
    }

    /// How many containers there are.
    pub(crate) fn many(&self) -> usize {
        self.many.get()
    }
}
