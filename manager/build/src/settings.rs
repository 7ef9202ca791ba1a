//! What the machine's owner says of builds: docker's `builder` key.

use std::time::Duration;

use crate::cache::Policy;

/// What builds may do, and what may be kept of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What builds may be allowed.
    pub permitted: Permitted,
    /// By which rules the cache goes.
    pub collection: Collection,
    /// Which records of builds are kept.
    pub history: Kept,
    /// Clients are told to use the old API, which they then do unless they are told otherwise.
    pub prefers_classic: bool,
}

/// Which records of builds are kept: these, and what is not old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The newest.
    pub newest: usize,
    /// How old others become.
    pub age: Duration,
}

/// What builds may be allowed beside what containers may, if they are asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permitted {
    /// The host's network.
    pub network_host: bool,
    /// Everything.
    pub security_insecure: bool,
}

/// By which rules the cache goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collection {
    /// None: nothing goes of itself.
    Never,
    /// Docker's own, with these numbers.
    Default(Space),
    /// The owner's.
    Rules(Vec<Policy>),
}

/// Bytes; zero for what was not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// What stays in any case.
    pub reserved: u64,
    /// What there may be.
    pub most: u64,
    /// What is to be free on the disk.
    pub free: u64,
}

/// Two days, after which contexts and what can be fetched again goes.
const SHORT: Duration = Duration::from_secs(48 * 60 * 60);
/// Sixty days, after which anything goes.
const LONG: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// How much of what can be fetched again stays at least.
const LEAST_TEMPORARY: u64 = 512_000_000;
/// How much of the cache that may be, in hundredths of a percent.
const TEMPORARY: u64 = 1382;

impl Default for Permitted {
    fn default() -> Self {
        Self { network_host: true, security_insecure: false }
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self { newest: 50, age: SHORT }
    }
}

impl Default for Collection {
    fn default() -> Self {
        Self::Default(Space::default())
    }
}

impl Collection {
    /// The rules, in their order, on a disk of so many bytes.
    #[must_use]
    pub fn rules(&self, disk: u64) -> Vec<Policy> {
        match self {
            Self::Never => Vec::new(),
            Self::Rules(rules) => rules.clone(),
            Self::Default(space) if *space == Space::default() => defaults(Space::of(disk)),
            Self::Default(space) => defaults(*space),
        }
    }
}

impl Space {
    /// What docker takes of a disk of so many bytes.
    fn of(disk: u64) -> Self {
        let part =
            |percent: u64| ((disk / 100).saturating_mul(percent) / (1 << 30) + 1) * 1_000_000_000;
        Self { reserved: part(10), most: part(80), free: part(20) }
    }
}

fn defaults(space: Space) -> Vec<Policy> {
    let Space { reserved, most, free } = space;
    let rule =
        |all, unused_for| Policy { filters: Vec::new(), all, unused_for, reserved, most, free };
    let temporary = (reserved / 10_000).saturating_mul(TEMPORARY).max(LEAST_TEMPORARY);
    let kinds = ["type==source.local", "type==exec.cachemount", "type==source.git.checkout"];
    vec![
        Policy {
            filters: kinds.map(str::to_owned).into(),
            all: false,
            unused_for: SHORT,
            reserved: 0,
            most: temporary,
            free: 0,
        },
        rule(false, LONG),
        rule(false, Duration::ZERO),
        rule(true, Duration::ZERO),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_dockers() {
        let rules = Collection::default().rules(100 << 30);
        assert_eq!(rules.len(), 4);
        assert_eq!(rules[0].most, 1_520_200_000);
        assert_eq!(
            (rules[1].reserved, rules[1].most, rules[1].free),
            (11e9 as u64, 81e9 as u64, 21e9 as u64)
        );
        assert!(rules[3].all);
        let said = Collection::Default(Space { reserved: 5, ..Space::default() });
        assert_eq!(said.rules(1 << 40)[2].reserved, 5);
        assert!(Collection::Never.rules(1 << 40).is_empty());
    }
}
