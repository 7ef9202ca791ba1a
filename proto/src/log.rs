//! The names of docker's log drivers and of their options: the manager refuses those that there
//! aren't when a container is made, the shim when it opens the log.

/// Drivers that the shim has for the manager.
pub const DRIVERS: [&str; 5] = ["journald", "json-file", "local", "none", "syslog"];

/// docker's other drivers.
pub const OTHER_DRIVERS: [&str; 6] = ["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "splunk"];

/// Options of every driver that keeps anything: which labels and variables each line has, its tag,
/// how lines get to the driver, and the copy that is kept here of what is sent away.
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

/// Options of `syslog` for connections by TLS. They are known, so that it can be said that there
/// are no such connections.
pub const SYSLOG_TLS: [&str; 4] =
    ["syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"];

/// The first of `options`, by the alphabet, that `driver` doesn't have, in docker's words.
///
/// # Errors
/// A text that names it.
pub fn check_options<'a>(
    driver: &str,
    options: impl IntoIterator<Item = &'a String>,
) -> Result<(), String> {
    let (common, own): (&[&str], &[&str]) = match driver {
        "json-file" | "local" => (&COMMON, &FILE),
        "syslog" => (&COMMON, &SYSLOG),
        "journald" => (&COMMON, &[]),
        _ => (&[], &[]),
    };
    let tls: &[&str] = if driver == "syslog" { &SYSLOG_TLS } else { &[] };
    let known = |option: &str| [common, own, tls].iter().any(|all| all.contains(&option));
    match options.into_iter().filter(|option| !known(option)).min() {
        None => Ok(()),
        Some(option) => Err(format!("unknown log opt '{option}' for {driver} log driver")),
    }
}

#[cfg(test)]
mod tests {
    use super::check_options;

    #[test]
    fn each_driver_has_its_own() {
        let check = |driver, options: &[&str]| {
            check_options(driver, &options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(check("json-file", &["max-size", "tag", "cache-disabled"]), Ok(()));
        assert_eq!(check("syslog", &["syslog-address", "mode"]), Ok(()));
        let unknown = |option| Err(format!("unknown log opt '{option}' for none log driver"));
        assert_eq!(check("none", &["tag", "colour"]), unknown("colour"));
        assert!(check("journald", &["max-size"]).is_err() && check("cri", &["tag"]).is_err());
        assert!(check("local", &["syslog-address"]).is_err());
    }
}
