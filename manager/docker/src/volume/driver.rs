//! Drivers of volumes, as requests name them.

use std::collections::BTreeMap;

use serde::Deserialize;
use tare_core::volume::DriverConfig;

/// A driver that a request asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Driver {
    pub(super) name: Option<String>,
    pub(super) options: Option<BTreeMap<String, String>>,
}

impl Driver {
    /// Whether it is any.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.name.as_ref().is_none_or(String::is_empty)
    }
}

impl From<Driver> for DriverConfig {
    fn from(driver: Driver) -> Self {
        Self { name: driver.name.unwrap_or_default(), options: driver.options.unwrap_or_default() }
    }
}
