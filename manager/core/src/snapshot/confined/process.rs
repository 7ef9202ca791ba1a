//! A process that works on untrusted input, as `tared` sees it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bytes of what a process says at its end that are listened to.
const LAST_WORD: usize = 4096;

/// What such a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Uncompress,
    Unpack,
}

/// The process; it is killed when this is dropped.
pub(super) struct Process {
    role: Role,
    child: Child,
    /// What it writes on its standard error: its last word, or that of its panic.
    report: OwnedFd,
    status: Option<String>,
}

/// The last word of a process that uncompresses.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LastWord {
    /// The stream is whole.
    Whole,
    /// It ends in the middle.
    Cut,
    /// It is damaged so.
    Damaged(String),
}

impl Role {
    /// How a process is called that does this, by which it knows what it is.
    fn name(self) -> &'static str {
        match self {
            Self::Uncompress => "tared-uncompress",
            Self::Unpack => "tared-unpack",
        }
    }

    /// What a process of this name does.
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Uncompress, Self::Unpack].into_iter().find(|role| role.name() == name)
    }
}

impl Process {
    /// Starts `program` with these as its standard input and output.
    pub(super) fn start(
        program: &Path,
        role: Role,
        argument: Option<&OsStr>,
        input: OwnedFd,
        output: OwnedFd,
    ) -> Result<Self> {
        let (report, to_report) = super::pipe()?;
        let failed = |error| Error::io(format_args!("start the process {}", role.name()), error);
        let nonblocking = rustix::fs::OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&report, nonblocking).map_err(|errno| failed(errno.into()))?;
        let child = Command::new(program)
            .arg0(role.name())
            .args(argument)
            .env_clear()
            .stdin(input)
            .stdout(output)
            .stderr(to_report)
            .spawn()
            .map_err(failed)?;
        Ok(Self { role, child, report, status: None })
    }

    /// Ends it, whatever it does.
    pub(super) fn end(&mut self) {
        if self.status.is_some() {
            return;
        }
        let _ = self.child.kill();
        let status = self.child.wait().map(|status| status.to_string());
        self.status = Some(status.unwrap_or_else(|error| error.to_string()));
        let said = self.said();
        if !said.is_empty() {
            let said = String::from_utf8_lossy(&said);
            tracing::debug!(process = self.role.name(), status = self.status, %said, "it ended");
        }
    }

    /// What it died of, which has not done what it should.
    pub(super) fn died(&self) -> Error {
        let doing = match self.role {
            Role::Uncompress => "uncompresses",
            Role::Unpack => "unpacks",
        };
        let status = self.status.as_deref().unwrap_or("unknown");
        Error::system(format!("the process that {doing} the layer died: {status}"))
    }

    /// Hears the last word of a process whose output has ended; then it ends, too.
    ///
    /// # Errors
    /// What is wrong with what it read.
    pub(super) fn last_word(&mut self) -> io::Result<()> {
        // It is said before the output ends.
        let said = self.said();
        self.end();
        match serde_json::from_slice(&said) {
            Ok(LastWord::Whole) => Ok(()),
            Ok(LastWord::Cut) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(LastWord::Damaged(how)) => Err(io::Error::new(io::ErrorKind::InvalidData, how)),
            Err(_) => Err(io::Error::other(self.died())),
        }
    }

    fn said(&self) -> Vec<u8> {
        let mut said = vec![0; LAST_WORD];
        let count = rustix::io::read(&self.report, said.as_mut_slice()).unwrap_or_default();
        said.truncate(count);
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl LastWord {
    /// What a reader's error is to those who wait.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::Damaged(error.to_string()),
        }
    }
}
