//! What a hostile container runs in the tests of escapes: attacks that a shell is too slow or too
//! polite for. It does harm only where a defence is missing, and then only to a test's own files;
//! other programs it opens for writing, and never writes.
//!
//! It is a test program: it stops at the first thing that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["exchange", one, other] => exchange(one, other),
        ["replace", directory, names, target] => {
            replace(Path::new(directory), names.parse().expect("a number"), target);
        }
        ["nest", directory, depth] => nest(directory, depth.parse().expect("a number")),
        ["hunt"] => hunt(),
        ["socket", family] => raw::socket(family.parse().expect("a number")),
        other => panic!("there is no attack {other:?}"),
    }
}

/// Exchanges two names again and again.
fn exchange(one: &str, other: &str) {
    loop {
        let _ = rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
    }
}

/// Puts a link to `target` in the place of each of the files 0, 1, ... as soon as it appears.
fn replace(directory: &Path, names: u32, target: &str) {
    let names: Vec<_> = (0..names).map(|name| directory.join(name.to_string())).collect();
    println!("ready");
    loop {
        for name in &names {
            if fs::symlink_metadata(name).is_ok_and(|facts| !facts.is_symlink())
                && fs::remove_file(name).is_ok()
            {
                let _ = symlink(target, name);
            }
        }
    }
}

/// Makes directories in one another.
fn nest(directory: &str, depth: u32) {
    let mut here = OwnedFd::from(File::open(directory).expect("open the directory"));
    for _ in 0..depth {
        here = below(here.as_fd());
    }
    println!("nested");
}

fn below(directory: BorrowedFd<'_>) -> OwnedFd {
    rustix::fs::mkdirat(directory, "d", Mode::RWXU).expect("make a directory");
    rustix::fs::openat(directory, "d", OFlags::DIRECTORY, Mode::empty()).expect("open it")
}

/// Takes hold of the program file of every process that passes by, and tries to open it for writing
/// while it runs and after that.
fn hunt() {
    let own = fs::metadata("/proc/self/exe").expect("look at the own program").ino();
    println!("ready");
    loop {
        let processes = fs::read_dir("/proc").expect("list processes");
        for process in processes.flatten().map(|entry| entry.path()) {
            let Ok(prey) = File::open(process.join("exe")) else { continue };
            let facts = prey.metadata().expect("look at a program");
            let name = fs::read_link(process.join("exe")).unwrap_or_default();
            if facts.ino() == own || name.ends_with("busybox") {
                continue;
            }
            println!("seen {}", name.display());
            let handle = format!("/proc/self/fd/{}", prey.as_raw_fd());
            let end = Instant::now() + Duration::from_millis(300);
            while Instant::now() < end {
                if OpenOptions::new().append(true).open(&handle).is_ok() {
                    println!("WRITABLE {}", name.display());
                    break;
                }
            }
        }
    }
}

/// What no safe wrapper lets through.
mod raw {
    #![allow(unsafe_code)]

    /// Asks for a socket of a family that has all the bits of `family`, and says what came of it.
    pub(crate) fn socket(family: u64) {
        // SAFETY: socket(2) takes plain numbers, and the descriptor lives until this program ends.
        let made = unsafe { libc::syscall(libc::SYS_socket, family, libc::SOCK_STREAM, 0) };
        match made {
            -1 => println!("{}", std::io::Error::last_os_error()),
            _ => println!("made"),
        }
    }
}
