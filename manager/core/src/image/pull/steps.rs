//! How a pull goes, as it is told to whoever asked for it.

use crate::image::digest::Digest;

/// Something that happened in a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The manifest is there.
    Begun {
        /// The repository in its registry.
        repository: String,
        /// The tag, or the whole name with its digest.
        tag: String,
    },
    /// Something happened to a layer.
    Layer {
        /// The digest of its blob.
        blob: Digest,
        /// What.
        step: LayerStep,
    },
    /// Something that the user should know.
    Warning(String),
    /// The digest of the manifest that has the name.
    Digest(Digest),
    /// All is there.
    Done {
        /// What was asked for, in docker's short form.
        name: String,
        /// Whether the name stood for nothing, or something else, before.
        newer: bool,
    },
}

/// Something that happened to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerStep {
    /// It is here already.
    Known,
    /// It will be fetched.
    Announced,
    /// Others come first.
    Waiting,
    /// It is being fetched.
    Downloading {
        /// Bytes that are there.
        current: u64,
        /// All its bytes.
        total: u64,
    },
    /// Fetching it failed, and will be tried again.
    Retrying {
        /// Until then.
        seconds: u64,
    },
    /// Its digest is looked at.
    Verifying,
    /// It is there.
    Downloaded,
    /// It is being unpacked.
    Extracting {
        /// Bytes that are unpacked.
        current: u64,
        /// All its bytes.
        total: u64,
    },
    /// It is unpacked.
    Complete,
}
