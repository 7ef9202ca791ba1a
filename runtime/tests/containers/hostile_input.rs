//! Names, files and configurations that are meant to do harm, or just endless.

use crate::bundle::{self, Bundle, Ran};
use crate::racer::Canary;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

/// An id is the name of a directory, and of nothing else.
#[test]
fn ids_are_names_and_no_paths() {
    let bundle = Bundle::new(&["true"]);
    let canary = Canary::new();
    symlink(canary.directory(), bundle.path().join("link")).unwrap();
    let place = canary.directory().display().to_string();
    let far = format!("../../../..{place}");
    let (long, longer) = ("a".repeat(256), "a".repeat(5000));
    let mut ids =
        vec!["..", ".", "", "a/b", "../link", "/link", "a\nb", "a b", "@seccomp", "é", "a\u{7f}"];
    ids.extend([far.as_str(), &place, &long, &longer]);
    for id in ids {
        for line in [
            &["create"][..],
            &["run"],
            &["start"],
            &["state"],
            &["kill"],
            &["delete"],
            &["delete", "--force"],
            &["update", "--pids-limit", "7"],
        ] {
            let ran = bundle.tare(&[line, &["--", id]].concat());
            assert_ne!(ran.status, 0, "{line:?} {id:?}: {ran:?}");
            assert!(!ran.err.contains("panicked"), "{ran:?}");
        }
        assert_ne!(bundle.tare(&["exec", "--", id, "true"]).status, 0, "{id:?}");
    }
    canary.is_untouched();
    let left: Vec<_> = fs::read_dir(bundle.path().join("containers"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A link in the directory of containers is none.
#[test]
fn a_link_among_the_containers_is_left_alone() {
    let bundle = Bundle::new(&["true"]);
    let canary = Canary::new();
    fs::create_dir(bundle.path().join("containers")).unwrap();
    symlink(canary.directory(), bundle.path().join("containers/c")).unwrap();
    assert!(bundle.tare(&["create", "c"]).fails(1).contains("already exists"));
    assert!(bundle.tare(&["delete", "c"]).fails(1).contains("does not exist"));
    bundle.tare(&["delete", "--force", "c"]).ok();
    assert_eq!(bundle.tare(&["list", "--quiet"]).ok(), "");
    canary.is_untouched();
}

/// Who may write to the directory of the pid file can put links there.
#[test]
fn a_pid_file_is_not_written_through_a_link() {
    let bundle = Bundle::new(&["true"]);
    let canary = Canary::new();
    let file = canary.directory().join("file");
    symlink(&file, bundle.path().join("pid")).unwrap();
    bundle.leave(&["create", "--pid-file", "pid", "c"]);
    let written = bundle.path().join("pid");
    assert!(fs::symlink_metadata(&written).unwrap().is_file(), "the link is replaced");
    assert_eq!(fs::read_to_string(written).unwrap(), bundle.state("c")["pid"].to_string());
    bundle.tare(&["delete", "--force", "c"]).ok();

    symlink(&file, bundle.path().join(".pid")).unwrap();
    bundle.tare(&["create", "--pid-file", "pid", "c"]).fails(1);
    bundle.tare(&["run", "--pid-file", "pid", "c"]).fails(1);
    assert_eq!(bundle.tare(&["list", "--quiet"]).ok(), "", "nothing is left of them");
    canary.is_untouched();
}

/// What a caller hands over by name leads where it leads; what comes back is an error, not a wait.
#[test]
fn sockets_that_are_none_are_told() {
    let mut bundle = Bundle::new(&["true"]);
    bundle.edit(|config| config["process"]["terminal"] = true.into());
    let listener = UnixListener::bind(bundle.path().join("socket")).unwrap();
    symlink("socket", bundle.path().join("link")).unwrap();
    symlink("itself", bundle.path().join("itself")).unwrap();
    fs::write(bundle.path().join("plain"), "").unwrap();
    for none in ["itself", "plain", "missing", "/", "/dev/zero"] {
        let error = bundle.tare(&["create", "--console-socket", none, "c"]).fails(1);
        assert!(error.contains("dial unix"), "{none}: {error}");
    }
    bundle.leave(&["create", "--console-socket", "link", "c"]);
    drop(listener);
}

/// A container's directory is for its owner alone, whatever the caller's umask, and so is what the
/// runtime keeps of compiled filters.
#[test]
fn the_directories_are_for_their_owner_alone() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.edit(|config| {
        config["linux"]["seccomp"] = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["bpf"], "action": "SCMP_ACT_ERRNO" }],
        });
    });
    for _ in 0..2 {
        let script = format!("umask 0; exec {} --root containers run --detach c", bundle::TARE);
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(bundle.path()).stdin(Stdio::null());
        assert!(shell.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        let mode = |path: &str| {
            let path = bundle.path().join("containers").join(path);
            fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode(""), 0o700);
        assert_eq!(mode("c") & 0o066, 0);
        assert_eq!((mode("c/state.json"), mode("c/config.json")), (0o600, 0o600));
        bundle.tare(&["delete", "--force", "c"]).ok();
    }
    let cache = bundle.path().join("containers/@seccomp");
    let mode =
        |path: &std::path::Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    let files: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty() && files.iter().all(|path| mode(path) == 0o600), "{files:?}");
}

