//! Contexts that are elsewhere: at an address, in a repository.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use tare_core::snapshot::{Devices, is_archive};
use tare_dockerfile::source::Repository;

use super::build::{Build, Client};
use super::fetched::way;
use crate::attrs::Attrs;
use crate::builder::Builder;
use crate::classic::Scratch;
use crate::error::{Error, Result};
use crate::fetch;
use crate::progress::Journal;
use crate::tree::Tree;

/// What a file is called that a context is fetched as.
const FILE: &str = "context";

/// A context that was fetched.
pub(super) struct Remote {
    pub(super) tree: Tree,
    /// The Dockerfile in it, if that is all there is.
    pub(super) file: Option<String>,
}

/// Fetches the build's own context.
pub(super) async fn context(
    builder: &Arc<Builder>,
    client: &Client,
    address: &str,
    attrs: &Attrs,
    journal: &Journal,
) -> Result<Remote> {
    let title = "[internal] load remote build context";
    let remote = fetch(builder, client, address, attrs.keep_git_directory, title, journal).await?;
    let tree = match &attrs.context_directory {
        Some(directory) => below(&remote.tree, directory)?,
        None => remote.tree,
    };
    Ok(Remote { tree, file: remote.file })
}

/// Fetches a context that has a name.
pub(super) async fn named(build: &Build, name: &str, address: &str) -> Result<Tree> {
    let keeps = build.request.attrs.keep_git_directory;
    let title = format!("[context {name}] load from {}", fetch::shown(address));
    let remote =
        fetch(&build.builder, &build.client, address, keeps, &title, &build.journal).await?;
    Ok(remote.tree)
}

async fn fetch(
    builder: &Arc<Builder>,
    client: &Client,
    address: &str,
    keeps_git: bool,
    title: &str,
    journal: &Journal,
) -> Result<Remote> {
    let way = way(builder, client).await?;
    if let Some(repository) = Repository::parse_context(address) {
        let mut repository = repository.map_err(|error| Error::invalid(error.to_string()))?;
        if keeps_git {
            repository.keep_git_dir = Some(true);
        }
        let title = format!("[internal] load git source {}", fetch::shown(address));
        let vertex = journal.vertex(&title, &[]);
        let fetched = vertex.run(fetch::repository(&way, &repository)).await?;
        return Ok(Remote { tree: fetched.tree, file: None });
    }
    if !address.starts_with("http://") && !address.starts_with("https://") {
        return Err(Error::unsupported(format!("the context {}", fetch::shown(address))));
    }
    let vertex = journal.vertex(title, &[]);
    let fetching = async {
        let wanted = fetch::Wanted { url: address, name: FILE, checksum: None };
        let tree = fetch::file(&way, wanted, &vertex).await?.tree;
        let builder = Arc::clone(builder);
        let unpacking = tokio::task::spawn_blocking(move || unpacked(&builder, tree));
        unpacking.await.map_err(|error| Error::system(format!("unpack a context: {error}")))?
    };
    vertex.run(fetching).await
}

/// What an archive has; anything else is a Dockerfile.
fn unpacked(builder: &Builder, tree: Tree) -> Result<Remote> {
    let open = || -> Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(tree.root(), FILE, flags, Mode::empty());
        Ok(file.map_err(|errno| Error::io("open a context", errno.into()))?.into())
    };
    if !is_archive(open()?, FILE) {
        return Ok(Remote { tree, file: Some(FILE.to_owned()) });
    }
    let scratch = Scratch::new(&builder.engine.config.data_root)?;
    let root = scratch.open()?;
    let snapshots = builder.engine.images.snapshots();
    snapshots.unpack_files_now(open()?, &root, Devices::Refuse)?;
    Ok(Remote { tree: Tree::new(root, scratch), file: None })
}

/// A directory of a tree.
fn below(tree: &Tree, directory: &str) -> Result<Tree> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let root: OwnedFd =
        openat2(tree.root(), directory, flags, Mode::empty(), within).map_err(|errno| {
            Error::io(format_args!("open {directory} of the context"), errno.into())
        })?;
    Ok(Tree::new(root, tree.clone()))
}
