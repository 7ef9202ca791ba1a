//! Whether a directory is what an archive says.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::EntryType;

use crate::api::Wrong;

/// Compares each entry of `archive`, and looks that there is nothing else.
pub(crate) fn compare(archive: &[u8], directory: &Path) -> Result<(), Wrong> {
    let mut expected = BTreeSet::new();
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = entry.path().map_err(|error| error.to_string())?.into_owned();
        let name = deleted(&name).unwrap_or(name);
        let path = directory.join(&name);
        entry_is(&mut entry, &path).map_err(|error| format!("{}: {error}", path.display()))?;
        expected.extend(path.ancestors().take_while(|path| *path != directory).map(Path::to_owned));
    }
    let mut there = BTreeSet::new();
    walk(directory, &mut there).map_err(|error| format!("{}: {error}", directory.display()))?;
    match there.difference(&expected).next() {
        Some(more) => Err(format!("{} is not in the archive", more.display())),
        None => Ok(()),
    }
}

/// The name that a mark says is deleted.
fn deleted(name: &Path) -> Option<PathBuf> {
    let deleted = name.file_name()?.to_str()?.strip_prefix(".wh.")?;
    Some(name.with_file_name(deleted))
}

fn entry_is(entry: &mut tar::Entry<'_, impl Read>, path: &Path) -> Result<(), Wrong> {
    let shown = |error: std::io::Error| error.to_string();
    let is_mark = entry
        .path()
        .map_err(shown)?
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(".wh."));
    let there = path.symlink_metadata().map_err(shown)?;
    let kind = there.file_type();
    if is_mark {
        let right = kind.is_char_device() && there.rdev() == 0;
        return if right { Ok(()) } else { Err("it is no mark of a deleted file".to_owned()) };
    }
    let header = entry.header().clone();
    let right = match header.entry_type() {
        EntryType::Directory => kind.is_dir(),
        EntryType::Symlink => {
            let target = header.link_name().map_err(shown)?;
            kind.is_symlink() && fs::read_link(path).ok().as_deref() == target.as_deref()
        }
        _ => kind.is_file(),
    };
    if !right {
        return Err(format!("it is {kind:?}"));
    }
    if !kind.is_symlink() && there.mode() & 0o7777 != header.mode().map_err(shown)? {
        return Err(format!("its mode is {:o}", there.mode()));
    }
    if kind.is_file() {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(shown)?;
        if fs::read(path).map_err(shown)? != content {
            return Err(format!("it has another content in {} bytes", there.len()));
        }
    }
    Ok(())
}

fn walk(directory: &Path, all: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), all)?;
        }
        all.insert(entry.path());
    }
    Ok(())
}
