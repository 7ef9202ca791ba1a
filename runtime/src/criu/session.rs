//! A criu at work, and the conversation with it.

use super::rpc::{Features, News, Options, Request, Response, Type, Version};
use super::settings::Workplace;
use crate::cgroup::Entry;
use crate::error::{Context, Error, Kind, Result};
use crate::init::channel::{Report, receive_with_fd};
use crate::init::namespaces::Namespaces;
use crate::init::spawn::{Affinity, Spawn};
use crate::linux::descriptor::keep_on_exec;
use crate::linux::system::restore_default_signals;
use crate::log::{Level, Log};
use crate::process::env;
use nix::sched::CloneFlags;
use prost::Message;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The oldest criu that is spoken to: from this one on it restores security labels that are not
/// those of the images, and tells by itself when it serves pages.
const OLDEST: i64 = 31_600;

/// The longest message of criu that is read, in bytes.
const LIMIT: usize = 64 * 1024;

/// Where criu is looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// News from criu that somebody has to do something about.
#[derive(Debug)]
pub(crate) enum Event {
    /// The first process, which has this id, is in its namespaces, and nothing else is there yet.
    Namespaces(u32),
    /// All processes are there and held back; the first has this id.
    Restored(u32),
    /// The controlling end of a terminal whose other end the processes have.
    Terminal(OwnedFd),
    /// The pages that are served lazily can be asked for.
    PagesReady,
}

/// How criu's process is made.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// The namespaces that it gets for itself.
    pub(crate) namespaces: CloneFlags,
    /// The cgroups that it goes into.
    pub(crate) entry: &'a Entry,
    /// Descriptors that it keeps, under the numbers they have here.
    pub(crate) kept: &'a [BorrowedFd<'a>],
    /// Where its steps are told.
    pub(crate) log: &'a Log,
}

/// A criu that waits for requests. It is waited for when this is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    socket: OwnedFd,
    pid: u32,
    pidfd: OwnedFd,
}

impl Session {
    /// Starts criu; its process runs `prepare` first.
    pub(crate) fn start(
        start: &Start<'_>,
        prepare: impl FnOnce() -> Result<()>,
    ) -> Result<Session> {
        let program = find()?;
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context(|| "make a socket for criu")?;
        let namespaces = Namespaces { new: start.namespaces, existing: Vec::new() };
        let spawn = Spawn {
            namespaces: &namespaces,
            entry: start.entry,
            time_offsets: "",
            oom_score_adj: None,
            affinity: Affinity::Keep,
            log: start.log,
        };
        let spawned = spawn.run(|_| {
            prepare()?;
            execute(&program, &theirs, start.kept)
        })?;
        let session = Session { socket, pid: spawned.pid, pidfd: spawned.pidfd };
        loop {
            match spawned.channel.next_report()? {
                None => return Ok(session),
                Some(Report::Step(step)) => start.log.write(Level::Debug, &step),
                Some(Report::Failed(error)) => return Err(error.context("start criu")),
                Some(_) => {
                    let text = "criu's process sent an unexpected message";
                    return Err(Error::new(Kind::System, text));
                }
            }
        }
    }

    /// The id of criu's process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Refuses a criu that is too old.
    pub(crate) fn check_version(&self) -> Result<()> {
        let what = || "CRIU version check failed";
        let version = self.ask(Type::Version, None).context(what)?.version;
        let number = version.as_ref().map(Version::number).unwrap_or(0);
        match number >= OLDEST {
            true => Ok(()),
            false => {
                Err(Error::unsupported(format!("CRIU version {number} must be {OLDEST} or higher")))
            }
        }
    }

