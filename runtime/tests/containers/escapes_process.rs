//! What a process of a container may be and have, and what those that are there already may do to
//! one that joins them.

use crate::bundle::{self, Bundle, Ran};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

/// Meets processes that are on their way to their program and tries to look into them. A program of
/// the image may be looked into; as long as it is the runtime's, `/proc/<pid>/exe` is another file.
/// That it can be reached is asked again at the end: a process that just ends is no find.
const PRY: &str = "while :; do for p in /proc/[0-9]*; do \
       read -r name < $p/comm || continue; \
       case $name in sh|sleep|'') continue;; esac; \
       echo met $name >> /tmp/log; \
       [ -e $p/exe ] && ! [ $p/exe -ef /bin/busybox ] && [ -e $p/exe ] && \
         echo PRIED $name >> /tmp/log; \
     done 2> /dev/null; done";

/// CVE-2016-9962 and its kin: a process that joins a container is looked into, for its descriptors
/// and its file, by one that may trace all processes of its user namespace.
#[test]
fn a_joining_process_cannot_be_looked_into() {
    let mut bundle = Bundle::script(PRY);
    bundle.edit(|config| {
        let map = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(serde_json::json!({ "type": "user" }));
        config["root"]["readonly"] = false.into();
    });
    bundle.allow(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]);
    for path in [bundle.path().to_owned(), bundle.image(""), bundle.image("tmp")] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    bundle.start("c");
    let log = || fs::read_to_string(bundle.image("tmp/log")).unwrap_or_default();
    for round in 0.. {
        assert!(round < 2000, "nobody was met: {}", log());
        bundle.tare(&["exec", "c", "sleep", "0.02"]).ok();
        if log().matches("met").count() >= 12 {
            break;
        }
    }
    bundle.tare(&["delete", "--force", "c"]).ok();
    assert!(!log().contains("PRIED"), "{}", log());
}

fn sets_of(status: &str) -> Vec<(String, u64)> {
    status
        .lines()
        .filter_map(|line| line.strip_prefix("Cap"))
        .filter_map(|line| line.split_once(":\t"))
        .map(|(set, bits)| (set.to_owned(), u64::from_str_radix(bits, 16).unwrap()))
        .collect()
}

fn set(sets: &[(String, u64)], name: &str) -> u64 {
    sets.iter().find(|(set, _)| set == name).unwrap().1
}

/// CVE-2022-29162, CVE-2022-27650, CVE-2022-24769: inheritable capabilities come to whoever executes
/// a file that has them, so there are none that the bundle does not name; and ambient ones only
/// where both the others have them.
#[test]
fn capabilities_are_neither_inherited_nor_ambient_unless_named() {
    const CHOWN: u64 = 1;
    let mut bundle = Bundle::new(&["cat", "/proc/self/status"]);
    for uid in [0, 1000] {
        bundle.edit(|config| {
            config["process"]["user"] = serde_json::json!({ "uid": uid, "gid": uid });
            for name in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][name] = serde_json::json!(["CAP_CHOWN"]);
            }
            for name in ["inheritable", "ambient"] {
                config["process"]["capabilities"][name] = serde_json::json!([]);
            }
        });
        let sets = sets_of(&bundle.tare(&["run", "c"]).ok());
        assert_eq!((set(&sets, "Inh"), set(&sets, "Amb"), set(&sets, "Bnd")), (0, 0, CHOWN));
        assert_eq!(set(&sets, "Eff"), if uid == 0 { CHOWN } else { 0 }, "{uid}");

        // Ambient without inheritable is no capability at all.
        bundle.edit(|config| {
            config["process"]["capabilities"]["ambient"] = serde_json::json!(["CAP_CHOWN"]);
        });
        let ran = bundle.tare(&["run", "c"]);
        assert!(ran.status != 0 || set(&sets_of(&ran.out), "Amb") == 0, "{ran:?}");

        bundle.edit(|config| {
            config["process"]["capabilities"]["inheritable"] = serde_json::json!(["CAP_CHOWN"]);
        });
        let sets = sets_of(&bundle.tare(&["run", "c"]).ok());
        assert_eq!((set(&sets, "Inh"), set(&sets, "Amb"), set(&sets, "Eff")), (1, 1, 1), "{uid}");
    }
}

