//! Comments at the top of a file that are no comments: `# escape=`, `# syntax=`, `# check=`.

use super::lines::Source;
use crate::error::{Error, Lines, Result};

/// What a directive says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// Which character escapes others and continues lines.
    Escape(String),
    /// Which program understands the file.
    Syntax(String),
    /// Which checks are made.
    Check(String),
}

/// Who understands a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frontend {
    /// This crate.
    Here,
    /// An image that is named so, in these lines.
    Other {
        /// Its name.
        image: String,
        /// Where the file names it.
        lines: Lines,
    },
}

impl Directive {
    fn read(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        let (name, value) = (name.trim_end(), value.trim());
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_name || value.is_empty() {
            return None;
        }
        let value = value.to_owned();
        match name.to_ascii_lowercase().as_str() {
            "escape" => Some(Self::Escape(value)),
            "syntax" => Some(Self::Syntax(value)),
            "check" => Some(Self::Check(value)),
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Escape(_) => "escape",
            Self::Syntax(_) => "syntax",
            Self::Check(_) => "check",
        }
    }
}

/// The directives of a file: they come before everything else, and each once.
pub(super) struct Directives {
    seen: Vec<&'static str>,
    comment: &'static str,
    over: bool,
}

impl Directives {
    /// Directives in comments that begin with `comment`.
    pub(super) fn new(comment: &'static str) -> Self {
        Self { seen: Vec::new(), comment, over: false }
    }

    /// The directive in `line`, if there may still be one, and this is one.
    pub(super) fn take(&mut self, line: &str) -> Result<Option<Directive>> {
        if self.over {
            return Ok(None);
        }
        let found = line
            .trim_start()
            .strip_prefix(self.comment)
            .and_then(|text| Directive::read(text.trim_start()));
        let Some(directive) = found else {
            self.over = true;
            return Ok(None);
        };
        let name = directive.name();
        if self.seen.contains(&name) {
            let expected = format!("only one {name} parser directive can be used");
            return Err(Error::new(expected));
        }
        self.seen.push(name);
        Ok(Some(directive))
    }
}

/// All directives at the top of `source`, with their lines; what follows a wrong one is no more.
fn all(source: &[u8], comment: &'static str) -> Vec<(Directive, Lines)> {
    let mut source = Source::new(source).without_shebang();
    let mut directives = Directives::new(comment);
    let mut found = Vec::new();
    while let Ok(Some(line)) = source.line() {
        match directives.take(&line) {
            Ok(Some(directive)) => found.push((directive, Lines::one(source.number))),
            Ok(None) | Err(_) => break,
        }
    }
    found
}

/// The directive in a comment before an instruction, which the `#` has been taken from.
pub(crate) fn of_comment(comment: &str) -> Option<Directive> {
    Directive::read(comment)
}

/// What the file says about checks.
#[must_use]
pub fn check(source: &[u8]) -> Option<String> {
    all(source, "#").into_iter().find_map(|(directive, _)| match directive {
        Directive::Check(value) => Some(first_word(&value)),
        Directive::Escape(_) | Directive::Syntax(_) => None,
    })
}

/// Who understands the file. It may be in a language whose comments are others.
#[must_use]
pub fn frontend(source: &[u8]) -> Frontend {
    let named = all(source, "#").into_iter().chain(all(source, "//"));
    let named = named.filter_map(|(directive, lines)| match directive {
        Directive::Syntax(value) => Some((first_word(&value), lines)),
        Directive::Escape(_) | Directive::Check(_) => None,
    });
    let in_json = || {
        let value: serde_json::Value = serde_json::from_slice(source).ok()?;
        Some((value.get("syntax")?.as_str()?.to_owned(), Lines::one(1)))
    };
    match named.into_iter().next().or_else(in_json) {
        Some((image, lines)) if !is_ours(&image) => Frontend::Other { image, lines },
        Some(_) | None => Frontend::Here,
    }
}

impl Frontend {
    /// Makes sure that the file is for this crate.
    ///
    /// # Errors
    /// It names an image that would have to be run to understand it.
    pub fn require_here(&self) -> Result<()> {
        match self {
            Self::Here => Ok(()),
            Self::Other { image, lines } => Err(Error::new(format!(
                "the syntax {image} is not supported: only docker/dockerfile is, which is built in"
            ))
            .at(*lines)),
        }
    }
}

/// Whether an image is one of those that understand Dockerfiles, of whatever version.
fn is_ours(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    let name = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"]
        .into_iter()
        .find_map(|registry| name.strip_prefix(registry))
        .unwrap_or(name);
    matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream")
}

fn first_word(value: &str) -> String {
    value.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_dockerfile_front_end_are_served_here() {
        for ours in [
            "",
            "# syntax=docker/dockerfile:1\nFROM a",
            "#syntax = docker/dockerfile:1.7-labs",
            "# syntax=docker.io/docker/dockerfile@sha256:abc",
            "#!/usr/bin/env x\n# check=skip=all\n# syntax=docker/dockerfile-upstream:master\n",
            "\n# syntax=example/other",
            "# a comment\n# syntax=example/other",
            "FROM a\n# syntax=example/other",
        ] {
            assert_eq!(frontend(ours.as_bytes()), Frontend::Here, "{ours}");
        }
        for (other, line) in [
            ("# syntax=example/docker/dockerfile:1", 1),
            ("# escape=`\n# Syntax=example.com:5000/docker/dockerfile", 2),
            ("// syntax=example/buildpack\n", 1),
            ("{\"syntax\": \"example/json\"}", 1),
        ] {
            let error = frontend(other.as_bytes()).require_here().unwrap_err();
            assert_eq!(error.lines(), Some(Lines::one(line)), "{other}");
            assert!(error.to_string().contains("example"), "{error}");
        }
    }

    #[test]
    fn checks_are_found() {
        let file = b"# syntax=docker/dockerfile:1\n# check=skip=A,B;error=true trailing\nFROM x";
        assert_eq!(check(file).as_deref(), Some("skip=A,B;error=true"));
        assert_eq!(check(b"FROM x\n# check=skip=all"), None);
        assert_eq!(of_comment("check=skip=all"), Some(Directive::Check("skip=all".into())));
        assert_eq!(of_comment("check this=out"), None);
    }

    #[test]
    fn a_directive_comes_once() {
        let mut directives = Directives::new("#");
        assert!(directives.take("# escape=`").unwrap().is_some());
        assert_eq!(
            directives.take("#escape=x").unwrap_err().to_string(),
            "only one escape parser directive can be used"
        );
    }
}
