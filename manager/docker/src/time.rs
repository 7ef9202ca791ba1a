//! Points in time and durations as docker's clients write and read them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::query::Query;

/// What docker shows for a time that has not come yet.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// The parameter `name`: seconds since 1970, with up to nine decimals. `0` and absence mean none.
pub(crate) fn parameter(query: &Query, name: &str) -> Result<Option<Timestamp>> {
    let Some(text) = query.text(name).filter(|text| *text != "0") else { return Ok(None) };
    let time = unix(text);
    time.map(Some).ok_or_else(|| {
        Error::invalid(format!("invalid value for {name:?}: {text:?} is no Unix timestamp"))
    })
}

/// Reads `1136073600` or `1136073600.000000001`.
fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Timestamp::new(seconds, digits.parse().ok()?).ok()
}

/// A point in time as people write it in a filter: `10m` or `1h30m` before now, a date with or without
/// a time and a zone, or seconds since 1970.
pub(crate) fn point(text: &str, now: Timestamp) -> Result<Timestamp> {
    let ago = || now.checked_sub(go_duration(text)?).ok();
    let zoned = || text.parse::<Timestamp>().ok();
    let local = || {
        let midnight = || text.parse::<Date>().map(|date| date.at(0, 0, 0, 0));
        let date = text.parse::<DateTime>().or_else(|_| midnight()).ok()?;
        Some(date.to_zoned(TimeZone::system()).ok()?.timestamp())
    };
    ago().or_else(|| unix(text)).or_else(zoned).or_else(local).ok_or_else(|| {
        Error::invalid(format!("failed to parse value as time or duration: {text:?}"))
    })
}

/// Go's durations: `1h30m`, `1.5s`, `300ms`.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits =
            rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, onward) = after.split_at(end);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = onward;
    }
    (!text.is_empty()).then(|| SignedDuration::try_from_secs_f64(seconds).ok())?
}

/// Docker's shape of a time: RFC 3339 in UTC with as many decimals as it needs.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.to_string()
}

/// The same with always nine decimals, as `docker logs -t` has it.
pub(crate) fn rfc3339_fixed(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// How long it is from `then` to `now`, in docker's words: `5 minutes`, `About an hour`.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> String {
    words(now.duration_since(then).as_secs().max(0))
}

fn words(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    let (minutes, hours) = (seconds / 60, (seconds + HOUR / 2) / HOUR);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / HOUR / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_times_have_up_to_nine_decimals() {
        assert_eq!(unix("1").unwrap(), Timestamp::new(1, 0).unwrap());
        assert_eq!(unix("1.5").unwrap(), Timestamp::new(1, 500_000_000).unwrap());
        assert_eq!(unix("1.0000000019").unwrap(), Timestamp::new(1, 1).unwrap());
        for wrong in ["", "x", "1.x", "1.-5", "2006-01-02"] {
            assert!(unix(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn times_are_written_in_both_shapes() {
        let time = Timestamp::new(1_795_325_312, 301_628_380).unwrap();
        assert_eq!(rfc3339(time), "2026-11-22T05:28:32.30162838Z");
        assert_eq!(rfc3339_fixed(time), "2026-11-22T05:28:32.301628380Z");
        let whole = Timestamp::new(1_795_325_312, 0).unwrap();
        assert_eq!(rfc3339(whole), "2026-11-22T05:28:32Z");
        assert_eq!(rfc3339_fixed(whole), "2026-11-22T05:28:32.000000000Z");
    }

    #[test]
    fn durations_are_dockers_words() {
        let hour = 3600;
        let expected = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (59 * 60 + 59, "59 minutes"),
            (hour, "About an hour"),
            (89 * 60, "About an hour"),
            (90 * 60, "2 hours"),
            (47 * hour, "47 hours"),
            (48 * hour, "2 days"),
            (14 * 24 * hour, "2 weeks"),
            (60 * 24 * hour, "2 months"),
            (3 * 365 * 24 * hour, "3 years"),
        ];
        for (seconds, text) in expected {
            assert_eq!(words(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn points_in_time_have_many_forms() {
        let now = Timestamp::new(1_700_000_000, 0).unwrap();
        let at = |text: &str| point(text, now).unwrap().as_second();
        assert_eq!(at("10m"), 1_700_000_000 - 600);
        assert_eq!(at("1h30m"), 1_700_000_000 - 5400);
        assert_eq!(at("1500ms"), 1_700_000_000 - 2);
        assert_eq!(at("1136073600"), 1_136_073_600);
        assert_eq!(at("2006-01-02T00:00:00Z"), 1_136_160_000);
        assert_eq!(at("2006-01-02T02:00:00+02:00"), 1_136_160_000);
        assert!((at("2006-01-02") - 1_136_160_000).abs() < 86_400);
        for wrong in ["", "soon", "10", "h", "10x"].iter().filter(|text| **text != "10") {
            assert!(point(wrong, now).is_err(), "{wrong}");
        }
    }
}
