//! `--chmod`: a number, or what is to be changed of the mode that a file has.

use crate::error::{Error, Result};

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const ALL: u32 = 0o7777;

/// A mode, or changes of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// This mode.
    Exactly(u32),
    /// Changes, one after the other.
    Changes(Vec<Change>),
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    action: Action,
    /// The bits that it is about.
    who: u32,
    what: Bits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    Set,
}

/// The bits that are added, removed or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bits {
    /// These; and those of the second if it is a directory or somebody can run it already.
    These(u32, u32),
    /// Those that one class has, by how far they are from the right.
    Of(u32),
}

impl Mode {
    /// Reads a mode.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let number = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= ALL);
            return number.map(Self::Exactly).ok_or_else(|| {
                Error::new(format!(
                    "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
                ))
            });
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            read_clause(clause, &mut changes).ok_or_else(|| {
                Error::new(format!("invalid chmod parameter: '{text}': invalid syntax"))
            })?;
        }
        Ok(Self::Changes(changes))
    }

    /// The mode that a file gets which has `mode`.
    #[must_use]
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Exactly(mode) => *mode,
            Self::Changes(changes) => changes.iter().fold(mode & ALL, |mode, change| {
                let bits = match change.what {
                    Bits::These(bits, if_any) if is_directory || mode & 0o111 != 0 => bits | if_any,
                    Bits::These(bits, _) => bits,
                    Bits::Of(shift) => (mode >> shift & 0o7) * 0o111,
                } & change.who;
                match change.action {
                    Action::Add => mode | bits,
                    Action::Remove => mode & !bits,
                    Action::Set => mode & !change.who | bits,
                }
            }),
        }
    }
}

/// Reads `who`, and each action with its bits.
fn read_clause(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let letters = clause.find(|c| !"augo".contains(c))?;
    let (classes, mut rest) = clause.split_at(letters);
    let who = classes.chars().fold(0, |who, class| {
        who | match class {
            'u' => SET_USER | 0o700,
            'g' => SET_GROUP | 0o070,
            'o' => 0o007,
            _ => SET_USER | SET_GROUP | 0o777,
        }
    });
    while let Some(c) = rest.chars().next() {
        let action = match c {
            '+' => Action::Add,
            '-' => Action::Remove,
            '=' => Action::Set,
            _ => return None,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
        changes.push(change(action, who, &rest[1..end])?);
        rest = &rest[end..];
    }
    Some(())
}

fn change(action: Action, said: u32, bits: &str) -> Option<Change> {
    // Nobody in particular is everybody.
    let mut who = if said == 0 { SET_USER | SET_GROUP | 0o777 } else { said };
    let copied = match bits {
        "u" => Some(6),
        "g" => Some(3),
        "o" => Some(0),
        _ => None,
    };
    if let Some(shift) = copied {
        return Some(Change { action, who: who & 0o777, what: Bits::Of(shift) });
    }
    let only_others = said == 0o007;
    let (mut these, mut if_any) = (0, 0);
    for letter in bits.chars() {
        match letter {
            'r' => these |= 0o444,
            'w' => these |= 0o222,
            'x' => these |= 0o111,
            'X' if action == Action::Remove => these |= 0o111,
            'X' => if_any |= 0o111,
            's' if only_others => {}
            's' => these |= SET_USER | SET_GROUP,
            't' if only_others => {}
            't' => {
                who |= STICKY;
                these |= STICKY;
            }
            _ => return None,
        }
    }
    Some(Change { action, who, what: Bits::These(these, if_any) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_changed_as_chmod_does() {
        for (text, before, is_directory, after) in [
            ("755", 0, false, 0o755),
            ("4755", 0, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("go-w", 0o666, false, 0o644),
            ("a=rX", 0o700, false, 0o555),
            ("a=rX", 0o600, false, 0o444),
            ("a=rX", 0o600, true, 0o555),
            ("u=rwx,go=rx", 0, false, 0o755),
            ("go=", 0o777, false, 0o700),
            ("g=u", 0o640, false, 0o660),
            ("o+g-w", 0o660, false, 0o664),
            ("u+s,+t", 0o755, false, 0o5755),
            ("o+s", 0o755, false, 0o755),
        ] {
            let mode = Mode::parse(text).unwrap();
            assert_eq!(mode.apply(before, is_directory), after, "{text} {before:o}");
        }
        for wrong in ["", "8", "77777", "x", "u", "u+q", "u+x,", "a+x b", "0x1"] {
            assert!(Mode::parse(wrong).is_err(), "{wrong}");
        }
    }
}
