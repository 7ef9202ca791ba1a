//! The v1 blkio controller.

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

use super::super::file;
use crate::error::{Error, Result};

/// Sets the weights and limits that `io` names; a weight of zero leaves it as it is.
pub(super) fn limit(directory: &Path, io: &LinuxBlockIo) -> Result<()> {
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        write_weight(directory, Weight::Whole, &weight.to_string())?;
    }
    if let Some(weight) = io.leaf_weight().filter(|weight| *weight != 0) {
        file::write(directory, "blkio.leaf_weight", &weight.to_string())?;
    }
    for device in io.weight_device().iter().flatten() {
        limit_device(directory, device)?;
    }
    for (name, devices) in [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ] {
        for device in devices.iter().flatten() {
            file::write(directory, name, &throttle(device))?;
        }
    }
    Ok(())
}

fn throttle(device: &LinuxThrottleDevice) -> String {
    format!("{}:{} {}", device.major(), device.minor(), device.rate())
}

fn limit_device(directory: &Path, device: &LinuxWeightDevice) -> Result<()> {
    let line = |weight: u16| format!("{}:{} {weight}", device.major(), device.minor());
    if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
        write_weight(directory, Weight::Device, &line(weight))?;
    }
    if let Some(weight) = device.leaf_weight().filter(|weight| *weight != 0) {
        file::write(directory, "blkio.leaf_weight_device", &line(weight))?;
    }
    Ok(())
}

/// Which weight is meant.
#[derive(Clone, Copy)]
enum Weight {
    Whole,
    Device,
}

/// Weights belong to the I/O scheduler: CFQ up to kernel 4.20, BFQ since.
fn write_weight(directory: &Path, which: Weight, value: &str) -> Result<()> {
    let (names, option) = match which {
        Weight::Whole => (["blkio.weight", "blkio.bfq.weight"], "blockIO.weight"),
        Weight::Device => {
            (["blkio.weight_device", "blkio.bfq.weight_device"], "blockIO.weightDevice")
        }
    };
    for name in names {
        if file::write_if_there(directory, name, value)? {
            return Ok(());
        }
    }
    Err(Error::unsupported(format!(
        "{option} can't be set: this kernel has no I/O scheduler with weights (BFQ)"
    )))
}
