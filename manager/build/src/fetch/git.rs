//! A repository: one commit of it, and the repositories in it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tare_dockerfile::source::Repository;

use super::program::Git;
use super::{Fetched, Way, address};
use crate::classic::Scratch;
use crate::error::{Error, Result};
use crate::session::{secrets, ssh};
use crate::tree::Tree;

/// The directory of a repository's files, in ours.
const FILES: &str = "files";
/// The directory of what git knows of it, if that doesn't come along.
const KNOWN: &str = "known";
/// What the wanted commit is called there.
const WANTED: &str = "refs/wanted/commit";

/// A commit that is wanted.
struct Commit {
    /// Its name.
    hash: String,
    /// What it was found by, unless that is its name.
    reference: Option<String>,
}

/// Fetches what is wanted of a repository.
///
/// # Errors
/// There is no git, no such repository, or nothing in it that is so called.
pub async fn repository(way: &Way<'_>, repository: &Repository) -> Result<Fetched> {
    if repository.commit_times {
        return Err(Error::unsupported("mtime=commit of a repository"));
    }
    check_checksum(&repository.checksum)?;
    let mut git = Git::new(&way.engine.images.registries().settings().proxies);
    let _agent = show(way, &repository.remote, &mut git).await?;
    let scratch = Scratch::new(&way.engine.config.data_root)?;
    let fetching = Fetching { git, scratch: scratch.path().to_owned(), repository };
    let commit = fetching.find().await?;
    fetching.fetch(&commit).await.map_err(|error| fetching.failed("fetch remote", &error))?;
    let hash = fetching.verify(&commit).await?;
    fetching.check_out(&hash).await?;
    let files = fetching.select()?;
    let root = open(&files)?;
    Ok(Fetched { tree: Tree::new(root, scratch), digest: key(repository, &commit, &hash) })
}

/// What the files are known by.
fn key(repository: &Repository, commit: &Commit, hash: &str) -> String {
    let mut key = hash.to_owned();
    if repository.keep_git_dir == Some(true) {
        key.push_str(".git#");
        key.push_str(commit.reference.as_deref().unwrap_or_default());
    }
    if repository.submodules == Some(false) {
        key.push_str("(skip-submodules)");
    }
    format!("{key}:{}", repository.directory)
}

fn check_checksum(checksum: &str) -> Result<()> {
    if checksum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid checksum {checksum} for Git URL, expected hex commit hash"
    )))
}

/// Has git show what the client has for this repository.
async fn show(way: &Way<'_>, remote: &str, git: &mut Git) -> Result<Option<ssh::AgentSocket>> {
    let Some(session) = way.session else { return Ok(None) };
    if address::is_ssh(remote) {
        if !ssh::has_agent(session, ssh::DEFAULT).await? {
            return Ok(None);
        }
        let access = ssh::Access { uid: 0, gid: 0, mode: 0o700 };
        let agent = ssh::agent(session, ssh::DEFAULT, access, &way.agents)?;
        git.use_agent(&agent.path());
        return Ok(Some(agent));
    }
    let host = address::host(remote);
    let secrets = [
        (format!("GIT_AUTH_HEADER.{host}"), Shown::Header),
        (format!("GIT_AUTH_TOKEN.{host}"), Shown::Token),
        ("GIT_AUTH_HEADER".to_owned(), Shown::Header),
        ("GIT_AUTH_TOKEN".to_owned(), Shown::Token),
    ];
    for (name, shown) in secrets {
        let Some(secret) = secrets::secret(session, &name).await? else { continue };
        let value = match shown {
            Shown::Header => String::from_utf8_lossy(&secret).trim().to_owned(),
            Shown::Token => {
                let token = [b"x-access-token:".as_slice(), secret.trim_ascii()].concat();
                format!("basic {}", STANDARD.encode(token))
            }
        };
        let header = format!("Authorization: {value}");
        git.set(format!("http.{}.extraheader", scope(remote)), header);
        break;
    }
    Ok(None)
}

/// How a secret is shown.
enum Shown {
    Header,
    Token,
}

/// The addresses that a secret for `remote` is shown to: those of one great host share theirs.
fn scope(remote: &str) -> &str {
    let shared = ["https://github.com/", "https://www.github.com/"];
    shared.into_iter().find(|host| remote.starts_with(host)).unwrap_or(remote)
}

