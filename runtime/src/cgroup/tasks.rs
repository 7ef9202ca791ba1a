//! The limit of tasks: the same file on v1 and v2.

use std::path::Path;

use oci_spec::runtime::LinuxPids;

use super::file;
use crate::error::Result;

/// Sets the limit; a negative one is none. Zero is taken for one, as runc takes it: systemd knows no
/// zero, and to a container it makes no difference.
pub(super) fn limit(directory: &Path, pids: LinuxPids) -> Result<()> {
    match pids.limit() {
        limit if limit < 0 => file::write(directory, "pids.max", "max"),
        limit => file::write(directory, "pids.max", &limit.max(1).to_string()),
    }
}
