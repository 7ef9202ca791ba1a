//! What the bench is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::places;

/// How the results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

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
    /// The directory with the programs under test [default: those that were built with this bench]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// A file tree with containerd 2.1, ctr, runc, conmon, dockerd, and docker's command line
    /// [env: BENCH_TREE]
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Where to work: below /tmp, on a disk
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub(crate) scratch: PathBuf,
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
    /// How the results are shown
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Settings {
    /// Understands the command line, or ends with what is wrong with it.
    pub(crate) fn read() -> Settings {
        Settings::parse()
    }

    /// The tree that the peers are in.
    pub(crate) fn tree(&self) -> PathBuf {
        places::tree(self.tree.as_deref())
    }

    /// Where the programs under test are.
    pub(crate) fn programs(&self) -> PathBuf {
        self.programs.clone().unwrap_or_else(places::programs)
    }

    /// Whether this part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
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
