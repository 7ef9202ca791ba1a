//! Which log drivers there are, and which options each of them has. What is wrong with an option's
//! value the shim says when it opens the log.

use std::collections::BTreeMap;

use tare_proto::log::{DRIVERS, OTHER_DRIVERS, SYSLOG_TLS, check_options};

use super::super::flag::parse_flag;
use super::super::host_config::LogConfig;
use super::super::log::{check_selection, check_tag};
use crate::error::{Error, Result};

/// Fills in the manager's `driver` and its `options`, and refuses what there isn't.
pub(super) fn settle_log(
    log: &mut LogConfig,
    driver: &str,
    options: &BTreeMap<String, String>,
) -> Result<()> {
    if log.driver.is_empty() {
        driver.clone_into(&mut log.driver);
    }
    if log.driver == driver {
        for (key, value) in options {
            log.options.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    check_driver(&log.driver)?;
    check_options(&log.driver, log.options.keys()).map_err(Error::invalid)?;
    if let Some(option) = SYSLOG_TLS.iter().find(|option| log.options.contains_key(**option)) {
        return Err(Error::unsupported(format!("the log option {option}")));
    }
    check_tag(log.options.get("tag").map_or("", String::as_str))?;
    check_selection(&log.options)?;
    check_mode(&log.options)?;
    check_cache(log)
}

fn check_driver(driver: &str) -> Result<()> {
    if DRIVERS.contains(&driver) {
        return Ok(());
    }
    if OTHER_DRIVERS.contains(&driver) {
        return Err(Error::unsupported(format!("the log driver {driver}")));
    }
    // In docker, any other name is a plugin's.
    Err(Error::invalid(format!(
        "error looking up logging plugin {driver}: plugin \"{driver}\" not found"
    )))
}

/// What is said about the copy that is kept here of lines that are sent away. Drivers that write
/// files need none: as with docker, it is no mistake to say how large it may be.
fn check_cache(log: &LogConfig) -> Result<()> {
    let disabled = log.options.get("cache-disabled").map_or("", String::as_str);
    if disabled.is_empty() || parse_flag(disabled).is_some() {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid value for option cache-disabled: {disabled}")))
}

fn check_mode(options: &BTreeMap<String, String>) -> Result<()> {
    match options.get("mode").map_or("", String::as_str) {
        "non-blocking" => Ok(()),
        "" | "blocking" if !options.contains_key("max-buffer-size") => Ok(()),
        "" | "blocking" => Err(Error::invalid(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        )),
        other => Err(Error::invalid(format!("logger: logging mode not supported: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn settle(driver: &str, options: &[(&str, &str)]) -> Result<LogConfig> {
        let owned = |options: &[(&str, &str)]| -> BTreeMap<String, String> {
            options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let mut log = LogConfig { driver: driver.to_owned(), options: owned(options) };
        settle_log(&mut log, "local", &owned(&[("max-size", "1m")]))?;
        Ok(log)
    }

    #[test]
    fn the_managers_options_are_for_its_driver() {
        let log = settle("", &[("max-file", "2")]).unwrap();
        assert_eq!((log.driver.as_str(), log.options.len()), ("local", 2));
        assert!(settle("json-file", &[]).unwrap().options.is_empty());
    }

    #[test]
    fn what_there_is_not_is_refused_by_name() {
        let error = settle("gelf", &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("gelf"));
        let plugin = settle("nonsense", &[]).unwrap_err();
        assert!(plugin.to_string().ends_with("plugin \"nonsense\" not found"), "{plugin}");
        let refused = |driver, options| settle(driver, options).unwrap_err().to_string();
        assert!(refused("journald", &[("max-size", "1m")]).contains("max-size"));
        assert!(refused("none", &[("tag", "x")]).contains("tag"));
        assert!(refused("syslog", &[("syslog-tls-key", "x")]).contains("syslog-tls-key"));
        assert!(refused("local", &[("cache-disabled", "maybe")]).contains("maybe"));
        assert!(refused("local", &[("mode", "lazy")]).contains("lazy"));
        assert!(refused("local", &[("max-buffer-size", "1m")]).contains("non-blocking"));
        assert!(refused("local", &[("labels-regex", "(")]).contains("labels-regex"));
        assert!(refused("local", &[("tag", "{{.X}}")]).contains(".X"));
    }
}
