//! What identifies a container.

use std::borrow::Borrow;
use std::fmt;

use rand::Rng;
use serde::{Deserialize, Serialize};

/// A container's id: 64 hexadecimal digits, random.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerId(String);

impl ContainerId {
    /// A new one.
    pub fn random() -> Self {
        Self(random_hex())
    }

    /// Whether `text` could be one.
    pub(super) fn is_one(text: &str) -> bool {
        text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// All of its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first twelve digits, as people see it.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ContainerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// 64 random hexadecimal digits. Never a number all through: a host name of twelve decimal digits
/// would be taken for a number by some programs.
pub(super) fn random_hex() -> String {
    loop {
        let mut bytes = [0u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        let text = hex::encode(bytes);
        if text.bytes().take(12).any(|digit| digit.is_ascii_alphabetic()) {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits_and_differ() {
        let (one, two) = (ContainerId::random(), ContainerId::random());
        assert_eq!(one.as_str().len(), 64);
        assert_eq!(one.short().len(), 12);
        assert_ne!(one, two);
    }
}
