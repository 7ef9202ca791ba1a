//! The options of docker's log drivers, with docker's own words for what is wrong with them.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// Options by their names, as docker passes them around.
pub(super) type Options = HashMap<String, String>;

/// How a file is kept small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// Rotate when the file has reached this many bytes.
    pub(super) max_size: Option<u64>,
    /// How many files there are at most, the current one included.
    pub(super) max_files: u32,
    /// Compress all but the current one.
    pub(super) compress: bool,
}

/// How lines get to a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The container is held back for it.
    Blocking,
    /// Lines wait in memory, up to so many bytes; what comes on top is dropped.
    Dropping(usize),
}

impl Limits {
    /// No limits at all.
    pub(super) const NONE: Limits = Limits { max_size: None, max_files: 1, compress: false };

    /// Reads the options of `json-file`.
    pub(super) fn json_file(options: &Options) -> Result<Self> {
        Self::NONE.with("", options)
    }

    /// Reads the options of `local`.
    pub(super) fn local(options: &Options) -> Result<Self> {
        Self::LOCAL.with("", options)
    }

    /// Reads the options of the file that keeps what another driver sends away.
    pub(super) fn cache(options: &Options) -> Result<Self> {
        Self::LOCAL.with("cache-", options)
    }

    const LOCAL: Limits = Limits { max_size: Some(20 << 20), max_files: 5, compress: true };

    /// These, as far as no option says otherwise.
    fn with(self, prefix: &str, options: &Options) -> Result<Self> {
        let option = |name: &str| options.get(&format!("{prefix}{name}")).map(String::as_str);
        let max_size = match option("max-size") {
            Some(text) => Some(parse_size("max-size", text, Unit::DECIMAL)?),
            None => self.max_size,
        };
        if max_size == Some(0) {
            return Err(Error::invalid("max-size must be a positive number"));
        }
        let max_files = match option("max-file") {
            None => self.max_files,
            Some(text) => text
                .parse::<u32>()
                .map_err(|error| Error::invalid(format!("max-file {text:?}: {error}")))?,
        };
        if max_files < 1 {
            return Err(Error::invalid("max-file cannot be less than 1"));
        }
        let compress =
            option("compress").map_or(Ok(self.compress), |text| parse_bool("compress", text))?;
        if compress && (max_files == 1 || max_size.is_none()) {
            return Err(Error::invalid(
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            ));
        }
        Ok(Limits { max_size, max_files, compress })
    }
}

impl Delivery {
    /// docker's default size of the buffer.
    const BUFFER: usize = 1_000_000;

    /// Reads `mode` and `max-buffer-size`.
    pub(super) fn from_options(options: &Options) -> Result<Self> {
        let size = options.get("max-buffer-size");
        match options.get("mode").map_or("", String::as_str) {
            "" | "blocking" if size.is_some() => Err(Error::invalid(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            )),
            "" | "blocking" => Ok(Delivery::Blocking),
            "non-blocking" => {
                let size = size.map(|text| parse_size("max-buffer-size", text, Unit::BINARY));
                let size = size.transpose()?.unwrap_or(Self::BUFFER as u64);
                Ok(Delivery::Dropping(usize::try_from(size).unwrap_or(usize::MAX)))
            }
            other => Err(Error::invalid(format!("logger: logging mode not supported: {other}"))),
        }
    }
}

/// Whether lines that are sent away are kept in a file here too.
pub(super) fn cache_is_wanted(options: &Options) -> Result<bool> {
    match options.get("cache-disabled").map_or("", String::as_str) {
        "" => Ok(true),
        text => parse_bool("cache-disabled", text).map(|disabled| !disabled),
    }
}

/// What a suffix of a size multiplies by, for each of its letters.
struct Unit(f64);

impl Unit {
    const DECIMAL: Unit = Unit(1000.0);
    const BINARY: Unit = Unit(1024.0);
}

/// A size in bytes: `10m`, `1.5kB`, `4096`.
fn parse_size(name: &str, text: &str, unit: Unit) -> Result<u64> {
    let invalid = || Error::invalid(format!("{name}: invalid size: '{text}'"));
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let power = match suffix.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(invalid()),
    };
    Ok((number * unit.0.powi(power)) as u64)
}

/// What Go's `strconv.ParseBool` takes.
fn parse_bool(name: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("{name}: {text:?} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[(&str, &str)]) -> Options {
        options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn limits(given: &[(&str, &str)]) -> Result<Limits> {
        Limits::json_file(&options(given))
    }

    #[test]
    fn reads_what_docker_reads() {
        let given = limits(&[("max-size", "10m"), ("max-file", "3"), ("compress", "true")]);
        let expected = Limits { max_size: Some(10_000_000), max_files: 3, compress: true };
        assert_eq!(given.unwrap(), expected);
        assert_eq!(limits(&[("max-size", "1.5k")]).unwrap().max_size, Some(1500));
        assert_eq!(limits(&[("labels", "a,b")]).unwrap().max_files, 1);
    }

    #[test]
    fn local_files_are_small_and_few_unless_told_otherwise() {
        let default = Limits { max_size: Some(20 << 20), max_files: 5, compress: true };
        assert_eq!(Limits::local(&options(&[])).unwrap(), default);
        let cache = Limits::cache(&options(&[("cache-max-file", "2"), ("max-file", "7")])).unwrap();
        assert_eq!(cache, Limits { max_files: 2, ..default });
    }

    #[test]
    fn refuses_what_docker_refuses() {
        let message = |options: &[(&str, &str)]| limits(options).unwrap_err().to_string();
        assert!(message(&[("max-size", "0")]).contains("positive"));
        assert!(message(&[("max-size", "ten")]).contains("ten"));
        assert!(message(&[("max-file", "0")]).contains("less than 1"));
        assert!(message(&[("max-file", "-1")]).contains("-1"));
        assert!(message(&[("compress", "true")]).contains("max-size"));
        assert!(message(&[("compress", "maybe")]).contains("maybe"));
    }

    #[test]
    fn delivery_is_blocking_unless_told_otherwise() {
        let delivery = |given: &[(&str, &str)]| Delivery::from_options(&options(given));
        assert_eq!(delivery(&[]).unwrap(), Delivery::Blocking);
        assert_eq!(delivery(&[("mode", "blocking")]).unwrap(), Delivery::Blocking);
        let dropping = delivery(&[("mode", "non-blocking"), ("max-buffer-size", "4k")]);
        assert_eq!(dropping.unwrap(), Delivery::Dropping(4096));
        let refused = |given| delivery(given).unwrap_err().to_string();
        assert!(refused(&[("max-buffer-size", "4k")]).contains("mode=non-blocking"));
        assert!(refused(&[("mode", "lazy")]).contains("not supported: lazy"));
    }
}
