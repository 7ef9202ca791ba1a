//! The command line, which is that of runc: one file for each command. A command parses, makes one
//! call and turns the result into an exit code.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod help;
mod kill;
mod list;
#[cfg(test)]
mod manual;
mod pause;
mod ps;
mod restore;
mod run;
mod spec;
mod start;
mod state;
mod streams;
mod update;
mod words;

use crate::caller;
use crate::container::Container;
use crate::error::{Context, Error, Result};
use crate::log::{Format, Level, Log};
use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Open Container Initiative runtime
#[derive(Debug, Parser)]
#[command(name = "tare", disable_version_flag = true, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    top: Top,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What stands beside the command.
#[derive(Debug, clap::Args)]
struct Top {
    #[command(flatten)]
    flags: Flags,
    /// print the version
    #[arg(long, short = 'v')]
    version: bool,
}

/// Flags that may stand before or after the command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Flags {
    /// enable debug logging
    #[arg(long, global = true)]
    debug: bool,
    /// set the log file to write logs to (default is '/dev/stderr')
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
    /// set the log format: text or json
    #[arg(long, global = true, default_value = "text", value_parser = Format::parse)]
    log_format: Format,
    /// root directory for storage of container state (this should be located in tmpfs)
    #[arg(long, global = true, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
    /// have systemd make the cgroups; cgroupsPath is then "slice:prefix:name"
    #[arg(long, global = true)]
    systemd_cgroup: bool,
    /// ignore cgroup permission errors ('true', 'false', or 'auto')
    // `spec` has a flag of this name too.
    #[arg(long, default_value = "auto", value_parser = Rootless::parse)]
    rootless: Rootless,
}

/// Whether refusals of the cgroup file system are to be borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rootless {
    /// For who is not root.
    Auto,
    Yes,
    No,
}

