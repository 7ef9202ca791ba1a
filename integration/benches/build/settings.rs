//! What the bench is told.

use std::num::NonZeroUsize;

use clap::{Parser, ValueEnum};

use crate::common::{Common, is_wanted};
use crate::engine::Kind;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Builds of a few steps: cached, changed in a late line, and from the beginning.
    Steps,
    /// A context of many files, for the first time and again.
    Crowd,
}

/// Measures what builds cost, beside dockerd with buildx
#[derive(Debug, Parser)]
#[command(name = "bench build")]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Measure these parts alone
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure these engines alone
    #[arg(long, value_name = "ENGINE", value_delimiter = ',')]
    engines: Vec<Kind>,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value = "10")]
    rounds: NonZeroUsize,
    /// How many files a context has that has many
    #[arg(long, value_name = "N", default_value = "50000")]
    files: NonZeroUsize,
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

    /// Those that are to be measured.
    pub(crate) fn engines(&self) -> Vec<Kind> {
        Kind::DAEMONS.into_iter().filter(|kind| is_wanted(&self.engines, kind)).collect()
    }

    /// How often each is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.get()
    }

    /// How many files a context has that has many.
    pub(crate) fn files(&self) -> usize {
        self.files.get()
    }
}
