//! What a hostile container runs in the tests of escapes: attacks that a shell is too slow or too
//! polite for. It does harm only where a defence is missing, and then only to a test's own files;
//! other programs it opens for writing, and never writes.
//!
//! It is a test program: it stops at the first thing that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["exchange", one, other] => exchange(one, other),
        ["replace", from, to, target] => replace(Path::new(from), Path::new(to), target),
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

/// Follows someone who copies the directory `from` to `to`, and puts a link to `target` in the place
/// of each file as soon as it is made.
fn replace(from: &Path, to: &Path, target: &str) {
    // What is copied is listed in the same order.
    let files = fs::read_dir(from).expect("list the directory").flatten();
    let names: Vec<_> = files.map(|file| to.join(file.file_name())).collect();
    let spare = to.join("spare");
    println!("ready");
    for name in names {
        while fs::symlink_metadata(&name).is_err() {
            std::hint::spin_loop();
        }
        let _ = fs::rename(&spare, &name);
        let _ = symlink(target, &spare);
    }
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
