//! Ways to write to the runtime's own file, which runs as root on the host (CVE-2019-5736).
//!
//! The attacker has to hold the file open, from inside and beyond the end of the process that showed
//! it, before it is any good to say that it could not be written.

use crate::bundle::{self, Bundle};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// What an attacker has who has all that a container can be given.
const ALL: [&str; 6] = [
    "CAP_SYS_ADMIN",
    "CAP_SYS_PTRACE",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_KILL",
];

/// Waits for a process that runs another program than the image's, takes hold of its file, ends it,
/// and tries to write by all means. Says `held` when it has it, and `WRITTEN` if it can write.
const HUNT: &str = "held() { \
       echo held >> /tmp/log; kill -KILL ${1#/proc/} 2> /dev/null; \
       mkdir -p /tmp/at; touch /tmp/at/file; \
       while [ -e $1 ]; do :; done; \
       for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
         for at in /proc/self/fd/9 /tmp/at/file; do \
           (: >> $at) 2> /dev/null && [ $at = /proc/self/fd/9 ] && echo WRITTEN append >> /tmp/log; \
           mount --bind /proc/self/fd/9 /tmp/at/file 2> /dev/null && \
             mount -o remount,bind,rw /tmp/at/file 2> /dev/null && \
             (: >> /tmp/at/file) 2> /dev/null && echo WRITTEN remounted >> /tmp/log; \
           umount /tmp/at/file 2> /dev/null; \
         done; \
         chmod 777 /proc/self/fd/9 2> /dev/null && echo WRITTEN mode >> /tmp/log; \
       done; \
       echo tried >> /tmp/log; }; \
     while :; do for p in /proc/[0-9]*; do \
       [ $p/exe -ef /bin/busybox ] && continue; \
       (exec 9< $p/exe && held $p) 2> /dev/null; \
     done; done";

/// The runtime's file on the host, as it was.
struct Own {
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
}

impl Own {
    fn look(path: &Path) -> Own {
        let mode = fs::metadata(path).unwrap().mode();
        Own { path: path.to_owned(), bytes: fs::read(path).unwrap(), mode }
    }

    #[track_caller]
    fn is_untouched(&self) {
        let now = Own::look(&self.path);
        assert!(self.bytes == now.bytes, "the runtime's file was changed");
        assert_eq!(self.mode, now.mode, "the runtime's file has another mode");
    }
}

/// A container whose first process hunts. The image shows the runtime's file as `/own`, and as the
/// interpreter of `/script`.
fn hunting_ground() -> Bundle {
    let mut bundle = Bundle::script(HUNT);
    for name in ["mkdir", "umount"] {
        symlink("busybox", bundle.image("bin").join(name)).unwrap();
    }
    symlink("/proc/self/exe", bundle.image("own")).unwrap();
    fs::write(bundle.image("script"), "#!/proc/self/exe --root=/tmp\n").unwrap();
    fs::set_permissions(bundle.image("script"), PermissionsExt::from_mode(0o755)).unwrap();
    bundle.edit(|config| config["root"]["readonly"] = false.into());
    bundle.allow(&ALL);
    bundle
}

fn log(bundle: &Bundle) -> String {
    fs::read_to_string(bundle.image("tmp/log")).unwrap_or_default()
}

/// Starts the runtime's own program inside, where it stays until its input ends.
fn bait(bundle: &Bundle) -> Child {
    let line = ["exec", "c", "/own", "--root", "/tmp", "update", "--resources", "-", "x"];
    let mut command = bundle.command();
    command.args(line).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The image's program is a link to /proc/self/exe: the runtime itself runs in the container, and
/// another process there takes hold of its file.
#[test]
fn a_held_file_of_the_runtimes_cannot_be_written() {
    let mut bundle = hunting_ground();
    let own = Own::look(bundle.use_copy());
    bundle.start("c");
    let mut bait = bait(&bundle);
    bundle.wait_until("the hunter has tried to write", || log(&bundle).contains("tried"));
    drop(bait.stdin.take());
    bait.wait().unwrap();
    bundle.tare(&["delete", "--force", "c"]).ok();
    assert!(!log(&bundle).contains("WRITTEN"), "{}", log(&bundle));
    own.is_untouched();
}

/// A container's first process waits for the runtime's process that joins it for `exec`, which shows
/// the runtime's file until it becomes the program.
#[test]
fn a_joining_processs_file_cannot_be_written() {
    let mut bundle = hunting_ground();
    let own = Own::look(bundle.use_copy());
    bundle.start("c");
    for round in 0.. {
        assert!(round < 2000, "the hunter never met a joining process: {}", log(&bundle));
        // The hunter kills what it meets, so that may fail.
        bundle.tare(&["exec", "c", "true"]);
        if log(&bundle).contains("held") {
            break;
        }
    }
    bundle.wait_until("the hunter has tried to write", || log(&bundle).contains("tried"));
    bundle.tare(&["delete", "--force", "c"]).ok();
    assert!(!log(&bundle).contains("WRITTEN"), "{}", log(&bundle));
    own.is_untouched();
}

/// The same as the container's program, by a link and by a script's first line, and as a joining one.
#[test]
fn the_runtime_as_the_images_program_is_harmless() {
    let mut bundle = hunting_ground();
    let own = Own::look(bundle.use_copy());
    for line in [&["/own", "--version"][..], &["/script"], &["/proc/self/exe", "--version"]] {
        bundle.edit(|config| config["process"]["args"] = line.to_vec().into());
        bundle.tare(&["run", "c"]);
    }
    bundle.edit(|config| config["process"]["args"] = serde_json::json!(["sleep", "1000"]));
    bundle.start("c");
    let version = bundle.tare(&["exec", "c", "/own", "--version"]).ok();
    assert!(version.contains("version"), "the runtime does not run inside: {version}");
    let script = bundle.tare(&["exec", "c", "/script"]);
    assert!(script.err.contains("/script"), "the runtime is not the interpreter: {script:?}");
    own.is_untouched();
}

/// A caller may protect the runtime's file itself and execute it by descriptor. One that only does
/// the latter has protected nothing: that is left to do.
#[test]
fn what_is_executed_by_descriptor_is_protected_first() {
    let bundle = Bundle::new(&["true"]);
    for by in ["/proc/self/fd/9", "/dev/fd/9"] {
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(format!("exec 9< \"$0\" {by} \"$@\"")).arg(bundle::TARE);
        command.args(bundle.command().get_args()).args(["--debug", "run", "by"]);
        let ran = command.current_dir(bundle.path()).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{by}: {said}");
        assert!(said.contains("protected by"), "{by}: {said}");
    }
}

/// An image whose libraries run when the runtime is executed inside would run them with what the
/// runtime has: it takes none.
#[test]
fn the_runtime_loads_nothing_of_the_images() {
    /// PT_INTERP and PT_DYNAMIC of <elf.h>.
    const LOADERS: [u32; 1] = [3];
    let bytes = fs::read(bundle::TARE).unwrap();
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    assert!(count > 0);
    for entry in 0..count {
        let kind = number(table + entry * size, 4);
        assert!(!LOADERS.contains(&(kind as u32)), "the program asks for an interpreter");
    }
}
