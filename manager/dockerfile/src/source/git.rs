//! Repositories: `https://host/path.git#branch:directory`, `git@host:path`, and what they may ask
//! for with `?name=value`.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::text::{boolean, path, quote::quoted};

/// A repository, and what of it is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repository {
    /// Its address, as git understands it.
    pub remote: String,
    /// The branch, the tag or the commit; whatever is usual, if none.
    pub reference: String,
    /// The directory in it.
    pub directory: String,
    /// The commit that it has to be.
    pub checksum: String,
    /// The directory `.git` comes along.
    pub keep_git_dir: Option<bool>,
    /// The repositories in it come along.
    pub submodules: Option<bool>,
    /// The commit is fetched by its name.
    pub fetch_by_commit: bool,
    /// Times of files are those of the commit.
    pub commit_times: bool,
}

impl Repository {
    /// Reads the address of a repository, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self>> {
        let parts = Parts::of_url(text).or_else(|| Parts::of_ssh(text))?;
        Some(Self::from_parts(&parts))
    }

    /// The same for the context of a build, for which `github.com/name/path` is one, too.
    #[must_use]
    pub fn parse_context(text: &str) -> Option<Result<Self>> {
        if !text.starts_with("github.com/") {
            return Self::parse(text);
        }
        let parts = Parts::split(&format!("https://{text}"))?;
        Some(Self::from_parts(&parts))
    }

    fn from_parts(parts: &Parts) -> Result<Self> {
        let (reference, directory) =
            parts.fragment.split_once(':').unwrap_or((&parts.fragment, ""));
        let mut repository = Self {
            remote: parts.remote.clone(),
            reference: reference.to_owned(),
            directory: inside(directory),
            ..Self::default()
        };
        repository.ask(&parts.query)?;
        // A name that begins so would be an option to git.
        if repository.reference.starts_with('-') || repository.checksum.starts_with('-') {
            return Err(Error::new(format!(
                "invalid git reference {}: it begins with a dash",
                quoted(&repository.reference)
            )));
        }
        Ok(repository)
    }

    fn ask(&mut self, query: &BTreeMap<String, Vec<String>>) -> Result<()> {
        let (mut tag, mut branch) = (None, None);
        for (name, values) in query {
            let value = one_value(name, values)?;
            let text = value.to_owned();
            match name.as_str() {
                "ref" => agree("ref", &mut self.reference, text)?,
                "tag" => tag = Some(prefixed("refs/tags/", value)),
                "branch" => branch = Some(prefixed("refs/heads/", value)),
                "subdir" => agree("subdir", &mut self.directory, inside(value))?,
                "checksum" | "commit" => self.checksum = text,
                "keep-git-dir" => self.keep_git_dir = Some(switch(name, value)?),
                "submodules" => self.submodules = Some(switch(name, value)?),
                "fetch-by-commit" => self.fetch_by_commit = switch(name, value)?,
                "mtime" => {
                    self.commit_times = match value {
                        "checkout" => false,
                        "commit" => true,
                        other => {
                            return Err(Error::new(format!(
                                "invalid mtime value: {} (must be \"checkout\" or \"commit\")",
                                quoted(other)
                            )));
                        }
                    }
                }
                other => return Err(Error::new(format!("unexpected query {}", quoted(other)))),
            }
        }
        if tag.is_some() && branch.is_some() {
            return Err(Error::new("branch conflicts with tag"));
        }
        match tag.or(branch) {
            Some(reference) => agree("ref", &mut self.reference, reference),
            None => Ok(()),
        }
    }
}

fn one_value<'a>(name: &str, values: &'a [String]) -> Result<&'a str> {
    let may_be_empty = matches!(name, "submodules" | "keep-git-dir" | "fetch-by-commit");
    match values {
        [value] if !value.is_empty() || may_be_empty => Ok(value),
        [] | [_] => Err(Error::new(format!("query {} has no value", quoted(name)))),
        _ => Err(Error::new(format!("query {} has multiple values", quoted(name)))),
    }
}

fn agree(what: &str, known: &mut String, said: String) -> Result<()> {
    if !known.is_empty() && *known != said {
        let (known, said) = (quoted(known), quoted(&said));
        return Err(Error::new(format!("{what} conflicts: {known} vs {said}")));
    }
    *known = said;
    Ok(())
}