/// Filters that lie in the cache are of this user's making, or not used: neither torn ones, nor those
/// of others, nor what is reached through a link.
#[test]
fn foreign_filters_are_not_used() {
    let mut bundle = Bundle::new(&["mkdir", "/tmp/made"]);
    symlink("busybox", bundle.image("bin/mkdir")).unwrap();
    bundle.edit(|config| {
        config["root"]["readonly"] = false.into();
        config["linux"]["seccomp"] = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }],
        });
    });
    let refused = |what: &str| {
        let ran = bundle.tare(&["run", "c"]);
        assert!(ran.status == 1 && ran.err.contains("not permitted"), "{what}: {ran:?}");
    };
    refused("nothing is cached");
    refused("nothing is cached, but there is a directory");
    let cache = bundle.path().join("containers/@seccomp");
    let file = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    refused("a torn file");
    // A program that allows everything, after the header of the right one.
    let allow = [6_u8, 0, 0, 0, 0, 0, 0xff, 0x7f];
    fs::write(&file, [&whole[..44], &allow[..]].concat()).unwrap();
    refused("a changed file");
    fs::write(&file, vec![0; 1 << 20]).unwrap();
    refused("a long file");
    fs::remove_file(&file).unwrap();
    symlink("/dev/zero", &file).unwrap();
    refused("a device without end");
    fs::remove_dir_all(&cache).unwrap();
    symlink("/tmp", &cache).unwrap();
    refused("a link for the directory");
    fs::remove_file(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, PermissionsExt::from_mode(0o777)).unwrap();
    refused("a directory that all may write to");
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0, "and it is not filled");
}

/// Runs `tare` in 256 MiB of address space, for ten seconds at most.
fn bounded(bundle: &Bundle, line: &str) -> Ran {
    let script =
        format!("ulimit -v 262144; exec timeout 10 {} --root containers {line}", bundle::TARE);
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(bundle.path()).stdin(Stdio::null());
    Ran::from(shell.output().unwrap())
}

