//! What is copied from elsewhere, and how what is copied is changed.

mod checksum;
mod git;
mod mode;

pub use git::Repository;
pub use mode::Mode;

pub(crate) use checksum::digest;

use crate::error::Result;
use crate::text::path;

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path in a context, a stage or an image.
    Path(String),
    /// An address that a file is fetched from.
    Url(String),
    /// A repository.
    Git(Repository),
}

impl Source {
    /// Says what `text` is.
    ///
    /// # Errors
    /// The address of a repository that asks for what doesn't exist.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(repository) = Repository::parse(text) {
            return repository.map(Self::Git);
        }
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        let text = text.to_owned();
        Ok(if is_url { Self::Url(text) } else { Self::Path(text) })
    }
}

/// The name of a file that is fetched from `url`, as far as the address has one.
pub(crate) fn file_name(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = after_scheme.split(['?', '#']).next().unwrap_or_default();
    let path = address.find('/').map_or("", |slash| &address[slash..]);
    let path = git::decoded(path).unwrap_or_default();
    match path::base(&path) {
        "." | "/" | ".." => "__unnamed__".to_owned(),
        name => name.to_owned(),
    }
}

/// Whether `name` stands for several files.
pub(crate) fn has_wildcards(name: &str) -> bool {
    let mut characters = name.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => _ = characters.next(),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart_by_their_text() {
        for path in ["a", "./a.git", "/a", "github.com", "a@b", "ftp://x/y", "http:/x", "git@x/y"] {
            assert_eq!(Source::parse(path), Ok(Source::Path(path.to_owned())));
        }
        for url in ["http://x/a.tar", "https://x/a.git.tar"] {
            assert_eq!(Source::parse(url), Ok(Source::Url(url.to_owned())));
        }
        for git in ["https://x/a.git", "git@x:y", "git://x/y", "ssh://git@x/y"] {
            assert!(matches!(Source::parse(git), Ok(Source::Git(_))), "{git}");
        }
    }

    #[test]
    fn files_have_the_last_name_of_their_address() {
        for (url, expected) in [
            ("https://x/a/b.tar.gz?c=/d#e", "b.tar.gz"),
            ("https://x/a%20b/", "a b"),
            ("https://x/", "__unnamed__"),
            ("https://x", "__unnamed__"),
            ("https://x?a/b", "__unnamed__"),
            ("https://x/a/..", "__unnamed__"),
        ] {
            assert_eq!(file_name(url), expected);
        }
        assert!(has_wildcards("a*") && has_wildcards("a[b]") && !has_wildcards("a\\*b"));
    }
}
