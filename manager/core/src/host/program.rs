//! Finding programs as a shell does.

use std::env;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Where the program `name` is: `name` itself if it has a slash, else the first directory of `PATH`
/// that has an executable file of that name.
pub fn find_program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return is_program(name).then(|| name.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_paths_are_not() {
        assert!(find_program(Path::new("sh")).is_some_and(|found| found.ends_with("sh")));
        assert_eq!(find_program(Path::new("/bin/sh")), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_program(Path::new("/etc/passwd")), None);
        assert_eq!(find_program(Path::new("no-such-program-here")), None);
    }
}
