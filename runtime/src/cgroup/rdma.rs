//! Limits of RDMA devices: the same file on v1 and v2.

use std::collections::HashMap;
use std::path::Path;

use oci_spec::runtime::LinuxRdma;

use super::file;
use crate::error::Result;

/// Limits the handles and objects of each device.
pub(super) fn limit(directory: &Path, devices: Option<&HashMap<String, LinuxRdma>>) -> Result<()> {
    for (device, limit) in devices.into_iter().flatten() {
        let mut line = device.clone();
        for (key, value) in
            [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())]
        {
            if let Some(value) = value {
                line.push_str(&format!(" {key}={value}"));
            }
        }
        file::write(directory, "rdma.max", &line)?;
    }
    Ok(())
}
