//! What is done, in words that need nothing else to be understood.

use std::sync::Arc;

use super::graph::StageId;
use crate::error::Lines;
use crate::image::Image;
use crate::instruction::{Network, Owner, Security, Sharing};
use crate::platform::Platform;
use crate::source::{Mode, Repository};

/// A stage that is needed.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStage {
    /// Its place.
    pub id: StageId,
    /// What progress calls it.
    pub label: String,
    /// What it begins with.
    pub base: Base,
    /// What it is for.
    pub platform: Platform,
    /// What is done in it, in order.
    pub operations: Vec<Operation>,
    /// What is made in it is made anew.
    pub fresh: bool,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Nothing,
    /// The files that another stage ends with.
    Stage(StageId),
    /// An image.
    Image {
        /// Its name, with its digest if it has one.
        name: String,
        /// What progress says when it is fetched.
        title: String,
    },
    /// A context.
    Context {
        /// Its name.
        name: String,
        /// What it is.
        value: String,
    },
}

/// Something that makes a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What is done.
    pub work: Work,
    /// What progress says of it.
    pub title: String,
    /// The instruction, as it is written.
    pub source: String,
    /// Where that stands.
    pub lines: Lines,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Runs a command.
    Run(Box<Running>),
    /// Copies files.
    Copy(Box<Copying>),
    /// Makes a directory, with those that it is in.
    Make(Making),
}

/// A command that is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// Its variables, in order.
    pub environment: Arc<Vec<(String, String)>>,
    /// The directory that it runs in.
    pub directory: String,
    /// Who runs it; root, if it is empty.
    pub user: String,
    /// What it sees besides its files.
    pub mounts: Vec<PlannedMount>,
    /// The network that it is in.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// A file that it needs, and that is only there for it.
    pub script: Option<Script>,
}

/// A program that is in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where it is.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What a command sees besides its files.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMount {
    /// What it is.
    pub kind: PlannedMountKind,
    /// Where; none for what is only a variable, and for a socket that is in its usual place.
    pub target: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq)]
pub enum PlannedMountKind {
    /// A path of something else. What is written there is gone afterwards.
    Bind {
        /// Where it is.
        origin: Origin,
        /// The path in it.
        path: String,
        /// Nothing can be written.
        read_only: bool,
    },
    /// A directory that is there for other builds, too.
    Cache {
        /// Its name.
        id: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// What it begins with; nothing, if there is none.
        origin: Option<Origin>,
        /// The path in that.
        path: String,
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
    /// A secret.
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

/// Where files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the context of the build.
    Context,
    /// In a stage, or in what is only copied from.
    Stage(StageId),
}

/// Files that are copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copying {
    /// They, in order.
    pub items: Vec<Item>,
    /// Where they go. It is a directory if it ends so, and if there are several.
    pub destination: String,
    /// Whom they belong to; whom they did, if it is empty and they are from elsewhere.
    pub owner: String,
    /// Their mode, if it is another.
    pub mode: Option<Mode>,
    /// What is left out.
    pub exclude: Vec<String>,
    /// They are a layer that doesn't depend on what is below.
    pub link: bool,
}

/// Something that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Files, of which a path may name several.
    Files {
        /// Where they are.
        origin: Origin,
        /// Their path.
        path: String,
        /// What of it is copied, with the directories that it is in; all, if there is none.
        selection: Option<Selection>,
        /// What becomes of archives.
        archive: Archive,
    },
    /// A file that is fetched.
    Url {
        /// Its address.
        url: String,
        /// Its name.
        name: String,
        /// The digest that it has to have.
        checksum: Option<String>,
        /// What becomes of it if it is an archive.
        archive: Archive,
    },
    /// A repository.
    Git(Repository),
    /// A file that is in the Dockerfile.
    Document {
        /// Its name.
        name: String,
        /// Its text.
        text: String,
    },
}

/// Part of the files below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Their path from there.
    pub pattern: String,
    /// A path that has to be there.
    pub required: Option<String>,
}

/// What becomes of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// It is a file.
    Kept,
    /// It is unpacked.
    Unpacked,
}

/// A directory that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// Its path.
    pub path: String,
    /// Whom it belongs to; root, if it is empty.
    pub user: String,
}

/// What a stage is told to begin with, beside its files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beginning {
    pub(super) image: Image,
    pub(super) base_image: Option<Image>,
    pub(super) platform: Platform,
}
