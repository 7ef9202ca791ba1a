//! Names of containers: what is allowed, and what we make up.

use rand::seq::IndexedRandom;

use crate::error::{Error, Result};

const ADJECTIVES: [&str; 64] = [
    "agile", "amber", "ample", "blithe", "bold", "brave", "breezy", "bright", "brisk", "calm",
    "candid", "cheerful", "civil", "clear", "clever", "cosy", "crisp", "daring", "deft", "dapper",
    "eager", "earnest", "exact", "fair", "fluent", "fond", "frank", "gentle", "genial", "glad",
    "hardy", "honest", "humble", "jaunty", "jolly", "keen", "kindly", "lively", "loyal", "lucid",
    "mellow", "merry", "mild", "modest", "neat", "nimble", "patient", "placid", "plucky", "polite",
    "quiet", "ready", "serene", "shrewd", "sincere", "snug", "spry", "steady", "sunny", "tidy",
    "upbeat", "vivid", "warm", "witty",
];

/// People to whom computing, and what lies under it, owes something.
const SURNAMES: [&str; 64] = [
    "abel",
    "agnesi",
    "babbage",
    "backus",
    "bardeen",
    "bartik",
    "bell",
    "bohr",
    "boole",
    "brattain",
    "cantor",
    "cauchy",
    "cerf",
    "church",
    "cray",
    "curie",
    "dijkstra",
    "einstein",
    "engelbart",
    "erdos",
    "euler",
    "faraday",
    "fermat",
    "fourier",
    "galois",
    "gauss",
    "germain",
    "godel",
    "hamming",
    "hamilton",
    "hoare",
    "hopper",
    "huffman",
    "iverson",
    "johnson",
    "kernighan",
    "kilby",
    "knuth",
    "kovalevskaya",
    "lamport",
    "laplace",
    "liskov",
    "lovelace",
    "maxwell",
    "mccarthy",
    "meitner",
    "mendel",
    "minsky",
    "moore",
    "naur",
    "noether",
    "noyce",
    "pascal",
    "perlman",
    "planck",
    "ramanujan",
    "riemann",
    "ritchie",
    "shannon",
    "tesla",
    "thompson",
    "turing",
    "wilkes",
    "wirth",
];

/// A name as it is kept: without the leading slash, which is optional in requests.
///
/// # Errors
/// Invalid unless it is `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(super) fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let bytes = bare.as_bytes();
    let legal = bytes.len() > 1
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte));
    if legal {
        return Ok(bare);
    }
    Err(Error::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// A name that nobody asked for. After the first attempt it gets a number, so that a machine with
/// very many containers finds one too.
pub(super) fn made_up(attempt: u32) -> String {
    let mut random = rand::rng();
    let adjective = ADJECTIVES.choose(&mut random).unwrap_or(&"calm");
    let surname = SURNAMES.choose(&mut random).unwrap_or(&"turing");
    match attempt {
        0 => format!("{adjective}_{surname}"),
        _ => format!("{adjective}_{surname}{}", rand::random_range(0..10_u32.pow(attempt.min(6)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_docker_allows() {
        assert_eq!(check("/web-1").unwrap(), "web-1");
        for name in ["", "/", "a", "-a", ".a", "a b", "a/b", "//ab", "ä1", "ab\n"] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn made_up_names_are_legal() {
        for attempt in 0..4 {
            let name = made_up(attempt);
            assert_eq!(check(&name).unwrap(), name);
        }
    }
}
