//! Sizes as users write them.

use crate::error::{Error, Result};

/// Bytes of `10G`, `1.5gb`, `512 MiB`, `4096`; steps are of 1024, as docker has them.
pub(crate) fn bytes(text: &str) -> Result<u64> {
    let wrong = || Error::invalid(format!("invalid size: '{text}'"));
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = number * 1024_f64.powi(power);
    // A float has room for all sizes of disks.
    if bytes < 9e18 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, expected) in
            [("10G", 10 << 30), ("1.5gb", 3 << 29), ("512 MiB", 512 << 20), ("4096", 4096)]
        {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", "G", "-1", "1x", "1.2.3", "99999999P"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
