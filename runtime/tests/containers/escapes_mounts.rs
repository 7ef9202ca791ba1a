//! Ways out of a container by the places of its mounts and device files, which somebody exchanges
//! for links while they are made.

use crate::bundle::Bundle;
use crate::racer::{Canary, Racer};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// How many containers are started against a racer.
const RUNS: u64 = 24;

/// A volume that somebody else has too: `turn` is a directory there, `link` leads to the canary.
fn shared_volume(bundle: &mut Bundle, canary: &Canary) -> Racer {
    let volume = bundle.path().join("volume");
    fs::create_dir_all(volume.join("turn")).unwrap();
    symlink(canary.as_a_link(), volume.join("link")).unwrap();
    bundle.mount("/volume", "bind", &volume, &["rbind"]);
    Racer::exchange(&volume.join("turn"), &volume.join("link"))
}

/// CVE-2021-30465, CVE-2024-45310: places of mounts lie below a directory that is exchanged for a
/// link to the host. Nothing is mounted there, and no place for a mount is made there.
#[test]
fn racing_links_lead_no_mount_to_the_host() {
    let canary = Canary::new();
    let mut bundle = Bundle::new(&["true"]);
    let racer = shared_volume(&mut bundle, &canary);
    let (file, directory) = (bundle.path().join("a-file"), bundle.path().join("a-directory"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&directory).unwrap();
    bundle.mount("/volume/turn/file", "bind", &file, &["bind"]);
    bundle.mount("/volume/turn/deep/directory", "bind", &directory, &["rbind", "ro"]);
    for typ in ["tmpfs", "proc", "sysfs", "cgroup", "mqueue", "devpts"] {
        let place = format!("/volume/turn/{typ}");
        bundle.mount(&place, typ, Path::new(typ), &["nosuid", "ro"]);
    }
    bundle.mount("/volume/turn/copied", "tmpfs", Path::new("tmpfs"), &["tmpcopyup"]);
    racer.against(RUNS, || {
        // Whether it runs depends on who is faster; what counts is the host.
        bundle.tare(&["run", "c"]);
    });
    canary.is_untouched();
}

/// The same where the options are longer than the kernel's newer calls take, so that an older one
/// makes the mount, which knows nothing but paths.
#[test]
fn racing_links_lead_no_mount_of_the_older_kind_to_the_host() {
    let canary = Canary::new();
    let mut bundle = Bundle::new(&["cat", "/layers/seed"]);
    let layers = bundle.path().join("layers");
    let names: Vec<_> = (0..12).map(|number| format!("{}{number}", "layer".repeat(6))).collect();
    for name in &names {
        fs::create_dir_all(layers.join(name)).unwrap();
    }
    fs::write(layers.join(&names[5]).join("seed"), "grown\n").unwrap();
    let paths: Vec<_> = names.iter().map(|name| layers.join(name).display().to_string()).collect();
    let lower = format!("lowerdir={}", paths.join(":"));
    assert!(lower.len() > 256);
    bundle.mount("/layers", "overlay", Path::new("overlay"), &["ro", "nosuid", &lower]);
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "grown\n");

    let racer = shared_volume(&mut bundle, &canary);
    bundle.mount("/volume/turn/made", "overlay", Path::new("overlay"), &["ro", &lower]);
    racer.against(RUNS, || {
        bundle.tare(&["run", "c"]);
    });
    canary.is_untouched();
}

/// CVE-2019-19921: two containers are made at once that share a volume, and the image of one has a
/// link into it where kernel file systems belong.
#[test]
fn containers_made_at_once_do_not_lead_each_other_out() {
    let canary = Canary::new();
    let mut one = Bundle::new(&["true"]);
    let racer = shared_volume(&mut one, &canary);
    let mut two = Bundle::new(&["true"]);
    let volume = one.path().join("volume");
    two.mount("/volume", "bind", &volume, &["rbind"]);
    symlink("/volume/turn", two.image("proc")).unwrap();
    symlink("/volume/turn/below", two.image("sys")).unwrap();
    one.mount("/volume/turn/tmpfs", "tmpfs", Path::new("tmpfs"), &[]);
    racer.against(RUNS / 2, || {
        std::thread::scope(|scope| {
            scope.spawn(|| one.tare(&["run", "c"]));
            assert_ne!(two.tare(&["run", "c"]).status, 0, "/proc was mounted through a link");
        });
    });
    canary.is_untouched();
}

