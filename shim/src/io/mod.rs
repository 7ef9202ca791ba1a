//! The standard streams of one process, from before it exists until after it has gone.

pub(crate) mod console;
pub(crate) mod endpoint;
pub(crate) mod hub;
pub(crate) mod log;
mod pipes;
mod program;
mod pump;
mod sink;
mod stdin;
mod stdin_fifo;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::error::{Context, Error, Result};
use crate::linux;
use crate::reaper::Launch;
use crate::task::{OutputPipes, PipeId};
use console::Size;
use endpoint::Endpoint;
use hub::{Attachment, Channel, Hub, PATIENCE, Wants};
use log::Log;
use pipes::Output;
pub(crate) use pipes::{ChildStdio, Owner};
use sink::{Copy, Sinks};
use stdin::Stdin;
use stdin_fifo::StdinFifo;

/// What Create or Exec asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct StdioRequest {
    /// One terminal instead of three pipes.
    pub(crate) terminal: bool,
    /// Addresses as the caller gave them.
    pub(crate) stdin: String,
    /// Standard output, or the terminal's.
    pub(crate) stdout: String,
    /// Standard error; empty with a terminal.
    pub(crate) stderr: String,
}

/// How a process's streams are kept.
pub(crate) struct Policy {
    /// Where its output is logged.
    pub(crate) log: Option<Log>,
    /// Whether its input ends with the first client that was attached to it.
    pub(crate) stdin_once: bool,
    /// Who owns its pipes.
    pub(crate) owner: Owner,
}

/// The streams of one process.
pub(crate) struct ProcessIo {
    stdin_endpoint: Endpoint,
    stdout_endpoint: Endpoint,
    stderr_endpoint: Endpoint,
    policy: Policy,
    /// What the log had dropped before this process.
    dropped_before: u64,
    hub: Arc<Hub>,
    stdin: Arc<Stdin>,
    stdin_fifo: Mutex<Option<StdinFifo>>,
    terminal: Mutex<Terminal>,
    /// The program that keeps its logs.
    program: Mutex<Option<program::Running>>,
    /// Turns true when the process has ended.
    ended: watch::Sender<bool>,
    pumps: Mutex<Vec<Pump>>,
}

/// The terminal of a process that has one.
#[derive(Default)]
struct Terminal {
    master: Option<Arc<AsyncFd<OwnedFd>>>,
    /// A size that was asked for before there was a terminal.
    wanted: Option<Size>,
}

struct Pump {
    task: AbortHandle,
    /// Fails to receive when the output is complete.
    complete: oneshot::Receiver<()>,
    is_complete: bool,
}

impl ProcessIo {
    /// Streams of a process that doesn't exist yet: clients may attach already.
    pub(crate) fn new(request: &StdioRequest, policy: Policy) -> Result<Self> {
        let named = Endpoint::parse(&request.stderr)?;
        // Some clients of containerd name a stderr all the same. Nothing comes out of a terminal there.
        let stderr_endpoint = if request.terminal { Endpoint::Null } else { named };
        Ok(ProcessIo {
            stdin_endpoint: Endpoint::parse(&request.stdin)?,
            stdout_endpoint: Endpoint::parse(&request.stdout)?,
            stderr_endpoint,
            hub: Hub::new(PATIENCE),
            dropped_before: policy.log.as_ref().map_or(0, Log::dropped),
            policy,
            stdin: Stdin::pending(),
            stdin_fifo: Mutex::default(),
            terminal: Mutex::default(),
            program: Mutex::default(),
            ended: watch::Sender::new(false),
            pumps: Mutex::default(),
        })
    }

    /// Starts what must be there before the process is: the program that keeps its logs. Both
    /// streams go to one program.
    pub(crate) async fn prepare(&self, launch: &Launch, namespace: &str, id: &str) -> Result<()> {
        let wanted = match (&self.stdout_endpoint, &self.stderr_endpoint) {
            (Endpoint::Program(one), Endpoint::Program(other)) if one != other => {
                return Err(Error::invalid("stdout and stderr can't have two logging programs"));
            }
            (Endpoint::Program(program), _) | (_, Endpoint::Program(program)) => program,
            _ => return Ok(()),
        };
        let running = program::Running::start(wanted, launch, namespace, id).await?;
        *lock(&self.program) = Some(running);
        Ok(())
    }

