//! The command line.

use std::ffi::CStr;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// Run this command; it has at least a name.
    Run(&'a [&'a CStr]),
    /// Print the version.
    Version,
    /// Print how to use this program.
    Help,
    /// An option that does not exist.
    Unknown(&'a CStr),
    /// There is nothing to run.
    NoCommand,
}

/// Reads the command line; the first argument is this program's own name.
pub(crate) fn parse<'a>(arguments: &'a [&'a CStr]) -> Request<'a> {
    let rest = arguments.get(1..).unwrap_or_default();
    match rest.split_first() {
        None => Request::NoCommand,
        Some((first, after)) => match first.to_bytes() {
            b"--" if after.is_empty() => Request::NoCommand,
            b"--" => Request::Run(after),
            b"--version" => Request::Version,
            b"--help" | b"-h" => Request::Help,
            [b'-', ..] => Request::Unknown(first),
            _ => Request::Run(rest),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_starts_after_the_dashes() {
        let [own, dashes, sh, option] = [c"tare-init", c"--", c"sh", c"-x"];
        assert_eq!(parse(&[own, dashes, sh, option]), Request::Run(&[sh, option]));
        assert_eq!(parse(&[own, sh, option, dashes]), Request::Run(&[sh, option, dashes]));
        assert_eq!(parse(&[own, dashes, option]), Request::Run(&[option]));
        assert_eq!(parse(&[own, dashes, dashes]), Request::Run(&[dashes]));
        assert_eq!(parse(&[own, option, sh]), Request::Unknown(option));
    }

    #[test]
    fn without_a_command_there_is_nothing_to_run() {
        assert_eq!(parse(&[]), Request::NoCommand);
        assert_eq!(parse(&[c"tare-init"]), Request::NoCommand);
        assert_eq!(parse(&[c"tare-init", c"--"]), Request::NoCommand);
        assert_eq!(parse(&[c"tare-init", c"--version"]), Request::Version);
        assert_eq!(parse(&[c"tare-init", c"-h"]), Request::Help);
        // An empty name is for execve(2) to refuse.
        assert_eq!(parse(&[c"tare-init", c""]), Request::Run(&[c""]));
    }
}
