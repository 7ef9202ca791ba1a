//! Ways out of a container through descriptors that the runtime had open.

use crate::bundle::{self, Bundle, Ran};
use crate::racer::Canary;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// More descriptors than the runtime ever has open.
const NUMBERS: std::ops::Range<u32> = 3..32;

/// What the host's program says.
const WORD: &str = "out-on-the-host";

/// A program of the host's, with no library to miss in a container, that says what it is told.
struct Outside(Canary);

impl Outside {
    fn new() -> Outside {
        let canary = Canary::new();
        let program = canary.directory().join("echo");
        fs::copy("/bin/busybox", &program).unwrap();
        fs::write(canary.directory().join("passwd"), "r:x:0:0::/out-on-the-host:/\n").unwrap();
        Outside(canary)
    }

    /// The host's file `name`, by way of the descriptor `number`.
    fn through(&self, number: u32, name: &str) -> PathBuf {
        let up = "../".repeat(20);
        let path = self.0.directory().join(name);
        let below = path.strip_prefix("/").unwrap().display();
        PathBuf::from(format!("/proc/self/fd/{number}/{up}{below}"))
    }
}

/// Puts `path` where the image has its program: as a link, and as the interpreter of a script.
fn plant(bundle: &Bundle, path: &Path) {
    // The name says which of its tools busybox is.
    let (link, script) = (bundle.image("links/echo"), bundle.image("bin/script"));
    let _ = fs::create_dir(bundle.image("links"));
    let _ = fs::remove_file(&link);
    symlink(path, link).unwrap();
    fs::write(&script, format!("#!{} {WORD}\n", path.display())).unwrap();
    fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
}

/// The program lines that lead to the host's program: by its path, by a link of the image's, by a
/// script's first line, and by PATH.
fn lines(path: &Path) -> [[&str; 2]; 4] {
    [[path.to_str().unwrap(), WORD], ["/links/echo", WORD], ["/bin/script", WORD], ["echo", WORD]]
}

#[track_caller]
fn stays_inside(number: u32, line: &[&str], ran: &Ran) {
    assert_ne!(ran.status, 0, "descriptor {number}, {line:?}: {ran:?}");
    assert!(!ran.out.contains(WORD), "descriptor {number}, {line:?}: {ran:?}");
}

/// CVE-2024-21626: the program is looked up by way of a descriptor, and is one of the host's. Its
/// file can then be written, once it has ended, by whoever kept it open.
#[test]
fn no_program_of_the_hosts_is_run_through_a_descriptor() {
    let outside = Outside::new();
    let mut bundle = Bundle::new(&["true"]);
    fs::remove_file(bundle.image("bin/echo")).unwrap();
    for number in NUMBERS {
        let path = outside.through(number, "echo");
        plant(&bundle, &path);
        for line in lines(&path) {
            bundle.edit(|config| {
                config["process"]["args"] = line.to_vec().into();
                let directory = path.parent().unwrap().display();
                config["process"]["env"] = serde_json::json!([format!("PATH={directory}")]);
            });
            stays_inside(number, &line, &bundle.tare(&["run", "c"]));
        }
    }
}

/// The same for `exec`.
#[test]
fn no_program_of_the_hosts_is_executed_through_a_descriptor() {
    let outside = Outside::new();
    let bundle = Bundle::new(&["sleep", "1000"]);
    fs::remove_file(bundle.image("bin/echo")).unwrap();
    bundle.start("c");
    for number in NUMBERS {
        let path = outside.through(number, "echo");
        plant(&bundle, &path);
        let path_variable = format!("PATH={}", path.parent().unwrap().display());
        for line in lines(&path) {
            let ran = bundle.tare(&[&["exec", "-e", &path_variable, "c"][..], &line].concat());
            stays_inside(number, &line, &ran);
        }
    }
}

