//! What criu wrote down about its failure.

use super::images::Directory;
use std::collections::VecDeque;

/// How many lines are quoted.
const LINES: usize = 5;
/// How much of the end of the log is looked at, in bytes.
const LIMIT: u64 = 256 * 1024;

/// The last errors in criu's log `name`, or else what criu has `said`, and where to read the rest.
pub(super) fn quote(directory: &Directory, name: &str, said: &str) -> String {
    let path = directory.path().join(name);
    let log = directory.read_end(name, LIMIT);
    let place = match &log {
        Ok(_) => format!("log file: {}", path.display()),
        Err(_) => format!("no log file: {}", path.display()),
    };
    let mut errors = errors(&String::from_utf8_lossy(&log.unwrap_or_default()));
    if errors.is_empty() {
        errors = vec![plain(said)];
    }
    format!("{} ({place})", errors.join("; "))
}

/// The last lines that tell of errors, without their times.
fn errors(log: &str) -> Vec<String> {
    let mut last = VecDeque::new();
    for line in log.lines().filter(|line| line.contains("Error")) {
        let text = match line.split_once(") ") {
            Some((time, rest)) if time.starts_with('(') => rest,
            _ => line,
        };
        last.push_back(plain(text));
        if last.len() > LINES {
            last.pop_front();
        }
    }
    last.into()
}

/// The text without what a terminal would obey: names of the container's making may be in it.
fn plain(text: &str) -> String {
    text.trim().chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_are_quoted() {
        let mut log = String::from("(00.000001) Version: 4.2\nError (a.c:1): first\n");
        for number in 0..LINES {
            log += &format!("(00.10000{number}) Error (b.c:2): no {number}\x1b[2J\n(00.2) fine\n");
        }
        let errors = errors(&log);
        assert_eq!(errors.len(), LINES);
        assert_eq!(errors[0], "Error (b.c:2): no 0?[2J");
    }
}
