//! COPY and ADD.

use super::flag::Flags;
use crate::error::{Error, Result};
use crate::syntax::{Arguments, Heredoc, Keyword, Node};

/// What is copied, and to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Paths, of COPY; of ADD, addresses and repositories as well.
    pub paths: Vec<String>,
    /// Files whose content is in the Dockerfile.
    pub documents: Vec<Document>,
    /// Where it goes.
    pub destination: String,
}

/// A file whose content is in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name.
    pub name: String,
    /// Its content.
    pub text: String,
    /// Variables in it are replaced.
    pub expand: bool,
}

/// The instruction COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What is copied, and to where.
    pub sources: Sources,
    /// The stage, the image or the context that it comes from; the context, if none.
    pub from: Option<String>,
    /// Whom the copies belong to.
    pub owner: String,
    /// Their mode.
    pub mode: String,
    /// They are a layer that doesn't depend on what is below.
    pub link: bool,
    /// The directories that they are in are made as well.
    pub parents: bool,
    /// What is left out.
    pub exclude: Vec<String>,
}

/// The instruction ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// What is copied, and to where.
    pub sources: Sources,
    /// Whom the copies belong to.
    pub owner: String,
    /// Their mode.
    pub mode: String,
    /// They are a layer that doesn't depend on what is below.
    pub link: bool,
    /// What is left out.
    pub exclude: Vec<String>,
    /// What was fetched has to have this digest, or be this commit.
    pub checksum: String,
    /// The directory `.git` of a repository comes along.
    pub keep_git_dir: Option<bool>,
    /// Archives are unpacked; those from the context always are, unless this says no.
    pub unpack: Option<bool>,
}

pub(super) fn copy(node: &Node) -> Result<Copy> {
    let sources = sources(node, Keyword::Copy)?;
    let flags = Flags::read(Keyword::Copy, &node.flags)?;
    Ok(Copy {
        sources: sources.read()?,
        from: Some(flags.text("from")).filter(|from| !from.is_empty()),
        owner: flags.text("chown"),
        mode: flags.text("chmod"),
        link: flags.switch("link").unwrap_or(false),
        parents: flags.switch("parents").unwrap_or(false),
        exclude: flags.list("exclude"),
    })
}

pub(super) fn add(node: &Node) -> Result<Add> {
    let sources = sources(node, Keyword::Add)?;
    let flags = Flags::read(Keyword::Add, &node.flags)?;
    Ok(Add {
        sources: sources.read()?,
        owner: flags.text("chown"),
        mode: flags.text("chmod"),
        link: flags.switch("link").unwrap_or(false),
        exclude: flags.list("exclude"),
        checksum: flags.text("checksum"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
    })
}

/// The words of an instruction that has enough of them.
struct Written<'a> {
    keyword: Keyword,
    sources: &'a [String],
    destination: &'a str,
    heredocs: &'a [Heredoc],
}

fn sources(node: &Node, keyword: Keyword) -> Result<Written<'_>> {
    let words: &[String] = match &node.arguments {
        Arguments::Words(words) | Arguments::List(words) => words,
        _ => &[],
    };
    match words.split_last() {
        Some((destination, sources)) if !sources.is_empty() => {
            Ok(Written { keyword, sources, destination, heredocs: &node.heredocs })
        }
        _ => Err(Error::new(format!(
            "{} requires at least two arguments, but only one was provided. Destination could not be determined",
            keyword.name()
        ))),
    }
}

impl Written<'_> {
    fn read(&self) -> Result<Sources> {
        if is_document(self.destination) {
            return Err(Error::new(format!(
                "{} cannot accept a heredoc as a destination",
                self.keyword.name()
            )));
        }
        let mut sources = Sources {
            paths: Vec::new(),
            documents: Vec::new(),
            destination: self.destination.to_owned(),
        };
        for source in self.sources {
            match Heredoc::parse(source).ok().flatten() {
                Some(place) => sources.documents.push(self.document(place)),
                None => sources.paths.push(source.clone()),
            }
        }
        Ok(sources)
    }

    fn document(&self, place: Heredoc) -> Document {
        // Of those with the same name, the last is meant.
        let text = self
            .heredocs
            .iter()
            .rfind(|heredoc| heredoc.name == place.name)
            .map(|heredoc| Heredoc { chomp: place.chomp, ..heredoc.clone() }.text());
        Document { name: place.name, text: text.unwrap_or_default(), expand: place.expand }
    }
}

fn is_document(word: &str) -> bool {
    matches!(Heredoc::parse(word), Ok(Some(_)))
}
