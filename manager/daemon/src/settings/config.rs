//! From the values that were set to what the domain must know.

use std::path::{Path, PathBuf};

use tare_core::config::Config;
use tare_core::ids::{self, IdMap};
use tare_core::live::Live;

use super::{Values, registry, size};
use crate::error::Error;

const DATA_ROOT: &str = "/var/lib/tare";
const EXEC_ROOT: &str = "/run/tare";

/// The domain's settings, with its defaults for what was not set.
///
/// # Errors
/// [`Error::Setting`] names the first setting whose value cannot be.
pub(super) fn config(mut values: Values, live: Live) -> Result<Config, Error> {
    let registry = registry::settings(&mut values)?;
    let data_root = absolute("data-root", values.data_root, DATA_ROOT)?;
    let exec_root = absolute("exec-root", values.exec_root, EXEC_ROOT)?;
    let mut config = Config::with_roots(&data_root, &exec_root);
    config.registry = registry;

    config.shim = values.shim.unwrap_or_else(|| beside_this_program(&config.shim));
    config.init = values.init_path.unwrap_or_else(|| beside_this_program(&config.init));
    // This very program, whatever has become of its file.
    config.unpacker = Some(PathBuf::from("/proc/self/exe"));
    config.name_server.clone_from(&config.unpacker);
    config.change(live);

    values.network.apply(&mut config)?;

    if let Some(name) = values.storage_driver {
        let parsed = name.parse().map_err(|error: tare_core::Error| {
            Error::setting("storage-driver", error.to_string())
        })?;
        config.storage_driver = Some(parsed);
    }

    for option in values.storage_opts.unwrap_or_default() {
        config.storage_limit = Some(storage_limit(&option)?);
    }

    config.dns = values.dns.unwrap_or_default();
    config.dns_search = values.dns_search.unwrap_or_default();
    config.dns_options = values.dns_opts.unwrap_or_default();
    config.log_driver = values.log_driver.unwrap_or(config.log_driver);
    for pair in values.log_opts.unwrap_or_default() {
        config.log_options.insert(pair.key, pair.value);
    }
    config.init_by_default = values.init.unwrap_or(config.init_by_default);
    config.cgroup_parent = values.cgroup_parent.unwrap_or(config.cgroup_parent);
    config.no_new_privileges = values.no_new_privileges.unwrap_or_default();
    config.default_ulimits =
        values.default_ulimits.unwrap_or_default().into_iter().map(|named| named.0).collect();
    let limits = &mut config.layer_limits;
    if let Some(text) = values.max_layer_size {
        limits.bytes = size::bytes(&text).map_err(|e| Error::setting("max-layer-size", e))?;
    }
    limits.members = values.max_layer_files.unwrap_or(limits.members);
    if let Some(text) = values.max_cache_size {
        let limit = size::bytes(&text).map_err(|e| Error::setting("max-cache-size", e))?;
        config.cache_limit = Some(limit);
    }
    if let Some(setting) = values.userns_remap.filter(|setting| !setting.is_empty()) {
        config.id_map = id_map(&setting)?;
    }
    Ok(config)
}

/// Who containers' users are on the host.
fn id_map(setting: &str) -> Result<Option<IdMap>, Error> {
    let found = ids::of_setting(setting, &ids::Accounts::of_host())
        .map_err(|error| Error::setting("userns-remap", error.to_string()))?;
    if found.is_none() {
        tracing::warn!(
            "userns-remap: root can't stand for itself; containers have the host's users"
        );
    }
    Ok(found)
}

/// A directory that does not depend on where the daemon was started.
fn absolute(
    setting: &'static str,
    value: Option<PathBuf>,
    default: &str,
) -> Result<PathBuf, Error> {
    let path = value.unwrap_or_else(|| PathBuf::from(default));
    std::path::absolute(&path).map_err(|error| Error::setting(setting, error.to_string()))
}

/// The program of this name in the directory of this program; where there is none, the name, to be
/// found in PATH.
pub(super) fn beside_this_program(name: &Path) -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let beside = this.with_file_name(name);
    if beside.is_file() { beside } else { name.to_owned() }
}

/// The one option of storage drivers that there is here, under each one's name.
fn storage_limit(option: &str) -> Result<u64, Error> {
    let wrong = |reason| Error::setting("storage-opts", reason);
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match name {
        "overlay2.size" | "vfs.size" | "erofs.size" | "size" => size::bytes(value).map_err(wrong),
        _ => Err(wrong(format!("unknown option {name}; there is overlay2.size=BYTES"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(values: Values) -> Result<Config, Error> {
        super::config(values, Live::default())
    }

    fn refused(values: Values) -> String {
        config(values).unwrap_err().to_string()
    }

    #[test]
    fn a_container_may_be_limited() {
        let with = |option: &str| Values {
            storage_opts: Some(vec![option.to_owned()]),
            ..Values::default()
        };
        assert_eq!(config(with("overlay2.size=10G")).unwrap().storage_limit, Some(10 << 30));
        assert!(refused(with("dm.basesize=10G")).contains("unknown option dm.basesize"));
        assert!(refused(with("overlay2.size=big")).contains("big is no size"));
    }

    #[test]
    fn a_storage_driver_is_known() {
        let with =
            |name: &str| Values { storage_driver: Some(name.to_owned()), ..Values::default() };
        assert!(config(with("vfs")).is_ok());
        assert!(refused(with("aufs")).contains("overlay2, vfs, erofs"));
    }
}
