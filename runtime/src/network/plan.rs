//! Which network devices are to be moved, and the names they get.

use crate::error::{Error, Result};
use oci_spec::runtime::LinuxNetDevice;
use std::collections::HashMap;

/// A device of the host that the container is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DevicePlan {
    host_name: String,
    container_name: String,
}

/// What stands for a number in a name, which the first free one takes the place of.
const NUMBER: &str = "%d";

/// How many numbers are tried; no host has as many devices.
const NUMBERS: u32 = 32 * 1024;

impl DevicePlan {
    /// Understands the bundle's devices, in the order of their names.
    pub(crate) fn parse(devices: &HashMap<String, LinuxNetDevice>) -> Result<Vec<DevicePlan>> {
        let mut plans = Vec::with_capacity(devices.len());
        for (host_name, device) in devices {
            check(host_name)?;
            let renamed = device.name().as_deref().filter(|name| !name.is_empty());
            let container_name = renamed.unwrap_or(host_name);
            check(&container_name.replacen(NUMBER, "0", 1))?;
            plans.push(DevicePlan {
                host_name: host_name.clone(),
                container_name: container_name.to_owned(),
            });
        }
        plans.sort_by(|one, other| one.host_name.cmp(&other.host_name));
        Ok(plans)
    }

    /// Its name on the host.
    pub(crate) fn host_name(&self) -> &str {
        &self.host_name
    }

    /// Its name in the container, or the template of it.
    pub(crate) fn container_name(&self) -> &str {
        &self.container_name
    }

    /// The names that it may get, the first of which is to be taken that is free.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let last = if self.container_name.contains(NUMBER) { NUMBERS } else { 1 };
        (0..last)
            .map(|number| self.container_name.replacen(NUMBER, &number.to_string(), 1))
            .take_while(|name| name.len() <= LONGEST)
    }
}

/// The longest name that the kernel takes, in bytes.
const LONGEST: usize = libc::IFNAMSIZ - 1;

/// Refuses a name that the kernel would not take for a device.
fn check(name: &str) -> Result<()> {
    let strange = |letter: char| matches!(letter, '/' | ':' | '%' | '\0') || letter.is_whitespace();
    let fits = (1..=LONGEST).contains(&name.len());
    if !fits || matches!(name, "." | "..") || name.contains(strange) {
        return Err(Error::invalid(format!("invalid network device name {name:?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Vec<DevicePlan>> {
        DevicePlan::parse(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_device_keeps_its_name_unless_it_is_given_another() {
        let plans = parse(r#"{"eth1": {"name": "net0"}, "eth0": {}, "eth2": {"name": ""}}"#);
        let names: Vec<_> =
            plans.unwrap().iter().flat_map(|plan| plan.names().collect::<Vec<_>>()).collect();
        assert_eq!(names, ["eth0", "net0", "eth2"]);
    }

    #[test]
    fn a_template_makes_names_up_to_the_longest() {
        let plans = parse(r#"{"eth0": {"name": "abcdefghijklmn%d"}}"#).unwrap();
        assert_eq!(plans[0].names().count(), 10);
        assert_eq!(plans[0].names().last().unwrap(), "abcdefghijklmn9");
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused() {
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a%d", "abcdefghijklmnop"] {
            assert!(parse(&format!(r#"{{{bad:?}: {{}}}}"#)).is_err(), "{bad}");
        }
        for bad in ["..", "a/b", "%d%d", "%s"] {
            assert!(parse(&format!(r#"{{"eth0": {{"name": {bad:?}}}}}"#)).is_err(), "{bad}");
        }
    }
}
