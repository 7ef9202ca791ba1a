//! Wall-clock times as RFC 3339 with nanoseconds, quickly: a log line needs one each.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::linux::local_time;

/// Formats times, keeping the text of the current second, and of the very time, from one call to the
/// next.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    second: Option<u64>,
    text: String,
    last: Option<SystemTime>,
    last_text: Vec<u8>,
}

impl Clock {
    /// Appends `time` to `out` as Go's RFC3339Nano does: UTC, no trailing zeros in the fraction.
    pub(crate) fn append(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        if self.last != Some(time) {
            let mut text = std::mem::take(&mut self.last_text);
            text.clear();
            let since = since_1970(time);
            self.append_second(since, &mut text);
            append_fraction(since.subsec_nanos(), &mut text);
            text.push(b'Z');
            (self.last, self.last_text) = (Some(time), text);
        }
        out.extend_from_slice(&self.last_text);
    }

    /// The same with all nine digits of the fraction.
    pub(crate) fn append_padded(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let since = since_1970(time);
        self.append_second(since, out);
        out.extend_from_slice(&fraction(since.subsec_nanos()));
        out.push(b'Z');
    }

    fn append_second(&mut self, since: Duration, out: &mut Vec<u8>) {
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.text = date_and_time(since.as_secs());
        }
        out.extend_from_slice(self.text.as_bytes());
    }
}

/// A clock set before 1970 is shown as 1970: logs must go on.
fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `time` as RFC 3339 with nanoseconds, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let mut out = Vec::with_capacity(30);
    Clock::default().append(time, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// `time` as RFC 3339 with seconds, in UTC.
pub(crate) fn rfc3339_seconds(time: SystemTime) -> String {
    date_and_time(since_1970(time).as_secs()) + "Z"
}

/// `time` as RFC 3339 with microseconds, in UTC.
pub(crate) fn rfc3339_micro(time: SystemTime) -> String {
    let since = since_1970(time);
    format!("{}.{:06}Z", date_and_time(since.as_secs()), since.subsec_micros())
}

/// `time` as syslog has always had it: `Feb  9 08:05:03`, by this machine's own clock.
pub(crate) fn traditional(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = i64::try_from(since_1970(time).as_secs()).unwrap_or(i64::MAX);
    let [month, day, hour, minute, second] = local_time(seconds).unwrap_or([0, 1, 0, 0, 0]);
    let month = usize::try_from(month).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"Jan");
    format!("{month} {day:>2} {hour:02}:{minute:02}:{second:02}")
}

fn append_fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let digits = fraction(nanos);
    let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(digits.get(..kept).unwrap_or_default());
}

/// The dot and nine digits.
fn fraction(nanos: u32) -> [u8; 10] {
    let mut digits = [b'0'; 10];
    let mut rest = nanos;
    for digit in digits.iter_mut().skip(1).rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits[0] = b'.';
    digits
}

fn date_and_time(unix_seconds: u64) -> String {
    let (year, month, day) = civil_date(unix_seconds / 86_400);
    let second = unix_seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March on, so that
/// the leap day is the last of its year, in eras of 400 years, which all have 146 097 days.
fn civil_date(day_since_1970: u64) -> (u64, u64, u64) {
    let day = day_since_1970 + 719_468;
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64, nanos: u32) -> String {
        rfc3339(UNIX_EPOCH + Duration::new(seconds, nanos))
    }

    #[test]
    fn writes_what_go_writes() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_504_227_661, 1), "2017-09-01T01:01:01.000000001Z");
        assert_eq!(at(1_735_689_599, 500_000_000), "2024-12-31T23:59:59.5Z");
        assert_eq!(at(1_735_689_600, 120_300_000), "2025-01-01T00:00:00.1203Z");
    }
}
