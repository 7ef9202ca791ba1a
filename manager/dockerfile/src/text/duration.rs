//! Durations such as `1m30s`, in nanoseconds.

use super::quote::quoted;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Reads a duration.
///
/// # Errors
/// Go's text of what is wrong.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quoted(text)));
        }
        let scale = scale(unit).ok_or_else(|| {
            format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text))
        })?;
        let whole: u64 = match whole {
            "" => 0,
            digits => digits.parse().map_err(|_| invalid())?,
        };
        total = whole
            .checked_mul(scale)
            .and_then(|whole| whole.checked_add(part(fraction, scale)))
            .and_then(|value| total.checked_add(value))
            .ok_or_else(invalid)?;
        rest = after;
    }
    let value = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -value } else { value })
}

fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// What the digits after a point are worth; those that are less than a nanosecond count nothing.
fn part(digits: &str, scale: u64) -> u64 {
    let mut value = 0;
    let mut scale = u128::from(scale) * 1_000_000_000;
    for digit in digits.bytes() {
        scale /= 10;
        value += u128::from(digit - b'0') * scale;
    }
    // It is less than the scale was.
    u64::try_from(value / 1_000_000_000).unwrap_or(0)
}

/// Writes a duration in its shortest form: `0s`, `1.5ms`, `2m0s`.
pub(crate) fn format(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let value = nanoseconds.unsigned_abs();
    let text = match value {
        0 => "0s".to_owned(),
        1..MICROSECOND => format!("{value}ns"),
        MICROSECOND..MILLISECOND => decimal(value, MICROSECOND) + "µs",
        MILLISECOND..SECOND => decimal(value, MILLISECOND) + "ms",
        SECOND..MINUTE => decimal(value, SECOND) + "s",
        MINUTE..HOUR => format!("{}m{}s", value / MINUTE, decimal(value % MINUTE, SECOND)),
        _ => format!(
            "{}h{}m{}s",
            value / HOUR,
            value % HOUR / MINUTE,
            decimal(value % MINUTE, SECOND)
        ),
    };
    format!("{sign}{text}")
}

fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, nanoseconds, written) in [
            ("0", 0, "0s"),
            ("30s", 30_000_000_000, "30s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            ("90s", 90_000_000_000, "1m30s"),
            (".5ms", 500_000, "500µs"),
            ("1h1m0.25s", 3_660_250_000_000, "1h1m0.25s"),
            ("-1ns", -1, "-1ns"),
            ("1.0000000001s", 1_000_000_000, "1s"),
        ] {
            assert_eq!(parse(text), Ok(nanoseconds), "{text}");
            assert_eq!(format(nanoseconds), written);
        }
        for (text, wrong) in [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("s", "time: invalid duration \"s\""),
            (".s", "time: invalid duration \".s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("9999999999h", "time: invalid duration \"9999999999h\""),
        ] {
            assert_eq!(parse(text), Err(wrong.to_owned()));
        }
    }
}
