//! Holes that container engines have had, each shown to be closed here: what a process in a
//! container has, holds and reaches.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;
use tare_integration::archive::Tar;
use tare_integration::hostile::{self, HOSTILE};
use tare_integration::in_place::InPlace;
use tare_integration::on_host;

/// A masked file is covered by a null device. Were it the host's, then root in the container, who
/// may change the mode of what it can name, could lock the host out of its own /dev/null.
#[test]
fn a_masked_file_is_not_the_hosts_null_device() {
    on_host(|host| {
        let hosts = hosts_null();
        let ran = host.docker("run --rm busybox stat -c %d:%i /proc/keys /dev/null");
        let devices: Vec<&str> = ran.ok().lines().collect();
        assert_eq!(devices.len(), 2);
        assert!(devices.iter().all(|device| *device != hosts), "{devices:?} on the host's {hosts}");
        host.docker("run --rm busybox chmod 640 /proc/keys").code(1).stderr_has("Read-only");
    });
}

/// The same by a standard stream, which /proc/self/fd gives a name.
#[test]
fn no_stream_is_the_hosts_null_device() {
    const SHOW: &str = "stat -L -c %d:%i /proc/self/fd/0";
    on_host(|host| {
        let hosts = hosts_null();
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let init = host.docker("exec c1 stat -L -c %d:%i /proc/1/fd/0 /dev/null");
        let (input, own) = init.ok().split_once('\n').expect("two lines");
        assert_eq!(input, own);
        assert_ne!(own, hosts);
        assert_eq!(host.docker(&format!("exec c1 {SHOW}")).ok(), own);
        host.docker(&format!("exec -d c1 sh -c '{SHOW} > /seen'")).ok();
        host.docker("exec c1 sh -c 'until test -s /seen; do sleep 0.1; done'").ok();
        assert_eq!(host.docker("exec c1 cat /seen").ok(), own);
        // An image that brings a /dev of its own, with a null device in it ...
        let dev = Tar::new().device("dev/null", 0o666, (1, 3)).directory("dev/pts", 0o755);
        hostile::load_image(host, "dev", dev, json!({ "Volumes": { "/dev": {} } }));
        assert_ne!(host.docker(&format!("run --rm dev {SHOW}")).ok(), hosts);
        // ... and a /dev without one: the host's serves, but can't be changed. (The mode is the one
        // that it has.)
        host.docker("run --rm --privileged -v /dev busybox chmod 666 /proc/self/fd/0")
            .code(1)
            .stderr_has("Read-only");
    });
}

/// CVE-2019-5736: the runtime's program is overwritten on the host, through /proc/<pid>/exe of the
/// process that enters the container.
#[test]
fn the_runtimes_program_cannot_be_written() {
    on_host(|host| {
        hostile::load(host);
        // Who tries to write a file keeps others from executing it meanwhile.
        let program = InPlace::copy_of(host, "tare");
        let before = fs::read(program.file()).expect("read the runtime");
        // What is run in the container is the runtime itself.
        let own = Tar::new().link("bin/own", "/proc/self/exe");
        hostile::load_image(host, "own", own, json!({ "Entrypoint": ["/bin/own"] }));
        host.docker("run --rm own --version");
        let all = "--cap-add SYS_PTRACE --cap-add SYS_ADMIN --cap-add DAC_READ_SEARCH";
        host.docker(&format!("run -d --name c1 {all} {HOSTILE} tare-hostile hunt")).ok();
        host.docker("exec c1 ln -s /proc/self/exe /own").ok();
        for _ in 0..4 {
            host.docker("exec c1 true").ok();
            host.docker("exec c1 /own --version");
            // This one reads its input, inside, for as long as that is open.
            let bait = host.docker_running("exec -i c1 /own update --resources - none");
            std::thread::sleep(std::time::Duration::from_millis(300));
            drop(bait);
        }
        let found = host.docker("logs c1");
        found.stdout_has("seen");
        assert!(!found.stdout.contains("WRITABLE"), "{found:#?}");
        let after = fs::read(program.file()).expect("read the runtime");
        assert!(before == after, "it was changed");
    });
}

/// CVE-2024-21626: the working directory is a directory of the host that was left open.
#[test]
fn no_working_directory_leads_to_the_host() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        for number in 3..20 {
            let cwd = format!("/proc/self/fd/{number}");
            let ran = host.docker(&format!("exec -w {cwd} c1 ls ../../../../.."));
            assert!(ran.code != 0 && !ran.stdout.contains("proc\n"), "{ran:#?}");
        }
        for number in 3..12 {
            let cwd = format!("/proc/self/fd/{number}");
            let ran = host.docker(&format!("run --rm -w {cwd} busybox ls ../../../../.."));
            assert!(ran.code != 0 && !ran.stdout.contains("proc\n"), "{ran:#?}");
        }
    });
}

