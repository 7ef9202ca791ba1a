//! `GraphDriver`: where the files of a container or an image are on the host.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::snapshot::{DriverName, GraphDirs};

/// The storage driver and its directories.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GraphDriver {
    data: Option<BTreeMap<&'static str, String>>,
    name: &'static str,
}

impl GraphDriver {
    /// Of a container.
    pub(crate) fn of_container(
        id: &str,
        driver: DriverName,
        directories: Option<&GraphDirs>,
    ) -> Self {
        let mut driver = Self::of_image(driver, directories);
        if let Some(data) = &mut driver.data {
            data.insert("ID", id.to_owned());
        }
        driver
    }

    /// Of an image.
    pub(crate) fn of_image(driver: DriverName, directories: Option<&GraphDirs>) -> Self {
        let data = directories.map(|directories| {
            let mut data = BTreeMap::from([
                ("MergedDir", directories.merged.display().to_string()),
                ("UpperDir", directories.upper.display().to_string()),
                ("WorkDir", directories.work.display().to_string()),
            ]);
            if !directories.lower.is_empty() {
                data.insert("LowerDir", directories.lower.clone());
            }
            data
        });
        Self { data, name: driver.as_str() }
    }
}
