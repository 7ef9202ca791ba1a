//! What the bench is told.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::common::{Common, is_wanted};
use crate::contender::Kind;
use crate::places;
use crate::sets::NAMES;

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
    #[command(flatten)]
    pub(crate) common: Common,
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
}

impl Settings {
    /// Understands the command line, or ends with what is wrong with it.
    pub(crate) fn read() -> Settings {
        Settings::parse()
    }

    /// Where the images are kept.
    pub(crate) fn library(&self) -> PathBuf {
        self.library.clone().unwrap_or_else(|| places::built(3).join("bench-images"))
    }

    /// Whether this part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        is_wanted(&self.only, &part)
    }

    /// Whether this image is to be pulled.
    pub(crate) fn wants_image(&self, name: &str) -> bool {
        is_wanted(&self.images, &name.to_owned())
    }

    /// Those of `all` that are to be measured.
    pub(crate) fn contenders(&self, all: &[Kind]) -> Vec<Kind> {
        all.iter().filter(|kind| is_wanted(&self.contenders, kind)).copied().collect()
    }

    /// How often each is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.get()
    }
}