/// CVE-2022-29162, CVE-2022-27650, CVE-2022-24769.
#[test]
fn no_capability_is_inheritable() {
    on_host(|host| {
        let show = "grep CapInh /proc/self/status";
        host.docker("run -d --name c1 --cap-add SYS_ADMIN busybox sleep 1000").ok();
        for typed in [
            format!("run --rm busybox {show}"),
            format!("run --rm --privileged busybox {show}"),
            format!("run --rm -u 1000 --cap-add NET_ADMIN busybox {show}"),
            format!("exec c1 {show}"),
            format!("exec --privileged c1 {show}"),
            format!("exec -u alice c1 {show}"),
        ] {
            host.docker(&typed).code(0).stdout("CapInh:\t0000000000000000\n");
        }
    });
}

/// CVE-2023-25809, and the release_agent of a cgroup that can be written.
#[test]
fn a_container_cannot_write_to_cgroups() {
    const TRY: &str = "find /sys/fs/cgroup -type f > /files; test -s /files || echo no files; \
                       while read -r file; do (echo 0 >> $file) 2> /dev/null && echo $file; done \
                       < /files; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2> /dev/null; \
                       ls -d /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2> /dev/null; true";
    on_host(|host| {
        for flags in ["", "--cgroupns private", "--cgroupns host"] {
            host.docker(&format!("run --rm {flags} busybox sh -c '{TRY}'")).code(0).stdout("");
        }
    });
}

/// CVE-2026-30892, CVE-2024-40635, CVE-2026-46680: a number out of range becomes root.
#[test]
fn users_out_of_range_are_refused() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        for user in [
            "4294967295",
            "4294967296",
            "18446744073709551616",
            "-1",
            "2147483648",
            "0:4294967295",
            "1000:4294967296",
            "+4294967296",
            "00000000004294967296",
        ] {
            for typed in ["run --rm -u", "exec -u"] {
                let name = if typed.starts_with("run") { "busybox" } else { "c1" };
                let ran = host.docker(&format!("{typed} {user} {name} id -u"));
                assert!(ran.code != 0 && ran.stdout.is_empty(), "{ran:#?}");
            }
            hostile::load_image(host, "user", Tar::new(), json!({ "User": user }));
            let ran = host.docker("run --rm user id -u");
            assert!(ran.code != 0 && ran.stdout.is_empty(), "{user}: {ran:#?}");
        }
        host.docker("run --rm --group-add 4294967296 busybox id -G").code(125);
    });
}

/// CVE-2020-15257: the shim's socket has no file, and whoever shares its network finds it.
#[test]
fn no_socket_of_the_hosts_is_in_reach_by_the_network() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        let sockets = host.docker("run --rm --network host busybox cat /proc/net/unix");
        sockets.stdout_has("Path");
        let named: Vec<_> = sockets.stdout.lines().filter(|line| line.contains(" @")).collect();
        assert!(named.is_empty(), "{named:#?}");
        let files = sockets.stdout.lines().filter_map(|line| line.split_once(" /"));
        let files: Vec<_> = files.map(|(_, path)| format!("/{path}")).collect();
        assert!(files.iter().any(|path| path.ends_with("docker.sock")), "{files:?}");
        for path in files {
            // The one that the container itself had is gone by now.
            let Ok(facts) = fs::metadata(&path) else { continue };
            assert_eq!(facts.mode() & 0o007, 0, "{path} is open to others");
        }
    });
}

/// CVE-2026-31431: the kernel's crypto is reached by a socket. The kernel looks at the lower half of
/// the family's number only, a filter that is not careful at the whole.
#[test]
fn sockets_that_no_namespace_confines_are_refused() {
    const UPPER: u64 = 1 << 32;
    on_host(|host| {
        hostile::load(host);
        let ask =
            |family: u64| host.docker(&format!("run --rm {HOSTILE} tare-hostile socket {family}"));
        for family in [38, 40, 38 | UPPER, 40 | UPPER, 38 | !0 << 32] {
            ask(family).code(0).stdout("Operation not permitted (os error 1)\n");
        }
        ask(1).code(0).stdout("made\n");
        ask(2).code(0).stdout("made\n");
    });
}

/// A setting's name that climbs out of the part that is the container's own.
#[test]
fn a_sysctl_does_not_climb_to_the_hosts() {
    on_host(|host| {
        host.docker("run --rm --sysctl net.//.kernel.none=1 busybox true")
            .code(125)
            .stderr_has("is not the name of a setting");
        host.docker("run --rm --sysctl net.ipv4.ip_forward=0 busybox true").ok();
    });
}

/// The host's null device, as `stat -c %d:%i` shows it; nothing, if it has none.
fn hosts_null() -> String {
    let facts = fs::metadata("/dev/null").ok();
    facts.map(|facts| format!("{}:{}", facts.dev(), facts.ino())).unwrap_or_default()
}
