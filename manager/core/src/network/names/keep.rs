//! Keeping all containers answered: by the process that is there, by a new one in the place of an older
//! program, or by one that is started as another has died.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::line::Line;
use super::sockets::Sockets;
use super::words::Request;
use super::{are_on, known_to};
use crate::error::Result;
use crate::network::endpoint::Sandbox;
use crate::network::kernel::netns;
use crate::network::{Networks, to_the_end};

impl Networks {
    /// Has names answered from now on, also when the process that does so dies.
    pub(in crate::network) fn watch_names(self: &Arc<Self>) {
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
    pub(in crate::network) fn tell_names(
        &self,
        sandbox: &Sandbox,
        sockets: Option<Sockets>,
    ) -> Result<()> {
        if self.names.put(sandbox, sockets.as_ref()).is_ok() {
            return Ok(());
        }
        // It has died: whoever comes next begins with nothing.
        self.answer_names()
    }

    /// Says that a container asks nothing any more.
    pub(in crate::network) fn forget_names(&self, container: &str) {
        // A process that is gone has forgotten.
        self.names.tell_if_there(&Request::Forget(container.to_owned()));
    }

    /// Has all containers answered that have names, be it by a process from before or by a new one.
    pub(in crate::network) fn answer_names(&self) -> Result<()> {
        let _turn = self.names.looking_after.lock().unwrap_or_else(PoisonError::into_inner);
        let held: Vec<_> = self.sandboxes().values().filter(|h| !h.is_cut_off()).cloned().collect();
        let sandboxes: Vec<_> =
            held.iter().map(|held| held.sandbox()).filter(|sandbox| are_on(sandbox)).collect();
        if let Some(older) = self.names.set_aside_outdated() {
            return self.take_over(&older, &sandboxes);
        }
        let known = self.names.known();
        let all: HashSet<_> = held.iter().map(|held| &held.container).collect();
        for left in known.iter().flatten().filter(|known| !all.contains(known)) {
            self.forget_names(left);
        }
        let is_known = |container: &str| known.as_ref().is_some_and(|all| all.contains(container));
        to_the_end(sandboxes.iter().map(|sandbox| match is_known(&sandbox.container) {
            true => self.names.put(sandbox, None),
            false => self.answer_anew(sandbox),
        }))
    }

    /// Has a new process answer all containers, which goes on with what the older one has read from:
    /// what is asked meanwhile waits there. The older one ends when it has answered the rest.
    fn take_over(&self, older: &Path, sandboxes: &[Arc<Sandbox>]) -> Result<()> {
        tracing::info!("a new process takes over from the one that answers names");
        let line = Line::connect(older).ok();
        let mut left = Vec::new();
        let all = to_the_end(sandboxes.iter().map(|sandbox| {
            let request = Request::HandOver(sandbox.container.clone());
            let reply = line.as_ref().and_then(|line| line.ask(&request, &[]).ok());
            match reply.and_then(|(_, sockets)| Sockets::taken_over(sockets)) {
                Some(sockets) => self.names.put(sandbox, Some(&sockets)),
                None => {
                    left.push(sandbox.container.clone());
                    self.answer_anew(sandbox)
                }
            }
        }));
        drop(line);
        // What it could not hand over, it is to let go.
        if let Ok(line) = Line::connect(older) {
            for container in left {
                let _ = line.ask(&Request::Forget(container), &[]);
            }
            for container in known_to(&line).into_iter().flatten() {
                let is_handed = sandboxes.iter().any(|sandbox| sandbox.container == container);
                if !is_handed {
                    let _ = line.ask(&Request::Forget(container), &[]);
                }
            }
        }
        let _ = std::fs::remove_file(older);
        all
    }

    /// Has a container answered at new sockets.
    fn answer_anew(&self, sandbox: &Sandbox) -> Result<()> {
        let Some(path) = &sandbox.netns else { return Ok(()) };
        let sockets = netns::enter(path, |_| Sockets::open())?;
        self.names.put(sandbox, Some(&sockets))
    }
}
