//! The v2 io controller.

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxWeightDevice};
use rustix::io::Errno;

use super::super::{convert, file};
use crate::error::{Error, Result};

/// Sets the weights and limits that `io` names; a weight of zero leaves it as it is.
pub(super) fn limit(directory: &Path, io: &LinuxBlockIo) -> Result<()> {
    if io.leaf_weight().is_some_and(|weight| weight != 0) {
        return Err(super::only_on_v1("blockIO.leafWeight"));
    }
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        write_weight(directory, "blockIO.weight", "", weight)?;
    }
    for device in io.weight_device().iter().flatten() {
        limit_device(directory, device)?;
    }
    for (key, devices) in [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ] {
        for device in devices.iter().flatten() {
            let line = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            file::write(directory, "io.max", &line)?;
        }
    }
    Ok(())
}

fn limit_device(directory: &Path, device: &LinuxWeightDevice) -> Result<()> {
    if device.leaf_weight().is_some_and(|weight| weight != 0) {
        return Err(super::only_on_v1("blockIO.weightDevice.leafWeight"));
    }
    let Some(weight) = device.weight().filter(|weight| *weight != 0) else { return Ok(()) };
    let numbers = format!("{}:{} ", device.major(), device.minor());
    write_weight(directory, "blockIO.weightDevice", &numbers, weight)
}

/// The BFQ scheduler has weights on the scale of v1 and a file of its own; the iocost controller
/// has them on that of v2.
fn write_weight(directory: &Path, option: &str, device: &str, weight: u16) -> Result<()> {
    if file::write_if_there(directory, "io.bfq.weight", &format!("{device}{weight}"))? {
        return Ok(());
    }
    let value = format!("{device}{}", convert::io_weight(weight));
    match file::try_write(directory, "io.weight", &value) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => Err(Error::unsupported(format!(
            "{option} can't be set: this kernel has neither the BFQ scheduler nor iocost"
        ))),
        Err(errno) => Err(file::refused(directory, "io.weight", &value, errno)),
    }
}
