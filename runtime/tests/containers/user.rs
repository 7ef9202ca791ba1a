//! A plain user who runs containers: nobody of this machine, known only to the test's own /etc.

use crate::bundle::{Bundle, Ran, TARE};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The user's id and group; nobody has them.
pub(crate) const ID: u32 = 65_201;

/// The first of the ids that the user may use beside their own, and how many there are.
pub(crate) const GRANTED: (u32, u32) = (3_000_000, 65_536);

/// What the user has beside their own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Nothing, and no helpers to ask for more.
    Own,
    /// [`GRANTED`], in two ranges, through `newuidmap` and `newgidmap`.
    Granted,
}

/// A bundle that belongs to a plain user, with `tare spec --rootless` as its configuration.
pub(crate) struct User {
    bundle: Bundle,
    ids: Ids,
    delegated: Vec<PathBuf>,
    hosts_cgroups: Cgroups,
}

/// Which hierarchies of cgroups the user sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// Those that the host has mounted.
    Mounted,
    /// Version 2 alone.
    Unified,
}

impl User {
    /// A user whose container runs `args`.
    pub(crate) fn new(args: &[&str], ids: Ids) -> User {
        let mut user = User {
            bundle: Bundle::new(args),
            ids,
            delegated: Vec::new(),
            hosts_cgroups: Cgroups::Mounted,
        };
        let here = user.path().to_owned();
        fs::set_permissions(&here, PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(here.join("tare"), "").unwrap();
        fs::create_dir(here.join("runtime")).unwrap();
        user.write_etc();
        give(&here);
        fs::remove_file(here.join("config.json")).unwrap();
        user.tare(&["spec", "--rootless"]).ok();
        let text = fs::read(here.join("config.json")).unwrap();
        let spec: Value = serde_json::from_slice(&text).unwrap();
        user.edit(|config| {
            *config = spec;
            config["process"]["terminal"] = false.into();
            config["process"]["args"] = args.to_vec().into();
        });
        if ids == Ids::Granted {
            user.edit(|config| {
                for map in ["uidMappings", "gidMappings"] {
                    let (first, count) = GRANTED;
                    config["linux"][map] = json!([
                        { "containerID": 0, "hostID": ID, "size": 1 },
                        { "containerID": 1, "hostID": first, "size": 1000 },
                        { "containerID": 2000, "hostID": first + 1000, "size": count - 1000 },
                    ]);
                }
            });
        }
        user
    }

    /// A user whose container runs a shell script.
    pub(crate) fn script(script: &str, ids: Ids) -> User {
        User::new(&["sh", "-c", script], ids)
    }

    /// Shows the user version 2 of cgroups alone, whatever the host has beside it.
    pub(crate) fn see(&mut self, cgroups: Cgroups) {
        self.hosts_cgroups = cgroups;
    }

    /// What programs read about users, in a directory that takes the place of /etc.
    fn write_etc(&self) {
        let etc = self.path().join("etc");
        let (first, count) = GRANTED;
        let grant = format!("plain:{first}:1000\nplain:{}:{}\n", first + 1000, count - 1000);
        let grant = if self.ids == Ids::Granted { grant } else { String::new() };
        fs::create_dir(&etc).unwrap();
        for (name, text) in [
            ("passwd", format!("root:x:0:0::/:/bin/sh\nplain:x:{ID}:{ID}::/:/bin/sh\n")),
            ("group", format!("root:x:0:\nplain:x:{ID}:\n")),
            ("subuid", grant.clone()),
            ("subgid", grant),
        ] {
            fs::write(etc.join(name), text).unwrap();
        }
    }

    /// Gives the user a cgroup in every hierarchy, and has the container use it. What it is called
    /// below each mount point is returned.
    pub(crate) fn delegate(&mut self) -> String {
        let name = format!("tare-test{}", self.path().file_name().unwrap().to_str().unwrap());
        for mount in hierarchies() {
            let directory = mount.join(&name);
            fs::create_dir(&directory).unwrap();
            for list in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(all) = fs::read_to_string(mount.join(list)) {
                    let _ = fs::write(directory.join(list), all);
                }
            }
            self.delegated.push(directory.clone());
            for file in ["", "tasks", "cgroup.procs", "cgroup.subtree_control"] {
                if directory.join(file).exists() {
                    chown(directory.join(file), Some(ID), Some(ID)).unwrap();
                }
            }
            let session = directory.join("session");
            if mount.join("cgroup.controllers").exists() {
                // On v2 only who is inside the delegated part may move inside it.
                fs::create_dir(&session).unwrap();
            }
        }
        let path = format!("/{name}/box");
        self.edit(|config| config["linux"]["cgroupsPath"] = path.into());
        name
    }

