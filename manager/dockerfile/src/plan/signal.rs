//! Names of signals.

use crate::error::{Error, Result};

const NAMES: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];
/// How far a signal can be from the first of its kind, and from the last.
const FROM_FIRST: u32 = 15;
const FROM_LAST: u32 = 14;

/// Makes sure that `text` is a signal: a number, or a name with SIG or without.
pub(super) fn require(text: &str) -> Result<()> {
    let known = match text.parse::<i64>() {
        Ok(number) => number != 0,
        Err(_) => is_name(&text.to_uppercase()),
    };
    if known { Ok(()) } else { Err(Error::new(format!("invalid signal: {text}"))) }
}

fn is_name(name: &str) -> bool {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let within =
        |distance: &str, most| distance.parse().is_ok_and(|n: u32| (1..=most).contains(&n));
    NAMES.contains(&name)
        || name.strip_prefix("RTMIN+").is_some_and(|distance| within(distance, FROM_FIRST))
        || name.strip_prefix("RTMAX-").is_some_and(|distance| within(distance, FROM_LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        for known in ["9", "KILL", "SIGTERM", "sigquit", "SIGRTMIN+3", "RTMAX-14"] {
            require(known).unwrap();
        }
        for wrong in ["", "0", "SIG", "SIGNAL", "RTMIN+16", "RTMAX-0", "9a"] {
            assert_eq!(require(wrong).unwrap_err().to_string(), format!("invalid signal: {wrong}"));
        }
    }
}
