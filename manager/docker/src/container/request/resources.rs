//! The parts of `HostConfig` that are lists of little objects: devices, what is asked of drivers for
//! them, limits of their use, ulimits, port bindings.

use std::collections::BTreeMap;

use serde::Deserialize;
use tare_core::container::{
    DeviceMapping, DeviceRate, DeviceRequest, DeviceWeight, Port, PortBinding, Ulimit,
};

use crate::error::{Error, Result};

/// A device of the host inside the container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct DeviceBody {
    path_on_host: Option<String>,
    path_in_container: Option<String>,
    cgroup_permissions: Option<String>,
}

/// How block I/O with a device weighs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct WeightBody {
    path: Option<String>,
    weight: Option<u16>,
}

/// How much block I/O there is with a device.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct RateBody {
    path: Option<String>,
    rate: Option<u64>,
}

/// Devices that a driver is to find.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct DeviceRequestBody {
    driver: Option<String>,
    count: Option<i64>,
    #[serde(rename = "DeviceIDs")]
    device_ids: Option<Vec<String>>,
    capabilities: Option<Vec<Vec<String>>>,
    options: Option<BTreeMap<String, String>>,
}

/// A resource limit of its processes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct UlimitBody {
    name: Option<String>,
    hard: Option<i64>,
    soft: Option<i64>,
}

/// One place on the host that leads to a port.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct PortBindingBody {
    host_ip: Option<String>,
    host_port: Option<String>,
}

impl DeviceBody {
    pub(super) fn into_domain(self) -> DeviceMapping {
        let host_path = self.path_on_host.unwrap_or_default();
        let same = |path: Option<String>| path.filter(|path| !path.is_empty());
        DeviceMapping {
            container_path: same(self.path_in_container).unwrap_or_else(|| host_path.clone()),
            permissions: same(self.cgroup_permissions).unwrap_or_else(|| "rwm".to_owned()),
            host_path,
        }
    }
}

impl WeightBody {
    pub(super) fn into_domain(self) -> DeviceWeight {
        DeviceWeight {
            path: self.path.unwrap_or_default(),
            weight: self.weight.unwrap_or_default(),
        }
    }
}

impl RateBody {
    pub(super) fn into_domain(self) -> DeviceRate {
        DeviceRate { path: self.path.unwrap_or_default(), rate: self.rate.unwrap_or_default() }
    }
}

impl DeviceRequestBody {
    pub(super) fn into_domain(self) -> DeviceRequest {
        DeviceRequest {
            driver: self.driver.unwrap_or_default(),
            count: self.count.unwrap_or_default(),
            ids: self.device_ids.unwrap_or_default(),
            capabilities: self.capabilities.unwrap_or_default(),
            options: self.options.unwrap_or_default(),
        }
    }
}

impl UlimitBody {
    pub(super) fn into_domain(self) -> Ulimit {
        Ulimit {
            name: self.name.unwrap_or_default(),
            soft: self.soft.unwrap_or_default(),
            hard: self.hard.unwrap_or_default(),
        }
    }
}

impl PortBindingBody {
    pub(super) fn into_domain(self) -> Result<PortBinding> {
        let host_ip = self.host_ip.filter(|text| !text.is_empty());
        let host_ip = host_ip.map(|text| ip(&text)).transpose()?;
        Ok(PortBinding { host_ip, host_port: self.host_port.unwrap_or_default().parse()? })
    }
}

/// A port without a binding gets any free one.
pub(super) fn port_bindings(
    bindings: BTreeMap<String, Option<Vec<PortBindingBody>>>,
) -> Result<BTreeMap<Port, Vec<PortBinding>>> {
    let read = |(port, list): (String, Option<Vec<PortBindingBody>>)| {
        let list = list.unwrap_or_default().into_iter().map(PortBindingBody::into_domain);
        let mut list = list.collect::<Result<Vec<_>>>()?;
        if list.is_empty() {
            list.push(PortBinding::default());
        }
        Ok((port.parse()?, list))
    };
    bindings.into_iter().map(read).collect()
}

/// An address of either family.
pub(super) fn ip(text: &str) -> Result<std::net::IpAddr> {
    text.parse().map_err(|_| Error::invalid(format!("invalid IP address: {text}")))
}
