//! Names: on a network that a user has made, containers find each other by what they are called.
//!
//! Each container on such a network has a name server of its own at 127.0.0.11: two sockets in its
//! network namespace, opened by the manager. One process on the host answers at all of them
//! ([`process`]). It is started by the manager and told by it who is called what ([`words`]), has no
//! rights, and goes on when the manager is gone, so that names keep resolving; the next manager
//! finds it by its socket. Should it die itself, the manager starts another and opens the sockets
//! anew. It ends by itself when there is no container any more that needs it.

mod answer;
mod book;
mod fence;
mod forward;
mod line;
mod process;
mod serve;
mod sockets;
mod words;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};

use super::Networks;
use super::endpoint::Sandbox;
use super::kernel::netns;
use crate::config::Config;
use crate::error::{Error, Result};
use line::Line;
pub use process::run_if_resolver;
pub(super) use sockets::Sockets;
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
            when_lost: OnceLock::new(),
        }
    }

    /// Says what is to be done when the process dies.
    pub(super) fn when_lost(&self, act: impl Fn() + Send + Sync + 'static) {
        let _ = self.when_lost.set(Arc::new(act));
    }

    /// The containers that a process from before answers; none if there is no such process.
    fn known(&self) -> Option<HashSet<String>> {
        match self.tell_if_there(&Request::List)? {
            Reply::Known(containers) => Some(containers.into_iter().collect()),
            Reply::Done | Reply::Leaving => None,
        }
    }

    /// Tells the process, if it is there, and gives its reply.
    fn tell_if_there(&self, request: &Request) -> Option<Reply> {
        let mut line = self.line();
        if line.is_none() {
            *line = self.connect().ok();
        }
        let reply = line.as_ref().map(|line| line.ask(request, None));
        if !matches!(reply, Some(Ok(Reply::Done | Reply::Known(_)))) {
            *line = None;
            // Whoever comes next must not find what is ending.
            let _ = std::fs::remove_file(&self.socket);
        }
        reply?.ok()
    }

    /// Tells the process, which is started if it isn't there.
    fn tell(&self, request: &Request, sockets: Option<&Sockets>) -> Result<()> {
        let mut line = self.line();
        let there = match line.take() {
            Some(there) => there,
            None => self.reach()?,
        };
        let told = there.ask(request, sockets);
        if told.is_ok() {
            *line = Some(there);
        }
        told.map(drop).map_err(|error| Error::io("tell the process that answers names", error))
    }

    /// The process from before, or a new one.
    fn reach(&self) -> Result<Line> {
        if let Ok(line) = self.connect() {
            return Ok(line);
        }
        let failed = |error| Error::io("start the process that answers names", error);
        process::start(self.program.as_deref(), &self.socket).map_err(failed)?;
        self.connect().map_err(failed)
    }

    /// Connects to the process that is there, and watches over it.
    fn connect(&self) -> io::Result<Line> {
        let line = Line::connect(&self.socket)?;
        if let Some(act) = self.when_lost.get().cloned() {
            let watched = line.try_clone()?;
            thread::Builder::new().name("names".to_owned()).spawn(move || {
                let mut watched = [PollFd::new(&watched, PollFlags::empty())];
                while let Err(rustix::io::Errno::INTR) = poll(&mut watched, None) {}
                act();
            })?;
        }
        Ok(line)
    }

    fn line(&self) -> MutexGuard<'_, Option<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Networks {
    /// Has names answered from now on, also when the process that does so dies.
    pub(super) fn watch_names(self: &Arc<Self>) {
        let networks = Arc::downgrade(self);
        self.names.when_lost(move || {
            if let Some(networks) = networks.upgrade() {
                networks.answer_names_logged();
            }
        });
        self.answer_names_logged();
    }

    fn answer_names_logged(&self) {
        if let Err(error) = self.answer_names() {
            tracing::error!(%error, "names may not resolve in some containers");
        }
    }

    /// Says what a container is called, and what it may ask; with the sockets by which it asks if
    /// they are new.
    pub(super) fn tell_names(&self, sandbox: &Sandbox, sockets: Option<Sockets>) -> Result<()> {
        let request = Request::Put(Asker::of(sandbox));
        if self.names.tell(&request, sockets.as_ref()).is_ok() {
            return Ok(());
        }
        // It has died: whoever comes next begins with nothing.
        self.answer_names()
    }

    /// Says that a container asks nothing any more.
    pub(super) fn forget_names(&self, container: &str) {
        // A process that is gone has forgotten.
        self.names.tell_if_there(&Request::Forget(container.to_owned()));
    }

    /// Has all containers answered that have names, be it by a process from before or by a new one.
    pub(super) fn answer_names(&self) -> Result<()> {
        let held: Vec<_> = self.sandboxes().values().filter(|h| !h.is_cut_off()).cloned().collect();
        let sandboxes: Vec<_> =
            held.iter().map(|held| held.sandbox()).filter(|sandbox| are_on(sandbox)).collect();
        let known = self.names.known();
        for left in known.iter().flatten() {
            if !held.iter().any(|held| held.container == *left) {
                self.forget_names(left);
            }
        }
        let is_known = |container: &str| known.as_ref().is_some_and(|all| all.contains(container));
        super::to_the_end(sandboxes.iter().map(|sandbox| {
            let Some(path) = &sandbox.netns else { return Ok(()) };
            let sockets = match is_known(&sandbox.container) {
                true => None,
                false => Some(netns::enter(path, |_| Sockets::open())?),
            };
            self.names.tell(&Request::Put(Asker::of(sandbox)), sockets.as_ref())
        }))
    }
}
