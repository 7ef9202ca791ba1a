//! Where a container's log is: which file its shim writes.

use std::path::PathBuf;

use super::super::flag::parse_flag;
use super::super::record::Container;
use super::format::Format;

/// A log's current file, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::container) struct Place {
    pub(in crate::container) path: PathBuf,
    pub(super) format: Format,
}

impl Place {
    /// Of a container's log; `None` where its driver leaves nothing here.
    pub(in crate::container) fn of(container: &Container) -> Option<Self> {
        let log = &container.host.log;
        let local =
            |name: &str| Place { path: container.directory.join(name), format: Format::Local };
        match log.driver.as_str() {
            "json-file" => {
                let path = container.log_path.clone()?;
                Some(Place { path, format: Format::Json })
            }
            "local" => Some(local("container.log")),
            // What is sent away is kept here too.
            "syslog" | "journald" if !cache_is_disabled(container) => {
                Some(local("container-cached.log"))
            }
            _ => None,
        }
    }
}

fn cache_is_disabled(container: &Container) -> bool {
    let option = container.host.log.options.get("cache-disabled");
    option.and_then(|text| parse_flag(text)).unwrap_or_default()
}
