//! The command line.

use std::ffi::CStr;

/// What the command line asks for.
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
