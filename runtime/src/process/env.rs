//! The environment of a program, and finding the program in it.

use crate::error::{Error, Kind, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CString;
use std::io::{BufRead, BufReader, Read};

/// How much of /etc/passwd is looked at, in bytes: an image may have one without end.
const PASSWD_LIMIT: u64 = 4 * 1024 * 1024;

/// Checks `NAME=value` entries; where a name comes twice, the last one counts.
pub(crate) fn prepare(entries: &[String]) -> Result<Vec<CString>> {
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(entries.len() + 1);
    for entry in entries.iter().rev() {
        let (name, _) = entry
            .split_once('=')
            .ok_or_else(|| Error::invalid("invalid environment variable: missing '='"))?;
        if name.is_empty() {
            return Err(Error::invalid("invalid environment variable: name cannot be empty"));
        }
        if seen.insert(name) {
            kept.push(c_string(entry, "environment variable")?);
        }
    }
    kept.reverse();
    Ok(kept)
}

/// Adds HOME, where the environment has none or an empty one, as the image's /etc/passwd has it for
/// `uid`.
pub(crate) fn add_home(env: &mut Vec<CString>, uid: u32) {
    env.retain(|entry| entry.to_bytes() != b"HOME=");
    if env.iter().any(|entry| entry.to_bytes().starts_with(b"HOME=")) {
        return;
    }
    let home = open_passwd()
        .and_then(|file| home_of(uid, file.take(PASSWD_LIMIT)))
        .unwrap_or_else(|| "/".to_owned());
    if let Ok(entry) = CString::new(format!("HOME={home}")) {
        env.push(entry);
    }
}

/// The image's /etc/passwd. A pipe in its place would hold us up for ever, so it is none.
fn open_passwd() -> Option<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open("/etc/passwd", flags, Mode::empty()).ok()?;
    let file = std::fs::File::from(file);
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

/// The sixth field of the line whose third is `uid`.
fn home_of(uid: u32, passwd: impl Read) -> Option<String> {
    let uid = uid.to_string();
    BufReader::new(passwd).split(b'\n').map_while(std::io::Result::ok).find_map(|line| {
        let line = String::from_utf8(line).ok()?;
        let mut fields = line.split(':');
        let found = fields.nth(2)? == uid;
        let home = fields.nth(2)?;
        (found && !home.is_empty()).then(|| home.to_owned())
    })
}

/// Finds the program `name` as a shell would, in the directories of PATH, and checks that this
/// process may execute it.
pub(crate) fn find_program(name: &str, env: &[CString]) -> Result<CString> {
    let refuse = |reason: &str| Error::new(Kind::System, format!("exec: {name:?}: {reason}"));
    if name.contains('/') {
        return match executable(name) {
            Ok(()) => c_string(name, "argument"),
            Err(Errno::NOENT) => Err(refuse(&format!("stat {name}: no such file or directory"))),
            Err(errno) => Err(Error::system(format!("exec: {name:?}"), errno)),
        };
    }
    if name.is_empty() {
        return Err(refuse("executable file not found in $PATH"));
    }
    let mut denied = false;
    for directory in path_of(env).iter().flat_map(|path| path.split(':')) {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{name}");
        match executable(&candidate) {
            Ok(()) => return c_string(&candidate, "argument"),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    match denied {
        true => Err(Error::system(format!("exec: {name:?}"), Errno::ACCESS)),
        false => Err(refuse("executable file not found in $PATH")),
    }
}

/// The directories of PATH; none if it is empty.
fn path_of(env: &[CString]) -> Option<&str> {
    env.iter()
        .find_map(|entry| entry.to_bytes().strip_prefix(b"PATH="))
        .and_then(|path| std::str::from_utf8(path).ok())
        .filter(|path| !path.is_empty())
}

fn executable(path: &str) -> rustix::io::Result<()> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    let access = rustix::fs::accessat(CWD, path, rustix::fs::Access::EXEC_OK, AtFlags::EACCESS);
    match access {
        // Before Linux 5.8 only the real ids can be asked about; the bits must do then.
        Err(Errno::NOSYS) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(Errno::NOSYS) => Err(Errno::ACCESS),
        other => other,
    }
}

/// `text` as the kernel takes it.
pub(crate) fn c_string(text: &str, what: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid(format!("invalid {what}: has a zero byte in it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(entries: &[&str]) -> Result<Vec<CString>> {
        prepare(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let kept = env(&["A=1", "B=2", "A=3=4"]).unwrap();
        assert_eq!(kept, [c"B=2".to_owned(), c"A=3=4".to_owned()]);
        assert!(env(&["A"]).is_err());
        assert!(env(&["=1"]).is_err());
        assert!(env(&["A=\0"]).is_err());
    }

    #[test]
    fn home_comes_from_the_line_with_the_uid() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:100::/home/me:/bin/sh\n";
        assert_eq!(home_of(1000, passwd.as_bytes()).as_deref(), Some("/home/me"));
        assert_eq!(home_of(7, passwd.as_bytes()), None);
    }

    #[test]
    fn a_program_is_found_or_refused_in_the_words_that_callers_know() {
        let path = env(&["PATH=/nowhere:/usr/bin:/bin"]).unwrap();
        assert!(find_program("sh", &path).unwrap().to_bytes().ends_with(b"bin/sh"));
        let text = |name| find_program(name, &path).unwrap_err().to_string();
        assert_eq!(text("nope"), "exec: \"nope\": executable file not found in $PATH");
        assert_eq!(text("/nope"), "exec: \"/nope\": stat /nope: no such file or directory");
        assert_eq!(text("/etc"), "exec: \"/etc\": is a directory");
        assert_eq!(text("/etc/passwd"), "exec: \"/etc/passwd\": permission denied");
    }

    proptest::proptest! {
        #![proptest_config(crate::fuzz::settings())]

        #[test]
        fn fuzz_passwd(passwd in crate::fuzz::mutated(b"root:x:0:0::/root:/bin/sh\nme:x:7:7::/home/me:\n")) {
            let home = home_of(7, passwd.as_slice());
            proptest::prop_assert!(home.is_none_or(|home| !home.is_empty() && !home.contains(':')));
        }
    }
}
