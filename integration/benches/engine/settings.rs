//! What the bench is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::engine::Kind;
use crate::places;

/// How the results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

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
    /// The directory with the programs under test [default: those that were built with this bench]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// A file tree with dockerd, docker's command line, containerd, runc, podman, crun, iptables and
    /// nft [env: BENCH_TREE]
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Where to work: below /tmp, on a disk
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub(crate) scratch: PathBuf,
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

    /// Those of `all` that are to be measured.
    pub(crate) fn engines(&self, all: &[Kind]) -> Vec<Kind> {
        let wanted = |kind: &&Kind| self.engines.is_empty() || self.engines.contains(kind);
        all.iter().filter(wanted).copied().collect()
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
