//! Devices that drivers find (`--gpus`, `--device vendor.com/class=name`). The one driver that there is
//! reads the Container Device Interface's files: each says what a device's containers need.

mod edits;
mod file;
mod registry;

use std::path::Path;

use super::resources::DeviceRequest;
use super::spec::document::Spec;
use crate::error::{Error, Result};

use registry::Registry;

/// Where files about devices are; what stands in a later directory counts more.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The name of the driver.
const DRIVER: &str = "cdi";

/// Adds to `spec` what the devices that are asked for need. Blocks.
///
/// # Errors
/// System, in docker's words, for a driver that isn't there and for devices that no file knows.
pub(super) fn add(spec: &mut Spec, requests: &[DeviceRequest]) -> Result<()> {
    add_from(spec, requests, &DIRECTORIES.map(Path::new))
}

fn add_from(spec: &mut Spec, requests: &[DeviceRequest], directories: &[&Path]) -> Result<()> {
    for request in requests {
        check(request)?;
        if request.ids.is_empty() {
            continue;
        }
        let registry = Registry::read(directories);
        registry.edits(&request.ids)?.apply(spec)?;
    }
    Ok(())
}

fn check(request: &DeviceRequest) -> Result<()> {
    if request.driver != DRIVER {
        let sets = request.capabilities.iter().map(|set| format!("[{}]", set.join(" ")));
        return Err(Error::system(format!(
            "could not select device driver {:?} with capabilities: [{}]",
            request.driver,
            sets.collect::<Vec<_>>().join(" ")
        )));
    }
    if request.count != 0 {
        return Err(Error::invalid("unexpected count in CDI device request"));
    }
    if !request.options.is_empty() {
        return Err(Error::invalid("unexpected options in CDI device request"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
