//! What the bench is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::contender::Kind;
use crate::places;
use crate::sets::NAMES;

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
    /// Pulls into an empty store.
    Pull,
    /// A pull of an image most of whose layers are there.
    Shared,
    /// Load and save, beside dockerd.
    Archives,
    /// Commit, beside dockerd.
    Commit,
    /// The list of a thousand images, beside dockerd.
    List,
}

/// Measures what images cost, beside dockerd, containerd and podman
#[derive(Debug, Parser)]
#[command(name = "bench images")]
pub(crate) struct Settings {
    /// The directory with the programs under test [default: those that were built with this bench]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// A file tree with dockerd, docker's command line, containerd 2.1, `ctr` and podman
    /// [env: BENCH_TREE]
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Where to work: below /tmp, on a disk
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub(crate) scratch: PathBuf,
    /// Where images are kept once they are made, 5 GB [default: in the build directory]
    #[arg(long, value_name = "DIR")]
    library: Option<PathBuf>,
    /// Measure these parts alone
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Pull these images alone
    #[arg(long, value_name = "IMAGE", value_delimiter = ',', value_parser = NAMES)]
    images: Vec<String>,
    /// Measure these programs alone
    #[arg(long, value_name = "PROGRAM", value_delimiter = ',')]
    contenders: Vec<Kind>,
    /// Arguments for tared, besides those that say where it keeps its things
    #[arg(long, value_name = "ARGUMENT", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) tared: Vec<String>,
    /// How often each is measured
    #[arg(long, value_name = "N", default_value = "5")]
    rounds: NonZeroUsize,
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

    /// Where the images are kept.
    pub(crate) fn library(&self) -> PathBuf {
        self.library.clone().unwrap_or_else(|| places::built(3).join("bench-images"))
    }

    /// Whether this part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Whether this image is to be pulled.
    pub(crate) fn wants_image(&self, name: &str) -> bool {
        self.images.is_empty() || self.images.iter().any(|image| image == name)
    }

    /// Those of `all` that are to be measured.
    pub(crate) fn contenders(&self, all: &[Kind]) -> Vec<Kind> {
        let wanted = |kind: &&Kind| self.contenders.is_empty() || self.contenders.contains(kind);
        all.iter().filter(wanted).copied().collect()
    }

    /// How often each is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.get()
    }
}