    /// Refuses a criu, or a kernel below it, that lacks one of the features `wanted`.
    pub(crate) fn check_features(&self, wanted: Features) -> Result<()> {
        let there = self
            .ask(Type::FeatureCheck, Some(wanted.clone()))
            .context(|| "CRIU feature check failed")?
            .features
            .unwrap_or_default();
        let lacks =
            |wanted: Option<bool>, there: Option<bool>| wanted == Some(true) && there != Some(true);
        let missing: Vec<&str> = [
            ("MemTrack", lacks(wanted.mem_track, there.mem_track)),
            ("LazyPages", lacks(wanted.lazy_pages, there.lazy_pages)),
        ]
        .into_iter()
        .filter_map(|(name, lacks)| lacks.then_some(name))
        .collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Error::unsupported(format!(
                "criu is missing features: [{}] (the kernel does not have what they need)",
                missing.join(" ")
            ))),
        }
    }

    /// Has criu do its job, and `react` do what has to be done meanwhile. If that fails, criu gives
    /// up, and takes back what it has done.
    pub(crate) fn perform(
        self,
        job: Type,
        options: Options,
        place: &Workplace,
        mut react: impl FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        self.send(&Request { typ: job.into(), options: Some(options), ..Request::default() })?;
        let mut failure = None;
        loop {
            let (response, fd) = match self.receive() {
                Ok(received) => received,
                Err(error) => return Err(failure.unwrap_or_else(|| explain(error, place, ""))),
            };
            if response.typ() != Type::Notify || !response.success {
                return match failure {
                    Some(failure) => Err(failure),
                    None => succeeded(&response)
                        .map_err(|error| explain(error, place, response.message())),
                };
            }
            if let Some(event) = event(response.notify.unwrap_or_default(), fd)? {
                failure = failure.or(react(event).err());
            }
            self.send(&Request {
                typ: Type::Notify.into(),
                notify_success: Some(failure.is_none()),
                ..Request::default()
            })?;
        }
    }

    /// Asks something that is answered at once, and after which criu still waits for requests.
    fn ask(&self, typ: Type, features: Option<Features>) -> Result<Response> {
        let keep_open = Some(true);
        self.send(&Request { typ: typ.into(), keep_open, features, ..Request::default() })?;
        let (response, _) = self.receive()?;
        succeeded(&response).map(|()| response)
    }

    fn send(&self, request: &Request) -> Result<()> {
        let flags = rustix::net::SendFlags::NOSIGNAL;
        let bytes = request.encode_to_vec();
        match rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, &bytes, flags)) {
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Err(ended()),
            other => other.context(|| "send a request to criu").map(drop),
        }
    }

    fn receive(&self) -> Result<(Response, Option<OwnedFd>)> {
        let what = || "read criu's answer";
        let mut bytes = vec![0u8; LIMIT];
        let (length, fd) = match receive_with_fd(&self.socket, &mut bytes) {
            // What a criu that ends without reading all leaves behind.
            Err(rustix::io::Errno::CONNRESET) | Ok((0, _)) => return Err(ended()),
            other => other.context(what)?,
        };
        let message = bytes.get(..length).filter(|_| length < LIMIT);
        let response = message.map(Response::decode);
        match response {
            Some(Ok(response)) => Ok((response, fd)),
            Some(Err(error)) => Err(Error::new(Kind::System, format!("{}: {error}", what()))),
            None => Err(Error::new(Kind::System, format!("{}: it is too long", what()))),
        }
    }
}

impl Drop for Session {
    /// Without anybody to talk to, criu ends; that it did is seen before anything it used is taken
    /// away.
    fn drop(&mut self) {
        let _ = shutdown(&self.socket, Shutdown::Both);
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

/// Finds criu on the path, of which only whole directories count.
fn find() -> Result<CString> {
    let path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
    let path = path.as_deref().unwrap_or(DEFAULT_PATH);
    let whole: Vec<&str> = path.split(':').filter(|name| name.starts_with('/')).collect();
    let path = env::c_string(&format!("PATH={}", whole.join(":")), "environment variable")?;
    env::find_program("criu", &[path]).map_err(|error| {
        let text = format!("CRIU version check failed: {error}: install criu to use checkpoints");
        Error::unsupported(text)
    })
}

/// Becomes criu.
fn execute(program: &CString, socket: &OwnedFd, kept: &[BorrowedFd<'_>]) -> Result<Infallible> {
    for fd in std::iter::once(socket.as_fd()).chain(kept.iter().copied()) {
        keep_on_exec(fd.as_raw_fd()).context(|| "keep a descriptor open")?;
    }
    restore_default_signals();
    nix::sys::signal::SigSet::empty().thread_set_mask().context(|| "unblock all signals")?;
    let socket = env::c_string(&socket.as_raw_fd().to_string(), "argument")?;
    let Err(errno) = nix::unistd::execv(program, &[c"criu", c"swrk", socket.as_c_str()]);
    Err(Error::system(format!("exec {}", program.to_string_lossy()), errno))
}

fn event(news: News, fd: Option<OwnedFd>) -> Result<Option<Event>> {
    let pid = || {
        let pid = news.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        pid.ok_or_else(|| Error::new(Kind::System, "criu does not say which process it means"))
    };
    Ok(match news.script.as_deref().unwrap_or_default() {
        "setup-namespaces" => Some(Event::Namespaces(pid()?)),
        "post-restore" => Some(Event::Restored(pid()?)),
        "orphan-pts-master" => fd.map(Event::Terminal),
        "status-ready" => Some(Event::PagesReady),
        _ => None,
    })
}

fn succeeded(response: &Response) -> Result<()> {
    if response.success {
        return Ok(());
    }
    let errno = response.errno.unwrap_or(0);
    let text = format!("criu failed: type {} errno {errno}", name(response.typ()));
    Err(Error::remote(Kind::System, (errno != 0).then_some(errno), text))
}

/// Adds to an error of criu's what it has written down about it.
fn explain(error: Error, place: &Workplace, said: &str) -> Error {
    let text = format!("{error}: {}", place.explain(said));
    Error::remote(error.kind(), error.errno(), text)
}

fn ended() -> Error {
    Error::new(Kind::System, "criu failed: it ended before it was done")
}

/// The name of a request, as criu has it.
fn name(typ: Type) -> &'static str {
    match typ {
        Type::Empty => "EMPTY",
        Type::Dump => "DUMP",
        Type::Restore => "RESTORE",
        Type::PreDump => "PRE_DUMP",
        Type::Notify => "NOTIFY",
        Type::FeatureCheck => "FEATURE_CHECK",
        Type::Version => "VERSION",
    }
}
