//! `linux.resources.unified`: files of v2 by their own names.

use std::collections::HashMap;
use std::path::Path;

use rustix::io::Errno;

use super::super::controller::Controller;
use super::super::file;
use crate::error::{Error, Result};

/// Writes each value to the file that its key names, line by line, in the order of the keys.
pub(super) fn set(
    directory: &Path,
    controllers: &[Controller],
    values: Option<&HashMap<String, String>>,
) -> Result<()> {
    let mut values: Vec<_> = values.into_iter().flatten().collect();
    values.sort();
    for (key, value) in values {
        if key.contains('/') {
            return Err(Error::invalid(format!(
                "unified resource {key:?} must be a file name (no slashes)"
            )));
        }
        for line in value.lines() {
            file::try_write(directory, key, line)
                .map_err(|errno| explain(directory, controllers, key, line, errno))?;
        }
    }
    Ok(())
}

/// A file that is not there usually means a controller that is not there.
fn explain(
    directory: &Path,
    controllers: &[Controller],
    key: &str,
    line: &str,
    errno: Errno,
) -> Error {
    if errno != Errno::NOENT && errno != Errno::PERM {
        return file::refused(directory, key, line, errno);
    }
    let Some((controller, _)) = key.split_once('.') else {
        return Error::invalid(format!(
            "unified resource {key:?} must be in the form CONTROLLER.PARAMETER"
        ));
    };
    let present = controllers.iter().any(|present| present.v2_name() == Some(controller));
    if present || controller == "cgroup" {
        return file::refused(directory, key, line, errno);
    }
    Error::unsupported(format!(
        "unified resource {key:?} can't be set: controller {controller:?} not available"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let values = HashMap::from([(key.to_owned(), "1".to_owned())]);
        set(directory.path(), &[Controller::Memory], Some(&values)).unwrap_err().to_string()
    }

    #[test]
    fn each_bad_key_has_its_own_answer() {
        assert!(text("../memory.max").contains("no slashes"));
        assert!(text("memory").contains("CONTROLLER.PARAMETER"));
        assert!(text("hugetlb.2MB.max").contains("controller \"hugetlb\" not available"));
        assert!(text("memory.typo").contains("no such file"));
    }
}
