//! `delete`: remove a container.

use super::Global;
use crate::container::delete::{Running, delete};
use crate::error::Result;

/// delete any resources held by the container often used with detached container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// forcibly deletes the container if it is still running (uses SIGKILL)
    #[arg(long, short)]
    force: bool,
    /// the container's id
    container_id: String,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let running = match arguments.force {
        true => Running::Kill,
        false => Running::Refuse,
    };
    delete(&global.root, &arguments.container_id, running, &global.log)
}
