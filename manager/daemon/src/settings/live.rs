//! From the values that were set to what may be changed while the manager runs.

use std::collections::BTreeMap;

use tare_core::container::{CgroupnsMode, IpcMode};
use tare_core::live::Live;

use super::config::beside_this_program;
use super::{Values, size};
use crate::error::Error;

/// Those settings, with their defaults for what was not set.
///
/// # Errors
/// [`Error::Setting`] names the first setting whose value cannot be.
pub(super) fn live(values: &mut Values) -> Result<Live, Error> {
    let mut live = Live::default();
    for runtime in live.runtimes.values_mut() {
        runtime.path = beside_this_program(&runtime.path);
    }
    for named in values.runtimes.take().unwrap_or_default() {
        live.runtimes.insert(named.name, named.runtime);
    }
    live.default_runtime = values.default_runtime.take().unwrap_or(live.default_runtime);
    check_default_runtime(&live)?;
    if let Some(text) = values.default_shm_size.take() {
        live.shm_size = size::bytes(&text).map_err(|e| Error::setting("default-shm-size", e))?;
    }
    live.ipc_mode = match values.default_ipc_mode.as_deref() {
        None | Some("private") => IpcMode::Private,
        Some("shareable") => IpcMode::Shareable,
        Some(other) => return Err(unknown("default-ipc-mode", other, "shareable")),
    };
    live.cgroupns_mode = match values.default_cgroupns_mode.as_deref() {
        None => None,
        Some("private") => Some(CgroupnsMode::Private),
        Some("host") => Some(CgroupnsMode::Host),
        Some(other) => return Err(unknown("default-cgroupns-mode", other, "host")),
    };
    live.stop_timeout = values.default_stop_timeout.unwrap_or(live.stop_timeout);
    live.labels = labels(values.labels.take().unwrap_or_default())?;
    Ok(live)
}

fn unknown(setting: &'static str, value: &str, other: &str) -> Error {
    Error::setting(setting, format!("{value:?} is neither private nor {other}"))
}

fn check_default_runtime(live: &Live) -> Result<(), Error> {
    if live.runtime(&live.default_runtime).is_some() {
        return Ok(());
    }
    let known: Vec<_> = live.runtimes.keys().map(String::as_str).collect();
    let reason = format!(
        "there is no runtime {}; add it by --add-runtime, or use one of: {}",
        live.default_runtime,
        known.join(", ")
    );
    Err(Error::setting("default-runtime", reason))
}

/// A label may be said twice, but not in two ways.
fn labels(labels: Vec<String>) -> Result<Vec<String>, Error> {
    let mut known = BTreeMap::new();
    let mut kept = Vec::new();
    for label in labels {
        let Some((key, value)) = label.split_once('=') else {
            return Err(Error::setting("labels", format!("{label:?} is not KEY=VALUE")));
        };
        match known.insert(key.to_owned(), value.to_owned()) {
            None => kept.push(label),
            Some(before) if before == value => {}
            Some(before) => {
                let reason = format!("conflict labels for {key}={value} and {key}={before}");
                return Err(Error::setting("labels", reason));
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(mut values: Values) -> String {
        live(&mut values).unwrap_err().to_string()
    }

    #[test]
    fn the_default_runtime_must_be_there() {
        let values = Values { default_runtime: Some("crun".to_owned()), ..Values::default() };
        let error = refused(values);
        assert!(error.contains("there is no runtime crun") && error.contains("tare"), "{error}");
    }

    #[test]
    fn modes_are_known() {
        let named = |name: &str| Some(name.to_owned());
        let mut values = Values { default_ipc_mode: named("shareable"), ..Values::default() };
        assert_eq!(live(&mut values).unwrap().ipc_mode, IpcMode::Shareable);
        let values = Values { default_ipc_mode: named("host"), ..Values::default() };
        assert!(refused(values).contains("default-ipc-mode"));
        let values = Values { default_cgroupns_mode: named("x"), ..Values::default() };
        assert!(refused(values).contains("default-cgroupns-mode"));
    }

    #[test]
    fn labels_do_not_contradict_each_other() {
        let with = |labels: [&str; 2]| Values {
            labels: Some(labels.map(str::to_owned).to_vec()),
            ..Values::default()
        };
        assert_eq!(live(&mut with(["a=b", "a=b"])).unwrap().labels, ["a=b"]);
        assert!(refused(with(["a=b", "a=c"])).contains("conflict labels for a=c and a=b"));
        assert!(refused(with(["a=b", "c"])).contains("not KEY=VALUE"));
    }
}