/// What the two tests above try does lead to the host where there is a descriptor that leads there:
/// one that the caller gives away on purpose.
#[test]
fn a_descriptor_given_away_shows_that_the_paths_lead_out() {
    let outside = Outside::new();
    let path = outside.through(3, "echo");
    let bundle = Bundle::new(&["sleep", "1000"]);
    plant(&bundle, &path);
    bundle.start("c");
    for line in lines(&path) {
        let script = format!(
            "exec 3<{}; exec {} --root containers exec --preserve-fds 1 -e PATH={} c {}",
            outside.0.directory().display(),
            bundle::TARE,
            path.parent().unwrap().display(),
            line.join(" "),
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(bundle.path()).stdin(Stdio::null());
        let ran = Ran::from(shell.output().unwrap());
        assert!(ran.out.contains(WORD), "{line:?}: {ran:?}");
    }
}

/// The home directory is read from the image's /etc/passwd, which may be a link.
#[test]
fn no_account_file_of_the_hosts_is_read_through_a_descriptor() {
    let outside = Outside::new();
    let bundle = Bundle::script("echo $HOME");
    fs::create_dir(bundle.image("etc")).unwrap();
    for number in NUMBERS {
        let passwd = bundle.image("etc/passwd");
        let _ = fs::remove_file(&passwd);
        symlink(outside.through(number, "passwd"), passwd).unwrap();
        assert_eq!(bundle.tare(&["run", "c"]).ok(), "/\n", "descriptor {number}");
    }
    // The file is one that would be believed.
    let passwd = bundle.image("etc/passwd");
    fs::remove_file(&passwd).unwrap();
    fs::copy(outside.0.directory().join("passwd"), passwd).unwrap();
    assert_eq!(bundle.tare(&["run", "c"]).ok(), format!("/{WORD}\n"));
}

/// CVE-2024-21626: the working directory is a descriptor of the host's tree.
#[test]
fn no_working_directory_is_one_of_the_hosts() {
    let running = Bundle::new(&["sleep", "1000"]);
    running.start("c");
    for number in NUMBERS {
        for below in ["", "/../.."] {
            let cwd = format!("/proc/self/fd/{number}{below}");
            let mut bundle = Bundle::script("pwd; ls ../../../../..");
            bundle.edit(|config| config["process"]["cwd"] = cwd.as_str().into());
            let ran = bundle.tare(&["run", "c"]);
            assert!(ran.status != 0 && ran.out.is_empty(), "{cwd}: {ran:?}");
            let ran = running.tare(&["exec", "--cwd", &cwd, "c", "ls", "../../../../.."]);
            assert!(ran.status != 0 && ran.out.is_empty(), "{cwd}: {ran:?}");
        }
    }
}

/// At execve(2) a program has its streams and what is passed on, and nothing that the runtime or its
/// caller had open, whatever its number.
#[test]
fn a_program_has_no_descriptor_that_was_not_meant_for_it() {
    let bundle = Bundle::script("ls /proc/self/fd; exec sleep 1000 > /dev/null");
    let numbers = |command: &str| {
        let script = format!(
            "ulimit -n 4096; exec 3</dev/zero 4</ 7</dev/zero 200</ 3000</; \
             exec {} --root containers {command}",
            bundle::TARE
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(bundle.path()).stdin(Stdio::null());
        let out = Ran::from(shell.output().unwrap()).ok();
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // The last is the directory that `ls` reads.
    assert_eq!(numbers("run --detach --preserve-fds 2 c 2> /dev/null"), "0 1 2 3 4 5");
    bundle.tare(&["delete", "--force", "c"]).ok();
    assert_eq!(numbers("run --detach c 2> /dev/null"), "0 1 2 3");
    assert_eq!(numbers("exec c ls /proc/self/fd"), "0 1 2 3");
    assert_eq!(numbers("exec --preserve-fds 2 c ls /proc/self/fd"), "0 1 2 3 4 5");
}

/// A hook that runs inside may be the image's program. It gets nothing of the caller's either, and
/// is not looked up by way of a descriptor.
#[test]
fn a_hook_inside_has_no_descriptor_of_the_callers() {
    let outside = Outside::new();
    let mut bundle = Bundle::new(&["cat", "/tmp/fds"]);
    let list = serde_json::json!([{
        "path": "/bin/sh", "args": ["sh", "-c", "ls -l /proc/self/fd > /tmp/fds"],
    }]);
    bundle.edit(|config| {
        config["root"]["readonly"] = false.into();
        config["hooks"]["startContainer"] = list;
    });
    let script = format!(
        "exec 5<{0} 8<{0}/file; exec {1} --root containers run c",
        outside.0.directory().display(),
        bundle::TARE
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(bundle.path()).stdin(Stdio::null());
    let out = Ran::from(shell.output().unwrap()).ok();
    assert!(out.contains("pipe:") && !out.contains("canary"), "{out}");

    for number in NUMBERS {
        let path = outside.through(number, "echo");
        let link = bundle.image("bin/link");
        let _ = fs::remove_file(&link);
        symlink(&path, link).unwrap();
        let hook = serde_json::json!([{ "path": "/bin/link", "args": ["echo", WORD] }]);
        bundle.edit(|config| config["hooks"]["startContainer"] = hook);
        assert_ne!(bundle.tare(&["run", "c"]).status, 0, "descriptor {number}");
    }
}
