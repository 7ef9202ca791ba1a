//! `checkpoint` and `restore`: what criu is asked, and what becomes of its answers.

use crate::bundle::{Bundle, Ran};
use crate::criu::rpc::{CgroupMode, ExternalMount, Options, Response, Type};
use crate::criu::{FakeCriu, all_features, news, success};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A bundle of a container that stays, with a bind mount that is reached by a link.
fn bundle() -> Bundle {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    let volume = bundle.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::create_dir(bundle.image("real")).unwrap();
    symlink("/real", bundle.image("link")).unwrap();
    bundle.mount("/link/../link/", "bind", &volume, &["bind"]);
    bundle
}

fn run(criu: &FakeCriu, bundle: &Bundle, args: &[&str]) -> Ran {
    Ran::from(criu.command(bundle).args(args).output().unwrap())
}

/// What a final dump was asked.
fn dumped(bundle: &Bundle, args: &[&str]) -> Options {
    let criu = FakeCriu::new(&[success(Type::Dump)]);
    bundle.start("c");
    run(&criu, bundle, &[&["checkpoint"], args, &["c"]].concat()).ok();
    let request = criu.request(0);
    assert_eq!(request.typ(), Type::Dump);
    request.options.unwrap()
}

#[test]
fn a_dump_names_what_is_not_the_containers_own() {
    let bundle = bundle();
    bundle.start("c");
    let criu = FakeCriu::new(&[success(Type::Dump)]);
    let pid = bundle.state("c")["pid"].as_i64().unwrap();
    // Its steps are told, and make no difference.
    run(&criu, &bundle, &["--debug", "checkpoint", "--leave-running", "c"]).ok();
    let options = criu.request(0).options.unwrap();
    assert_eq!(i64::from(options.pid()), pid);
    assert!(options.leave_running() && options.notify_scripts() && options.orphan_pts_master());
    let named = |key: &str| {
        let mut found = options.ext_mnt.iter().filter(|mount| mount.key == key);
        found.next().map(|mount| mount.val.as_str())
    };
    assert_eq!(named("/real"), Some("/link"), "the place as it is, named as the bundle has it");
    assert_eq!(named("/proc/kcore").or(named("/proc/keys")), Some("/dev/null"));
    assert_eq!(named("/proc/acpi").or(named("/sys/firmware")), None, "masks of directories");
    assert!(options.root().ends_with("/rootfs"));
    assert_eq!(options.empty_ns(), libc::CLONE_NEWNET as u32);
    let streams = fs::read_to_string(bundle.path().join("checkpoint/descriptors.json")).unwrap();
    assert_eq!(streams, r#"["/dev/null","/dev/null","/dev/null"]"#);
    assert_eq!(bundle.state("c")["status"], "running");
}

#[test]
fn flags_are_handed_on() {
    let plain = dumped(&bundle(), &[]);
    assert_eq!(plain.manage_cgroups_mode(), CgroupMode::Default);
    assert!(plain.page_server.is_none() && plain.parent_img.is_none());
    let off = [plain.leave_running(), plain.shell_job(), plain.tcp_established()];
    assert_eq!(off, [false; 3]);

    let bundle = bundle();
    let flags = "--tcp-established --tcp-skip-in-flight --tcp-close --ext-unix-sk --shell-job \
                 --file-locks --auto-dedup --link-remap --manage-cgroups-mode ignore \
                 --empty-ns network --page-server [::1]:27277 --image-path images --work-path work";
    let options = dumped(&bundle, &flags.split_whitespace().collect::<Vec<_>>());
    let on = [
        options.tcp_established(),
        options.tcp_skip_in_flight(),
        options.tcp_close(),
        options.ext_unix_sk(),
        options.shell_job(),
        options.file_locks(),
        options.auto_dedup(),
        options.link_remap(),
    ];
    assert_eq!(on, [true; 8]);
    assert_eq!(options.manage_cgroups_mode(), CgroupMode::Ignore);
    let server = options.page_server.unwrap();
    assert_eq!((server.address(), server.port()), ("::1", 27277));
    assert!(bundle.path().join("images/descriptors.json").exists());
    assert!(bundle.path().join("work").is_dir());
}

#[test]
fn a_container_that_was_dumped_is_gone_with_its_hooks_run() {
    let mut bundle = bundle();
    let done = bundle.path().join("done");
    bundle.edit(|config| {
        let script = format!("touch {}", done.display());
        let hook = serde_json::json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
        config["hooks"]["poststop"] = serde_json::json!([hook]);
    });
    dumped(&bundle, &[]);
    assert!(bundle.tare(&["state", "c"]).fails(1).contains("container does not exist"));
    assert!(done.exists());
}

#[test]
fn memory_alone_is_dumped_where_the_kernel_tracks_it() {
    let bundle = bundle();
    bundle.start("c");
    let criu = FakeCriu::new(&[all_features(), success(Type::PreDump)]);
    run(&criu, &bundle, &["checkpoint", "--pre-dump", "--image-path", "first", "c"]).ok();
    assert_eq!(criu.request(0).typ(), Type::FeatureCheck);
    assert_eq!(criu.request(1).typ(), Type::PreDump);
    assert!(!bundle.path().join("first/descriptors.json").exists());
    assert_eq!(bundle.state("c")["status"], "running");

    let args = ["--image-path", "second", "--parent-path", "../first", "c"];
    let criu = FakeCriu::new(&[success(Type::Dump)]);
    let dump = [&["checkpoint", "--leave-running"], &args[..]].concat();
    run(&criu, &bundle, &dump).ok();
    let options = criu.request(0).options.unwrap();
    assert_eq!((options.parent_img(), options.track_mem()), ("../first", true));

    let criu = FakeCriu::new(&[success(Type::FeatureCheck)]);
    let error = run(&criu, &bundle, &["checkpoint", "--pre-dump", "c"]).fails(1);
    assert!(error.contains("criu is missing features: [MemTrack]"), "{error}");
    for bad in ["/first", "../third", "../../first"] {
        let error = run(&criu, &bundle, &["checkpoint", "--parent-path", bad, "c"]).fails(1);
        assert!(error.contains("--parent-path"), "{bad}: {error}");
    }
}

#[test]
fn who_waits_for_pages_is_told_when_they_are_served() {
    let bundle = bundle();
    bundle.start("c");
    let criu = FakeCriu::new(&[all_features(), news("status-ready", 0), success(Type::Dump)]);
    let status = bundle.path().join("status");
    let command = format!(
        "exec 7>{}; exec {} --root containers checkpoint --lazy-pages --status-fd 7 c",
        status.display(),
        crate::bundle::TARE
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).current_dir(bundle.path()).env("PATH", criu.search_path());
    Ran::from(shell.output().unwrap()).ok();
    assert_eq!(fs::read(status).unwrap(), [0]);
    assert!(criu.request(1).options.unwrap().lazy_pages());
}

#[test]
fn the_namespaces_of_others_are_named() {
    let mut bundle = bundle();
    let network = "/proc/self/ns/net";
    bundle.edit(|config| {
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            if namespace["type"] == "network" {
                namespace["path"] = network.into();
            }
        }
    });
    use std::os::unix::fs::MetadataExt;
    let inode = fs::metadata(network).unwrap().ino();
    assert_eq!(dumped(&bundle, &[]).external, [format!("net[{inode}]:extRootNetNS")]);
}