/// A directory of a repository, which is nowhere else, whatever the address says.
fn inside(directory: &str) -> String {
    path::join("/", directory).trim_start_matches('/').to_owned()
}

fn prefixed(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn switch(name: &str, value: &str) -> Result<bool> {
    if value.is_empty() {
        return Ok(true);
    }
    boolean(value).ok_or_else(|| Error::new(format!("invalid {name} value: {}", quoted(value))))
}

/// The parts of an address.
struct Parts {
    remote: String,
    query: BTreeMap<String, Vec<String>>,
    fragment: String,
}

impl Parts {
    /// `scheme://host/path`; a web address only if it says that it is a repository's.
    fn of_url(text: &str) -> Option<Self> {
        let (scheme, _) = text.split_once("://")?;
        let is_web = match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => true,
            "ssh" | "git" => false,
            _ => return None,
        };
        let parts = Self::split(text)?;
        (!is_web || parts.remote.ends_with(".git")).then_some(parts)
    }

    /// `user@host:path`.
    fn of_ssh(text: &str) -> Option<Self> {
        let (user, rest) = text.split_once('@')?;
        let (host, path) = rest.split_once(':')?;
        let word = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        // A host that begins so would be an option to ssh.
        let fits = word(user, "-_") && word(host, "-.") && !text.starts_with('-');
        if !fits || host.starts_with('-') || path.contains('\n') {
            return None;
        }
        Self::split(text)
    }

    fn split(text: &str) -> Option<Self> {
        if text.chars().any(char::is_control) {
            return None;
        }
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, asked) = address.split_once('?').unwrap_or((address, ""));
        let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in asked.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(&value.replace('+', " "))?;
            query.entry(decoded(&name.replace('+', " "))?).or_default().push(value);
        }
        Some(Self { remote: remote.to_owned(), query, fragment: decoded(fragment)? })
    }
}

/// `text` with `%41` and the like replaced by what they stand for.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Repository> {
        Repository::parse_context(text).unwrap()
    }

    #[test]
    fn addresses_say_what_is_wanted() {
        for (text, remote, reference, directory) in [
            ("https://x/a.git", "https://x/a.git", "", ""),
            ("https://u:p@x/a.git#v1:d/e", "https://u:p@x/a.git", "v1", "d/e"),
            ("https://x/a.git#:../../etc", "https://x/a.git", "", "etc"),
            ("git@x:y/z#main", "git@x:y/z", "main", ""),
            ("ssh://git@x/y?tag=v1&subdir=d", "ssh://git@x/y", "refs/tags/v1", "d"),
            ("git://x/y?branch=b&subdir=/../d", "git://x/y", "refs/heads/b", "d"),
            ("github.com/a/b#c", "https://github.com/a/b", "c", ""),
        ] {
            let found = parse(text).unwrap();
            let parts = (found.remote.as_str(), found.reference.as_str(), found.directory.as_str());
            assert_eq!(parts, (remote, reference, directory), "{text}");
        }
        let found =
            parse("git://x/y?keep-git-dir&submodules=false&commit=abc&mtime=commit").unwrap();
        assert_eq!((found.keep_git_dir, found.submodules), (Some(true), Some(false)));
        assert!(found.checksum == "abc" && found.commit_times);
    }

    #[test]
    fn what_no_repository_can_mean_is_refused() {
        for (query, expected) in [
            ("what=1", "unexpected query \"what\""),
            ("ref", "query \"ref\" has no value"),
            ("ref=a&ref=b", "query \"ref\" has multiple values"),
            ("tag=a&branch=b", "branch conflicts with tag"),
            ("ref=a&tag=b", "ref conflicts: \"a\" vs \"refs/tags/b\""),
            ("submodules=x", "invalid submodules value: \"x\""),
            (
                "ref=--upload-pack=x",
                "invalid git reference \"--upload-pack=x\": it begins with a dash",
            ),
        ] {
            let error = parse(&format!("https://x/a.git?{query}")).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        for none in
            ["a", "https://x/a", "-u@x:y", "u@-x:y", "file:///x.git", "https://x/%zz.git#%zz"]
        {
            assert!(Repository::parse(none).is_none(), "{none}");
        }
    }
}
