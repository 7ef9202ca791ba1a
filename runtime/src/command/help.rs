//! What this program says about itself: help and version, laid out as runc does, since scripts
//! look for that.

use super::Cli;
use crate::container::record::SPEC_VERSION;
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// The name of the program whose place this one takes.
const REPLACED: &str = "runc";

/// The exit status after a command that there is not.
const UNKNOWN_COMMAND: u8 = 3;

/// The command line, with its help laid out.
pub(super) fn command_line() -> clap::Command {
    let called = called();
    let top = format!(
        "NAME:\n   {} - {{about}}\n\nUSAGE:\n   {called} [global options] command [command options]\n\
         \nVERSION:\n   {}\n\nCOMMANDS:\n{{subcommands}}\n\nGLOBAL OPTIONS:\n{{options}}",
        names(&called),
        env!("CARGO_PKG_VERSION"),
    );
    Cli::command().help_template(top).mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.help_template(format!(
            "NAME:\n   {called} {name} - {{about}}\n\nUSAGE:\n   {{usage}}\n\n{{all-args}}"
        ))
    })
}

/// Says what is wrong with the command line, or what was asked about it.
pub(super) fn explain(error: &clap::Error) -> ExitCode {
    use clap::error::{ContextKind, ContextValue};
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        eprintln!("No help topic for '{name}': `{} --help` lists the commands", called());
        return ExitCode::from(UNKNOWN_COMMAND);
    }
    let _ = error.print();
    ExitCode::from(u8::from(error.use_stderr()))
}

/// The version of this program, of the specification and of what it is built with.
pub(super) fn version() -> String {
    let names = names(&called());
    let package = env!("CARGO_PKG_VERSION");
    let commit = option_env!("TARE_COMMIT").unwrap_or(concat!("v", env!("CARGO_PKG_VERSION")));
    let seccomp = libseccomp_version();
    format!(
        "{names} version {package}\ncommit: {commit}\nspec: {SPEC_VERSION}\nlibseccomp: {seccomp}"
    )
}

/// The version of the library that compiles seccomp profiles.
pub(super) fn libseccomp_version() -> String {
    match libseccomp::ScmpVersion::current() {
        Ok(version) => format!("{}.{}.{}", version.major, version.minor, version.micro),
        Err(_) => "unknown".to_owned(),
    }
}

/// The name that this program was called by.
fn called() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&path).file_name().and_then(|name| name.to_str());
    name.unwrap_or("tare").to_owned()
}

/// The names that this program goes by.
fn names(called: &str) -> String {
    match called {
        REPLACED => REPLACED.to_owned(),
        called => format!("{called}, {REPLACED}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_those_of_runc() {
        let mut command = command_line();
        let top = command.render_help().to_string();
        assert!(top.starts_with("NAME:\n   "), "{top}");
        assert!(top.contains("runc - Open Container Initiative runtime\n"), "{top}");
        command.build();
        for command in command.get_subcommands_mut() {
            let help = command.clone().render_help().to_string();
            let (head, rest) = help.split_once('\n').unwrap();
            assert_eq!(head, "NAME:");
            let name = format!("   {} {} - ", called(), command.get_name());
            assert!(rest.starts_with(&name), "{help}");
        }
    }

    #[test]
    fn the_version_reads_as_that_of_runc() {
        let version = version();
        let lines: Vec<&str> = version.lines().collect();
        assert!(lines[0].contains("runc version "), "{version}");
        assert!(lines[1].starts_with("commit: "), "{version}");
        assert!(lines[2].starts_with("spec: "), "{version}");
        assert_eq!(names("runc"), "runc");
    }
}