impl Rootless {
    fn parse(text: &str) -> Result<Rootless, String> {
        match words::truth(text) {
            Some(true) => Ok(Rootless::Yes),
            Some(false) => Ok(Rootless::No),
            None if text.is_empty() || text.eq_ignore_ascii_case("auto") => Ok(Rootless::Auto),
            None => Err("write 'true', 'false' or 'auto'".to_owned()),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Checkpoint(checkpoint::Arguments),
    Create(create::Arguments),
    Delete(delete::Arguments),
    Events(events::Arguments),
    Exec(exec::Arguments),
    Features(features::Arguments),
    Kill(kill::Arguments),
    List(list::Arguments),
    Pause(pause::Arguments),
    Ps(ps::Arguments),
    Restore(restore::Arguments),
    Resume(pause::Arguments),
    Run(run::Arguments),
    Spec(spec::Arguments),
    Start(start::Arguments),
    State(state::Arguments),
    Update(update::Arguments),
}

/// How a command describes its arguments.
type Describe = fn(clap::Command) -> clap::Command;

/// The commands that make up a container's life.
const FREQUENT: [(&str, Describe); 7] = [
    ("create", create::Arguments::augment_args),
    ("delete", delete::Arguments::augment_args),
    ("exec", exec::Arguments::augment_args),
    ("kill", kill::Arguments::augment_args),
    ("run", run::Arguments::augment_args),
    ("start", start::Arguments::augment_args),
    ("state", state::Arguments::augment_args),
];

/// Parses the command line `words`.
///
/// To describe all commands takes longer than some of them. So the first word that is the name of a
/// frequent one is taken for the command at first; what is said in words that only the whole
/// description understands, and every mistake, is parsed anew by that, once its flags are
/// [settled](words).
fn parse(words: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    if words.iter().any(words::is_empty_value) {
        return parse_settled(words);
    }
    let called = FREQUENT.iter().find(|(name, _)| words.iter().skip(1).any(|word| word == name));
    let parsed = called.and_then(|(name, describe)| {
        let line = clap::Command::new("tare").disable_help_subcommand(true);
        let line = Top::augment_args(line).disable_version_flag(true);
        line.subcommand(describe(clap::Command::new(*name))).try_get_matches_from(&words).ok()
    });
    match parsed {
        Some(matches) => Ok(matches),
        None => parse_settled(words),
    }
}

fn parse_settled(words: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    let line = help::command_line();
    let words = words::settle(&line, words);
    line.try_get_matches_from(words)
}

/// What applies to every command.
#[derive(Debug)]
struct Global {
    /// The directory of all containers; absolute.
    root: PathBuf,
    /// Whether it was named, and not the default.
    root_is_given: bool,
    systemd_cgroup: bool,
    rootless: bool,
    log: Log,
}

/// Does what the command line asks, and says how it went.
pub(crate) fn run() -> ExitCode {
    let shield = crate::shield::raise();
    let matches = parse(std::env::args_os().collect());
    let mut cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return help::explain(&error),
    };
    if cli.top.version {
        println!("{}", help::version());
        return ExitCode::SUCCESS;
    }
    let Some(command) = cli.command else {
        let _ = help::command_line().print_help();
        return ExitCode::SUCCESS;
    };
    let log = Log {
        // A bundle becomes the working directory later.
        file: cli.top.flags.log.take().map(|file| std::path::absolute(&file).unwrap_or(file)),
        format: cli.top.flags.log_format,
        least: if cli.top.flags.debug { Level::Debug } else { Level::Warning },
    };
    let done = log.check().and(shield).and_then(|shield| {
        let global = Global::new(cli.top.flags, log.clone())?;
        shield.tell(&log);
        Ok(command.run(&global))
    });
    match done {
        Ok(Outcome::Done(status)) => ExitCode::from(status),
        Ok(Outcome::Failed { error, status }) => {
            log.write(Level::Error, &error.to_string());
            ExitCode::from(status)
        }
        Err(error) => {
            log.write(Level::Error, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// What comes before the error of the command `name`. Callers look for runc's own words.
fn failed(name: &str) -> impl Fn() -> String + Copy {
    move || format!("runc {name} failed")
}

/// How a command ended.
enum Outcome {
    /// With this exit status, its own or that of the program it ran.
    Done(u8),
    /// With an error, and this exit status.
    Failed { error: Error, status: u8 },
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Outcome {
        Outcome::from(result.map(|()| 0))
    }
}

impl From<Result<i32>> for Outcome {
    fn from(result: Result<i32>) -> Outcome {
        match result {
            // Exit statuses are bytes, as the kernel keeps them.
            Ok(status) => Outcome::Done(status as u8),
            Err(error) => Outcome::Failed { error, status: 1 },
        }
    }
}

impl Command {
    fn run(self, global: &Global) -> Outcome {
        match self {
            Command::Checkpoint(arguments) => checkpoint::run(global, &arguments).into(),
            Command::Create(arguments) => create::run(global, arguments).into(),
            Command::Delete(arguments) => delete::run(global, &arguments).into(),
            Command::Events(arguments) => events::run(global, &arguments).into(),
            Command::Exec(arguments) => exec::run(global, arguments),
            Command::Features(_) => features::run().into(),
            Command::Kill(arguments) => kill::run(global, &arguments).into(),
            Command::List(arguments) => list::run(global, &arguments).into(),
            Command::Pause(arguments) => pause::pause(global, &arguments).into(),
            Command::Ps(arguments) => ps::run(global, &arguments).into(),
            Command::Restore(arguments) => restore::run(global, arguments).into(),
            Command::Resume(arguments) => pause::resume(global, &arguments).into(),
            Command::Run(arguments) => run::run(global, arguments).into(),
            Command::Spec(arguments) => spec::run(&arguments).into(),
            Command::Start(arguments) => start::run(global, &arguments).into(),
            Command::State(arguments) => state::run(global, &arguments).into(),
            Command::Update(arguments) => update::run(global, &arguments).into(),
        }
    }
}

impl Global {
    fn new(flags: Flags, log: Log) -> Result<Global> {
        let root = match &flags.root {
            None => default_root()?,
            Some(path) => std::path::absolute(path)
                .map_err(|error| Error::system(format!("--root {}", path.display()), error))?,
        };
        if root == Path::new("/") {
            return Err(Error::invalid("Option --root argument should not be set to /"));
        }
        let rootless = match flags.rootless {
            Rootless::Auto => caller::is_rootless(),
            Rootless::Yes => true,
            Rootless::No => false,
        };
        Ok(Global {
            root,
            root_is_given: flags.root.is_some(),
            systemd_cgroup: flags.systemd_cgroup,
            rootless,
            log,
        })
    }
}

/// Removes a container whose program, which this one has stayed with, has ended. That it can't be
/// removed does not change how the program ended.
fn remove_ended(global: &Global, id: &str) {
    let removed =
        Container::open(&global.root, id).and_then(|container| container.remove(&global.log));
    if let Err(error) = removed {
        global.log.write(Level::Warning, &error.to_string());
    }
}

/// Where containers are kept: for root in one place, for others in a directory of their own.
fn default_root() -> Result<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let Some(directory) = caller::runtime_directory() else {
        return Ok(PathBuf::from("/run/tare"));
    };
    let root = directory.join("tare");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).context(|| {
        format!(
            "mkdir {}: the path in $XDG_RUNTIME_DIR must be writable by the user",
            root.display()
        )
    })?;
    // What has the sticky bit there is not cleaned away as something old.
    std::fs::set_permissions(&root, PermissionsExt::from_mode(0o1700)).context(|| {
        format!(
            "chmod {}: you should check permission of the path in $XDG_RUNTIME_DIR",
            root.display()
        )
    })?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_program_keeps_its_own_flags() {
        let cli = Cli::try_parse_from(["tare", "exec", "-t", "-e", "A=b", "id", "ls", "-t", "--x"]);
        let Some(Command::Exec(arguments)) = cli.unwrap().command else { panic!("not exec") };
        assert_eq!(arguments.command_line(), ["ls", "-t", "--x"]);
    }

    #[test]
    fn callers_may_write_flags_their_way() {
        for line in [
            &["tare", "--root=/r", "--log", "/l", "--log-format=json", "delete", "--force", "x"][..],
            &["tare", "--rootless=true", "kill", "--all", "x", "9"],
            &["tare", "--rootless", "1", "spec", "--rootless", "-b", "/b"],
            &["tare", "run", "--debug", "x", "--root", "/r"],
            &["tare", "kill", "x", "SIGTERM"],
            &["tare", "run", "-d", "-b", "/b", "--pid-file=/p", "--preserve-fds", "2", "x"],
            &["tare", "update", "--resources", "-", "x"],
            &["tare", "ps", "--format", "json", "x"],
            &["tare", "ps", "x", "-o", "pid"],
            &["tare", "exec", "--process", "/p", "--detach", "--pid-file", "/f", "x"],
        ] {
            let parsed = Cli::try_parse_from(line);
            assert!(parsed.is_ok(), "{line:?}: {parsed:?}");
            let matches = parse(line.iter().map(OsString::from).collect()).unwrap();
            let again = Cli::from_arg_matches(&matches);
            assert_eq!(format!("{again:?}"), format!("{parsed:?}"));
        }
    }

    #[test]
    fn callers_may_write_flags_as_for_go() {
        for line in [
            &["tare", "run", "--detach=true", "--pid-file=", "--bundle", "", "x"][..],
            &["tare", "--log", "", "--debug=false", "create", "--console-socket", "", "x"],
            &["tare", "exec", "-tty=0", "--user", "", "x", "ls", "--color="],
            &["tare", "update", "--memory=", "--cpu-share", "", "x"],
        ] {
            let parsed = parse(line.iter().map(OsString::from).collect());
            assert!(parsed.is_ok(), "{line:?}: {parsed:?}");
        }
    }

    #[test]
    fn a_value_may_look_like_a_command() {
        let line = ["tare", "--root", "run", "list", "--format", "json"];
        let matches = parse(line.map(OsString::from).to_vec()).unwrap();
        let cli = Cli::from_arg_matches(&matches).unwrap();
        assert!(matches!(cli.command, Some(Command::List(_))), "{cli:?}");
        let mistake = ["tare", "create", "--none"].map(OsString::from).to_vec();
        assert!(parse(mistake).is_err());
    }
}