    /// The process's ends of its streams, to be given to the runtime, and ours.
    pub(crate) fn open_pipes(&self) -> Result<(ChildStdio, OurEnds)> {
        pipes::open(
            self.stdin_endpoint != Endpoint::Null,
            self.stdout_endpoint != Endpoint::Null,
            self.stderr_endpoint != Endpoint::Null,
            match self.policy.log {
                Some(_) => Output::Salvageable,
                None => Output::OurOwn,
            },
            self.policy.owner,
        )
    }

    /// The process exists and has its ends: moves data from now on.
    pub(crate) fn begin(&self, ours: OurEnds) -> Result<()> {
        let what = || "watch the process's streams".to_owned();
        match ours.stdin {
            Some(stdin) => {
                self.stdin.open(stdin).context(what)?;
                self.begin_stdin()?;
            }
            None => self.stdin.close_now(),
        }
        if let Some(stdout) = ours.stdout {
            let source = linux::watch(stdout, Interest::READABLE).context(what)?;
            self.begin_pump(Arc::new(source), Channel::Stdout, &self.stdout_endpoint)?;
        }
        if let Some(stderr) = ours.stderr {
            let source = linux::watch(stderr, Interest::READABLE).context(what)?;
            self.begin_pump(Arc::new(source), Channel::Stderr, &self.stderr_endpoint)?;
        }
        Ok(())
    }

