//! `kill`: send a signal to a container's first process.

use super::Global;
use crate::container::Container;
use crate::error::{Error, Kind, Result};
use nix::sys::signal::Signal;

/// kill sends the specified signal (default: SIGTERM) to the container's init process
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// (obsoleted, do not use)
    #[arg(long, short, hide = true)]
    all: bool,
    /// the container's id
    container_id: String,
    /// the signal's name or number
    #[arg(default_value = "SIGTERM", allow_hyphen_values = true)]
    signal: String,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<()> {
    let signal = parse_signal(&arguments.signal)?;
    let killed = Container::open(&global.root, &arguments.container_id)?.kill(signal);
    match killed {
        // Callers that still pass --all do so after the end too, to reach what is left.
        Err(error) if arguments.all && error.kind() == Kind::State => Ok(()),
        other => other,
    }
}

fn parse_signal(text: &str) -> Result<i32> {
    // What callers write whose own signal is not set.
    let text = if text.is_empty() { "SIGTERM" } else { text };
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let unknown = || Error::invalid(format!("unknown signal {text:?}"));
    match name.strip_prefix("RTMIN") {
        Some(offset) => {
            let offset: i32 = match offset {
                "" => 0,
                offset => {
                    offset.strip_prefix('+').and_then(|n| n.parse().ok()).ok_or_else(unknown)?
                }
            };
            Some(libc::SIGRTMIN() + offset).filter(|n| *n <= libc::SIGRTMAX()).ok_or_else(unknown)
        }
        None => format!("SIG{name}")
            .parse::<Signal>()
            .map(|signal| signal as i32)
            .map_err(|_| unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGTERM", 15),
            ("sigusr1", 10),
            ("0", 0),
            ("RTMIN+3", 37),
            ("", 15),
        ] {
            assert_eq!(parse_signal(text).unwrap(), number, "{text}");
        }
        assert_eq!(parse_signal("FOO").unwrap_err().to_string(), "unknown signal \"FOO\"");
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        #[test]
        fn fuzz_signals(text in crate::fuzz::words()) {
            let _ = parse_signal(&text);
        }
    }
}
