//! What the bench is told.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::common::{Common, is_wanted};
use crate::engine::Kind;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Containers that publish ports, while few or many are published.
    Publish,
    /// Networks made, joined, left and removed.
    Networks,
    /// What passes between the host, another host and containers.
    Traffic,
}

/// Measures what networks cost, beside dockerd and podman
#[derive(Debug, Parser)]
#[command(name = "bench network")]
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
    #[arg(long, value_name = "N", default_value = "20")]
    rounds: NonZeroUsize,
    /// How many ports are many
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) ports: u16,
    /// How many networks are many; no more than 250
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u8).range(1..=250))]
    pub(crate) networks: u8,
    /// For how many milliseconds traffic flows
    #[arg(long, value_name = "N", default_value = "500")]
    milliseconds: u64,
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

    /// The engines that are to be measured.
    pub(crate) fn engines(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| is_wanted(&self.engines, kind)).collect()
    }

    /// How often each is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.get()
    }

    /// For how long traffic flows.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}
