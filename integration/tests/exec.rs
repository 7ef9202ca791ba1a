//! `exec`: more programs in a container that runs.

use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

fn with_c1(test: impl FnOnce(&Host)) {
    on_host(|host| {
        host.docker("run -d --name c1 -e BASE=1 -w /tmp busybox sleep 1000").ok();
        test(host);
    });
}

#[test]
fn it_gives_the_output_and_the_exit_code() {
    with_c1(|host| {
        let ran = host.docker("exec c1 sh -c 'echo out; echo err >&2; exit 3'");
        ran.code(3).stdout("out\n");
        assert_eq!(ran.stderr, "err\n");
    });
}

#[test]
fn it_is_in_the_same_container() {
    with_c1(|host| {
        host.docker("exec c1 ps -o comm").code(0).stdout_has("sleep");
        host.docker("exec c1 cat /proc/1/cmdline").stdout("sleep\x001000\x00");
        host.docker("exec c1 touch /made-here").ok();
        host.docker("exec c1 ls /made-here").ok();
        let id = host.inspect("c1", "{{.Id}}");
        host.docker("exec c1 hostname").stdout(&format!("{}\n", &id[..12]));
    });
}

#[test]
fn input_is_passed_on_and_its_end_too() {
    with_c1(|host| {
        host.docker_with_input("exec -i c1 sh -c 'cat; echo end'", b"a\nb\n")
            .code(0)
            .stdout("a\nb\nend\n");
        host.docker_with_input("exec c1 cat", b"unread").code(0).stdout("");
    });
}

#[test]
fn environment_user_and_directory_can_be_given() {
    with_c1(|host| {
        host.docker("exec -e MORE=2 c1 sh -c 'echo $BASE $MORE'").code(0).stdout("1 2\n");
        host.docker("exec c1 pwd").code(0).stdout("/tmp\n");
        host.docker("exec -w /etc c1 pwd").code(0).stdout("/etc\n");
        host.docker("exec -u alice c1 id -un").code(0).stdout("alice\n");
        host.docker("exec -u 12:34 c1 id").code(0).stdout("uid=12 gid=34 groups=34\n");
        host.docker("exec -u nobody-here c1 id").code(1).stderr_has("nobody-here");
    });
}

#[test]
fn detached_it_runs_by_itself() {
    with_c1(|host| {
        host.docker("exec -d c1 sh -c 'echo x > /done'").code(0).stdout("");
        until_true("the file", || host.docker("exec c1 cat /done").stdout == "x\n");
    });
}

#[test]
fn exit_codes_are_dockers() {
    with_c1(|host| {
        host.docker("exec c1 no-such-program").code(127).stdout_has("executable file not found");
        host.docker("exec c1 /etc/passwd").code(126).stdout_has("permission denied");
        host.docker("exec c1 sh -c 'kill -9 $$'").code(137);
        host.docker("exec nobody true").code(1).stderr_has("No such container: nobody");
        host.docker("stop -t 0 c1").ok();
        host.docker("exec c1 true").code(1).stderr_has("is not running");
    });
}

#[test]
fn it_has_the_containers_fences() {
    with_c1(|host| {
        host.docker("exec c1 grep -E 'CapEff|Seccomp:|CapInh' /proc/self/status")
            .code(0)
            .stdout("CapInh:\t0000000000000000\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n");
        host.docker("exec -u 1000 c1 grep CapEff /proc/self/status")
            .stdout("CapEff:\t0000000000000000\n");
        host.docker("exec --privileged c1 grep CapEff /proc/self/status").code(0);
        let pid = host.inspect("c1", "{{.State.Pid}}");
        let of_first = host.run("cat", &[&format!("/proc/{pid}/cgroup")]).stdout;
        host.docker("exec -d c1 sleep 2000").ok();
        until_true("the second sleep in the same cgroup", || {
            let ps = host.run("pgrep", &["-f", "sleep 2000"]);
            let pid = ps.stdout.trim().to_owned();
            !pid.is_empty() && host.run("cat", &[&format!("/proc/{pid}/cgroup")]).stdout == of_first
        });
    });
}

#[test]
fn many_at_once() {
    with_c1(|host| {
        let all: Vec<_> = (0..20)
            .map(|n| host.docker_running(&format!("exec c1 sh -c 'echo {n}; exit {n}'")))
            .collect();
        for (n, ran) in all.into_iter().enumerate() {
            ran.wait().code(i32::try_from(n).expect("small")).stdout(&format!("{n}\n"));
        }
    });
}

#[test]
fn its_size_is_its_makers_and_its_frames_are_its_starters() {
    with_c1(|host| {
        let create = |tty: bool| {
            let body =
                format!(r#"{{"Cmd":["echo","hi"],"AttachStdout":true,"Tty":{tty},"Mine":1}}"#);
            let created = host.post("/v1.51/containers/c1/exec", &body).json();
            created["Id"].as_str().expect("an id").to_owned()
        };
        let start =
            |exec: &str, body: &str| host.post(&format!("/v1.51/exec/{exec}/start"), body).body;
        let sized =
            r#"{"Cmd":["stty","size"],"AttachStdout":true,"Tty":true,"ConsoleSize":[31,77]}"#;
        let sized = host.post("/v1.51/containers/c1/exec", sized).json();
        let sized = sized["Id"].as_str().expect("an id");
        assert_eq!(start(sized, r#"{"Tty":true}"#), "31 77\r\n");
        // The process has a terminal, but its reader wants frames, and the other way around.
        assert_eq!(start(&create(true), "{}"), "\u{1}\0\0\0\0\0\0\u{4}hi\r\n");
        assert_eq!(start(&create(false), r#"{"Tty":true,"hijack":true}"#), "hi\n");
    });
}
