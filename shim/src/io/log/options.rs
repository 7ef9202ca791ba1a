//! The options of docker's `json-file` driver.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// How the file is kept small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Rotate when the file has reached this many bytes.
    pub(crate) max_size: Option<u64>,
    /// How many files there are at most, the current one included.
    pub(crate) max_files: u32,
    /// Compress all but the current one.
    pub(crate) compress: bool,
}

/// Options that select attributes; the caller has evaluated them already.
const ATTRIBUTE_OPTIONS: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];

impl Limits {
    /// Reads the options, with docker's own words for what is wrong with them.
    pub(crate) fn from_options(options: &HashMap<String, String>) -> Result<Self> {
        for key in options.keys() {
            let known = ["max-size", "max-file", "compress"].contains(&key.as_str());
            if !known && !ATTRIBUTE_OPTIONS.contains(&key.as_str()) {
                let message = format!("unknown log opt '{key}' for json-file log driver");
                return Err(Error::invalid(message));
            }
        }
        let max_size = options.get("max-size").map(|text| parse_size(text)).transpose()?;
        if max_size == Some(0) {
            return Err(Error::invalid("max-size must be a positive number"));
        }
        let max_files = match options.get("max-file") {
            None => 1,
            Some(text) => text
                .parse::<u32>()
                .map_err(|error| Error::invalid(format!("max-file {text:?}: {error}")))?,
        };
        if max_files < 1 {
            return Err(Error::invalid("max-file cannot be less than 1"));
        }
        let compress = options.get("compress").map_or(Ok(false), |text| parse_bool(text))?;
        if compress && (max_files == 1 || max_size.is_none()) {
            return Err(Error::invalid(
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            ));
        }
        Ok(Limits { max_size, max_files, compress })
    }
}

/// A size in bytes with docker's decimal suffixes: `10m`, `1.5kB`, `4096`.
fn parse_size(text: &str) -> Result<u64> {
    let invalid = || Error::invalid(format!("max-size: invalid size: '{text}'"));
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let unit = match suffix.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1e0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "p" | "pb" => 1e15,
        _ => return Err(invalid()),
    };
    Ok((number * unit) as u64)
}

/// What Go's `strconv.ParseBool` takes.
fn parse_bool(text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("compress: {text:?} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(options: &[(&str, &str)]) -> Result<Limits> {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Limits::from_options(&options.collect())
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
    fn refuses_what_docker_refuses() {
        let message = |options: &[(&str, &str)]| limits(options).unwrap_err().to_string();
        assert!(message(&[("colour", "red")]).contains("'colour'"));
        assert!(message(&[("max-size", "0")]).contains("positive"));
        assert!(message(&[("max-size", "ten")]).contains("ten"));
        assert!(message(&[("max-file", "0")]).contains("less than 1"));
        assert!(message(&[("max-file", "-1")]).contains("-1"));
        assert!(message(&[("compress", "true")]).contains("max-size"));
        assert!(message(&[("compress", "maybe")]).contains("maybe"));
    }
}
