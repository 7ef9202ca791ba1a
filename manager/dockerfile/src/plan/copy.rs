//! COPY and ADD.

use super::graph::StageId;
use super::operation::{Archive, Copying, Item, Origin, Selection, Work};
use super::options::Manner;
use super::state::Running;
use crate::error::{Error, Result};
use crate::instruction::{Add, Copy, Sources, Step};
use crate::lint::Finding;
use crate::shell::Expansion;
use crate::source::{self, Mode, Repository, Source};
use crate::text::{path, quote::quoted};

/// What both have in common, with variables replaced.
struct Given {
    paths: Vec<String>,
    documents: Vec<(String, String)>,
    destination: String,
    owner: String,
    mode: String,
}

impl Running<'_> {
    pub(super) fn copy(
        &mut self,
        step: &Step,
        copy: &Copy,
        origin: Option<StageId>,
        triggered: bool,
    ) -> Result<(Work, String)> {
        let given = self.given(step, &copy.sources, &copy.owner, &copy.mode)?;
        self.refuse_mode(&given.mode)?;
        if origin.is_some_and(|stage| !self.is_before(stage)) {
            return Err(Error::new(format!(
                "cannot copy from stage {}, it needs to be defined before current stage {}",
                quoted(copy.from.as_deref().unwrap_or_default()),
                quoted(self.label)
            )));
        }
        let origin = origin.map_or(Origin::Context, Origin::Stage);
        let mode = mode(&given.mode)?;
        let mut items = Vec::new();
        for written in &given.paths {
            match Source::parse(written)? {
                Source::Git(_) => {
                    return Err(Error::new("source can't be a git ref for COPY"));
                }
                Source::Url(_) => return Err(Error::new("source can't be a URL for COPY")),
                Source::Path(path) => {
                    if origin == Origin::Context {
                        self.need(step, "Copy", &path);
                    }
                    items.push(files(origin, &path, copy.parents, Archive::Kept));
                }
            }
        }
        let parents = if copy.parents { " --parents" } else { "" };
        let text = self.noted("COPY", parents, &given);
        self.finish(step, text, given, items, triggered, |destination, owner, items| Copying {
            items,
            destination,
            owner,
            mode,
            exclude: copy.exclude.clone(),
            link: copy.link,
        })
    }

    pub(super) fn add(
        &mut self,
        step: &Step,
        add: &Add,
        triggered: bool,
    ) -> Result<(Work, String)> {
        let given = self.given(step, &add.sources, &add.owner, &add.mode)?;
        self.refuse_mode(&given.mode)?;
        let checksum = self.expand(step, &add.checksum)?;
        let mode = mode(&given.mode)?;
        require_checksum_possible(&checksum, &given.paths)?;
        let mut items = Vec::new();
        for written in &given.paths {
            items.push(match Source::parse(written)? {
                Source::Git(repository) => Item::Git(repository_of(repository, add, &checksum)?),
                Source::Url(url) => {
                    if !checksum.is_empty() {
                        source::digest(&checksum)?;
                    }
                    Item::Url {
                        name: source::file_name(&url),
                        url,
                        checksum: Some(checksum.clone()).filter(|checksum| !checksum.is_empty()),
                        archive: archive(add.unpack.unwrap_or(false)),
                    }
                }
                Source::Path(path) => {
                    self.need(step, "Add", &path);
                    files(Origin::Context, &path, false, archive(add.unpack.unwrap_or(true)))
                }
            });
        }
        let text = self.noted("ADD", "", &given);
        self.finish(step, text, given, items, triggered, |destination, owner, items| Copying {
            items,
            destination,
            owner,
            mode,
            exclude: add.exclude.clone(),
            link: add.link,
        })
    }

    fn given(&mut self, step: &Step, sources: &Sources, owner: &str, mode: &str) -> Result<Given> {
        let owner = self.expand(step, owner)?;
        let mode = self.expand(step, mode)?;
        let mut paths = Vec::with_capacity(sources.paths.len());
        for path in &sources.paths {
            paths.push(self.expand(step, path)?);
        }
        let destination = self.expand(step, &sources.destination)?;
        let mut documents = Vec::with_capacity(sources.documents.len());
        for document in &sources.documents {
            let text = if document.expand {
                self.expand_with(Expansion::of_document(), step, &document.text)?.text
            } else {
                document.text.clone()
            };
            documents.push((document.name.clone(), text));
        }
        Ok(Given { paths, documents, destination, owner, mode })
    }

    fn finish(
        &mut self,
        step: &Step,
        text: String,
        given: Given,
        mut items: Vec<Item>,
        triggered: bool,
        copying: impl FnOnce(String, String, Vec<Item>) -> Copying,
    ) -> Result<(Work, String)> {
        let documents = given.documents.into_iter();
        items.extend(documents.map(|(name, text)| Item::Document { name, text }));
        let shown = self.shown(step)?;
        let title = self.title(&shown, triggered);
        let destination = path::destination(self.state.directory(), &given.destination);
        self.note_layer(text)?;
        Ok((Work::Copy(Box::new(copying(destination, given.owner, items))), title))
    }

    /// The instruction, as it stands in the history.
    fn noted(&self, instruction: &str, parents: &str, given: &Given) -> String {
        if self.options.manner == Manner::Classic {
            return self.noted_copy(instruction, &given.owner, &given.destination);
        }
        let mut text = format!("{instruction}{parents}");
        for (flag, value) in [("chown", &given.owner), ("chmod", &given.mode)] {
            if !value.is_empty() {
                text.push_str(&format!(" --{flag}={value}"));
            }
        }
        for path in &given.paths {
            text.push_str(&format!(" {path}"));
        }
        for (name, _) in &given.documents {
            text.push_str(&format!(" <<{name}"));
        }
        format!("{text} {} # buildkit", given.destination)
    }

    /// Notes that a path of the context is needed, and reports it if it is not in there.
    fn need(&mut self, step: &Step, instruction: &'static str, written: &str) {
        let clean = path::clean(written);
        self.context_paths.insert(path::join("/", &clean));
        let ignored = &self.options.ignored;
        // What is taken back can be something in a directory that is left out.
        if ignored.is_empty() || ignored.has_exceptions() {
            return;
        }
        let is_root = clean == "." || clean == "/";
        if ignored.ignores(&clean) && (!is_root || ignored.leaves_nothing()) {
            self.report(step, Finding::CopyIgnoredFile { instruction, path: clean });
        }
    }
}

