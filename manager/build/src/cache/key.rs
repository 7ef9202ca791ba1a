//! What results are known by.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tare_core::image::Digest;

/// What a result is known by: the digest of all that it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub Digest);

/// The version of all keys: results of another one are not found.
const VERSION: &str = "1";

/// Puts a key together. Each part has its name and its length with it, so that no two lists of parts
/// are the same bytes.
pub(crate) struct KeyOf(Sha256);

impl KeyOf {
    /// The key of a `kind` of thing.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Sha256::new()).with("version", VERSION).with("kind", kind)
    }

    /// With this part.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.add(name, value);
        self
    }

    /// Adds a part.
    pub(crate) fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        for bytes in [name.as_bytes(), value.as_ref()] {
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
    }

    /// Adds another key.
    pub(crate) fn add_key(&mut self, name: &str, key: Key) {
        self.add(name, key.to_string());
    }

    /// The key.
    pub(crate) fn key(self) -> Key {
        let hex = hex::encode(self.0.finalize());
        // It is as long as it has to be.
        Key(Digest::from_hex(&hex).unwrap_or_else(|| Digest::of(hex.as_bytes())))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart() {
        let one = KeyOf::new("a").with("b", "c").with("d", "").key();
        assert_eq!(one, KeyOf::new("a").with("b", "c").with("d", "").key());
        for other in [
            KeyOf::new("a").with("b", "cd").key(),
            KeyOf::new("a").with("bc", "").with("d", "").key(),
            KeyOf::new("a").with("b", "c").key(),
            KeyOf::new("ab").with("", "c").with("d", "").key(),
        ] {
            assert_ne!(one, other);
        }
    }
}
