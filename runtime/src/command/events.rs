//! `events`: what a container uses, again and again, and when its memory is used up.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Global, streams};
use crate::cgroup::Heard;
use crate::cgroup::stats::Stats;
use crate::container::Container;
use crate::container::status::Status;
use crate::error::{Error, Result};

/// display container events such as OOM notifications, cpu, memory, and IO usage statistics
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// set the stats collection interval
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    interval: Duration,
    /// display the container's stats then exit
    #[arg(long)]
    stats: bool,
    /// the container's id
    container_id: String,
}

/// One line of the output.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let id = arguments.container_id.as_str();
    let container = Container::open(&global.root, id)?;
    if container.status()? == Status::Stopped {
        return Err(Error::state(format!("container with id {id} is not running")));
    }
    let tell = |kind: &'static str, data: Option<Stats>| {
        streams::print_json_line(&Event { kind, id, data })
    };
    if arguments.stats {
        return tell("stats", Some(container.stats()?));
    }
    let mut watch = container.watch_memory()?;
    let mut next = Instant::now() + arguments.interval;
    loop {
        match watch.wait(next.saturating_duration_since(Instant::now()))? {
            Heard::OutOfMemory => tell("oom", None)?,
            Heard::Gone => return Ok(()),
            Heard::Nothing => {}
        }
        if Instant::now() >= next {
            tell("stats", Some(container.stats()?))?;
            next += arguments.interval;
        }
    }
}

/// The longest interval, in seconds: a hundred years.
const MOST_SECONDS: f64 = 3.2e9;

/// Reads a duration as runc's callers write it: `5s`, `100ms`, `1m30s`, `1.5h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("invalid duration {text:?}: write it like 5s or 100ms");
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let number =
            rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let unit = number.trim_start_matches(char::is_alphabetic);
        let amount: f64 =
            rest.strip_suffix(number).and_then(|amount| amount.parse().ok()).ok_or_else(bad)?;
        let scale = match number.strip_suffix(unit).unwrap_or_default() {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(bad()),
        };
        seconds += amount * scale;
        rest = unit;
    }
    // Longer than the clock counts on from now is no interval.
    match Duration::try_from_secs_f64(seconds.min(MOST_SECONDS)) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("duration interval must be greater than 0".to_owned()),
        Err(_) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_callers_write_them() {
        for (text, milliseconds) in
            [("5s", 5000), ("100ms", 100), ("1m30s", 90_000), ("1.5h", 5_400_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "0s", "5", "s", "5x", "-5s", "1e400s", "1..5s"] {
            parse_duration(text).unwrap_err();
        }
    }

    #[test]
    fn an_interval_can_always_be_added_to_now() {
        for text in ["9300000000000000000s", "1e9h", "99999999999999999999h"] {
            if let Ok(duration) = parse_duration(text) {
                assert!(Instant::now().checked_add(duration).is_some(), "{text}");
            }
        }
    }

    #[test]
    fn an_event_is_one_object() {
        let event = Event { kind: "oom", id: "box", data: None };
        assert_eq!(serde_json::to_string(&event).unwrap(), r#"{"type":"oom","id":"box"}"#);
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        #[test]
        fn fuzz_durations(text in crate::fuzz::words()) {
            if let Ok(duration) = parse_duration(&text) {
                proptest::prop_assert!(Instant::now().checked_add(duration).is_some());
            }
        }
    }
}