#[test]
fn what_criu_says_about_a_failure_is_passed_on() {
    let bundle = bundle();
    bundle.start("c");
    let failed = || Response { success: false, errno: Some(22), ..success(Type::Dump) };
    let criu = FakeCriu::new(&[failed()]);
    let images = bundle.path().join("checkpoint");
    fs::create_dir(&images).unwrap();
    let log = "(00.1) fine\n(00.2) Error (criu/x.c:1): Can't dump \x1b[31mit\n(00.3) bye\n";
    fs::write(images.join("dump.log"), log).unwrap();
    let error = run(&criu, &bundle, &["checkpoint", "c"]).fails(1);
    let expected = format!(
        "criu failed: type DUMP errno 22: Error (criu/x.c:1): Can't dump ?[31mit (log file: {})",
        images.join("dump.log").display()
    );
    assert!(error.contains(&expected), "{error}");
    assert_eq!(bundle.state("c")["status"], "running");

    let said = Response { message: Some("so it is".to_owned()), ..failed() };
    let args = ["checkpoint", "--image-path", "other", "c"];
    let error = run(&FakeCriu::new(&[said]), &bundle, &args).fails(1);
    assert!(error.contains("so it is (no log file: "), "{error}");
}

#[test]
fn a_criu_that_is_missing_old_or_broken_harms_no_container() {
    let bundle = bundle();
    bundle.start("c");
    let mut command = bundle.command();
    command.env("PATH", bundle.path()).args(["checkpoint", "c"]);
    let error = Ran::from(command.output().unwrap()).fails(1);
    assert!(error.contains("executable file not found in $PATH: install criu"), "{error}");

    let checkpoint = |criu: &FakeCriu| run(criu, &bundle, &["checkpoint", "c"]).fails(1);
    let error = checkpoint(&FakeCriu::of_version(3, &[]));
    assert!(error.contains("CRIU version 30100 must be 31600 or higher"), "{error}");
    let error = checkpoint(&FakeCriu::new(&[]));
    assert!(error.contains("criu failed: it ended before it was done"), "{error}");
    for garbage in [&b"\xff"[..], &[0; 70_000]] {
        let criu = FakeCriu::new(&[]);
        criu.garble(1, garbage);
        assert!(checkpoint(&criu).contains("read criu's answer"), "{}", garbage.len());
    }
    assert_eq!(bundle.state("c")["status"], "running");
}

