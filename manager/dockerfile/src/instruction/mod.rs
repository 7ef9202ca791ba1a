//! What instructions mean: each is a type of its own, with all that it can be told.
//!
//! Variables are not replaced yet, since what they are depends on what comes before.

mod check;
mod command;
mod copy;
mod device;
mod dockerfile;
mod flag;
mod from;
mod mount;
mod name_value;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod trigger;

pub use check::Check;
pub use command::{Command, Words};
pub use copy::{Add, Copy, Document, Sources};
pub use device::Device;
pub use dockerfile::Dockerfile;
pub use from::Stage;
pub use mount::{Mount, MountKind, Owner, Sharing, WrittenMount};
pub use name_value::{Argument, Variable};
pub use run::{Network, Run, Security};

pub(crate) use trigger::step as trigger_step;

use crate::error::Lines;
use crate::syntax::Keyword;

/// An instruction, where it stands, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is to be done.
    pub instruction: Instruction,
    /// Its first word, as it is written.
    pub word: String,
    /// Its whole line.
    pub source: String,
    /// Where it stands.
    pub lines: Lines,
    /// The comments right before it.
    pub comments: Vec<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Copies files from the context or from elsewhere, and unpacks archives.
    Add(Box<Add>),
    /// Declares what can be set from outside.
    Arg(Vec<Argument>),
    /// Sets what a container runs.
    Cmd(Command),
    /// Copies files from the context, a stage or an image.
    Copy(Box<Copy>),
    /// Sets what a container runs always.
    Entrypoint(Command),
    /// Sets variables of the environment.
    Env(Vec<Variable>),
    /// Says which ports are listened on.
    Expose(Vec<String>),
    /// Says how a container is asked whether it is well.
    Healthcheck(Check),
    /// Sets labels.
    Label(Vec<Variable>),
    /// Names an author.
    Maintainer(String),
    /// Leaves an instruction for builds that begin with this image.
    Onbuild(String),
    /// Runs a command.
    Run(Box<Run>),
    /// Sets what runs commands that are lines.
    Shell(Vec<String>),
    /// Sets the signal that asks a container to end.
    Stopsignal(String),
    /// Sets who runs commands.
    User(String),
    /// Says which directories are volumes.
    Volume(Vec<String>),
    /// Sets the directory that commands run in.
    Workdir(String),
}

impl Instruction {
    /// The word that it begins with.
    #[must_use]
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::Add(_) => Keyword::Add,
            Self::Arg(_) => Keyword::Arg,
            Self::Cmd(_) => Keyword::Cmd,
            Self::Copy(_) => Keyword::Copy,
            Self::Entrypoint(_) => Keyword::Entrypoint,
            Self::Env(_) => Keyword::Env,
            Self::Expose(_) => Keyword::Expose,
            Self::Healthcheck(_) => Keyword::Healthcheck,
            Self::Label(_) => Keyword::Label,
            Self::Maintainer(_) => Keyword::Maintainer,
            Self::Onbuild(_) => Keyword::Onbuild,
            Self::Run(_) => Keyword::Run,
            Self::Shell(_) => Keyword::Shell,
            Self::Stopsignal(_) => Keyword::Stopsignal,
            Self::User(_) => Keyword::User,
            Self::Volume(_) => Keyword::Volume,
            Self::Workdir(_) => Keyword::Workdir,
        }
    }
}
