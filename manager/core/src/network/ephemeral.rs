//! The ports that the host gives to who asks for any.

use std::ops::RangeInclusive;

use super::kernel::sysctl;

/// What the registry of ports sets aside for this use.
const DYNAMIC: RangeInclusive<u16> = 49153..=65535;

/// The host's ephemeral ports.
pub(super) struct Ephemeral {
    range: RangeInclusive<u16>,
    /// What the host's owner keeps for programs that will name them.
    reserved: Vec<RangeInclusive<u16>>,
}

impl Ephemeral {
    /// Those that the host's settings name now.
    pub(super) fn read() -> Self {
        let range = sysctl::get("ipv4/ip_local_port_range").ok().and_then(|text| {
            let (first, last) = text.split_once(char::is_whitespace)?;
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        });
        let reserved = sysctl::get("ipv4/ip_local_reserved_ports").unwrap_or_default();
        Self { range: range.unwrap_or(DYNAMIC), reserved: ranges(&reserved) }
    }

    /// All of them, in the order in which to try them: first those after `last`.
    pub(super) fn after(self, last: u16) -> impl Iterator<Item = u16> {
        let Self { range, reserved } = self;
        let (first, end) = (*range.start(), *range.end());
        let next = last.saturating_add(1);
        let start = if range.contains(&next) { next } else { first };
        (start..=end)
            .chain(first..start)
            .filter(move |port| !reserved.iter().any(|kept| kept.contains(port)))
    }
}

/// The ranges in a text like `8080,9148-9150`.
fn ranges(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_tried_but_the_reserved_ones() {
        let tried = |last| {
            let reserved = ranges("50001,50004-50005");
            Ephemeral { range: 50000..=50006, reserved }.after(last).collect::<Vec<_>>()
        };
        assert_eq!(tried(0), [50000, 50002, 50003, 50006]);
        assert_eq!(tried(50002), [50003, 50006, 50000, 50002]);
        assert_eq!(tried(50006), [50000, 50002, 50003, 50006]);
        assert_eq!(tried(u16::MAX), [50000, 50002, 50003, 50006]);
        assert!(ranges("").is_empty());
    }
}