#[test]
fn only_a_running_container_is_dumped() {
    let bundle = bundle();
    let criu = FakeCriu::new(&[success(Type::Dump)]);
    let checkpoint = || run(&criu, &bundle, &["checkpoint", "c"]).fails(1);
    assert!(checkpoint().contains("container does not exist"));
    bundle.leave(&["create", "c"]);
    assert!(checkpoint().contains("Container cannot be checkpointed in created state"));
    bundle.tare(&["start", "c"]).ok();
    bundle.tare(&["kill", "c", "KILL"]).ok();
    bundle.wait_for("c", "stopped");
    assert!(checkpoint().contains("Container cannot be checkpointed in stopped state"));
    for bad in [&["--empty-ns", "pid"][..], &["--manage-cgroups-mode", "hard"]] {
        assert_ne!(run(&criu, &bundle, &[&["restore"], bad, &["d"]].concat()).status, 0);
    }
}

/// A process that stands for what criu has restored, and ends with the test.
struct Restored(Child);

impl Restored {
    fn new() -> Restored {
        let mut sleep = Command::new("sleep");
        Restored(sleep.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// What criu says until it is there.
    fn answers(&self) -> [Response; 3] {
        let pid = self.pid();
        [news("setup-namespaces", pid), news("post-restore", pid), success(Type::Restore)]
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Images as a stranger may have packed them.
fn images(bundle: &Bundle, descriptors: &str) {
    let images = bundle.path().join("checkpoint");
    fs::create_dir(&images).unwrap();
    fs::write(images.join("descriptors.json"), descriptors).unwrap();
}

/// Without a network of its own: the process that is said to be restored is one of the host.
fn without_network(bundle: &mut Bundle) {
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
    });
}

#[test]
fn a_restored_container_is_like_any_other() {
    let mut bundle = bundle();
    without_network(&mut bundle);
    let hooked = bundle.path().join("hooked");
    bundle.edit(|config| {
        let script = format!("cat > {}", hooked.display());
        let hook = serde_json::json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
        config["hooks"]["createRuntime"] = serde_json::json!([hook]);
    });
    images(&bundle, r#"["/dev/null","pipe:[11]","pipe:[12]"]"#);
    let mut process = Restored::new();
    let criu = FakeCriu::new(&process.answers());
    let args = ["restore", "--detach", "--pid-file", "pid", "--lsm-profile", "selinux:x", "c"];
    run(&criu, &bundle, &args).ok();
    let pid = process.pid();
    let state = bundle.state("c");
    assert_eq!((&state["status"], &state["pid"]), (&"running".into(), &pid.into()));
    assert_eq!(fs::read_to_string(bundle.path().join("pid")).unwrap(), pid.to_string());
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&hooked).unwrap()).unwrap();
    assert_eq!((&told["pid"], &told["status"]), (&pid.into(), &"creating".into()));

    let options = criu.request(0).options.unwrap();
    assert!(options.rst_sibling());
    assert_eq!(options.lsm_profile(), "selinux:x");
    let inherited: Vec<_> =
        options.inherit_fd.iter().map(|one| (one.fd, one.key.as_str())).collect();
    assert_eq!(inherited, [(1, "pipe:[11]"), (2, "pipe:[12]")]);
    let name = bundle.path().file_name().unwrap().to_str().unwrap();
    let cgroup = format!("/tare-test{name}");
    assert!(options.cg_root.iter().any(|root| root.path.ends_with(&cgroup)), "{options:?}");
    let key = |mount: &ExternalMount| mount.key.clone();
    let keys: Vec<String> = options.ext_mnt.iter().map(key).collect();
    assert!(keys.contains(&"/link".to_owned()) && keys.contains(&"/dev/null".to_owned()));
    assert!(criu.request(1).notify_success() && criu.request(2).notify_success());

    bundle.tare(&["kill", "c", "KILL"]).ok();
    process.0.wait().unwrap();
    bundle.wait_for("c", "stopped");
    bundle.tare(&["delete", "c"]).ok();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(bundle.path().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_failing_hook_fails_the_restore_and_leaves_nothing() {
    for point in ["prestart", "createRuntime"] {
        let mut bundle = bundle();
        without_network(&mut bundle);
        let hook = serde_json::json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
        bundle.edit(|config| config["hooks"][point] = hook);
        images(&bundle, "[]");
        let process = Restored::new();
        let failed = Response { success: false, ..success(Type::Restore) };
        let criu = FakeCriu::new(&[news("setup-namespaces", process.pid()), failed]);
        let error = run(&criu, &bundle, &["restore", "--detach", "c"]).fails(1);
        assert!(
            error.contains(&format!("error running {point} hook #0: exit status 3")),
            "{error}"
        );
        assert_eq!(criu.request(1).notify_success, Some(false));
        assert!(!bundle.path().join("containers/c").exists());
    }
}

#[test]
fn descriptors_of_a_stranger_reach_no_more_than_the_streams() {
    let long = format!("[{}\"\"]", "\"\",".repeat(10_000));
    for bad in [r#"["","","","pipe:[1]"]"#, "{}", "", &long] {
        let bundle = bundle();
        images(&bundle, bad);
        let criu = FakeCriu::new(&[success(Type::Restore)]);
        let error = run(&criu, &bundle, &["restore", "--detach", "c"]).fails(1);
        assert!(error.contains("descriptors.json"), "{error}");
        assert!(!bundle.path().join("containers/c").exists());
    }
}

#[test]
fn no_link_among_the_images_is_followed() {
    let bundle = bundle();
    let secret = bundle.path().join("secret");
    fs::write(&secret, "[]").unwrap();
    let images = bundle.path().join("checkpoint");
    fs::create_dir(&images).unwrap();
    symlink(&secret, images.join("descriptors.json")).unwrap();
    let criu = FakeCriu::new(&[success(Type::Restore)]);
    let restore = || run(&criu, &bundle, &["restore", "--detach", "c"]).fails(1);
    assert!(restore().contains("too many"), "{}", restore());

    // criu's own way to its files, taken by a criu that writes its log.
    fs::remove_file(images.join("descriptors.json")).unwrap();
    fs::write(images.join("descriptors.json"), "[]").unwrap();
    symlink(&secret, images.join("restore.log")).unwrap();
    let tool = bundle.path().join("criu");
    let script = "#!/bin/sh\ntest \"$1\" = swrk && for fd in /proc/$PPID/fd/*; do echo over > \
                  \"$fd/restore.log\"; cat \"$fd/restore.log\" > \"$fd/stolen\"; done 2>/dev/null\n";
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = crate::criu::with_path(&bundle, bundle.path());
    let ran = Ran::from(command.args(["restore", "--detach", "c"]).output().unwrap());
    assert!(ran.fails(1).contains("criu failed"));
    assert!(images.join("stolen").exists(), "it has found the directory");
    assert_eq!(fs::read_to_string(images.join("stolen")).unwrap(), "");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "[]");
}

#[test]
fn a_parent_leads_to_plain_files_next_door() {
    for (target, word) in [("/etc", "neighbour"), ("../../../etc", "follow"), ("../next", "plain")]
    {
        let bundle = bundle();
        images(&bundle, "[]");
        fs::create_dir(bundle.path().join("next")).unwrap();
        symlink("/etc/passwd", bundle.path().join("next/pages-1.img")).unwrap();
        symlink(target, bundle.path().join("checkpoint/parent")).unwrap();
        let criu = FakeCriu::new(&[success(Type::Restore)]);
        let error = run(&criu, &bundle, &["restore", "--detach", "c"]).fails(1);
        assert!(error.contains(word), "{target}: {error}");
    }
}

#[test]
fn criu_takes_no_orders_from_a_checkpoint() {
    let mut bundle = bundle();
    images(&bundle, "[]");
    for name in ["checkpoint/criu.conf", "criu.conf"] {
        let file = bundle.path().join(name);
        fs::write(&file, "action-script=/bin/true\n").unwrap();
        bundle.edit(|config| {
            config["annotations"] = serde_json::json!({ "org.criu.config": file });
        });
        let criu = FakeCriu::new(&[success(Type::Restore)]);
        let error = run(&criu, &bundle, &["restore", "--detach", "c"]).fails(1);
        assert!(error.contains("may not come with the checkpoint"), "{error}");
    }
    let host = tempfile::NamedTempFile::new().unwrap();
    bundle.edit(|config| {
        config["annotations"] = serde_json::json!({ "org.criu.config": host.path() });
    });
    let options = dumped(&bundle, &["--image-path", "new"]);
    assert!(Path::new(options.config_file()).starts_with("/proc"), "{}", options.config_file());
}
