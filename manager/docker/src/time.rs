//! Points in time and durations as docker's clients write and read them.

use jiff::Timestamp;

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
}
