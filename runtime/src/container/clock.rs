//! The time of day as RFC 3339 writes it, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, with nanoseconds.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format_utc(since.as_secs(), Some(since.subsec_nanos()))
}

/// Now, in whole seconds.
pub(crate) fn now_in_seconds() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format_utc(since.as_secs(), None)
}

/// The moment `seconds` after 1970 began.
fn format_utc(seconds: u64, nanos: Option<u32>) -> String {
    let (year, month, day) = date((seconds / 86_400) as i64);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let head = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    match nanos {
        None | Some(0) => format!("{head}Z"),
        Some(nanos) => {
            let fraction = format!("{nanos:09}");
            format!("{head}.{}Z", fraction.trim_end_matches('0'))
        }
    }
}

/// Year, month and day of the day that comes `days` after 1970-01-01 (Gregorian calendar).
///
/// Counts from 1 March of year 0, so that the leap day is the last of its year.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(format_utc(0, None), "1970-01-01T00:00:00Z");
        assert_eq!(format_utc(951_782_400, None), "2000-02-29T00:00:00Z");
        assert_eq!(format_utc(1_700_000_000, Some(120_000_000)), "2023-11-14T22:13:20.12Z");
        assert_eq!(format_utc(4_107_542_400, Some(1)), "2100-03-01T00:00:00.000000001Z");
    }
}