    /// The process exists, with `master` as the other side of its terminal.
    pub(crate) fn begin_terminal(&self, master: OwnedFd) -> Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let master = linux::watch(master, both).context(|| "watch the terminal".to_owned())?;
        let master = Arc::new(master);
        let mut terminal = self.lock_terminal();
        if let Some(size) = terminal.wanted.take() {
            console::resize(master.get_ref(), size)?;
        }
        terminal.master = Some(Arc::clone(&master));
        drop(terminal);
        if self.stdin_endpoint == Endpoint::Null {
            self.stdin.close_now();
        } else {
            self.stdin.open_terminal(Arc::clone(&master));
            self.begin_stdin()?;
        }
        self.begin_pump(master, Channel::Stdout, &self.stdout_endpoint)
    }

    fn begin_stdin(&self) -> Result<()> {
        if let Endpoint::Fifo(path) = &self.stdin_endpoint {
            let fifo = StdinFifo::begin(path, Arc::clone(&self.stdin))?;
            *lock(&self.stdin_fifo) = Some(fifo);
        }
        Ok(())
    }

    fn begin_pump(
        &self,
        source: Arc<AsyncFd<OwnedFd>>,
        channel: Channel,
        endpoint: &Endpoint,
    ) -> Result<()> {
        let (hub, copy) = match endpoint {
            Endpoint::Null => (None, None),
            Endpoint::Attachable => (Some((Arc::clone(&self.hub), channel)), None),
            Endpoint::Fifo(path) => (None, Some(Copy::fifo(path)?)),
            Endpoint::File(path) => (None, Some(Copy::file(path)?)),
            Endpoint::Program(_) => {
                let input = lock(&self.program).as_ref().map(|program| program.input(channel));
                let input = input.transpose()?;
                (None, input.map(Copy::pipe).transpose()?)
            }
        };
        let log = self.policy.log.as_ref().map(|log| log.stream(channel));
        let sinks = Sinks { log, hub, copy };
        let (sender, complete) = oneshot::channel();
        let pump = pump::run(source, sinks, self.ended.subscribe(), sender);
        let task = tokio::spawn(pump).abort_handle();
        self.lock_pumps().push(Pump { task, complete, is_complete: false });
        Ok(())
    }

    /// The log's file has been moved away: goes on in a new one.
    pub(crate) fn reopen_log(&self) -> Result<()> {
        let log = self.policy.log.as_ref();
        log.ok_or_else(|| Error::precondition("the container has no log"))?.reopen();
        Ok(())
    }

    /// How many of the process's lines are missing in the log: its driver was too slow, or could
    /// not keep them.
    pub(crate) fn dropped_lines(&self) -> u64 {
        let dropped = self.policy.log.as_ref().map_or(0, Log::dropped);
        dropped - self.dropped_before
    }

    /// Attaches a client to the streams that this shim holds.
    pub(crate) fn attach(&self, wants: Wants) -> Attachment {
        self.hub.attach(wants)
    }

    /// Writes what a client sent, at the process's pace.
    pub(crate) async fn write_stdin(&self, data: &[u8]) {
        self.stdin.write(data).await;
    }

    /// A client that was attached to stdin has no more to send, or has gone.
    pub(crate) async fn client_left_stdin(&self) {
        if self.policy.stdin_once {
            self.stdin.close().await;
        }
    }

    /// CloseIO: ends the process's input once what has been sent is written.
    pub(crate) fn close_stdin(&self) {
        match &*lock(&self.stdin_fifo) {
            // It ends when its last writer has gone.
            Some(fifo) => fifo.let_go(),
            None => {
                let stdin = Arc::clone(&self.stdin);
                tokio::spawn(async move { stdin.close().await });
            }
        }
    }

    /// Resizes the terminal, now or when it comes to be.
    pub(crate) fn resize(&self, size: Size) -> Result<()> {
        let mut terminal = self.lock_terminal();
        match &terminal.master {
            Some(master) => console::resize(master.get_ref().as_fd(), size),
            None => {
                terminal.wanted = Some(size);
                Ok(())
            }
        }
    }

    /// The process has ended: waits until its output is where it belongs, but no longer than
    /// `limit` (a fifo may have no reader).
    pub(crate) async fn complete(&self, limit: Duration) {
        self.stdin.close_now();
        self.hub.let_go();
        self.ended.send_replace(true);
        let deadline = Instant::now() + limit;
        let mut pumps = std::mem::take(&mut *self.lock_pumps());
        for pump in pumps.iter_mut().filter(|pump| !pump.is_complete) {
            // The sender sends nothing: it is dropped.
            pump.is_complete = timeout_at(deadline, &mut pump.complete).await.is_ok();
        }
        self.lock_pumps().append(&mut pumps);
    }

    /// Tells clients that there is no more, now that the process's end is on record.
    pub(crate) fn end(&self) {
        self.hub.end();
    }

    /// Lets go of everything: nobody will ask for this process again. A pump whose output is
    /// complete isn't stopped: it only reads, to nowhere, what the process left behind writes.
    pub(crate) fn close(&self) {
        self.stdin.close_now();
        self.hub.end();
        for pump in self.lock_pumps().drain(..).filter(|pump| !pump.is_complete) {
            pump.task.abort();
        }
        take(&self.stdin_fifo);
        if let Some(program) = take(&self.program) {
            program.finish();
        }
        *self.lock_terminal() = Terminal::default();
    }

    fn lock_terminal(&self) -> MutexGuard<'_, Terminal> {
        lock(&self.terminal)
    }

    fn lock_pumps(&self) -> MutexGuard<'_, Vec<Pump>> {
        lock(&self.pumps)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take<T>(mutex: &Mutex<Option<T>>) -> Option<T> {
    lock(mutex).take()
}

/// A pipe for output that can be salvaged: our end, and the process's.
#[cfg(test)]
pub(crate) fn output_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .context(|| "make a pipe".to_owned())?;
    Ok((ours, pipes::readable_too(&theirs)?))
}

/// This shim's ends of a process's pipes, in non-blocking mode.
pub(crate) struct OurEnds {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl OurEnds {
    /// The pipes that its output comes through.
    pub(crate) fn output(&self) -> Result<OutputPipes> {
        let id = |end: &Option<OwnedFd>| match end {
            Some(end) => {
                let what = || "look at a pipe".to_owned();
                let file = std::fs::File::from(end.try_clone().context(what)?);
                Ok(PipeId::of(&file.metadata().context(what)?))
            }
            None => Ok::<_, Error>(None),
        };
        Ok(OutputPipes { stdout: id(&self.stdout)?, stderr: id(&self.stderr)? })
    }
}
