//! Overlays of many layers before Linux 6.8, where all layers have to be named in one page of
//! options: by names that are relative to the directory that they are all in.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::linux;

/// Mounts `kind` on `target`, which is absolute, in a thread that stands in the layers' directory.
///
/// # Errors
/// Those of mount(2): without a directory that all layers are in, or with names that are too long
/// even so, the kernel's for an argument that is too long.
pub(super) fn mount_shortened(
    source: &str,
    target: &Path,
    kind: &str,
    flags: MountFlags,
    data: &[String],
) -> rustix::io::Result<()> {
    let layers = data.iter().find_map(|option| option.strip_prefix("lowerdir="));
    let common = layers.and_then(common_directory).ok_or(Errno::NAMETOOLONG)?;
    let data = CString::new(shortened(data, &common)).map_err(|_| Errno::INVAL)?;
    if data.as_bytes_with_nul().len() > super::plan::DATA_LIMIT {
        return Err(Errno::NAMETOOLONG);
    }
    thread::scope(|scope| {
        let mounting = scope.spawn(|| -> rustix::io::Result<()> {
            linux::have_own_directory()?;
            rustix::process::chdir(&common)?;
            mount(source, target, kind, flags, data.as_c_str())
        });
        mounting.join().map_err(|_| Errno::IO)?
    })
}

/// The options with names as seen from `common`.
fn shortened(data: &[String], common: &Path) -> String {
    let prefix = format!("{}/", common.display());
    let shorten = |option: &String| match option.split_once('=') {
        Some((key @ ("lowerdir" | "upperdir" | "workdir"), paths)) => {
            let short = |path| str::strip_prefix(path, prefix.as_str()).unwrap_or(path);
            let paths: Vec<&str> = paths.split(':').map(short).collect();
            format!("{key}={}", paths.join(":"))
        }
        _ => option.clone(),
    };
    data.iter().map(shorten).collect::<Vec<_>>().join(",")
}

/// The directory that all these layers are in.
fn common_directory(layers: &str) -> Option<PathBuf> {
    let mut layers = layers.split(':').map(Path::new);
    let mut common = layers.next()?.parent()?.to_owned();
    for layer in layers {
        while !layer.starts_with(&common) {
            common.pop();
        }
    }
    (common.is_absolute() && common != Path::new("/")).then_some(common)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::mount::{UnmountFlags, unmount};

    use super::*;

    #[test]
    fn names_are_as_seen_from_the_directory_that_the_layers_share() {
        let data = ["lowerdir=/d/s/2/fs:/d/s/11/fs", "upperdir=/d/s/12/fs", "index=off"];
        let data = data.map(str::to_owned);
        let common = common_directory("/d/s/2/fs:/d/s/11/fs").unwrap();
        assert_eq!(common, Path::new("/d/s"));
        assert_eq!(shortened(&data, &common), "lowerdir=2/fs:11/fs,upperdir=12/fs,index=off");
        assert_eq!(common_directory("/a/b:/c/d"), None);
        assert_eq!(common_directory("a/b:a/c"), None);
    }

    #[test]
    fn hundreds_of_layers_fit_and_nobody_elses_directory_changes() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let layers: Vec<String> = (0..400).map(|number| format!("{number}/fs")).collect();
        for layer in &layers {
            fs::create_dir_all(at(layer)).unwrap();
            fs::write(at(layer).join(layer.replace('/', "-")), "").unwrap();
        }
        fs::create_dir(at("target")).unwrap();
        let paths: Vec<_> = layers.iter().map(|layer| at(layer).display().to_string()).collect();
        let data = [format!("lowerdir={}", paths.join(":"))];
        let before = std::env::current_dir().unwrap();
        let target = at("target");
        mount_shortened("overlay", &target, "overlay", MountFlags::empty(), &data).unwrap();
        let seen = fs::read_dir(&target).unwrap().count();
        unmount(&target, UnmountFlags::DETACH).unwrap();
        assert_eq!(seen, 400);
        assert_eq!(std::env::current_dir().unwrap(), before);
    }
}
