//! Lengths of time as docker writes them.

use std::time::Duration;

/// A length of time as Go writes it: `1m30s`, `1.5s`, `200ms`.
pub(super) fn duration(length: Duration) -> String {
    let nanoseconds = length.as_nanos();
    let (unit, name) = match nanoseconds {
        0 => return "0s".to_owned(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => {
            let seconds = length.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = Duration::new(seconds % 60, length.subsec_nanos());
            let rest = decimal(rest.as_nanos(), 1_000_000_000) + "s";
            return match (hours, minutes) {
                (0, 0) => rest,
                (0, minutes) => format!("{minutes}m{rest}"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
            };
        }
    };
    decimal(nanoseconds, unit) + name
}

/// `number` / `unit`, a power of ten, without zeros at the end of its fraction.
fn decimal(number: u128, unit: u128) -> String {
    let (whole, fraction) = (number / unit, number % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    // One digit for each zero of the unit.
    let digits = (unit + fraction).to_string();
    let digits = digits.get(1..).unwrap_or_default().trim_end_matches('0');
    format!("{whole}.{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_go_writes() {
        let written = |nanoseconds| duration(Duration::from_nanos(nanoseconds));
        let second = 1_000_000_000;
        assert_eq!(written(0), "0s");
        assert_eq!(written(7), "7ns");
        assert_eq!(written(1_500), "1.5µs");
        assert_eq!(written(200_000_000), "200ms");
        assert_eq!(written(2_005_000), "2.005ms");
        assert_eq!(written(30 * second), "30s");
        assert_eq!(written(90 * second), "1m30s");
        assert_eq!(written(3600 * second), "1h0m0s");
        assert_eq!(written(61 * second + 50_000_000), "1m1.05s");
    }
}
