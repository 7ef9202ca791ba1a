//! Limits are given in the units of cgroup v1; these are the ways to say them to v2.

use crate::error::{Error, Result};

/// The `cpu.weight` (1 to 10000) for `shares` (2 to 262144), or nothing where none are given.
///
/// The curve goes through the smallest, the default (1024 shares, weight 100) and the largest
/// value of both scales; it is the one that runc and crun use since 2025.
pub(super) fn cpu_weight(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1 | 2 => Some(1),
        262_144.. => Some(10_000),
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            let weight = 10_f64.powf(exponent).ceil() as u64;
            Some(weight)
        }
    }
}

/// The `io.weight` (1 to 10000) for a v1 block I/O weight (10 to 1000).
pub(super) fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

/// A limit as v2 files take it: `max` for -1, nothing for 0.
pub(super) fn limit(value: i64) -> Option<String> {
    match value {
        0 => None,
        -1 => Some("max".to_owned()),
        value => Some(value.to_string()),
    }
}

/// The `memory.swap.max` for a v1 limit of memory and swap together.
///
/// # Errors
/// A swap limit without a memory limit, or one that is smaller than it.
pub(super) fn swap_limit(memory_and_swap: i64, memory: i64) -> Result<Option<String>> {
    match (memory_and_swap, memory) {
        // Unlimited memory means unlimited swap unless the request says otherwise, as on v1.
        (0, -1) | (-1, _) => Ok(Some("max".to_owned())),
        (0, _) => Ok(None),
        (both, -1) => Ok(Some(both.to_string())),
        (_, 0) => Err(Error::invalid(
            "unable to set swap limit without memory limit: set memory.limit too",
        )),
        (_, memory) if memory < 0 => Err(Error::invalid(format!("invalid memory value: {memory}"))),
        (both, memory) if both < memory => Err(Error::invalid(format!(
            "memory+swap limit should be >= memory limit: {both} is less than {memory}"
        ))),
        (both, memory) => Ok(Some((both - memory).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_meet_at_smallest_default_and_largest() {
        for (shares, weight) in [
            (0, None),
            (1, Some(1)),
            (2, Some(1)),
            (1024, Some(100)),
            (262_144, Some(10_000)),
            (u64::MAX, Some(10_000)),
        ] {
            assert_eq!(cpu_weight(shares), weight, "{shares} shares");
        }
        let mut before = 0;
        for shares in 1..262_144 {
            let weight = cpu_weight(shares).unwrap();
            assert!(weight >= before && weight <= 10_000, "{shares} shares give {weight}");
            before = weight;
        }
        assert_eq!((io_weight(10), io_weight(500), io_weight(1000)), (1, 4950, 10_000));
        assert_eq!(io_weight(0), 1);
    }

    #[test]
    fn swap_is_what_is_left_beside_memory() {
        let text = |swap, memory| swap_limit(swap, memory).unwrap();
        assert_eq!(text(0, 0), None);
        assert_eq!(text(0, 64), None);
        assert_eq!(text(0, -1), Some("max".to_owned()));
        assert_eq!(text(-1, 64), Some("max".to_owned()));
        assert_eq!(text(100, 64), Some("36".to_owned()));
        assert_eq!(text(64, 64), Some("0".to_owned()));
        assert_eq!(text(100, -1), Some("100".to_owned()));
        for (swap, memory) in [(100, 0), (63, 64), (64, -2), (-2, 64)] {
            swap_limit(swap, memory).unwrap_err();
        }
    }

    #[test]
    fn limits_read_max() {
        assert_eq!(limit(0), None);
        assert_eq!(limit(-1).as_deref(), Some("max"));
        assert_eq!(limit(4096).as_deref(), Some("4096"));
    }
}
