//! What the cache has, as it is told, and what may go.

use std::time::Duration;

use jiff::Timestamp;

/// Something that is kept for later builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its name: 25 letters and digits.
    pub id: String,
    /// It can be written.
    pub mutable: bool,
    /// A build uses it now.
    pub in_use: bool,
    /// Bytes of the disk that it takes.
    pub size: u64,
    /// What it was made upon.
    pub parents: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When a build used it last.
    pub last_used: Option<Timestamp>,
    /// How often builds have used it.
    pub times_used: u64,
    /// What it is.
    pub description: String,
    /// Of which kind it is.
    pub kind: UsageKind,
    /// Images have it, too: it would still be there if the cache had it no more.
    pub shared: bool,
}

/// Kinds of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageKind {
    /// The result of a step.
    Regular,
    /// The context of a client.
    Local,
    /// A repository.
    Git,
    /// A directory of a cache mount.
    CacheMount,
}

/// What may go.
#[derive(Default)]
pub struct Prune<'a> {
    /// What it is about; none: everything.
    pub holds: Option<&'a (dyn Fn(&Usage) -> bool + Send + Sync)>,
    /// Also what is part of images.
    pub all: bool,
    /// Only what no build has used for so long.
    pub unused_for: Duration,
    /// Bytes that stay in any case; zero: none.
    pub reserved: u64,
    /// Bytes that there may be; zero: that is no reason.
    pub most: u64,
    /// Bytes of the disk that are to be free; zero: that is no reason.
    pub free: u64,
}

/// A rule by which things go, of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Only these, as docker writes it: `type==exec.cachemount`; any, if there is none.
    pub filters: Vec<String>,
    /// Also what is part of images.
    pub all: bool,
    /// Only what no build has used for so long.
    pub unused_for: Duration,
    /// Bytes that stay in any case.
    pub reserved: u64,
    /// Bytes that there may be.
    pub most: u64,
    /// Bytes of the disk that are to be free.
    pub free: u64,
}

impl UsageKind {
    /// As docker writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Local => "source.local",
            Self::Git => "source.git.checkout",
            Self::CacheMount => "exec.cachemount",
        }
    }
}
