//! What the failure of a start or an exec means to whoever asked: docker's clients tell a program
//! that isn't there (127) from one that may not be executed (126) by the words of the error.

use crate::error::{Error, Kind};

/// The program was found but can't be executed.
const NOT_EXECUTABLE: i64 = 126;
/// There is no such program.
const NO_PROGRAM: i64 = 127;
/// Anything else.
const UNKNOWN: i64 = 128;

/// The code that a failure leaves with its container or exec instance, and the error to report.
pub(super) fn of_runtime(error: Error) -> (i64, Error) {
    let text = error.to_string();
    let lower = text.to_ascii_lowercase();
    let says = |words: &str| lower.contains(words);
    if says("permission denied") {
        (NOT_EXECUTABLE, Error::invalid(text))
    } else if says("is a directory") {
        // Clients look for these words to tell 126 from 125.
        (NOT_EXECUTABLE, Error::invalid(format!("{text}: permission denied")))
    } else if says("not a directory") {
        let text = format!(
            "{text}: Are you trying to mount a directory onto a file (or vice-versa)? Check if the \
             specified host path exists and is the expected type"
        );
        (NO_PROGRAM, Error::invalid(text))
    } else if says("executable file not found") || says("no such file or directory") {
        (NO_PROGRAM, Error::invalid(text))
    } else {
        (UNKNOWN, error)
    }
}

/// The code of a run that the shim couldn't start for this reason.
pub(crate) fn code_of_missed_run(reason: &str) -> i64 {
    of_runtime(Error::system(reason)).0
}

/// The code that a failure before the runtime was asked leaves.
pub(super) fn of_preparation(error: Error) -> (i64, Error) {
    // By now the request has been found good; what is wrong is wrong on this side.
    let error = match error.kind() {
        Kind::Invalid => Error::system(error.to_string()),
        _ => error,
    };
    (UNKNOWN, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_decide() {
        let code = |text: &str| {
            let (code, error) = of_runtime(Error::system(text));
            (code, error.kind())
        };
        let not_found =
            "OCI runtime create failed: exec: \"x\": executable file not found in $PATH";
        assert_eq!(code(not_found), (127, Kind::Invalid));
        assert_eq!(code("exec: \"/x\": permission denied"), (126, Kind::Invalid));
        assert_eq!(code("exec: \"/etc\": is a directory"), (126, Kind::Invalid));
        assert_eq!(code("mount: not a directory"), (127, Kind::Invalid));
        assert_eq!(code("the cgroup is frozen"), (128, Kind::System));
        let (_, error) = of_runtime(Error::system("exec: \"/etc\": Is a directory"));
        assert!(error.to_string().ends_with("permission denied"));
    }
}
