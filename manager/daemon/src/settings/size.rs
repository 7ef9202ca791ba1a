//! Sizes as people write them.

/// Bytes of `64m`, `1g`, `512k`, `4096`; `b` may follow. Steps are of 1024, as docker has them.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches('b');
    let (digits, shift) = match number.as_bytes().last() {
        Some(b'k') => (&number[..number.len() - 1], 10),
        Some(b'm') => (&number[..number.len() - 1], 20),
        Some(b'g') => (&number[..number.len() - 1], 30),
        _ => (number, 0),
    };
    let count: u64 = digits.parse().map_err(|_| format!("{text} is no size, such as 64m"))?;
    count.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_steps_of_1024() {
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(bytes("1gb"), Ok(1 << 30));
        assert_eq!(bytes("4096"), Ok(4096));
        for wrong in ["", "m", "-1", "1.5x", "99999999999999g"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
