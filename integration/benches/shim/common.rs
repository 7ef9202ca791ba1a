//! What every bench is told that has its peers from a file tree.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::places;

/// How the results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What they have in common.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The directory with the programs under test [default: those that were built with this bench]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// A file tree with the peers; the README says which [env: BENCH_TREE]
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Where to work: below /tmp, on a disk
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub(crate) scratch: PathBuf,
    /// How the results are shown
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Common {
    /// The tree that the peers are in.
    pub(crate) fn tree(&self) -> PathBuf {
        places::tree(self.tree.as_deref())
    }

    /// Where the programs under test are.
    pub(crate) fn programs(&self) -> PathBuf {
        self.programs.clone().unwrap_or_else(places::programs)
    }
}

/// Whether `one` is to be measured: it is among those that were named, or none was.
pub(crate) fn is_wanted<T: PartialEq>(named: &[T], one: &T) -> bool {
    named.is_empty() || named.contains(one)
}