/// Whether this is the whole name of a commit.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One repository that is being fetched.
struct Fetching<'a> {
    git: Git,
    scratch: PathBuf,
    repository: &'a Repository,
}

impl Fetching<'_> {
    fn files(&self) -> PathBuf {
        self.scratch.join(FILES)
    }

    /// Where git's own directory is. It comes along only with the whole repository.
    fn known(&self) -> PathBuf {
        if self.keeps_known() { self.files().join(".git") } else { self.scratch.join(KNOWN) }
    }

    fn keeps_known(&self) -> bool {
        self.repository.keep_git_dir == Some(true) && self.repository.directory.is_empty()
    }

    fn failed(&self, doing: &str, error: &Error) -> Error {
        let remote = address::shown(&self.repository.remote);
        Error { message: format!("failed to {doing} {remote}: {}", error.message), ..error.clone() }
    }

    /// Runs git for the files.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let (files, known) = (self.files(), self.known());
        let (files, known) = (files.to_string_lossy(), known.to_string_lossy());
        let mut all = vec!["--work-tree", &files, "--git-dir", &known];
        all.extend_from_slice(arguments);
        self.git.run(&self.files(), &all).await
    }

    /// Which commit is wanted, as the repository has it now.
    async fn find(&self) -> Result<Commit> {
        let Repository { remote, reference, checksum, .. } = self.repository;
        if is_commit(reference) {
            return Ok(Commit { hash: reference.clone(), reference: None });
        }
        if self.repository.fetch_by_commit && is_commit(checksum) {
            return Ok(Commit { hash: checksum.clone(), reference: None });
        }
        let name =
            if reference.is_empty() { self.default_branch().await? } else { reference.clone() };
        let peeled = format!("{name}^{{}}");
        let listed =
            self.git.run(&self.scratch, &["ls-remote", "--", remote, &name, &peeled]).await;
        let listed = listed.map_err(|error| self.failed("fetch remote", &error))?;
        let (hash, reference) = choose(&listed, &name).ok_or_else(|| {
            Error::not_found(format!("repository does not contain ref {name}, output: {listed:?}"))
        })?;
        Ok(Commit { hash, reference: Some(reference) })
    }

    async fn default_branch(&self) -> Result<String> {
        let remote = &self.repository.remote;
        let doing = "error fetching default branch for repository";
        let asked = ["ls-remote", "--symref", "--", remote, "HEAD"];
        let listed = self.git.run(&self.scratch, &asked).await.map_err(|error| Error {
            message: format!("{doing} {}: {}", address::shown(remote), error.message),
            ..error
        })?;
        let found = listed
            .lines()
            .find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD").map(str::to_owned));
        found.ok_or_else(|| {
            Error::not_found(format!(
                "could not find default branch for repository: {}",
                address::shown(remote)
            ))
        })
    }

    /// Gets the commit: alone, if the server gives it so.
    async fn fetch(&self, commit: &Commit) -> Result<()> {
        std::fs::create_dir(self.files()).map_err(|error| Error::io("make a directory", error))?;
        let known = self.known();
        let format =
            if commit.hash.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        let known = known.to_string_lossy();
        self.git.run(&self.scratch, &["init", "--quiet", "--bare", format, &known]).await?;
        let remote = &self.repository.remote;
        let wanted = commit.reference.as_deref().unwrap_or(&commit.hash);
        let as_wanted = format!("+{wanted}:{WANTED}");
        let alone = self
            .run(&["fetch", "--quiet", "--depth=1", "--no-tags", "--", remote, &as_wanted])
            .await;
        match (alone, &commit.reference) {
            (Ok(_), _) => Ok(()),
            (Err(error), Some(_)) if !is_about_depth(&error) => Err(error),
            (Err(_), Some(_)) => self
                .run(&["fetch", "--quiet", "--no-tags", "--", remote, &as_wanted])
                .await
                .map(drop),
            // Servers need not give what no name leads to; all names together may lead to it.
            (Err(_), None) => {
                let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
                self.run(&["fetch", "--quiet", "--no-tags", "--", remote, all[0], all[1]]).await?;
                self.run(&["update-ref", WANTED, &commit.hash]).await.map(drop)
            }
        }
    }

    /// The commit that came, which has to be the one that is asked for.
    async fn verify(&self, commit: &Commit) -> Result<String> {
        let wanted = format!("{WANTED}^{{commit}}");
        let hash = self.run(&["rev-parse", "--verify", &wanted]).await?.trim().to_owned();
        let tag = self.run(&["rev-parse", "--verify", WANTED]).await?.trim().to_owned();
        let checksum = &self.repository.checksum;
        let is_asked_for =
            hash.starts_with(checksum.as_str()) || tag.starts_with(checksum.as_str());
        if !checksum.is_empty() && !is_asked_for {
            return Err(Error::invalid(format!(
                "expected checksum to match {checksum}, got {hash}"
            )));
        }
        if commit.reference.is_none() && hash != commit.hash && tag != commit.hash {
            return Err(Error::invalid(format!("expected commit {}, got {hash}", commit.hash)));
        }
        Ok(hash)
    }

    async fn check_out(&self, hash: &str) -> Result<()> {
        let keeps = self.keeps_known();
        if keeps {
            self.run(&["config", "core.bare", "false"]).await?;
        }
        let checked_out = self.run(&["checkout", "--quiet", "--force", "--detach", hash]).await;
        checked_out.map_err(|error| self.failed("checkout remote", &error))?;
        if self.repository.submodules != Some(false) && self.files().join(".gitmodules").exists() {
            let updated =
                self.run(&["submodule", "update", "--init", "--recursive", "--depth=1"]).await;
            updated.map_err(|error| self.failed("update submodules for", &error))?;
        }
        if keeps {
            let remote = address::shown(&self.repository.remote);
            self.run(&["remote", "add", "origin", &remote]).await?;
            self.run(&["update-ref", "-d", WANTED]).await?;
            self.run(&["reflog", "expire", "--all", "--expire=now"]).await?;
            let _ = std::fs::remove_file(self.known().join("FETCH_HEAD"));
        }
        Ok(())
    }

    /// The directory that is wanted.
    fn select(&self) -> Result<PathBuf> {
        let directory = &self.repository.directory;
        if directory.is_empty() {
            return Ok(self.files());
        }
        use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
        let root = open(&self.files())?;
        // No link of the repository leads out of it.
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&root, directory.as_str(), flags, Mode::empty(), within).map_err(|errno| {
            Error::io(format_args!("failed to open subdir {directory}"), errno.into())
        })?;
        Ok(self.files().join(directory))
    }
}

