//! From an archive into a container.

use std::io::Read;
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::super::id::ContainerId;
use super::super::looking::Looking;
use super::super::view::{Access, Found, Last, View};
use super::super::work::{blocking, to_the_end};
use super::super::{Containers, announce};
use super::not_there;
use super::within::Within;
use crate::error::{Error, Result};
use crate::given_up::GiveUp;
use crate::image::archive::Archive;
use crate::image::stream::incoming;

/// How an archive is unpacked in a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyInto {
    /// A directory may be replaced by something else, and the other way round.
    pub replace_directories: bool,
    /// All belongs to the container's user, if it has one.
    pub own: bool,
}

impl Containers {
    /// Unpacks `archive` in the directory `path` of the container, which its user called `name`.
    ///
    /// # Errors
    /// Not found, in docker's words, if nothing is there; invalid if it is no directory or may not
    /// be written, and for a broken archive. What was unpacked until then stays.
    pub async fn copy_in<R>(
        self: &Arc<Self>,
        id: &ContainerId,
        name: &str,
        path: &str,
        options: CopyInto,
        archive: R,
    ) -> Result<()>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let (containers, entry) = (Arc::clone(self), self.index.get(id)?);
        let (name, path) = (name.to_owned(), path.to_owned());
        let archive = incoming(archive);
        to_the_end(async move {
            let doing = entry.doing.lock().await;
            let container = entry.container();
            // Nothing starts or removes it while its layer is changed by us.
            let held = container.state.life().is_none().then_some(doing);
            let looking = containers.looking(&entry)?;
            blocking(move || unpack(&looking, &name, &path, options, archive)).await?;
            drop(held);
            announce::announce(&containers.events, &container, "extract-to-dir");
            Ok(())
        })
        .await
    }
}

fn unpack(
    looking: &Looking,
    name: &str,
    path: &str,
    options: CopyInto,
    archive: impl Read + Send + 'static,
) -> Result<()> {
    let view = looking.view()?;
    let rooted = format!("/{path}");
    let place = view
        .find(rooted.as_bytes(), Last::Follow)
        .map_err(|stopped| not_there(&stopped, "lstat", path, name))?;
    check(&place)?;
    let owner = match looking.container.config.user.as_str() {
        user if options.own && !user.is_empty() => Some(owner(&view, user)?),
        _ => None,
    };
    let waiting = GiveUp::default();
    let mut archive = Archive::new(looking.uncompressed(archive, &waiting.watched())?);
    let mut within = Within::new(&view, &place, owner, options.replace_directories);
    while let Some(entry) = archive.next()? {
        within.apply(entry, &mut archive)?;
    }
    archive.drain()?;
    within.finish()
}

/// The user and group of `user`, by the container's own files.
fn owner(view: &View, user: &str) -> Result<(u32, u32)> {
    let account = view.accounts()?.resolve(user, &[])?;
    Ok((account.user.uid, account.user.gid))
}

/// Whether a directory can be unpacked into, in docker's words.
fn check(place: &Found) -> Result<()> {
    if !place.is_directory() {
        return Err(Error::invalid("extraction point is not a directory"));
    }
    match place.access {
        Access::Write => Ok(()),
        Access::ReadRoot => Err(Error::invalid("container rootfs is marked read-only")),
        Access::ReadMount => Err(Error::invalid("mounted volume is marked read-only")),
    }
}
