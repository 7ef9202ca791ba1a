//! `RUN --mount=...`: what a command sees besides its files.

mod said;

use crate::error::{Error, Result};
use crate::text::csv;
use said::Said;

/// A mount as it is written; variables in it are not replaced yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenMount {
    fields: Vec<String>,
    /// The stage, the image or the context that it is of. It has no variables, so that it is known
    /// what depends on what before anything is done.
    pub from: Option<String>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What it is.
    pub kind: MountKind,
    /// Where it is seen; empty where there is a usual place.
    pub target: String,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind {
        /// The stage, the image or the context.
        from: Option<String>,
        /// The path in it.
        source: String,
        /// Nothing can be written. What is written else is gone with the command.
        read_only: bool,
    },
    /// A directory that is there for other builds, too.
    Cache {
        /// Its name; the target, if it is empty.
        id: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// What it begins with.
        from: Option<String>,
        /// The path in that.
        source: String,
        /// Nothing can be written.
        read_only: bool,
        /// Whom it belongs to when it is made.
        owner: Owner,
    },
    /// A directory in memory.
    Tmpfs {
        /// How much it may hold; zero if that is not limited.
        size: i64,
        /// Nothing can be written.
        read_only: bool,
    },
    /// A file, or a variable, that is not in the image.
    Secret {
        /// Its name.
        id: String,
        /// The variable that has it, if one has.
        env: Option<String>,
        /// The command can't run without it.
        required: bool,
        /// Whom the file belongs to.
        owner: Owner,
    },
    /// A socket of an agent that has keys.
    Ssh {
        /// Its name.
        id: String,
        /// The command can't run without it.
        required: bool,
        /// Whom the socket belongs to.
        owner: Owner,
    },
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// One; who comes meanwhile has another.
    Private,
    /// One; who comes meanwhile waits.
    Locked,
}

/// Whom a mount belongs to, where that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// The user.
    pub user: Option<u32>,
    /// The group.
    pub group: Option<u32>,
    /// The mode.
    pub mode: Option<u32>,
}

impl WrittenMount {
    pub(super) fn new(text: String) -> Result<Self> {
        let fields = csv::fields(&text)
            .map_err(|wrong| Error::new(format!("failed to parse csv mounts: {wrong}")))?;
        let from = fields.iter().rev().find_map(|field| {
            let (key, value) = field.split_once('=')?;
            key.eq_ignore_ascii_case("from").then(|| value.to_owned())
        });
        let variable =
            |from: &&String| from.find('$').is_some_and(|dollar| dollar != from.len() - 1);
        if from.as_ref().filter(variable).is_some() {
            return Err(Error::new(
                "'from' doesn't support variable expansion, define alias stage instead",
            ));
        }
        Ok(Self { fields, from: from.filter(|from| !from.is_empty()) })
    }

    /// The mount, with variables replaced by `expand`.
    ///
    /// # Errors
    /// Keys that don't exist or don't fit together, values that mean nothing, and what `expand`
    /// finds.
    pub fn read(&self, mut expand: impl FnMut(&str) -> Result<String>) -> Result<Mount> {
        let mut said = Said::default();
        for field in &self.fields {
            match field.split_once('=') {
                Some((key, value)) => {
                    let value = expand(value)?;
                    said.set(&key.to_lowercase(), value, field)?;
                }
                None => said.flag(&field.to_lowercase(), field)?,
            }
        }
        said.mount()
    }
}
