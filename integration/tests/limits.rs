//! `-m`, `--cpus`, `--pids-limit`: the kernel enforces what was asked.

use tare_integration::on_host;

#[test]
fn memory_is_limited_and_the_kill_is_told() {
    on_host(|host| {
        host.docker("run -d --name c1 -m 64m busybox sleep 1000").ok();
        let limit = host.cgroup_file("c1", &["memory.max", "memory.limit_in_bytes"]);
        assert_eq!(limit.trim(), "67108864");
        assert_eq!(host.inspect("c1", "{{.HostConfig.Memory}}"), "67108864");
        host.docker("run --name eater -m 16m --memory-swap 16m busybox tail /dev/zero").code(137);
        assert_eq!(host.inspect("eater", "{{.State.OOMKilled}} {{.State.ExitCode}}"), "true 137");
    });
}

#[test]
fn a_share_of_the_processors_is_enforced() {
    on_host(|host| {
        host.docker("run -d --name c1 --cpus 0.5 busybox sleep 1000").ok();
        let quota = host.cgroup_file("c1", &["cpu.max", "cpu.cfs_quota_us"]);
        assert_eq!(quota.split(' ').next().map(str::trim), Some("50000"));
        host.docker("run --rm --cpus 1000 busybox true")
            .code(125)
            .stderr_has("ange of CPUs is from 0.01 to");
    });
}

#[test]
fn the_number_of_processes_is_limited() {
    on_host(|host| {
        host.docker("run -d --name c1 --pids-limit 5 busybox sleep 1000").ok();
        assert_eq!(host.cgroup_file("c1", &["pids.max"]).trim(), "5");
        let ran = host.docker("exec c1 sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 100 & done'");
        ran.stderr_has("can't fork");
    });
}

#[test]
fn unit_errors_come_from_the_daemon_as_dockers() {
    on_host(|host| {
        host.docker("run --rm -m 4m busybox true")
            .code(125)
            .stderr_has("Minimum memory limit allowed is 6MB");
        host.docker("run --rm -m 32m --memory-swap 16m busybox true")
            .code(125)
            .stderr_has("Minimum memoryswap limit should be larger than memory limit, see usage");
    });
}
