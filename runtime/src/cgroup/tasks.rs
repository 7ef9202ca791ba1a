//! The limit of tasks: the same file on v1 and v2.

use std::path::Path;

use oci_spec::runtime::LinuxPids;

use super::file;
use crate::error::Result;

/// Sets the limit; a negative one is none, zero leaves it as it is.
pub(super) fn limit(directory: &Path, pids: LinuxPids) -> Result<()> {
    match pids.limit() {
        0 => Ok(()),
        limit if limit < 0 => file::write(directory, "pids.max", "max"),
        limit => file::write(directory, "pids.max", &limit.to_string()),
    }
}
