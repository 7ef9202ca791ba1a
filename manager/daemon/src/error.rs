//! Why the daemon cannot start.

use std::path::PathBuf;

/// Each says what was asked, what is wrong and, where that helps, what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The configuration file is missing, or is no JSON of the right kind.
    #[error("unable to configure tared with file {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting has a value that it cannot have.
    #[error("invalid value for {setting}: {reason}")]
    Setting {
        /// The setting, as it is called in the configuration file.
        setting: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Another process has what this one needs.
    #[error("{0}")]
    Taken(String),
    /// A system call failed.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: String,
        /// What came of it.
        source: std::io::Error,
    },
    /// A part of the domain could not be built.
    #[error("{0}")]
    Domain(#[from] tare_core::Error),
    /// Builds could not be opened.
    #[error("{0}")]
    Builds(#[from] tare_build::Error),
}

impl Error {
    /// A failed system call; `doing` says what was tried.
    pub(crate) fn system(doing: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::System { doing: doing.into(), source: source.into() }
    }

    /// A setting with a wrong value.
    pub(crate) fn setting(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting { setting, reason: reason.into() }
    }
}
