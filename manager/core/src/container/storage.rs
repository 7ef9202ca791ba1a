//! `--storage-opt`: how much a container may write.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// The only option that there is.
const SIZE: &str = "size";

/// The limit that these options ask for; without any, the manager's.
///
/// # Errors
/// Invalid for an option that isn't one, or a size that isn't one.
pub(super) fn limit(
    options: &BTreeMap<String, String>,
    default: Option<u64>,
) -> Result<Option<u64>> {
    let mut limit = default;
    for (name, value) in options {
        if !name.eq_ignore_ascii_case(SIZE) {
            return Err(Error::invalid(format!(
                "Unknown option {name}: of --storage-opt, there is {SIZE} alone"
            )));
        }
        limit = Some(bytes(value)?);
    }
    // As in docker, nothing is no limit.
    Ok(limit.filter(|limit| *limit > 0))
}

/// Bytes of `10G`, `1.5gb`, `512 MiB`, `4096`; steps are of 1024, as docker has them.
fn bytes(text: &str) -> Result<u64> {
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

    #[test]
    fn an_option_counts_more_than_the_default() {
        let options = |name: &str| BTreeMap::from([(name.to_owned(), "1k".to_owned())]);
        assert_eq!(limit(&options("size"), Some(7)).unwrap(), Some(1024));
        assert_eq!(limit(&BTreeMap::new(), Some(7)).unwrap(), Some(7));
        let error = limit(&options("speed"), None).unwrap_err().to_string();
        assert!(error.contains("Unknown option speed"), "{error}");
    }
}
