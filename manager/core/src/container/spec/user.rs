//! Who a container's process runs as: names are looked up in the image's own /etc/passwd and
//! /etc/group, never in the host's.

use super::document::User;
use crate::error::{Error, Result};

/// The highest id there is: the kernel keeps 2³²-1 to itself, and tools take ids for signed.
const HIGHEST: u32 = i32::MAX as u32;

/// The content of an image's account files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    /// /etc/passwd, empty if there is none.
    pub(crate) passwd: String,
    /// /etc/group, empty if there is none.
    pub(crate) group: String,
}

/// A user as the account files have it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Account {
    /// The numbers.
    pub(crate) user: User,
    /// The home directory; `/` if the files have none.
    pub(crate) home: String,
}

/// A line of /etc/passwd.
struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// A line of /etc/group.
struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Accounts {
    /// The account that `text` means: `user`, `user:group`, by name or number; empty: root. Groups
    /// in `additional` are added to those that the user is a member of.
    ///
    /// # Errors
    /// Invalid if a name is in no file or a number is out of range.
    pub(crate) fn resolve(&self, text: &str, additional: &[String]) -> Result<Account> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (text, None),
        };
        let number = numeric(user)?;
        let user = if user.is_empty() { "0" } else { user };
        let line = self.passwd_lines().find(|line| match number {
            // A name made of digits is still a name, but a number is looked for first.
            Some(number) => line.uid == number,
            None if user == "0" => line.uid == 0,
            None => line.name == user,
        });
        let uid = match (&line, number) {
            (Some(line), _) => line.uid,
            (None, Some(number)) => number,
            (None, None) if user == "0" => 0,
            (None, None) => {
                return Err(Error::invalid(format!(
                    "unable to find user {user}: no matching entries in passwd file"
                )));
            }
        };
        let mut additional_gids = Vec::new();
        let gid = match group {
            // An explicit group replaces every group that the user is in.
            Some(group) => self.group(group)?,
            None => {
                if let Some(line) = &line {
                    additional_gids.extend(self.memberships(line.name));
                }
                line.as_ref().map_or(0, |line| line.gid)
            }
        };
        for group in additional {
            additional_gids.push(self.group(group)?);
        }
        // The primary group is a member of the set too: without it, a program could drop it and
        // gain what is denied to the group.
        additional_gids.insert(0, gid);
        let mut seen = std::collections::HashSet::new();
        additional_gids.retain(|gid| seen.insert(*gid));
        let home = line.map_or("/", |line| line.home);
        let home = if home.is_empty() { "/" } else { home };
        Ok(Account { user: User { uid, gid, additional_gids }, home: home.to_owned() })
    }

    fn group(&self, group: &str) -> Result<u32> {
        let number = numeric(group)?;
        let line = self.group_lines().find(|line| match number {
            Some(number) => line.gid == number,
            None => line.name == group,
        });
        match (line, number) {
            (Some(line), _) => Ok(line.gid),
            (None, Some(number)) => Ok(number),
            (None, None) => Err(Error::invalid(format!(
                "unable to find group {group}: no matching entries in group file"
            ))),
        }
    }

    fn memberships<'a>(&'a self, name: &'a str) -> impl Iterator<Item = u32> + 'a {
        self.group_lines()
            .filter(move |line| line.members.split(',').any(|member| member == name))
            .map(|line| line.gid)
    }

    fn passwd_lines(&self) -> impl Iterator<Item = PasswdLine<'_>> {
        entries(&self.passwd).filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let uid = id(fields.nth(1)?)?;
            let gid = id(fields.next()?)?;
            Some(PasswdLine { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
        })
    }

    fn group_lines(&self) -> impl Iterator<Item = GroupLine<'_>> {
        entries(&self.group).filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let gid = id(fields.nth(1)?)?;
            Some(GroupLine { name, gid, members: fields.next().unwrap_or_default() })
        })
    }
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// An id of a file; a line with anything else is no line.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= HIGHEST)
}

/// The number that `text` is, `None` if it is a name.
///
/// # Errors
/// Invalid for a number out of range. It must not be taken for a name that isn't found, nor wrap
/// around to 0.
fn numeric(text: &str) -> Result<Option<u32>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match id(text) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::invalid("uids and gids must be in range 0-2147483647")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken:x\n\
                     web:x:33:34:Web:/var/www:/bin/false\nnohome:x:7:7\nbig:x:4294967296:1::/:\n"
                .to_owned(),
            group: "root:x:0:root\nweb:x:34:\nadm:x:4:root,web\nlog:x:5:web\n".to_owned(),
        }
    }

    fn resolve(text: &str) -> Result<(u32, u32, Vec<u32>, String)> {
        let account = accounts().resolve(text, &[])?;
        let User { uid, gid, additional_gids } = account.user;
        Ok((uid, gid, additional_gids, account.home))
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        let web = (33, 34, vec![34, 4, 5], "/var/www".to_owned());
        assert_eq!(resolve("web").unwrap(), web);
        assert_eq!(resolve("33").unwrap(), web);
        assert_eq!(resolve("").unwrap(), (0, 0, vec![0, 4], "/root".to_owned()));
        assert_eq!(resolve("0").unwrap(), resolve("root").unwrap());
        assert_eq!(resolve("1234").unwrap(), (1234, 0, vec![0], "/".to_owned()));
        assert_eq!(resolve("nohome").unwrap().3, "/");
    }

    #[test]
    fn an_explicit_group_replaces_the_others() {
        assert_eq!(resolve("web:adm").unwrap().2, [4]);
        assert_eq!(resolve("web:99").unwrap().1, 99);
        assert_eq!(resolve(":adm").unwrap().0, 0);
        let account = accounts().resolve("web:adm", &["log".to_owned(), "77".to_owned()]).unwrap();
        assert_eq!(account.user.additional_gids, [4, 5, 77]);
    }

    #[test]
    fn what_is_not_found_or_out_of_range_is_refused() {
        assert_eq!(
            resolve("nobody").unwrap_err().to_string(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert_eq!(
            resolve("web:wheel").unwrap_err().to_string(),
            "unable to find group wheel: no matching entries in group file"
        );
        for text in ["2147483648", "4294967296", "-1", "0:4294967295", "99999999999999999999"] {
            assert!(resolve(text).unwrap_err().to_string().contains("in range"), "{text}");
        }
        assert!(resolve("big").is_err());
    }
}
