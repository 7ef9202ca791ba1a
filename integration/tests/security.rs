//! What a container cannot do, unless it is asked for.

use std::os::unix::fs::PermissionsExt;

use tare_integration::{Host, on_host, peer};

/// A field of the first process's /proc/self/status in a container run with these flags.
fn status(host: &Host, flags: &str, field: &str) -> String {
    let ran = host.docker(&format!("run --rm {flags} busybox grep {field}: /proc/self/status"));
    ran.ok().split('\t').nth(1).unwrap_or_default().trim().to_owned()
}

#[test]
fn the_default_capabilities_are_dockers() {
    on_host(|host| {
        assert_eq!(status(host, "", "CapEff"), "00000000a80425fb");
        assert_eq!(status(host, "", "CapBnd"), "00000000a80425fb");
        assert_eq!(status(host, "", "CapPrm"), "00000000a80425fb");
        assert_eq!(status(host, "", "CapInh"), "0000000000000000");
        assert_eq!(status(host, "", "CapAmb"), "0000000000000000");
        assert_eq!(status(host, "-u 1000", "CapEff"), "0000000000000000");
        assert_eq!(status(host, "-u 1000", "CapBnd"), "00000000a80425fb");
    });
}

#[test]
fn capabilities_are_added_and_dropped() {
    on_host(|host| {
        assert_eq!(status(host, "--cap-add NET_ADMIN", "CapEff"), "00000000a80435fb");
        assert_eq!(status(host, "--cap-drop CAP_CHOWN", "CapEff"), "00000000a80425fa");
        assert_eq!(status(host, "--cap-drop all", "CapEff"), "0000000000000000");
        assert_eq!(status(host, "--cap-drop all --cap-add kill", "CapEff"), "0000000000000020");
        assert_eq!(status(host, "--cap-add all", "CapEff"), status(host, "--privileged", "CapEff"));
        host.docker("run --rm --cap-add NO_SUCH_CAP busybox true")
            .code(125)
            .stderr_has("invalid CapAdd: unknown capability: \"CAP_NO_SUCH_CAP\"");
    });
}

#[test]
fn the_default_seccomp_profile_is_in_force() {
    on_host(|host| {
        assert_eq!(status(host, "", "Seccomp"), "2");
        assert_eq!(status(host, "--privileged", "Seccomp"), "0");
        assert_eq!(status(host, "--security-opt seccomp=unconfined", "Seccomp"), "0");
        // New user namespaces need no capability, so only the profile refuses them.
        host.docker("run --rm busybox unshare --user true")
            .code(1)
            .stderr_has("Operation not permitted");
        host.docker("run --rm --security-opt seccomp=unconfined busybox unshare --user true").ok();
    });
}

#[test]
fn the_host_cannot_be_seen_or_changed_through_proc_and_sys() {
    on_host(|host| {
        host.docker("run --rm busybox sh -c 'wc -c < /proc/keys; wc -c < /proc/timer_list'")
            .code(0)
            .stdout("0\n0\n");
        host.docker("run --rm busybox ls /proc/acpi /sys/firmware")
            .stdout("/proc/acpi:\n\n/sys/firmware:\n");
        for path in ["/proc/sys/kernel/hostname", "/sys/kernel/uevent_seqnum"] {
            host.docker(&format!("run --rm busybox sh -c 'echo x > {path}'"))
                .code(1)
                .stderr_has("Read-only file system");
        }
    });
}

#[test]
fn a_container_has_only_the_usual_devices() {
    on_host(|host| {
        let ran = host.docker("run --rm busybox ls /dev");
        let expected = [
            "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
            "stdout", "tty", "urandom", "zero",
        ];
        // Where the kernel has /proc/kcore, there is a link to it (it is masked).
        let devices: Vec<_> = ran.lines().into_iter().filter(|name| *name != "core").collect();
        assert_eq!(devices, expected);
        // Making a device file is allowed; opening what is behind it is not.
        host.docker("run --rm busybox sh -c 'mknod /d b 7 0 && head -c 1 /d'")
            .code(1)
            .stderr_has("Operation not permitted");
    });
}

#[test]
fn privileged_takes_the_fences_away() {
    on_host(|host| {
        host.docker(
            "run --rm --privileged busybox sh -c 'mount -t tmpfs x /tmp && test -e /dev/loop0'",
        )
        .ok();
        host.docker("run --rm --privileged busybox sh -c 'test -w /sys/kernel && ls /proc/acpi'");
        host.docker("run --rm busybox mount -t tmpfs x /tmp")
            .code(1)
            .stderr_has("permission denied");
    });
}

#[test]
fn no_new_privileges_can_be_asked_for() {
    on_host(|host| {
        assert_eq!(status(host, "", "NoNewPrivs"), "0");
        assert_eq!(status(host, "--security-opt no-new-privileges", "NoNewPrivs"), "1");
    });
}

#[test]
fn a_processes_fds_are_its_own_three() {
    on_host(|host| {
        // The fourth is the directory that ls itself reads.
        host.docker("run --rm busybox ls /proc/self/fd").code(0).stdout("0\n1\n2\n3\n");
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("exec c1 ls /proc/self/fd").code(0).stdout("0\n1\n2\n3\n");
    });
}

#[test]
fn the_data_root_is_closed_to_other_users() {
    if !peer::is_tared("these modes") {
        return;
    }
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        for root in [&host.places().data_root, &host.places().exec_root] {
            let mode = std::fs::metadata(root).expect("look at a root").permissions().mode();
            assert_eq!(mode & 0o007, 0, "{} has mode {mode:o}", root.display());
            let ls = ["--reuid=1000", "--clear-groups", "ls", &root.display().to_string()];
            host.run("setpriv", &ls).code(2).stderr_has("Permission denied");
        }
        let socket = std::fs::metadata(&host.places().socket).expect("look at the socket");
        assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    });
}