/// CVE-2019-16884, CVE-2023-27561, CVE-2023-28642: /proc and /sys of an image that is shared are
/// exchanged for a link or for another directory while they are mounted. Wherever they end up, what
/// is to be hidden and read-only in them is.
#[test]
fn kernel_file_systems_are_protected_wherever_they_end_up() {
    // Each look is one system call: between two the places may be exchanged.
    const LOOK: &str = "for at in /proc /other /sys; do \
           if [ -e $at/version ]; then echo found; \
             (: >> $at/sys/kernel/core_pattern) 2> /dev/null && echo OPEN: $at/sys; \
             (: >> $at/irq/default_smp_affinity) 2> /dev/null && echo OPEN: $at/irq; \
             case $(stat -c %F $at/keys 2> /dev/null) in \
               '' | char*) ;; *) echo OPEN: $at/keys ;; \
             esac; \
           fi; \
           if [ -e $at/kernel/mm ]; then \
             [ \"$(ls $at/firmware 2> /dev/null)\" ] && echo OPEN: $at/firmware; \
           fi; \
         done; exit 0";
    for (place, is_link) in [("proc", false), ("proc", true), ("sys", false), ("sys", true)] {
        let mut bundle = Bundle::script(LOOK);
        // The image stays writable, so that it is not what keeps files from being opened.
        bundle.edit(|config| config["root"]["readonly"] = false.into());
        fs::create_dir(bundle.image(place)).unwrap();
        match is_link {
            true => {
                fs::create_dir(bundle.image("another")).unwrap();
                symlink("another", bundle.image("other")).unwrap();
            }
            false => fs::create_dir(bundle.image("other")).unwrap(),
        }
        let racer = Racer::exchange(&bundle.image(place), &bundle.image("other"));
        let mut found = 0;
        racer.against(RUNS, || {
            let ran = bundle.tare(&["run", "c"]);
            assert!(!ran.out.contains("OPEN"), "{place}, with a link: {is_link}: {ran:?}");
            found += u64::from(ran.out.contains("found"));
        });
        assert!(found > 0, "{place}, with a link: {is_link}: no container had its procfs");
    }
}

/// CVE-2026-41579, crun's CVE-2026-47766: /dev of the image, or what is in it, is a link. What every
/// container has there is made inside, or not at all.
#[test]
fn links_in_dev_stay_inside() {
    let canary = Canary::new();
    let absolute = canary.directory();
    let below = |name: &str| absolute.join(name);
    type Plant<'a> = (&'a str, Vec<(&'a str, std::path::PathBuf)>);
    let plants: [Plant<'_>; 5] = [
        ("/dev to the host", vec![("dev", absolute.clone())]),
        ("/dev up to the host", vec![("dev", canary.as_a_link())]),
        (
            "devices",
            ["null", "zero", "full", "tty", "random", "urandom", "ptmx", "console", "fd", "stdin"]
                .iter()
                .map(|name| (*name, below("made")))
                .collect(),
        ),
        ("directories", vec![("pts", absolute.clone()), ("shm", absolute.clone())]),
        ("a device on a file", vec![("null", below("file")), ("core", below("file"))]),
    ];
    for (what, links) in plants {
        for with_mount in [true, false] {
            let mut bundle = Bundle::new(&["true"]);
            if !with_mount {
                bundle.edit(|config| {
                    let mounts = config["mounts"].as_array_mut().unwrap();
                    mounts.retain(|mount| mount["destination"] != "/dev");
                });
            }
            let device = serde_json::json!([
                { "path": "/dev/made", "type": "c", "major": 1, "minor": 5, "uid": 7, "gid": 7 },
                { "path": "/dev/deep/made", "type": "c", "major": 1, "minor": 5 },
            ]);
            bundle.edit(|config| config["linux"]["devices"] = device);
            for (name, target) in &links {
                match *name {
                    "dev" => symlink(target, bundle.image("dev")).unwrap(),
                    name => {
                        fs::create_dir_all(bundle.image("dev")).unwrap();
                        symlink(target, bundle.image("dev").join(name)).unwrap();
                    }
                }
            }
            bundle.tare(&["run", "c"]);
            canary.is_untouched();
            let there = bundle.image("").join(absolute.strip_prefix("/").unwrap());
            // Links of the image lead to the same names in the image.
            assert!(what != "/dev to the host" || there.exists(), "{what}");
        }
    }
}

/// A device file's place is exchanged for a link while it gets its owner.
#[test]
fn racing_links_lead_no_device_to_the_host() {
    let canary = Canary::new();
    let mut bundle = Bundle::new(&["true"]);
    let racer = shared_volume(&mut bundle, &canary);
    bundle.edit(|config| {
        config["linux"]["devices"] = serde_json::json!([
            { "path": "/volume/turn/one", "type": "c", "major": 1, "minor": 5, "uid": 7 },
            { "path": "/volume/turn/deep/two", "type": "c", "major": 1, "minor": 7, "uid": 7 },
        ]);
        config["process"]["cwd"] = "/volume/turn/deep/work".into();
    });
    racer.against(RUNS, || {
        bundle.tare(&["run", "c"]);
    });
    canary.is_untouched();
}
