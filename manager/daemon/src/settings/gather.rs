//! Command line and configuration file together. No setting may stand in both.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Given;
use crate::error::Error;

/// The file that is read if none is named and this one is there. It isn't docker's own, since that
/// one may have keys that are not ours; name it, if it is to be used.
const DEFAULT_FILE: &str = "/etc/tare/daemon.json";

/// The settings of the command line together with those of the file: `file`, or the default one.
///
/// # Errors
/// [`Error::File`] names what is wrong: no JSON, a key that isn't one of ours, a setting that
/// stands on the command line, too.
pub(crate) fn gather(given: Given, file: Option<&Path>) -> Result<Given, Error> {
    let path = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {
            return Ok(given);
        }
        Err(error) => return Err(Error::File { file: path, reason: error.to_string() }),
    };
    merge(given, &text).map_err(|reason| Error::File { file: path, reason })
}

/// The flags and the file's text as one; an error is what is wrong with the file.
fn merge(given: Given, text: &str) -> Result<Given, String> {
    let Given { values: flags, mut fixed } = given;
    // An empty file is one without settings, as docker has it.
    let text = if text.trim().is_empty() { "{}" } else { text };
    let mut file: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let Value::Object(flags) = serde_json::to_value(flags).map_err(|e| e.to_string())? else {
        return Err("the settings are no object".to_owned());
    };
    let fixed_flags: Vec<_> = fixed.keys().map(|(key, value)| (key, json!(value))).collect();
    let twice_fixed: Vec<_> = fixed_flags
        .into_iter()
        .filter_map(|(key, flag)| {
            let in_file = file.get(key)?;
            Some(format!("{key}: (from flag: {flag}, from file: {in_file})"))
        })
        .collect();
    file.retain(|key, value| !fixed.take(key, value));
    let unknown: Vec<_> = file.keys().filter(|key| !flags.contains_key(*key)).cloned().collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        return Err(format!(
            "the following directives don't match any configuration option: {unknown}"
        ));
    }
    let set: Vec<_> = flags.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let twice = set.iter().filter_map(|(key, flag)| {
        let in_file = file.get(key)?;
        Some(format!("{key}: (from flag: {flag}, from file: {in_file})"))
    });
    let twice: Vec<_> = twice.chain(twice_fixed).collect();
    if !twice.is_empty() {
        let twice = twice.join(", ");
        return Err(format!(
            "the following directives are specified both as a flag and in the configuration \
             file: {twice}"
        ));
    }
    file.extend(set);
    let values = serde_json::from_value(Value::Object(file)).map_err(|error| error.to_string())?;
    Ok(Given { values, fixed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{LogLevel, Values};

    fn flags(values: Values) -> Given {
        Given { values, ..Given::default() }
    }

    #[test]
    fn both_sources_are_heard() {
        let flags = flags(Values { debug: Some(true), ..Values::default() });
        let text = r#"{
            "hosts": ["unix:///a"], "log-level": "warn", "log-opts": {"max-size": "1m"},
            "runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--debug"]}}
        }"#;
        let values = merge(flags, text).unwrap().values;
        assert_eq!(values.debug, Some(true));
        assert_eq!(values.log_level, Some(LogLevel::Warn));
        assert_eq!(values.hosts.unwrap(), ["unix:///a"]);
        assert_eq!(values.log_opts.unwrap()[0].value, "1m");
        let runtime = &values.runtimes.unwrap()[0];
        assert_eq!(runtime.name, "crun");
        assert_eq!(runtime.runtime.arguments, ["--debug"]);
    }

    #[test]
    fn unknown_keys_are_named_all_of_them() {
        let error = merge(Given::default(), r#"{"debug": true, "foo": 1, "bar": 2}"#).unwrap_err();
        let expected = "the following directives don't match any configuration option: bar, foo";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_setting_in_both_places_is_an_error_that_shows_both() {
        let flags = flags(Values { labels: Some(vec!["a=b".to_owned()]), ..Values::default() });
        let error = merge(flags, r#"{"labels": ["c=d"]}"#).unwrap_err();
        assert!(error.contains(r#"labels: (from flag: ["a=b"], from file: ["c=d"])"#), "{error}");
    }

    #[test]
    fn a_setting_of_dockers_that_is_fixed_is_known() {
        let given = merge(Given::default(), r#"{"iptables": true, "debug": true}"#).unwrap();
        assert!(given.fixed.check().is_ok());
        let given = merge(Given::default(), r#"{"iptables": false}"#).unwrap();
        assert!(given.fixed.check().unwrap_err().to_string().contains("iptables"));
        assert!(merge(given, r#"{"iptables": false}"#).unwrap_err().contains("as a flag"));
    }

    #[test]
    fn what_is_no_json_is_said_so_with_its_place() {
        let error = merge(Given::default(), "{\n  \"debug\" true\n}").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(merge(Given::default(), r#"{"debug": "yes"}"#).unwrap_err().contains("boolean"));
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        let missing = Path::new("/nonexistent/daemon.json");
        let error = gather(Given::default(), Some(missing)).unwrap_err().to_string();
        assert!(error.contains("unable to configure tared with file /nonexistent/daemon.json"));
    }
}
