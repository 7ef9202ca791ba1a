//! Names of content: the SHA-256 of a blob, and what is known by such a name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// The SHA-256 of some bytes, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that these bytes are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 64 hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first twelve hex digits, as docker shortens ids.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }

    /// The digest with the given hex digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        (lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(Self(bytes))
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((algorithm, digits)) = text.split_once(':') else {
            return Err(Error::invalid("invalid checksum digest format"));
        };
        if algorithm != "sha256" {
            return Err(Error::unsupported(format!("the digest algorithm of {text}")));
        }
        Self::from_hex(digits).ok_or_else(|| Error::invalid("invalid checksum digest length"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a digest while bytes pass by.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// Takes `bytes` in.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was taken in.
    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

macro_rules! digest_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl $name {
            /// The digest it stands for.
            pub fn digest(&self) -> Digest {
                self.0
            }

            /// The first twelve hex digits.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                text.parse().map(Self)
            }
        }
    };
}

digest_newtype! {
    /// An image's id: the digest of its configuration.
    ImageId
}

digest_newtype! {
    /// A layer's content: the digest of its tar stream, uncompressed.
    DiffId
}

digest_newtype! {
    /// A layer upon all the layers below it, as the OCI image specification defines ChainID.
    ChainId
}

impl ChainId {
    /// The chain that `layer` makes upon `below`.
    pub fn extend(below: Option<ChainId>, layer: DiffId) -> Self {
        match below {
            None => Self(layer.0),
            Some(below) => Self(Digest::of(format!("{below} {layer}").as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_named_as_the_specification_says() {
        let base = DiffId(Digest::of(b"base"));
        let top = DiffId(Digest::of(b"top"));
        let first = ChainId::extend(None, base);
        assert_eq!(first.0, base.0);
        let second = ChainId::extend(Some(first), top);
        assert_eq!(second.0, Digest::of(format!("{base} {top}").as_bytes()));
    }

    #[test]
    fn only_whole_lower_case_digests_are_read() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(digest.short(), "e3b0c44298fc");
        for bad in ["", "sha256:", "sha256:ABC", "md5:00", &digest.to_string().to_uppercase()] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
