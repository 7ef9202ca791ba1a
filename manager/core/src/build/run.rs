//! Commands that builds run: containers in all but name.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Builds, Draft, Stack};
use crate::container::step::{Mounted, Source, Step};
use crate::container::{NetworkMode, Output, Resources};
use crate::error::Result;

/// A command.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// Its variables, `NAME=value`, in order.
    pub environment: Vec<String>,
    /// The directory that it runs in; it is made if it isn't there.
    pub directory: String,
    /// `user[:group]`, by name or number; empty: root.
    pub user: String,
    /// The host name that it sees.
    pub hostname: String,
    /// What it sees besides its files.
    pub mounts: Vec<RunMount>,
    /// The network that it is on.
    pub network: NetworkMode,
    /// Lines for /etc/hosts: `name:address`, where the address may be `host-gateway`.
    pub hosts: Vec<String>,
    /// What it may do.
    pub security: Security,
    /// What it may use of the machine.
    pub resources: Resources,
    /// Bytes of its /dev/shm; none: as containers have it.
    pub shm_size: Option<u64>,
}

/// What a command may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    /// What a container may.
    #[default]
    Sandbox,
    /// What a privileged container may.
    Insecure,
}

/// Something that is mounted for a command.
#[derive(Debug, Clone)]
pub struct RunMount {
    /// Where.
    pub target: String,
    /// What.
    pub source: RunSource,
    /// Nothing can be written there.
    pub read_only: bool,
}

/// What is mounted for a command.
#[derive(Debug, Clone)]
pub enum RunSource {
    /// A path of a stack. What is written there is thrown away.
    Stack(Stack, String),
    /// A path of a directory. What is written there is thrown away.
    Scratch(Arc<OwnedFd>, String),
    /// A path of a directory, where what is written stays.
    Directory(Arc<OwnedFd>, String),
    /// Memory of so many bytes; none: as much as there is.
    Memory(Option<u64>),
    /// A file that is there for the command alone.
    File {
        /// What is in it.
        content: Vec<u8>,
        /// Its mode.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A socket of the host.
    Socket(PathBuf),
}

impl Builds {
    /// Runs a command in a draft of [`Self::draft_to_run`], to its end; gives its exit code, 128 and the number of the signal
    /// if one ended it. Dropped, the command is killed, and nothing of it is left but what it wrote.
    /// Output that nobody takes makes the command wait.
    ///
    /// # Errors
    /// What is wrong with what is asked, by kind.
    pub async fn run(&self, draft: &Draft, run: Run, output: mpsc::Sender<Output>) -> Result<i32> {
        // They stay as long as the command may look at them.
        let stacks: Vec<Stack> = run
            .mounts
            .iter()
            .filter_map(|mount| match &mount.source {
                RunSource::Stack(stack, _) => Some(stack.clone()),
                _ => None,
            })
            .collect();
        let step = Step {
            root: draft.root()?,
            arguments: run.arguments,
            environment: run.environment,
            directory: run.directory,
            user: run.user,
            hostname: run.hostname,
            mounts: run.mounts.into_iter().map(mounted).collect(),
            network: run.network,
            hosts: run.hosts,
            privileged: run.security == Security::Insecure,
            resources: run.resources,
            shm_size: run.shm_size,
            keep: Box::new((stacks, draft.keep())),
        };
        self.containers.run_step(step, output).await
    }
}

fn mounted(mount: RunMount) -> Mounted {
    let source = match mount.source {
        RunSource::Stack(stack, path) => Source::Layers(stack.snapshots(), path),
        RunSource::Scratch(directory, path) => Source::Scratch(directory, path),
        RunSource::Directory(directory, path) => Source::Directory(directory, path),
        RunSource::Memory(size) => Source::Memory(size),
        RunSource::File { content, mode, uid, gid } => Source::File(content, mode, uid, gid),
        RunSource::Socket(path) => Source::Socket(path),
    };
    Mounted { target: mount.target, source, read_only: mount.read_only }
}
