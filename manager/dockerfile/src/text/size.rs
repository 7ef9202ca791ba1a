//! Sizes of memory such as `64m`.

/// Reads a number of bytes; a unit is a power of 1024.
pub(crate) fn bytes(text: &str) -> Option<i64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = match text.as_bytes()[end] {
        b' ' => (&text[..end], &text[end + 1..]),
        _ => (&text[..=end], &text[end + 1..]),
    };
    let number: f64 = number.parse().ok().filter(|number: &f64| *number >= 0.0)?;
    let unit = unit.to_ascii_lowercase();
    let power = match (unit.chars().next(), unit.get(1..)) {
        (None, _) => 0,
        (Some('b'), Some("")) => 0,
        (Some(letter), Some("" | "b" | "ib")) => match letter {
            'k' => 1,
            'm' => 2,
            'g' => 3,
            't' => 4,
            'p' => 5,
            _ => return None,
        },
        _ => return None,
    };
    let value = number * 1024_f64.powi(power);
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (value < 9.2e18).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, expected) in [
            ("100", Some(100)),
            ("64m", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("1 KiB", Some(1024)),
            ("2kb", Some(2048)),
            ("7b", Some(7)),
            ("", None),
            ("m", None),
            ("-1m", None),
            ("1x", None),
            ("1bib", None),
            ("1mm", None),
            ("99999999999p", None),
            ("1é", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