/// The same for `exec`, whatever it adds.
#[test]
fn capabilities_that_exec_adds_are_not_inherited() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.allow(&["CAP_SYS_ADMIN", "CAP_NET_RAW"]);
    bundle.start("c");
    for user in ["0", "1000"] {
        for added in [&[][..], &["--cap", "CAP_CHOWN"], &["--cap", "CAP_CHOWN", "--no-new-privs"]] {
            let line = [&["exec", "--user", user], added, &["c", "cat", "/proc/self/status"]];
            let sets = sets_of(&bundle.tare(&line.concat()).ok());
            assert_eq!((set(&sets, "Inh"), set(&sets, "Amb")), (0, 0), "{user} {added:?}");
        }
    }
}

/// containerd's CVE-2026-46680, crun's CVE-2026-30892: account files without end, or that are none,
/// hold nobody up and take no memory.
#[test]
fn hostile_account_files_take_neither_time_nor_memory() {
    let bundle = Bundle::script("echo $HOME");
    let etc = bundle.image("etc");
    fs::create_dir(&etc).unwrap();
    type Plant<'a> = (&'a str, Box<dyn Fn(&std::path::Path)>);
    let plants: [Plant<'_>; 6] = [
        ("endless", Box::new(|path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap())),
        ("a device", Box::new(|path| symlink("/dev/zero", path).unwrap())),
        ("a directory", Box::new(|path| fs::create_dir(path).unwrap())),
        ("a link to itself", Box::new(|path| symlink("passwd", path).unwrap())),
        ("a pipe", Box::new(make_pipe)),
        ("no text", Box::new(|path| fs::write(path, b"\xff:\0:0:0::/\xff:\n:::::\n0").unwrap())),
    ];
    for (what, plant) in plants {
        for name in ["passwd", "group"] {
            let path = etc.join(name);
            match fs::symlink_metadata(&path) {
                Ok(facts) if facts.is_dir() => fs::remove_dir(&path).unwrap(),
                Ok(_) => fs::remove_file(&path).unwrap(),
                Err(_) => {}
            }
            plant(&path);
        }
        // 64 MiB of address space, and ten seconds.
        let script =
            format!("ulimit -v 65536; exec timeout 10 {} --root containers run c", bundle::TARE);
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(bundle.path()).stdin(Stdio::null());
        assert_eq!(Ran::from(shell.output().unwrap()).ok(), "/\n", "{what}");
    }
}

fn make_pipe(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert!(fs::metadata(path).unwrap().file_type().is_fifo());
}

/// runc's CVE-2021-43784: a list of mappings that is longer than the message which carried it. Long
/// lists arrive whole, or are refused.
#[test]
fn long_mappings_arrive_whole() {
    for (count, fits) in [(1, true), (200, true), (341, false), (20_000, false)] {
        let mut bundle = Bundle::new(&["cat", "/proc/self/uid_map", "/proc/self/gid_map"]);
        bundle.edit(|config| {
            let map: Vec<_> = (0..count)
                .map(|id| {
                    let (inside, outside) = (id * 2, 100_000 + id * 3);
                    serde_json::json!({ "containerID": inside, "hostID": outside, "size": 1 })
                })
                .collect();
            config["linux"]["uidMappings"] = map.clone().into();
            config["linux"]["gidMappings"] = map.into();
            // It wants a group that not all of these lists have.
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["type"] != "devpts");
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.push(serde_json::json!({ "type": "user" }));
        });
        for path in [bundle.path().to_owned(), bundle.image("")] {
            fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let ran = bundle.tare(&["run", "c"]);
        match fits {
            true => assert_eq!(ran.ok().lines().count(), 2 * count, "{count} mappings"),
            false => assert!(ran.fails(1).contains("uid_map"), "{count} mappings"),
        }
    }
}

/// The same for the paths of namespaces: what is too long or has a zero byte in it is joined nowhere.
#[test]
fn odd_paths_of_namespaces_are_refused() {
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let long = format!("/proc/self/ns/{}net", "./".repeat(1 << 16));
    for path in ["/proc/self/ns/net\0/../none", &long, "/proc/self/ns", "/proc/self/ns/uts"] {
        let mut bundle = Bundle::new(&["readlink", "/proc/self/ns/net"]);
        bundle.edit(|config| {
            for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
                if namespace["type"] == "network" {
                    namespace["path"] = path.into();
                }
            }
        });
        let ran = bundle.tare(&["run", "c"]);
        let shown = path.get(..40).unwrap_or(path);
        assert!(ran.status != 0 && !ran.out.contains(own.to_str().unwrap()), "{shown:?}: {ran:?}");
    }
}
