//! Which log drivers there are, and which options each of them has. What is wrong with an option's
//! value the shim says when it opens the log.

use std::collections::BTreeMap;

use super::super::host_config::LogConfig;
use super::super::log::{check_selection, check_tag};
use crate::error::{Error, Result};

/// Options of every driver that keeps anything.
const COMMON: [&str; 11] = [
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
    "max-buffer-size",
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
];
const FILE: [&str; 3] = ["max-size", "max-file", "compress"];
const SYSLOG: [&str; 3] = ["syslog-address", "syslog-facility", "syslog-format"];
/// Options of docker's `syslog` that need TLS, which isn't there.
const SYSLOG_TLS: [&str; 4] =
    ["syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"];

/// Log drivers that the shim has.
pub const LOG_DRIVERS: [&str; 5] = ["journald", "json-file", "local", "none", "syslog"];

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
    let own: &[&str] = match log.driver.as_str() {
        "json-file" | "local" => &FILE,
        "syslog" => &SYSLOG,
        "journald" => &[],
        "none" => return refuse_all(log),
        other => return Err(Error::unsupported(format!("the log driver {other}"))),
    };
    for option in log.options.keys().map(String::as_str) {
        if log.driver == "syslog" && SYSLOG_TLS.contains(&option) {
            return Err(Error::unsupported(format!("the log option {option}")));
        }
        if !COMMON.contains(&option) && !own.contains(&option) {
            return Err(unknown(option, &log.driver));
        }
    }
    check_tag(log.options.get("tag").map_or("", String::as_str))?;
    check_selection(&log.options)?;
    check_mode(&log.options)
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

fn refuse_all(log: &LogConfig) -> Result<()> {
    log.options.keys().next().map_or(Ok(()), |option| Err(unknown(option, &log.driver)))
}

fn unknown(option: &str, driver: &str) -> Error {
    Error::invalid(format!("unknown log opt '{option}' for {driver} log driver"))
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
        let refused = |driver, options| settle(driver, options).unwrap_err().to_string();
        assert!(refused("journald", &[("max-size", "1m")]).contains("max-size"));
        assert!(refused("none", &[("tag", "x")]).contains("tag"));
        assert!(refused("syslog", &[("syslog-tls-key", "x")]).contains("syslog-tls-key"));
        assert!(refused("local", &[("mode", "lazy")]).contains("lazy"));
        assert!(refused("local", &[("max-buffer-size", "1m")]).contains("non-blocking"));
        assert!(refused("local", &[("labels-regex", "(")]).contains("labels-regex"));
        assert!(refused("local", &[("tag", "{{.X}}")]).contains(".X"));
    }
}
