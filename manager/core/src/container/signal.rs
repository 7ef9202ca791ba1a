//! Signals by name or number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A signal that Linux has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal(u8);

/// The highest number there is (SIGRTMAX).
const HIGHEST: u8 = 64;
/// The first and last real-time signal that programs may use.
const REAL_TIME: (u8, u8) = (34, 64);

/// Names without `SIG`. The first name of a number is the one that is shown.
const NAMES: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl Signal {
    /// What can't be caught.
    pub const KILL: Self = Self(9);
    /// What `stop` sends by default.
    pub const TERM: Self = Self(15);

    /// Its number.
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }
}

impl FromStr for Signal {
    type Err = Error;

    /// Reads `9`, `KILL`, `SIGKILL`, `rtmin+3`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("invalid signal: {text}"));
        match text.parse::<i64>() {
            Ok(0) => return Err(wrong()),
            Ok(number) => {
                let known = u8::try_from(number).ok().filter(|number| *number <= HIGHEST);
                return known.map(Self).ok_or_else(|| {
                    Error::invalid(format!("the linux daemon does not support signal {number}"))
                });
            }
            Err(_) => {}
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return u8::try_from(*number).map(Self).map_err(|_| wrong());
        }
        let offset = |text: &str, sign: char| match text.strip_prefix(sign) {
            Some(number) => number.parse::<u8>().map_err(|_| wrong()),
            None if text.is_empty() => Ok(0),
            None => Err(wrong()),
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            REAL_TIME.0.checked_add(offset(rest, '+')?)
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            REAL_TIME.1.checked_sub(offset(rest, '-')?)
        } else {
            None
        };
        number
            .filter(|number| (REAL_TIME.0..=REAL_TIME.1).contains(number))
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == i32::from(self.0)) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same() {
        for text in ["9", "KILL", "SIGKILL", "sigkill", "kill"] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal::KILL);
        }
        assert_eq!("RTMIN+3".parse::<Signal>().unwrap().number(), 37);
        assert_eq!("SIGRTMAX-1".parse::<Signal>().unwrap().number(), 63);
        assert_eq!("SIGRTMIN".parse::<Signal>().unwrap().number(), 34);
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["0", "SIG", "NOPE", "RTMIN+40", "RTMIN-1", ""] {
            let error = text.parse::<Signal>().unwrap_err();
            assert_eq!(error.to_string(), format!("invalid signal: {text}"));
        }
        for text in ["65", "-1", "300"] {
            let error = text.parse::<Signal>().unwrap_err().to_string();
            assert_eq!(error, format!("the linux daemon does not support signal {text}"));
        }
    }
}
