//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::settings::Given;

/// What the command line says.
#[derive(Debug, Parser)]
#[command(
    name = "tared",
    version,
    args_override_self = true,
    about = "Runs containers behind the Docker Engine API",
    long_about = "Runs containers behind the Docker Engine API.\n\n\
        Containers do not depend on it: when it ends, however it ends, they go on, with their \
        logs and published ports, and the next tared takes them over.",
    after_help = "Every setting but --config-file can also stand in the configuration file, in \
        docker's format; a setting that stands in both places is an error.\n\n\
        Use it with the docker command line:\n  \
        tared &\n  docker import FILES.tar image\n  docker run --rm -it image sh\n\n\
        `tared check` tells whether this machine has what containers need."
)]
pub(crate) struct Options {
    /// The configuration file; that the default one is missing is no error
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        long_help = "The configuration file [default: /etc/tare/daemon.json, if there is one]"
    )]
    pub config_file: Option<PathBuf>,
    /// What can stand in the configuration file, too.
    #[command(flatten)]
    pub given: Given,
    /// Look at the settings, say whether they are right, and end
    #[arg(long)]
    pub validate: bool,
    /// What to do; nothing: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else `tared` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell whether this machine has what containers need, and what to do where it has not
    #[command(
        long_about = "Tells whether this machine has what containers need, one line each, and what \
            to do where something is missing. The exit code is 0 if containers can run, 1 if not."
    )]
    Check {
        /// How to tell it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// How `check` tells what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// A JSON array for programs.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn dockers_flags_are_understood() {
        let words = "tared -D -H unix:///a -H unix:///b --bip 10.0.0.1/8 --dns 1.1.1.1 \
            --log-opt max-size=1m --add-runtime crun=/usr/bin/crun --init --userland-proxy=false";
        let options = Options::try_parse_from(words.split_whitespace()).unwrap();
        assert_eq!(options.given.values.debug, Some(true));
        assert_eq!(options.given.values.hosts.unwrap(), ["unix:///a", "unix:///b"]);
        assert!(options.given.fixed.check().is_ok());
        let words = "tared --iptables=false --containerd x";
        let given = Options::try_parse_from(words.split_whitespace()).unwrap().given;
        assert!(given.fixed.check().unwrap_err().to_string().contains("iptables"));
        assert!(Options::try_parse_from(["tared", "--no-such-flag"]).is_err());
    }

    #[test]
    fn check_takes_the_same_settings() {
        let words = ["tared", "--data-root", "/d", "check", "--format", "json"];
        let options = Options::try_parse_from(words).unwrap();
        assert!(matches!(options.command, Some(Command::Check { format: Format::Json })));
    }
}
