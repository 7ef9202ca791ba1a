//! `pause` and `resume`: stop all of a container's processes, and let them go on.

use super::Global;
use crate::container::Container;
use crate::error::Result;

/// suspends, or resumes, all processes inside the container
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// the container's id
    container_id: String,
}

pub(super) fn pause(global: &Global, arguments: &Arguments) -> Result<()> {
    Container::open(&global.root, &arguments.container_id)?.pause()
}

pub(super) fn resume(global: &Global, arguments: &Arguments) -> Result<()> {
    Container::open(&global.root, &arguments.container_id)?.resume()
}
