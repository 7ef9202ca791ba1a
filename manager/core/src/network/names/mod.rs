//! Names: on a network that a user has made, containers find each other by what they are called.
//!
//! Each container on such a network has a name server of its own at 127.0.0.11: two sockets in its
//! network namespace, opened by the manager. One process on the host answers at all of them
//! ([`process`]). It is started by the manager and told by it who is called what ([`words`]), has no
//! rights, and goes on when the manager is gone, so that names keep resolving; the next manager
//! finds it by its socket, and if it is an older program, puts a new one in its place, which goes on
//! with the same sockets. Should it die, the manager starts another and opens the sockets anew; should
//! the one beside it, it hangs up, and is replaced like an older program. It ends by itself when there
//! is no container any more that needs it.

mod answer;
mod book;
mod exchange;
mod fence;
mod forward;
mod keep;
mod line;
mod opener;
mod process;
mod serve;
mod sockets;
mod start;
mod words;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use super::endpoint::Sandbox;
use crate::config::Config;
use crate::error::{Error, Result};
use line::Line;
pub(super) use sockets::Sockets;
pub use start::run_if_resolver;
use words::{Asker, Reply, Request};

/// Where the name server of a container is, inside.
pub(crate) const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);

/// The process that answers, as the manager sees it.
pub(super) struct Names {
    /// The program that runs as it; none: a thread of this process answers.
    program: Option<PathBuf>,
    /// By which it is found.
    socket: PathBuf,
    line: Mutex<Option<Line>>,
    /// Held by who looks after all containers.
    looking_after: Mutex<()>,
    /// What is to be done when it dies.
    when_lost: OnceLock<Arc<dyn Fn() + Send + Sync>>,
}

/// Whether the container has a name server of its own.
pub(super) fn are_on(sandbox: &Sandbox) -> bool {
    sandbox.endpoints.iter().any(|endpoint| !endpoint.names.is_empty())
}

impl Names {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            program: config.name_server.clone(),
            socket: config.names_socket(),
            line: Mutex::new(None),
            looking_after: Mutex::new(()),
            when_lost: OnceLock::new(),
        }
    }

    /// Says what is to be done when the process dies.
    pub(super) fn when_lost(&self, act: impl Fn() + Send + Sync + 'static) {
        let _ = self.when_lost.set(Arc::new(act));
    }

    /// The containers that the process answers which is there; none if there is none.
    fn known(&self) -> Option<HashSet<String>> {
        let mut line = self.line();
        if line.is_none() {
            *line = self.connect().ok();
        }
        let known = known_to(line.as_ref()?);
        if known.is_none() {
            *line = None;
        }
        known
    }

    /// Tells the process, if it is there, and gives its reply.
    fn tell_if_there(&self, request: &Request) -> Option<Reply> {
        let mut line = self.line();
        if line.is_none() {
            *line = self.connect().ok();
        }
        let reply = line.as_ref()?.ask(request, &[]).ok().map(|(reply, _)| reply);
        if !matches!(reply, Some(Reply::Done)) {
            *line = None;
            // Whoever comes next must not find what is ending.
            let _ = std::fs::remove_file(&self.socket);
        }
        reply
    }

    /// Says what is true of a container, with what it asks by if that is new. The process is started
    /// if it isn't there.
    fn put(&self, sandbox: &Sandbox, sockets: Option<&Sockets>) -> Result<()> {
        let told = |error| Error::io("tell the process that answers names", error);
        let namespace = sockets.and(sandbox.netns.as_ref()).map(File::open);
        let namespace = namespace.transpose().map_err(told)?;
        let sockets = sockets.iter().flat_map(|sockets| sockets.in_order());
        let with: Vec<_> = sockets.chain(namespace.as_ref().map(AsFd::as_fd)).collect();
        let mut line = self.line();
        let there = match line.take() {
            Some(there) => there,
            None => self.reach()?,
        };
        there.ask(&Request::Put(Asker::of(sandbox)), &with).map_err(told)?;
        *line = Some(there);
        Ok(())
    }

    /// The process from before, or a new one.
    fn reach(&self) -> Result<Line> {
        if let Ok(line) = self.connect() {
            return Ok(line);
        }
        let failed = |error| Error::io("start the process that answers names", error);
        start::start(self.program.as_deref(), &self.socket).map_err(failed)?;
        self.connect().map_err(failed)
    }

    /// Whether the process that is there runs another program than it would if it were started now,
    /// or lacks the one beside it. Then it is set aside: it is found at the path that is given.
    fn set_aside_outdated(&self) -> Option<PathBuf> {
        let mut line = self.line();
        if line.is_none() {
            *line = self.connect().ok();
        }
        let reply = line.as_ref()?.ask(&Request::Hello, &[]);
        let ours = start::identity(self.program.as_deref()).ok()?;
        if matches!(reply, Ok((Reply::Me(program), _)) if program == ours) {
            return None;
        }
        *line = None;
        let aside = self.socket.with_extension("old");
        std::fs::rename(&self.socket, &aside).ok()?;
        Some(aside)
    }

    /// Connects to the process that is there, and watches over it.
    fn connect(&self) -> io::Result<Line> {
        let line = Line::connect(&self.socket)?;
        if let Some(act) = self.when_lost.get().cloned() {
            let end = line.end()?;
            thread::Builder::new().name("names".to_owned()).spawn(move || {
                end();
                act();
            })?;
        }
        Ok(line)
    }

    fn line(&self) -> MutexGuard<'_, Option<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The containers that the process at the other end answers; none if it does not say.
fn known_to(line: &Line) -> Option<HashSet<String>> {
    let mut all = HashSet::new();
    let mut last = String::new();
    loop {
        let Ok((Reply::Known(more), _)) = line.ask(&Request::List(last), &[]) else { return None };
        match more.last() {
            Some(id) => last = id.clone(),
            None => return Some(all),
        }
        all.extend(more);
    }
}
