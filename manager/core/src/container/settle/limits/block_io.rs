//! Limits of block I/O.

use super::{Means, warn};
use crate::container::resources::Resources;
use crate::error::{Error, Result};

/// Checks the limits of block I/O, and takes out what this host can't keep.
pub(super) fn settle(
    resources: &mut Resources,
    means: &Means,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if resources.blkio_weight > 0 && !means.io_weight {
        warn(
            warnings,
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        );
        resources.blkio_weight = 0;
    }
    let is_legal = |weight: u16| (10..=1000).contains(&weight);
    if resources.blkio_weight != 0 && !is_legal(resources.blkio_weight) {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    if !resources.blkio_weight_devices.is_empty() && !means.io_weight_device {
        warn(
            warnings,
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
        );
        resources.blkio_weight_devices.clear();
    }
    for (rates, what, discarded) in [
        (&mut resources.blkio_read_bps, "BPS Block I/O read", "Block I/O BPS read"),
        (&mut resources.blkio_write_bps, "BPS Block I/O write", "Block I/O BPS write"),
        (&mut resources.blkio_read_iops, "IOPS Block read", "Block I/O IOPS read"),
        (&mut resources.blkio_write_iops, "IOPS Block write", "Block I/O IOPS write"),
    ] {
        if !rates.is_empty() && !means.io_limits {
            rates.clear();
            warnings.push(format!(
                "Your kernel does not support {what} limit or the cgroup is not mounted. {discarded} \
                 limit discarded."
            ));
        }
    }
    Ok(())
}
