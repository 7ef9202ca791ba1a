//! The small v1 controllers: huge pages and the two for network packets.

use std::path::Path;

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork};

use super::super::{file, hugetlb};
use crate::error::Result;

/// Limits huge pages.
pub(super) fn limit_huge_pages(
    directory: &Path,
    limits: Option<&[LinuxHugepageLimit]>,
) -> Result<()> {
    hugetlb::limit(directory, limits, "limit_in_bytes")
}

/// Marks the packets that the container sends with a class.
pub(super) fn classify(directory: &Path, network: Option<&LinuxNetwork>) -> Result<()> {
    match network.and_then(LinuxNetwork::class_id).filter(|id| *id != 0) {
        Some(id) => file::write(directory, "net_cls.classid", &id.to_string()),
        None => Ok(()),
    }
}

/// Gives the packets that the container sends a priority on each interface.
pub(super) fn prioritise(directory: &Path, network: Option<&LinuxNetwork>) -> Result<()> {
    for priority in network.and_then(|network| network.priorities().as_ref()).into_iter().flatten()
    {
        let line = format!("{} {}", priority.name(), priority.priority());
        file::write(directory, "net_prio.ifpriomap", &line)?;
    }
    Ok(())
}
