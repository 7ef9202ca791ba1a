//! What went wrong in a build: of what kind, and where in the Dockerfile.

use std::fmt;
use std::sync::Arc;

use tare_core::Kind;
use tare_dockerfile::Lines;

use crate::progress::VertexId;

/// What functions of this crate give.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a build failed. The text is `BuildKit`'s wherever it has one, since clients match on it.
#[derive(Debug, Clone)]
pub struct Error {
    /// Of what kind it is, for APIs' status codes.
    pub kind: Kind,
    /// What went wrong, for people.
    pub message: String,
    /// Where in the Dockerfile.
    pub place: Option<Place>,
    /// The step that failed, if one did.
    pub vertex: Option<VertexId>,
    /// The exit code of the command that failed, if one did.
    pub exit_code: Option<i32>,
}

/// Lines of a Dockerfile.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The lines.
    pub lines: Lines,
}

/// A Dockerfile as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: Vec<u8>,
}

impl Error {
    /// An error of `kind` that reads `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), place: None, vertex: None, exit_code: None }
    }

    /// [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// [`Kind::System`].
    pub fn system(message: impl Into<String>) -> Self {
        Self::new(Kind::System, message)
    }

    /// [`Kind::Unsupported`]: `what` is the option or feature as its user wrote it.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        tare_core::Error::unsupported(what).into()
    }

    /// A failed system call or file operation: `doing` says what was tried ("open /x/y").
    pub fn io(doing: impl fmt::Display, error: std::io::Error) -> Self {
        tare_core::Error::io(doing, error).into()
    }

    /// Who asked for it doesn't want it any more.
    pub fn cancelled() -> Self {
        Self::new(Kind::Conflict, "context canceled")
    }

    /// What a Dockerfile's reader found wrong with it.
    #[must_use]
    pub fn of_file(error: &tare_dockerfile::Error, file: &Arc<SourceFile>) -> Self {
        let wrong = Self::invalid(error.to_string());
        match error.lines() {
            Some(lines) => wrong.at(file, lines),
            None => wrong,
        }
    }

    /// Says where it is, unless something closer to the cause has said so already.
    #[must_use]
    pub fn at(mut self, file: &Arc<SourceFile>, lines: Lines) -> Self {
        self.place.get_or_insert_with(|| Place { file: Arc::clone(file), lines });
        self
    }

    /// Says which step failed, unless one has been named already.
    #[must_use]
    pub fn in_vertex(mut self, vertex: &VertexId) -> Self {
        self.vertex.get_or_insert_with(|| vertex.clone());
        self
    }

    /// The same failure, said from one level further out: "`doing`: what it said before".
    #[must_use]
    pub fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<tare_core::Error> for Error {
    fn from(error: tare_core::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