fn is_about_depth(error: &Error) -> bool {
    error.message.contains("--depth") || error.message.contains("shallow")
}

/// Which of the names that a server lists is meant by `name`, and its commit: a full name before a
/// branch, and that before a tag.
fn choose(listed: &str, name: &str) -> Option<(String, String)> {
    let bare = |prefix: &str| format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name));
    let (partial, head, tag) = (bare("refs/"), bare("refs/heads/"), bare("refs/tags/"));
    let find = |wanted: &str| {
        listed.lines().find_map(|line| {
            let (hash, reference) = line.split_once('\t')?;
            (reference == wanted && is_commit(hash)).then(|| hash.to_owned())
        })
    };
    [partial, head, tag].into_iter().find_map(|reference| Some((find(&reference)?, reference)))
}

fn open(directory: &Path) -> Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::empty())
        .map_err(|errno| Error::io(format_args!("open {}", directory.display()), errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_come_before_tags() {
        let (one, two, three) = ("1".repeat(40), "2".repeat(40), "3".repeat(40));
        let listed = format!(
            "{one}\trefs/heads/v1\n{two}\trefs/tags/v1\n{three}\trefs/tags/v1^{{}}\n{three}\trefs/tags/v2\n"
        );
        assert_eq!(choose(&listed, "v1").unwrap(), (one.clone(), "refs/heads/v1".to_owned()));
        assert_eq!(choose(&listed, "heads/v1").unwrap().0, one);
        assert_eq!(choose(&listed, "refs/tags/v1").unwrap().0, two);
        assert_eq!(choose(&listed, "v2").unwrap().1, "refs/tags/v2");
        assert!(choose(&listed, "v3").is_none());
        assert!(is_commit(&one) && !is_commit("v1"));
        check_checksum("0aF").unwrap();
        check_checksum("--x").unwrap_err();
    }
}
