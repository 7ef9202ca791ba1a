//! A bundle to run containers from: busybox as the image, `tare spec` as the configuration.
//!
//! The tests need root, and busybox linked statically at /bin/busybox (Debian: busybox-static).

use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const TARE: &str = env!("CARGO_BIN_EXE_tare");

/// A bundle and a directory of containers, for one test. Containers that are left are removed.
pub(crate) struct Bundle {
    directory: tempfile::TempDir,
    config: Value,
    program: PathBuf,
}

impl Bundle {
    /// A bundle whose program is `args`, without a terminal.
    pub(crate) fn new(args: &[&str]) -> Bundle {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir(directory.path().join("rootfs/tmp")).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for name in [
            "sh", "cat", "ls", "id", "grep", "sleep", "true", "touch", "mount", "stat", "readlink",
            "echo", "chmod", "ps", "tty", "stty", "hostname", "pwd", "kill", "head", "ip",
        ] {
            symlink("busybox", bin.join(name)).unwrap();
        }
        let spec = Command::new(TARE).arg("spec").current_dir(directory.path()).status().unwrap();
        assert!(spec.success());
        let text = fs::read(directory.path().join("config.json")).unwrap();
        // Tests run side by side; the directory's name is unique.
        let name = directory.path().file_name().unwrap().to_str().unwrap().to_owned();
        let config = serde_json::from_slice(&text).unwrap();
        let mut bundle = Bundle { directory, config, program: TARE.into() };
        bundle.edit(|config| {
            config["process"]["terminal"] = false.into();
            config["process"]["args"] = args.to_vec().into();
            config["linux"]["cgroupsPath"] = format!("/tare-test{name}").into();
        });
        bundle
    }

    /// A bundle whose program is a shell script.
    pub(crate) fn script(script: &str) -> Bundle {
        Bundle::new(&["sh", "-c", script])
    }

    /// Changes the configuration.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.config);
        fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    /// Gives the program these capabilities, in the three sets that count.
    pub(crate) fn allow(&mut self, capabilities: &[&str]) {
        self.edit(|config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] = capabilities.to_vec().into();
            }
        });
    }

    /// The capabilities in one of the program's sets.
    pub(crate) fn capabilities(&self, set: &str) -> Vec<String> {
        let names = self.config["process"]["capabilities"][set].as_array().unwrap();
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Gives the container a user namespace, in which ids are the host's.
    pub(crate) fn map_ids(&mut self) {
        let mapping = serde_json::json!([{ "containerID": 0, "hostID": 0, "size": 65534 }]);
        self.edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.push(serde_json::json!({ "type": "user" }));
            config["linux"]["uidMappings"] = mapping.clone();
            config["linux"]["gidMappings"] = mapping;
        });
    }

    /// Adds a mount.
    pub(crate) fn mount(&mut self, destination: &str, typ: &str, source: &Path, options: &[&str]) {
        let mount = serde_json::json!({
            "destination": destination, "type": typ, "source": source, "options": options,
        });
        self.edit(|config| config["mounts"].as_array_mut().unwrap().push(mount));
    }

    /// Goes on with a copy of the program: who tries to write one keeps others from executing it
    /// meanwhile.
    pub(crate) fn use_copy(&mut self) -> &Path {
        let copy = self.path().join("tare");
        fs::copy(TARE, &copy).unwrap();
        self.program = copy;
        &self.program
    }

    /// Its containers' cgroup, below the top of each hierarchy.
    pub(crate) fn cgroup(&self) -> &str {
        self.config["linux"]["cgroupsPath"].as_str().unwrap()
    }

    /// The bundle's directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the image.
    pub(crate) fn image(&self, path: &str) -> PathBuf {
        self.path().join("rootfs").join(path)
    }

    fn containers(&self) -> PathBuf {
        self.path().join("containers")
    }

    /// `tare` on this bundle's containers, to be given its command.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.containers()).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs `tare` with `args` to its end.
    pub(crate) fn tare(&self, args: &[&str]) -> Ran {
        let mut command = self.command();
        loop {
            match command.args(args).output() {
                // A container tries to write the program.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                    command = self.command();
                }
                ran => return Ran::from(ran.unwrap()),
            }
        }
    }

    /// Runs `tare` with `args` for a program that stays, and so gets no streams.
    #[track_caller]
    pub(crate) fn leave(&self, args: &[&str]) {
        let mut command = self.command();
        command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "{args:?}");
    }

    /// Runs a shell script on a host whose network is its own and bare. `tare` is a command there.
    pub(crate) fn on_bare_network(&self, script: &str) -> Ran {
        let tare = format!("tare() {{ {TARE} --root {} \"$@\"; }}", self.containers().display());
        let script = format!("set -e; ip link set lo up; {tare}; {script}");
        let mut host = Command::new("unshare");
        host.args(["--net", "sh", "-c", &script]).current_dir(self.path()).stdin(Stdio::null());
        Ran::from(host.output().unwrap())
    }

    /// Starts a container in the background.
    #[track_caller]
    pub(crate) fn start(&self, id: &str) {
        self.leave(&["run", "--detach", id]);
    }

    /// What `state` says of a container.
    pub(crate) fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.tare(&["state", id]).out).unwrap()
    }

    /// Waits until the container has `status`.
    pub(crate) fn wait_for(&self, id: &str, status: &str) {
        self.wait_until(&format!("{id} is {status}"), || self.state(id)["status"] == status);
    }

    /// Waits until `it_is`.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, it_is: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(120);
        while !it_is() {
            assert!(Instant::now() < end, "not yet: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let left = fs::read_dir(self.containers()).into_iter().flatten().flatten();
        for entry in left {
            let name = entry.file_name();
            let _ = self.command().args(["delete", "--force"]).arg(name).output();
        }
    }
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Its exit status.
    pub(crate) status: i32,
    /// What it wrote to standard output.
    pub(crate) out: String,
    /// What it wrote to standard error.
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Its output, if it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }

    /// Its error, if it failed with `status`.
    #[track_caller]
    pub(crate) fn fails(self, status: i32) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.err
    }
}
