//! The instruction HEALTHCHECK.

use super::json_list;
use crate::error::{Error, Result};
use crate::image::config::Healthcheck;

const NANOSECONDS_PER_MILLISECOND: i64 = 1_000_000;

/// Reads `NONE`, or `[--option=value ...] CMD command`.
pub(super) fn parse(rest: &str) -> Result<Healthcheck> {
    let mut check = Healthcheck::default();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        set_option(&mut check, option)?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => {
            Ok(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() })
        }
        "NONE" => Err(Error::invalid("HEALTHCHECK NONE takes no arguments")),
        "CMD" => {
            check.test = test(command)?;
            Ok(check)
        }
        "" => Err(Error::invalid("HEALTHCHECK requires at least one argument")),
        kind => Err(Error::invalid(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"))),
    }
}

fn test(command: &str) -> Result<Vec<String>> {
    let words = match json_list(command) {
        Some(words) if !words.is_empty() => [vec!["CMD".to_owned()], words].concat(),
        None if !command.is_empty() => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        _ => return Err(Error::invalid("Missing command after HEALTHCHECK CMD")),
    };
    Ok(words)
}

fn set_option(check: &mut Healthcheck, option: &str) -> Result<()> {
    let Some((name, value)) = option.split_once('=') else {
        return Err(Error::invalid(format!("missing a value on flag: --{option}")));
    };
    match name {
        "interval" => check.interval = interval(name, value)?,
        "timeout" => check.timeout = interval(name, value)?,
        "start-period" => check.start_period = interval(name, value)?,
        "start-interval" => check.start_interval = interval(name, value)?,
        "retries" => {
            let retries: u32 = value.parse().map_err(|_| {
                Error::invalid(format!("--retries must be a number, not {value:?}"))
            })?;
            check.retries = i64::from(retries);
        }
        name => return Err(Error::invalid(format!("unknown flag: --{name}"))),
    }
    Ok(())
}

fn interval(name: &str, value: &str) -> Result<i64> {
    let nanoseconds = duration(value)
        .ok_or_else(|| Error::invalid(format!("--{name}: invalid duration {value:?}")))?;
    if nanoseconds != 0 && nanoseconds < NANOSECONDS_PER_MILLISECOND {
        return Err(Error::invalid(format!("Interval {name:?} cannot be less than 1ms")));
    }
    Ok(nanoseconds)
}

/// A duration as Go writes it (`1h30m`, `1.5s`, `0`), in nanoseconds.
fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut total = 0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    // Go's longest duration is 292 years.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (!text.is_empty() && total < 9.2e18).then_some(total.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30s", Some(30_000_000_000)),
            ("1h1m0.5s", Some(3_660_500_000_000)),
            ("250ms", Some(250_000_000)),
            ("", None),
            ("5", None),
            ("5x", None),
            ("s", None),
            ("999999999h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn commands_are_lists_or_lines() {
        let check = parse("--timeout=5s --start-period=1m CMD [\"a\", \"b\"]").unwrap();
        assert_eq!(check.test, ["CMD", "a", "b"]);
        assert_eq!(check.timeout, 5_000_000_000);
        assert_eq!(parse("none").unwrap().test, ["NONE"]);
        for bad in [
            "CMD",
            "CMD []",
            "RUN x",
            "--interval=1us CMD x",
            "--what=1 CMD x",
            "--retries=x CMD x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
