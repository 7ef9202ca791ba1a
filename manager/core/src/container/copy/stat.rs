//! What is at a path in a container.

use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::FileType;

use super::super::Containers;
use super::super::id::ContainerId;
use super::super::view::{Found, Last, View};
use super::super::work::blocking;
use super::not_there;
use crate::error::Result;

/// What is at a path, for whoever is about to copy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// The last part of the path that was asked for.
    pub name: String,
    /// Its bytes.
    pub size: i64,
    /// Its kind and permissions, as `stat(2)` has them.
    pub mode: u32,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Where a symbolic link leads, as far as that can be told; from the root.
    pub link_target: String,
}

impl Containers {
    /// What is at `path` in the container, which its user called `name`.
    ///
    /// # Errors
    /// Not found, in docker's words, if nothing is.
    pub async fn path_stat(
        self: &Arc<Self>,
        id: &ContainerId,
        name: &str,
        path: &str,
    ) -> Result<PathStat> {
        let looking = self.looking(&self.index.get(id)?)?;
        let (name, path) = (name.to_owned(), path.to_owned());
        blocking(move || {
            let view = looking.view()?;
            let found = view
                .find(path.as_bytes(), Last::Keep)
                .map_err(|stopped| not_there(&stopped, "lstat", &path, &name))?;
            Ok(PathStat::of(&view, &found, &path))
        })
        .await
    }
}

impl PathStat {
    pub(super) fn of(view: &View, found: &Found, path: &str) -> Self {
        let stat = &found.stat;
        let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        let link_target = if found.is_link() {
            let target = match view.find(path.as_bytes(), Last::Follow) {
                Ok(target) => target.path,
                Err(stopped) => stopped.path,
            };
            format!("/{}", String::from_utf8_lossy(&target))
        } else {
            String::new()
        };
        Self {
            name: base(path).to_owned(),
            size: stat.st_size,
            mode: stat.st_mode,
            modified: Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or_default(),
            link_target,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

/// The last part of a path: `.` if it ends so, `/` for the root.
pub(super) fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return if path.is_empty() { "." } else { "/" };
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_what_go_calls_the_base() {
        for (path, expected) in
            [("/a/b", "b"), ("/a/b/", "b"), ("/a/b/.", "."), ("/", "/"), ("//", "/"), ("a", "a")]
        {
            assert_eq!(base(path), expected, "{path}");
        }
    }
}
