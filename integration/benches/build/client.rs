//! The clients of builds.

use std::path::Path;
use std::time::Instant;

use crate::engine::Engine;
use crate::machine::ok;

/// Who asks for a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// `docker build` as it is today, by way of buildx.
    Buildx,
    /// `docker build` as it was.
    Classic,
}

impl Client {
    /// Both.
    pub(crate) const ALL: [Client; 2] = [Client::Buildx, Client::Classic];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Buildx => "buildx",
            Client::Classic => "classic builder",
        }
    }

    /// Builds `context`, with these flags; gives the milliseconds that took.
    pub(crate) fn build(self, engine: &Engine, context: &Path, flags: &[&str]) -> f64 {
        let begun = Instant::now();
        let mut command = engine.command("build --quiet");
        let buildkit = if self == Client::Buildx { "1" } else { "0" };
        ok(command.env("DOCKER_BUILDKIT", buildkit).args(flags).arg(context));
        begun.elapsed().as_secs_f64() * 1000.0
    }
}
