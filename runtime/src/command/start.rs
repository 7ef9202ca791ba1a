//! `start`: let a created container's program run.

use super::Global;
use crate::container::Container;
use crate::error::Result;

/// executes the user defined process in a created container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// the container's id
    container_id: String,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let container = Container::open(&global.root, &arguments.container_id)?;
    let readiness = container.listen()?;
    container.start(&global.log)?;
    match readiness {
        Some(readiness) => container.wait_until_ready(&readiness, &global.log),
        None => Ok(()),
    }
}
