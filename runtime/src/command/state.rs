//! `state`: show a container as JSON.

use super::{Global, streams};
use crate::container::Container;
use crate::error::Result;

/// output the state of a container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// the container's id
    container_id: String,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let container = Container::open(&global.root, &arguments.container_id)?;
    let status = container.status()?;
    streams::print_json(&container.into_record().listing(status, String::new()), "  ")
}
