//! The flags of an instruction.

use crate::error::{Error, Result};
use crate::syntax::Keyword;

/// What a flag can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes or no; yes if nothing is said.
    Switch,
    /// A text, once.
    Text,
    /// Texts, each with a flag of its own.
    List,
}

/// The flags that an instruction was given.
pub(super) struct Flags<'a> {
    given: Vec<(&'a str, &'a str)>,
}

/// Which flags an instruction has.
fn known(keyword: Keyword) -> &'static [(&'static str, Kind)] {
    match keyword {
        Keyword::Add => &[
            ("chown", Kind::Text),
            ("chmod", Kind::Text),
            ("link", Kind::Switch),
            ("keep-git-dir", Kind::Switch),
            ("checksum", Kind::Text),
            ("unpack", Kind::Switch),
            ("exclude", Kind::List),
        ],
        Keyword::Copy => &[
            ("chown", Kind::Text),
            ("from", Kind::Text),
            ("chmod", Kind::Text),
            ("link", Kind::Switch),
            ("exclude", Kind::List),
            ("parents", Kind::Switch),
        ],
        Keyword::From => &[("platform", Kind::Text)],
        Keyword::Healthcheck => &[
            ("interval", Kind::Text),
            ("timeout", Kind::Text),
            ("start-period", Kind::Text),
            ("start-interval", Kind::Text),
            ("retries", Kind::Text),
        ],
        Keyword::Run => &[
            ("mount", Kind::List),
            ("network", Kind::Text),
            ("security", Kind::Text),
            ("device", Kind::List),
        ],
        Keyword::Arg
        | Keyword::Cmd
        | Keyword::Entrypoint
        | Keyword::Env
        | Keyword::Expose
        | Keyword::Label
        | Keyword::Maintainer
        | Keyword::Onbuild
        | Keyword::Shell
        | Keyword::Stopsignal
        | Keyword::User
        | Keyword::Volume
        | Keyword::Workdir => &[],
    }
}

impl<'a> Flags<'a> {
    /// Looks `flags` over.
    pub(super) fn read(keyword: Keyword, flags: &'a [String]) -> Result<Self> {
        let known = known(keyword);
        let mut given: Vec<(&str, &str)> = Vec::new();
        for flag in flags {
            let (shown, value) = match flag.split_once('=') {
                Some((shown, value)) => (shown, Some(value)),
                None => (flag.as_str(), None),
            };
            let name = shown.strip_prefix("--").unwrap_or(shown);
            let Some((_, kind)) = known.iter().find(|(known, _)| *known == name) else {
                let names = known.iter().map(|(name, _)| *name);
                return Err(Error::new(format!("unknown flag: {shown}")).suggesting(name, names));
            };
            let twice = given.iter().any(|(other, _)| *other == name);
            if twice && *kind != Kind::List {
                return Err(Error::new(format!("duplicate flag specified: {shown}")));
            }
            given.push((name, checked(*kind, shown, value)?));
        }
        Ok(Self { given })
    }

    /// The text of a flag; empty if it was not given.
    pub(super) fn text(&self, name: &str) -> String {
        self.list(name).pop().unwrap_or_default()
    }

    /// The texts of a flag.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let found = self.given.iter().filter(|(given, _)| *given == name);
        found.map(|(_, value)| (*value).to_owned()).collect()
    }

    /// What a switch was set to, if it was.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        let found = self.given.iter().find(|(given, _)| *given == name);
        found.map(|(_, value)| !value.eq_ignore_ascii_case("false"))
    }
}

fn checked<'a>(kind: Kind, shown: &str, value: Option<&'a str>) -> Result<&'a str> {
    let missing = || Err(Error::new(format!("missing a value on flag: {shown}")));
    match (kind, value) {
        (Kind::Text | Kind::List, None) | (Kind::Switch, Some("")) => missing(),
        (Kind::Text | Kind::List, Some(value)) => Ok(value),
        (Kind::Switch, None) => Ok("true"),
        (Kind::Switch, Some(value)) if value.eq_ignore_ascii_case("true") => Ok(value),
        (Kind::Switch, Some(value)) if value.eq_ignore_ascii_case("false") => Ok(value),
        (Kind::Switch, Some(value)) => {
            Err(Error::new(format!("expecting boolean value for flag {shown}, not: {value}")))
        }
    }
}