/// A configuration that is endless, nested without end or made of very much takes bounded time and
/// memory, and an error tells of it.
#[test]
fn endless_configurations_are_refused() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.start("c");
    let config = bundle.path().join("config.json");
    let whole = fs::read_to_string(&config).unwrap();
    fs::remove_file(&config).unwrap();
    symlink("/dev/zero", &config).unwrap();
    let error = bounded(&bundle, "run d").fails(1);
    assert!(error.contains("config.json") && error.contains("longer than"), "{error}");
    let process = bounded(&bundle, "exec --process /dev/zero c").fails(255);
    assert!(process.contains("longer than"), "{process}");
    fs::remove_file(&config).unwrap();

    for deep in ["[", "{\"a\":", "{\"linux\":{\"seccomp\":["] {
        fs::write(&config, deep.repeat(200_000)).unwrap();
        let error = bounded(&bundle, "run d").fails(1);
        assert!(error.contains("config.json"), "{error}");
    }
    // A hundred megabytes, of which a part is read.
    let file = fs::File::create(&config).unwrap();
    file.set_len(100 << 20).unwrap();
    assert!(bounded(&bundle, "run d").fails(1).contains("longer than"));

    // What fits is not refused for its size.
    let mut value: serde_json::Value = serde_json::from_str(&whole).unwrap();
    value["annotations"] = serde_json::json!({ "much": "x".repeat(8 << 20) });
    value["process"]["args"] = serde_json::json!(["true"]);
    value["linux"]["cgroupsPath"] = format!("{}-much", bundle.cgroup()).into();
    fs::write(&config, value.to_string()).unwrap();
    bounded(&bundle, "run d").ok();
}

/// A zero byte ends a string where C reads it; here it is refused.
#[test]
fn zero_bytes_are_refused() {
    type Edit = (&'static str, fn(&mut serde_json::Value));
    let edits: [Edit; 8] = [
        ("args", |config| config["process"]["args"] = serde_json::json!(["true\0x"])),
        ("env", |config| config["process"]["env"] = serde_json::json!(["A=b\0c"])),
        ("cwd", |config| config["process"]["cwd"] = "/tmp\0/..".into()),
        ("cgroupsPath", |config| config["linux"]["cgroupsPath"] = "/tare\0x".into()),
        ("masked", |config| config["linux"]["maskedPaths"] = serde_json::json!(["/tmp\0x"])),
        ("read-only", |config| config["linux"]["readonlyPaths"] = serde_json::json!(["/\0"])),
        ("mount", |config| config["mounts"][0]["destination"] = "/proc\0x".into()),
        ("option", |config| config["mounts"][1]["options"] = serde_json::json!(["mode=7\0x"])),
    ];
    for (what, edit) in edits {
        let mut bundle = Bundle::new(&["true"]);
        bundle.edit(edit);
        let ran = bundle.tare(&["run", "c"]);
        assert!(ran.status == 1 && !ran.err.contains("panicked"), "{what}: {ran:?}");
        assert!(!bundle.path().join("containers/c").exists(), "{what}");
    }
}

/// Annotations are the caller's words: they come back as they were, in JSON that can be read.
#[test]
fn annotations_come_back_as_they_were() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    let words = ["\n", "\"", "\\", "\u{0}", "\u{1b}[2J", "é\u{202e}", "}{"].concat();
    bundle.edit(|config| {
        config["annotations"] = serde_json::json!({ words.as_str(): words.as_str(), "": "" });
    });
    bundle.start("c");
    assert_eq!(bundle.state("c")["annotations"][&words], words.as_str());
    let list = bundle.tare(&["list", "--format", "json"]).ok();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["annotations"][&words], words.as_str());
}

/// A setting's name that climbs, or is the host's, is refused before anything is written.
#[test]
fn settings_do_not_climb() {
    let before = fs::read_to_string("/proc/sys/kernel/panic").unwrap();
    for name in [
        "kernel.panic",
        "net/../kernel/panic",
        "net/../../sys/kernel/panic",
        "net.//.kernel.panic",
        "/kernel/panic",
        "net.ipv4...kernel.panic",
        "net.ipv4.\0",
        "fs.mqueue./../../kernel/panic",
        "",
        "..",
        "net",
    ] {
        let mut bundle = Bundle::new(&["true"]);
        bundle.edit(|config| config["linux"]["sysctl"] = serde_json::json!({ name: "7" }));
        bundle.tare(&["run", "c"]).fails(1);
    }
    assert_eq!(fs::read_to_string("/proc/sys/kernel/panic").unwrap(), before);
}
