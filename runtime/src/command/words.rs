//! Flags as programs written in Go take them, where this program's parser is stricter: a switch with
//! a truth value (`--detach=false`), a flag whose value is empty and which so is not set
//! (`--pid-file ''`), and a long name after a single dash.

use clap::{Arg, ArgAction, Command};
use std::ffi::{OsStr, OsString};

/// Whether a word of the command line may be a flag that is set to nothing.
pub(super) fn is_empty_value(word: &OsString) -> bool {
    word.is_empty() || word.as_encoded_bytes().ends_with(b"=")
}

/// Writes the flags among `words` in the one way that the parser of `line` understands. What follows
/// the first word that is neither a flag nor the command may be another program's.
pub(super) fn settle(line: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut settled = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    settled.extend(words.next());
    let mut command = None;
    while let Some(word) = words.next() {
        match Flag::parse(&word).map(|flag| flag.find(line, command).ok_or(())) {
            Some(Ok((flag, known))) => flag.settle(known, &word, &mut words, &mut settled),
            Some(Err(())) => settled.push(word),
            None => {
                let found = line.find_subcommand(&word).filter(|_| command.is_none());
                settled.push(word);
                if found.is_none() {
                    break;
                }
                command = found;
            }
        }
    }
    settled.extend(words);
    settled
}

/// A word that is a flag.
struct Flag<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    fn parse(word: &'a OsStr) -> Option<Flag<'a>> {
        let text = word.to_str()?;
        let text = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        (!name.is_empty()).then_some(Flag { name, value })
    }

    /// What the flag is, in the command if there is one yet.
    fn find<'c>(
        self,
        line: &'c Command,
        command: Option<&'c Command>,
    ) -> Option<(Flag<'a>, &'c Arg)> {
        let mut known = command.into_iter().chain([line]).flat_map(Command::get_arguments);
        let known = known.find(|known| {
            let short = known.get_short().map(String::from);
            known.get_long() == Some(self.name) || short.as_deref() == Some(self.name)
        });
        known.map(|known| (self, known))
    }

    fn settle(
        self,
        known: &Arg,
        word: &OsStr,
        rest: &mut impl Iterator<Item = OsString>,
        settled: &mut Vec<OsString>,
    ) {
        let Some(long) = known.get_long() else { return settled.push(word.to_owned()) };
        let long = OsString::from(format!("--{long}"));
        if !known.get_action().takes_values() {
            return match self.value.map(truth) {
                None | Some(Some(true)) => settled.push(long),
                Some(Some(false)) => {}
                Some(None) => settled.push(word.to_owned()),
            };
        }
        let Some(value) = self.value.map(OsString::from).or_else(|| rest.next()) else {
            return settled.push(long);
        };
        // An empty entry of a list is one.
        if !value.is_empty() || matches!(known.get_action(), ArgAction::Append) {
            settled.push([long, value].join(OsStr::new("=")));
        }
    }
}

/// A truth value as Go's parser has it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], expected: &[&str]) {
        let line = super::super::help::command_line();
        let words = ["tare"].iter().chain(words).map(OsString::from).collect();
        let expected: Vec<OsString> = ["tare"].iter().chain(expected).map(OsString::from).collect();
        assert_eq!(settle(&line, words), expected);
    }

    #[test]
    fn switches_have_truth_values() {
        check(
            &["--debug=false", "run", "--detach=true", "--keep=0", "x"],
            &["run", "--detach", "x"],
        );
        check(&["run", "--detach=maybe", "x"], &["run", "--detach=maybe", "x"]);
        check(&["--rootless", "1", "spec", "--rootless"], &["--rootless=1", "spec", "--rootless"]);
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        check(&["--log=", "run", "--pid-file", "", "-b", "", "x"], &["run", "x"]);
        check(&["--root", "run", "list"], &["--root=run", "list"]);
        check(&["exec", "-e", "", "x", "sh"], &["exec", "--env=", "x", "sh"]);
    }

    #[test]
    fn long_names_may_have_one_dash() {
        check(&["run", "-detach", "-bundle", "/b", "x"], &["run", "--detach", "--bundle=/b", "x"]);
        check(&["exec", "-td", "x", "sh"], &["exec", "-td", "x", "sh"]);
    }

    #[test]
    fn another_programs_words_are_left_alone() {
        let rest = ["x", "run", "-detach", "--tty=false", "", "--pid-file="];
        let words: Vec<&str> = ["exec", "--tty=false"].iter().chain(&rest).copied().collect();
        let expected: Vec<&str> = ["exec"].iter().chain(&rest).copied().collect();
        check(&words, &expected);
        check(&["exec", "--", "x", "-detach"], &["exec", "--", "x", "-detach"]);
        check(&["--none", "run", "--none=", "x"], &["--none", "run", "--none=", "x"]);
    }
}
