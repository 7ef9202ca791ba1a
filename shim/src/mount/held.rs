//! Layers that are mounted nowhere: a manager holds them open, and names them by its descriptors.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use crate::error::{Context, Error, Result};

/// The kernel's number of EROFS, the only file system that managers mount nowhere.
const EROFS: i64 = 0xe0f5_e1e2;

/// Options that name a manager's descriptors by this process's own.
pub(super) struct Held {
    pub(super) data: Vec<String>,
    layers: Vec<OwnedFd>,
}

/// Opens the layers among the options `data` that are held by a manager.
///
/// # Errors
/// The manager has ended: what has its number and descriptor now may be anybody's, but only who
/// administers the host can have opened such a file system.
pub(super) fn hold(data: &[String]) -> Result<Held> {
    let mut held = Held { data: Vec::with_capacity(data.len()), layers: Vec::new() };
    for option in data {
        let Some(layers) = option.strip_prefix("lowerdir=") else {
            held.data.push(option.clone());
            continue;
        };
        let own: Vec<String> =
            layers.split(':').map(|path| held.own(path)).collect::<Result<_>>()?;
        held.data.push(format!("lowerdir={}", own.join(":")));
    }
    Ok(held)
}

impl Held {
    /// By which path this process finds a layer.
    fn own(&mut self, path: &str) -> Result<String> {
        if !is_descriptor(path) {
            return Ok(path.to_owned());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let layer = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .context(|| format!("open the layer {path} of the manager"))?;
        let system = rustix::fs::fstatfs(&layer).context(|| format!("look at the layer {path}"))?;
        if system.f_type != EROFS {
            return Err(Error::precondition(format!(
                "the layer {path} is not what it was: the manager that held it has ended"
            )));
        }
        let own = format!("/proc/self/fd/{}", layer.as_raw_fd());
        self.layers.push(layer);
        Ok(own)
    }
}

/// Whether this is `/proc/<process>/fd/<number>`.
fn is_descriptor(path: &str) -> bool {
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    path.strip_prefix("/proc/")
        .and_then(|rest| rest.split_once("/fd/"))
        .is_some_and(|(process, descriptor)| is_number(process) && is_number(descriptor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_others_are_told_from_other_paths() {
        assert!(is_descriptor("/proc/12/fd/3"));
        for path in ["/proc/self/fd/3", "/proc/12/fd/3/in", "/data/12/fs", "/proc/12/fd/", "fd/3"] {
            assert!(!is_descriptor(path), "{path}");
        }
    }

    #[test]
    fn a_descriptor_that_has_become_something_else_is_refused() {
        let directory = std::fs::File::open("/").unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), directory.as_raw_fd());
        let options = [format!("lowerdir=/a:{path}"), "upperdir=/b".to_owned()];
        let error = hold(&options).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
        let others = ["lowerdir=/a:/c".to_owned(), "upperdir=/b".to_owned()];
        assert_eq!(hold(&others).unwrap().data, others);
    }
}
