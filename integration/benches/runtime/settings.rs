//! What the bench is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// How the results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Measures what the runtime costs, beside others and beside the least that any could cost
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Settings {
    /// The program under test [default: the one that was built with this bench]
    #[arg(long, value_name = "PATH")]
    pub(crate) tare: Option<PathBuf>,
    /// crun; without it, it is left out [env: BENCH_CRUN]
    #[arg(long, value_name = "PATH")]
    pub(crate) crun: Option<PathBuf>,
    /// runc; without it, it is left out [env: BENCH_RUNC]
    #[arg(long, value_name = "PATH")]
    pub(crate) runc: Option<PathBuf>,
    /// A file tree that the two are in, with their libraries: all contenders run in it, their paths
    /// count from its top [env: BENCH_TREE]
    #[arg(long, value_name = "DIR")]
    pub(crate) tree: Option<PathBuf>,
    /// Where to work: below /tmp, /run or /dev
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub(crate) scratch: PathBuf,
    /// How often each command is measured
    #[arg(long, value_name = "N", default_value = "40")]
    rounds: NonZeroUsize,
    /// How many containers run at once
    #[arg(long, value_name = "N", default_value = "32")]
    crowd: NonZeroUsize,
    /// How the results are shown
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Settings {
    /// Understands the command line and the environment, or ends with what is wrong with them.
    pub(crate) fn read() -> Settings {
        let mut settings = Settings::parse();
        let given = |name: &str| std::env::var_os(name).map(PathBuf::from);
        settings.crun = settings.crun.or_else(|| given("BENCH_CRUN"));
        settings.runc = settings.runc.or_else(|| given("BENCH_RUNC"));
        settings.tree = settings.tree.or_else(|| given("BENCH_TREE"));
        settings
    }

    /// How often each command is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.get()
    }

    /// How many containers run at once.
    pub(crate) fn crowd(&self) -> usize {
        self.crowd.get()
    }
}
