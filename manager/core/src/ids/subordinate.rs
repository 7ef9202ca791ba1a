//! The setting `userns-remap`, by the host's accounts and their subordinate ids.

use std::path::{Path, PathBuf};

use super::map::IdMap;
use crate::error::{Error, Result};

/// What stands for the account that is made for this, and that account.
const DEFAULT: (&str, &str) = ("default", "dockremap");

/// Where a host has its accounts.
#[derive(Debug, Clone)]
pub struct Accounts {
    directory: PathBuf,
}

/// An account or a group.
struct Named {
    name: String,
    id: u32,
}

/// The ids that the setting `setting` gives to containers: `default`, or a user and perhaps a group,
/// by name or number. `None`: root stays root, as docker has it.
///
/// # Errors
/// [`crate::Kind::Invalid`] if there is no such account, or it has no ids to give; with what to do.
pub fn of_setting(setting: &str, accounts: &Accounts) -> Result<Option<IdMap>> {
    let (user, group) = match setting.split_once(':') {
        Some((_, group)) if group.contains(':') => {
            return Err(Error::invalid(format!(
                "Invalid user/group specification in --userns-remap: {setting:?}"
            )));
        }
        Some((user, group)) => (user, Some(group)),
        None => (setting, None),
    };
    let name = if user == DEFAULT.0 { DEFAULT.1 } else { user };
    let account = accounts.find("passwd", name)?.ok_or_else(|| unknown_user(user, name))?;
    // Only checked, as by docker: groups are assigned to the user, too.
    let group = group.unwrap_or(name);
    if accounts.find("group", group)?.is_none() {
        return Err(Error::invalid(format!(
            "Error during gid lookup for {group:?}: there is no such group in /etc/group"
        )));
    }
    if account.name == "root" {
        return Ok(None);
    }
    let uids = accounts.subordinate("subuid", &account)?;
    let gids = accounts.subordinate("subgid", &account)?;
    IdMap::new(&uids, &gids)
        .map(Some)
        .map_err(|error| error.while_doing(format!("map ids to those of {}", account.name)))
}

fn unknown_user(given: &str, name: &str) -> Error {
    if given == DEFAULT.0 {
        return Error::invalid(format!(
            "there is no user {name} yet, whose subordinate ids containers are to get: make it by \
             \"useradd --system --user-group --no-create-home --shell /bin/false {name}\" and \
             \"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}\", or others \
             if these ids are taken"
        ));
    }
    match given.parse::<u32>() {
        Ok(uid) => Error::invalid(format!("Uid {uid} has no entry in /etc/passwd")),
        Err(_) => Error::invalid(format!(
            "Error during uid lookup for {given:?}: there is no such user in /etc/passwd"
        )),
    }
}

impl Accounts {
    /// Those of this host.
    pub fn of_host() -> Self {
        Self::in_directory(Path::new("/etc"))
    }

    /// Those in `directory`: `passwd`, `group`, `subuid` and `subgid`.
    pub fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The account or group by its name, or else by its number.
    fn find(&self, file: &str, wanted: &str) -> Result<Option<Named>> {
        let text = self.read(file)?;
        let number = wanted.parse::<u32>().ok();
        let all = text.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
            Some(Named { name, id: fields.nth(1)?.parse().ok()? })
        });
        // Whatever is a number is one, whoever is called so.
        Ok(all.into_iter().find(|named| match number {
            Some(number) => named.id == number,
            None => named.name == wanted,
        }))
    }

    /// The ranges of the host that `file` assigns to the user: first id, number of ids.
    fn subordinate(&self, file: &str, user: &Named) -> Result<Vec<(u32, u32)>> {
        let text = self.read(file)?;
        let id = user.id.to_string();
        let mut ranges = Vec::new();
        for line in text.lines().map(str::trim) {
            let fields: Vec<&str> = line.split(':').collect();
            if !fields.first().is_some_and(|owner| *owner == user.name || *owner == id) {
                continue;
            }
            let range = match fields.as_slice() {
                [_, first, count] => first.parse().ok().zip(count.parse().ok()),
                _ => None,
            };
            ranges.push(range.ok_or_else(|| {
                Error::invalid(format!("/etc/{file}: {line:?} is not USER:FIRST:NUMBER"))
            })?);
        }
        if ranges.is_empty() {
            let (name, plural) = (&user.name, format!("{file}s"));
            return Err(Error::invalid(format!(
                "no {file} ranges found for user {name:?}: assign some by \"usermod \
                 --add-{plural} 100000-165535 {name}\", or others if these are taken"
            )));
        }
        Ok(ranges)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.directory.join(file);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(Error::io(format_args!("read {}", path.display()), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(setting: &str) -> Result<Option<IdMap>> {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            ("passwd", "root:x:0:0::/:\nweb:x:33:34::/:\nbare:x:40:41::/:\ndb:x:50:51::/:\n"),
            ("group", "root:x:0:\nweb:x:34:\n33:x:35:\nbare:x:41:\nodd:x:33:\ndb:x:51:\n"),
            ("subuid", "root:1:1\nweb:100000:10\n33:5000:90\ndb:1\n"),
            ("subgid", "web:200000:65536\n"),
        ];
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        of_setting(setting, &Accounts::in_directory(directory.path()))
    }

    #[test]
    fn users_are_found_by_name_and_number_with_all_their_ranges() {
        let map = IdMap::new(&[(100_000, 10), (5_000, 90)], &[(200_000, 65_536)]).unwrap();
        for setting in ["web", "33", "web:web", "web:34", "33:34"] {
            assert_eq!(of(setting).unwrap(), Some(map.clone()), "{setting}");
        }
        assert_eq!(of("root").unwrap(), None);
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let error = |setting| of(setting).unwrap_err().to_string();
        assert!(error("a:b:c").starts_with("Invalid user/group specification in --userns-remap"));
        assert!(error("default").contains("useradd --system --user-group"));
        assert!(error("nobody").starts_with("Error during uid lookup for \"nobody\""));
        assert!(error("77").starts_with("Uid 77 has no entry in /etc/passwd"));
        assert!(error("web:none").starts_with("Error during gid lookup for \"none\""));
        let none = error("bare");
        assert!(none.starts_with("no subuid ranges found for user \"bare\""), "{none}");
        assert!(error("db").contains("is not USER:FIRST:NUMBER"));
    }
}
