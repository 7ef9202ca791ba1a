//! Devices and limits in `HostConfig`.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::container::{DeviceMapping, DeviceRate, DeviceRequest, DeviceWeight, Ulimit};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeviceView {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeviceRequestView {
    driver: String,
    count: i64,
    #[serde(rename = "DeviceIDs")]
    device_ids: Option<Vec<String>>,
    capabilities: Option<Vec<Vec<String>>>,
    options: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WeightView {
    path: String,
    weight: u16,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RateView {
    path: String,
    rate: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UlimitView {
    name: String,
    hard: i64,
    soft: i64,
}

impl From<DeviceMapping> for DeviceView {
    fn from(device: DeviceMapping) -> Self {
        Self {
            path_on_host: device.host_path,
            path_in_container: device.container_path,
            cgroup_permissions: device.permissions,
        }
    }
}

impl From<DeviceRequest> for DeviceRequestView {
    fn from(request: DeviceRequest) -> Self {
        let DeviceRequest { driver, count, ids, capabilities, options } = request;
        Self {
            driver,
            count,
            device_ids: (!ids.is_empty()).then_some(ids),
            capabilities: (!capabilities.is_empty()).then_some(capabilities),
            options,
        }
    }
}

impl From<DeviceWeight> for WeightView {
    fn from(device: DeviceWeight) -> Self {
        Self { path: device.path, weight: device.weight }
    }
}

impl From<DeviceRate> for RateView {
    fn from(device: DeviceRate) -> Self {
        Self { path: device.path, rate: device.rate }
    }
}

impl From<Ulimit> for UlimitView {
    fn from(ulimit: Ulimit) -> Self {
        Self { name: ulimit.name, hard: ulimit.hard, soft: ulimit.soft }
    }
}