fn mode(text: &str) -> Result<Option<Mode>> {
    if text.is_empty() { Ok(None) } else { Mode::parse(text).map(Some) }
}

fn archive(unpacked: bool) -> Archive {
    if unpacked { Archive::Unpacked } else { Archive::Kept }
}

/// Files at `written`; with their parents, those below `/./` in it if that is there.
fn files(origin: Origin, written: &str, parents: bool, archive: Archive) -> Item {
    if !parents {
        let path = path::join("/", written);
        return Item::Files { origin, path, selection: None, archive };
    }
    let (top, pattern) = written.split_once("/./").unwrap_or(("/", written));
    let pattern = path::join("/", pattern);
    let all_known = !source::has_wildcards(top) && !source::has_wildcards(&pattern);
    let selection = Selection {
        required: all_known.then(|| path::join("/", &format!("{top}/{pattern}"))),
        pattern: pattern.trim_start_matches('/').to_owned(),
    };
    let path = path::join("/", top);
    Item::Files { origin, path, selection: Some(selection), archive }
}

fn require_checksum_possible(checksum: &str, paths: &[String]) -> Result<()> {
    if checksum.is_empty() {
        return Ok(());
    }
    let [path] = paths else {
        return Err(Error::new("checksum can't be specified for multiple sources"));
    };
    match Source::parse(path)? {
        Source::Path(_) => Err(Error::new("checksum requires HTTP(S) or Git sources")),
        Source::Url(_) | Source::Git(_) => Ok(()),
    }
}

fn repository_of(mut repository: Repository, add: &Add, checksum: &str) -> Result<Repository> {
    if let (Some(said), Some(asked)) = (add.keep_git_dir, repository.keep_git_dir)
        && said != asked
    {
        return Err(Error::new("inconsistent keep-git-dir configuration"));
    }
    repository.keep_git_dir = repository.keep_git_dir.or(add.keep_git_dir);
    let asked = &repository.checksum;
    if !checksum.is_empty() && !asked.is_empty() && checksum != asked {
        let (said, asked) = (quoted(checksum), quoted(asked));
        return Err(Error::new(format!("checksum mismatch {said} != {asked}")));
    }
    if asked.is_empty() {
        checksum.clone_into(&mut repository.checksum);
    }
    if repository.checksum.starts_with('-') {
        return Err(Error::new("invalid checksum: it begins with a dash"));
    }
    Ok(repository)
}
