//! The disk is full at one moment or another, or takes nothing any more.

use rustix::process::Signal;
use tare_integration::registry::{Access, Registry};
use tare_integration::{Host, on_host_with};

use crate::content::{archive, publish};
use crate::disk::SmallDisk;
use tare_integration::archive::noise;

/// Free bytes: nothing is left, the small things have room, one layer or another has, almost all.
const LEVELS: [u64; 6] = [0, 60 << 10, 300 << 10, 2 << 20, 5 << 20, 9 << 20];
/// What the file system itself may keep for later.
const SLACK: u64 = 1 << 20;

#[test]
fn whatever_is_full_when_leaves_nothing_and_can_be_done_again() {
    on_host_with(&[], |host| {
        let disk = SmallDisk::mount(host, 64);
        let registry = Registry::start(host, Access::Open);
        let pulled = publish(host, &registry, "x:1", &[(1, 3 << 20), (2, 1 << 20), (3, 500_000)]);
        host.docker_with_input("load", &archive("base", &[])).ok();
        // Something that makes a commit large, and a push of what is only unpacked.
        host.docker("run --name changed base sh -c 'head -c 4000000 /dev/urandom > /own'").ok();
        let loaded = archive("loaded", &[(4, 3 << 20), (5, 1 << 20)]);
        let imported = noise_tar();
        let work: [(&str, &dyn Fn() -> tare_integration::Ran, &str); 5] = [
            ("pull", &|| host.docker(&format!("pull {pulled}")), &pulled),
            ("load", &|| host.docker_with_input("load", &loaded), "loaded"),
            ("commit", &|| host.docker("commit changed committed"), "committed"),
            ("import", &|| host.docker_with_input("import - imported", &imported), "imported"),
            ("tag", &|| host.docker("tag base tagged"), "tagged"),
        ];
        let before = host.footprint();
        let free = disk.available();
        let (mut failed, mut done) = (0, 0);
        for level in LEVELS {
            for (what, work, image) in &work {
                disk.leave(level);
                let ran = work();
                if ran.code == 0 {
                    done += 1;
                    host.docker(&format!("rmi {image}")).ok();
                } else {
                    failed += 1;
                    let said = ran.stderr.to_lowercase();
                    // A commit's two ends fail together, and either may be the one that says so.
                    let other_end = *what == "commit" && said.contains("broken pipe");
                    assert!(
                        said.contains("no space left on device") || other_end,
                        "{what} with {level} bytes left: {}",
                        ran.stderr
                    );
                    assert_eq!(host.docker(&format!("images -q {image}")).ok(), "", "{what}");
                }
                disk.free();
                host.leaves_nothing_since(&before);
            }
            // Whatever is full: what is there can be listed and given out.
            disk.leave(level);
            host.docker("images").code(0).stdout_has("base");
            let target = host.scratch("saved").join("base.tar");
            host.docker(&format!("save -o {} base", target.display())).ok();
            disk.free();
        }
        assert!(failed > 8 && done > 4, "{failed} failed, {done} went well");
        let now = disk.available();
        assert!(now + SLACK > free, "{free} bytes were free, now {now} are");
        // There is room again, and nothing else is needed.
        for (_, work, _) in &work {
            work().ok();
        }
        host.docker(&format!("run --rm {pulled} sh -c 'cat /own-1 | wc -c'"))
            .stdout(&format!("{}\n", 3 << 20));
        registry_has_all_of(host, &registry);
        drop(registry);
        disk.unmount();
    });
}

/// What was made here can be pushed.
fn registry_has_all_of(host: &Host, registry: &Registry) {
    let name = registry.image("committed:1");
    host.docker(&format!("tag committed {name}")).ok();
    host.docker(&format!("push {name}")).ok();
}

fn noise_tar() -> Vec<u8> {
    tare_integration::archive::Tar::new().file("own", 0o644, &noise(9, 6 << 20)).bytes()
}

#[test]
fn images_and_containers_go_from_a_disk_without_a_byte() {
    on_host_with(&[], |host| {
        let disk = SmallDisk::mount(host, 48);
        host.docker_with_input("load", &archive("one", &[(1, 2 << 20)])).ok();
        host.docker_with_input("load", &archive("two", &[(2, 2 << 20)])).ok();
        host.docker("create --name c1 one").ok();
        disk.leave(0);
        // Something as small as this may still find its place.
        let made = host.docker("create --name c2 two");
        if made.code != 0 {
            made.stderr_has("o space left on device");
            host.docker("ps -aq --filter name=c2").stdout("");
        }
        host.docker("rm c1").ok();
        host.docker("rmi one").ok();
        assert!(disk.available() > 3 << 20, "the layer and its blob are gone");
        host.docker("run --rm two true").ok();
        disk.free();
        disk.unmount();
    });
}

#[test]
fn a_disk_that_turns_read_only_is_said_and_got_over() {
    on_host_with(&[], |host| {
        let disk = SmallDisk::mount(host, 64);
        let registry = Registry::start(host, Access::Open);
        let name = publish(host, &registry, "x:1", &[(1, 500_000)]);
        host.docker_with_input("load", &archive("base", &[])).ok();
        host.docker_with_input("load", &archive("unused", &[(3, 1000)])).ok();
        host.docker("create --name c1 base true").ok();
        disk.abort();
        let archive = archive("other", &[(2, 100_000)]);
        let refused = [
            host.docker(&format!("pull {name}")),
            host.docker_with_input("load", &archive),
            host.docker("commit c1 committed"),
            host.docker("create --name c2 base"),
            host.docker("tag base tagged"),
            host.docker("rmi unused"),
        ];
        for ran in refused {
            ran.code(1).stderr_has_one_of(&["Read-only file system", "read-only file system"]);
        }
        host.docker("images").code(0).stdout_has("base");
        host.docker("ps -a").code(0).stdout_has("c1");
        host.docker("save base").code(0);
        host.end_daemon(Signal::KILL);
        disk.mend();
        host.start_daemon();
        assert_eq!(host.docker("images -q").lines().len(), 2);
        host.docker("start -a c1").code(0);
        host.docker(&format!("pull {name}")).ok();
        host.docker_with_input("load", &archive).ok();
        drop(registry);
        disk.unmount();
    });
}
