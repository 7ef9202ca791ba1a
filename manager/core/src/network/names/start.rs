//! Starting the process that answers names, and the one beside it.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use super::fence::{self, Rights};
use super::line::{Line, ends, listen_at};
use super::opener;
use super::process::serve;

/// How the process is called, by which it knows what it is.
const NAME: &str = "tared-names";
/// How the one beside it is called, which opens sockets for it.
const OPENER_NAME: &str = "tared-sockets";
/// If this process was started to answer names, does that, and says how to end; a program that is to
/// be [`Config::name_server`](crate::config::Config::name_server) asks for this before all else.
pub fn run_if_resolver() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    let run = match arguments.next()?.as_str() {
        NAME => run_names(arguments.next().unwrap_or_default()),
        OPENER_NAME => run_opener(),
        _ => return None,
    };
    Some(if run.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_names(program: String) -> io::Result<()> {
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let opener = std::io::stdout().as_fd().try_clone_to_owned()?;
    // Where chance comes from is a file on some systems, which has to be open before the fence.
    let _: u8 = rand::random();
    fence::close(Rights::None).map_err(io::Error::other)?;
    serve(listener, opener, program)
}

fn run_opener() -> io::Result<()> {
    let line = std::io::stdin().as_fd().try_clone_to_owned()?;
    fence::close(Rights::Namespaces).map_err(io::Error::other)?;
    opener::serve(&Line::of(line));
    Ok(())
}

/// Says which program this is: another one has another name, also at the same place.
pub(super) fn identity(program: Option<&Path>) -> io::Result<String> {
    let Some(program) = program else { return Ok(String::new()) };
    let said =
        |it: Metadata| format!("{}:{}:{}:{}", it.dev(), it.ino(), it.mtime(), it.mtime_nsec());
    std::fs::metadata(program).map(said)
}

/// Starts it, as `program` or as a thread of this process. It can be reached at `socket` then.
pub(super) fn start(program: Option<&Path>, socket: &Path) -> io::Result<()> {
    let identity = identity(program)?;
    let (asking, opening) = ends()?;
    let listener = listen_at(socket)?;
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let Some(program) = program else {
        named("names").spawn(move || serve(listener, asking, identity))?;
        named("sockets").spawn(move || opener::serve(&Line::of(opening)))?;
        return Ok(());
    };
    let start = |name: &str, arguments: &[String], input: OwnedFd, output: Stdio| {
        Command::new(program)
            .arg0(name)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
    };
    // Whoever starts a process has to hear of its end.
    let mut opener = start(OPENER_NAME, &[], opening, Stdio::null())?;
    named("sockets").spawn(move || opener.wait())?;
    let mut names = start(NAME, &[identity], listener, asking.into())?;
    named("names").spawn(move || names.wait())?;
    Ok(())
}