    /// Changes the configuration.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        self.bundle.edit(change);
        chown(self.path().join("config.json"), Some(ID), Some(ID)).unwrap();
    }

    /// The bundle's directory.
    pub(crate) fn path(&self) -> &Path {
        self.bundle.path()
    }

    /// A command of the user's, in mount namespaces of the test's own where /etc is the user's and
    /// the program under test can be reached whatever directory it was built in.
    pub(crate) fn command(&self, program: &str) -> Command {
        const ENTER: &str = r#"
            set -e
            for session in $SESSIONS; do echo $$ > $session/cgroup.procs; done
            if [ "$CGROUPS" = Unified ]; then
                umount --recursive /sys/fs/cgroup
                mount --types cgroup2 cgroup2 /sys/fs/cgroup
            fi
            mount --bind etc /etc
            mount --bind "$TARE" tare
            [ "$HELPERS" = yes ] || PATH=/nonexistent
            exec /usr/bin/setpriv --reuid $ID --regid $ID --clear-groups --inh-caps=-all "$@"
        "#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter", program]);
        let sessions: Vec<_> = self.delegated.iter().map(|one| one.join("session")).collect();
        let sessions = sessions.iter().filter(|one| one.exists()).map(|one| one.to_str().unwrap());
        command.env("SESSIONS", sessions.collect::<Vec<_>>().join(" "));
        command.env("CGROUPS", format!("{:?}", self.hosts_cgroups));
        command.env("HELPERS", if self.ids == Ids::Granted { "yes" } else { "no" });
        command.env("ID", ID.to_string()).env("TARE", TARE);
        command.env("XDG_RUNTIME_DIR", self.path().join("runtime"));
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs `tare` with `args` to its end.
    pub(crate) fn tare(&self, args: &[&str]) -> Ran {
        Ran::from(self.command("./tare").args(args).output().unwrap())
    }

    /// Starts the container `c` in the background.
    #[track_caller]
    pub(crate) fn start(&self) {
        self.leave(&["run", "--detach", "c"]);
    }

    /// Runs `tare` with `args` for a program that stays, and so gets no streams.
    #[track_caller]
    pub(crate) fn leave(&self, args: &[&str]) {
        let log = fs::File::create(self.path().join("log")).unwrap();
        let mut command = self.command("./tare");
        command.args(args).stdout(Stdio::null()).stderr(log);
        let started = command.status().unwrap().success();
        assert!(started, "{}", fs::read_to_string(self.path().join("log")).unwrap());
    }

    /// What `state` says of the container `c`.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.tare(&["state", "c"]).ok()).unwrap()
    }

    /// Waits until the container `c` has `status`.
    #[track_caller]
    pub(crate) fn wait_for(&self, status: &str) {
        let end = Instant::now() + Duration::from_secs(120);
        while self.state()["status"] != status {
            assert!(Instant::now() < end, "not {status}: {}", self.state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let left = fs::read_dir(self.path().join("runtime/tare")).into_iter().flatten().flatten();
        for entry in left {
            let name = entry.file_name();
            let _ = self.command("./tare").args(["delete", "--force"]).arg(name).output();
        }
        for directory in &self.delegated {
            let _ = fs::remove_dir(directory.join("session"));
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Gives the user a directory and all in it.
fn give(directory: &Path) {
    std::os::unix::fs::lchown(directory, Some(ID), Some(ID)).unwrap();
    if directory.is_symlink() || !directory.is_dir() {
        return;
    }
    for entry in fs::read_dir(directory).unwrap() {
        give(&entry.unwrap().path());
    }
}

/// Where the hierarchies of cgroups are mounted.
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let cgroups = fields.filter(|fields| matches!(fields[2], "cgroup" | "cgroup2"));
    cgroups.map(|fields| PathBuf::from(fields[1])).collect()
}
