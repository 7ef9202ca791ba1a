//! Sockets in the file system, for root and one group.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, chown};

use crate::error::Error;
use crate::settings::Group;

/// Who may connect may do everything, so it is root and one group.
const SOCKET_MODE: u32 = 0o660;

/// A socket that is listened on; its file is removed when this is dropped.
pub(super) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Listens on `path`, for root and the group.
    ///
    /// # Errors
    /// [`Error::Taken`] when another program listens there. A file left by one that was killed is
    /// replaced.
    pub(super) fn bind(path: &Path, group: &Group) -> Result<Self, Error> {
        let failed = |error| Error::system(format!("listen on {}", path.display()), error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        remove_if_dead(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        // From here on the file is ours to remove.
        let socket = Self { path: path.to_owned(), listener };
        let gid = group_id(group)?;
        chown(path, None, Some(gid)).map_err(|error| failed(error.into()))?;
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
        Ok(socket)
    }

    /// The listening socket.
    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A client that comes later is told by the file's absence that nobody serves.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the file of a socket that nobody listens on any more.
fn remove_if_dead(path: &Path) -> Result<(), Error> {
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::Taken(format!(
            "another program serves on {}; stop it, or serve elsewhere by --host unix:///PATH",
            path.display()
        ))),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| Error::system(format!("remove {}", path.display()), error)),
        // There is nothing, or what there is will be complained about when we bind.
        Err(_) => Ok(()),
    }
}

fn group_id(group: &Group) -> Result<Gid, Error> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    match group {
        Group::Named(name) => find_group(&text, name).ok_or_else(|| {
            Error::setting("group", format!("there is no group {name}; make it by groupadd {name}"))
        }),
        Group::IfThere(name) => Ok(find_group(&text, name).unwrap_or(Gid::ROOT)),
    }
}

/// The id of a group, by its name or its number, in the text of /etc/group.
fn find_group(text: &str, name: &str) -> Option<Gid> {
    let by_name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    by_name.or_else(|| name.parse().ok()).map(Gid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_in_use_is_not_taken_and_a_dead_one_is() {
        let directory = tempfile::tempdir().unwrap();
        let address = directory.path().join("sub/api.sock");
        let group = Group::IfThere("no-such-group");
        let first = Socket::bind(&address, &group).unwrap();
        let mode = fs::metadata(&address).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        assert!(matches!(Socket::bind(&address, &group), Err(Error::Taken(_))));
        drop(first);
        assert!(!address.exists());
        drop(UnixListener::bind(&address).unwrap());
        assert!(Socket::bind(&address, &group).is_ok());
    }

    #[test]
    fn groups_are_found_by_name_and_by_number() {
        let text = "root:x:0:\ndocker:x:998:alice\n";
        assert_eq!(find_group(text, "docker"), Some(Gid::from_raw(998)));
        assert_eq!(find_group(text, "1234"), Some(Gid::from_raw(1234)));
        assert_eq!(find_group(text, "podman"), None);
    }
}
