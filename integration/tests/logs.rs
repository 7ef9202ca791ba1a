//! `logs`: what a container wrote, whenever one asks.

use tare_integration::on_host;
use tare_integration::wait::until_true;

#[test]
fn both_streams_are_kept_apart() {
    on_host(|host| {
        host.docker("run --name c1 busybox sh -c 'echo out; echo err >&2'").ok();
        let logs = host.docker("logs c1");
        logs.code(0).stdout("out\n");
        assert_eq!(logs.stderr, "err\n");
    });
}

#[test]
fn the_last_lines_can_be_asked_for() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox seq 1 5000").ok();
        host.docker("wait c1").ok();
        host.docker("logs --tail 2 c1").code(0).stdout("4999\n5000\n");
        host.docker("logs --tail 0 c1").code(0).stdout("");
        host.docker("logs -n 10000 c1").code(0).stdout_has("1\n2\n3\n");
        assert_eq!(host.docker("logs c1").lines().len(), 5000);
        assert_eq!(host.docker("logs --tail all c1").lines().len(), 5000);
    });
}

#[test]
fn times_are_shown_and_chosen_by() {
    on_host(|host| {
        host.docker("run -d -i --name c1 busybox sh -c 'echo one; read x; echo two'").ok();
        until_true("the first line", || host.docker("logs c1").stdout == "one\n");
        let first = host.docker("logs -t c1").ok().to_owned();
        let (time, text) = first.split_once(' ').expect("a time and a text");
        assert_eq!(text, "one");
        assert!(
            time.ends_with('Z') && time.len() == "2024-01-02T03:04:05.123456789Z".len(),
            "{time}"
        );
        host.docker_with_input("attach c1", b"go\n").ok();
        let second = host.docker("logs -t --tail 1 c1").ok().to_owned();
        let (time, _) = second.split_once(' ').expect("a time and a text");
        host.docker(&format!("logs --since {time} c1")).code(0).stdout("two\n");
        host.docker(&format!("logs --until {time} c1")).code(0).stdout_has("one\n");
        host.docker("logs --since 1h c1").code(0).stdout("one\ntwo\n");
        host.docker("logs --since 2000-01-01 c1").code(0).stdout("one\ntwo\n");
        host.docker("logs --until 2000-01-01 c1").code(0).stdout("");
    });
}

#[test]
fn they_can_be_followed_to_the_end() {
    on_host(|host| {
        host.docker(
            "run -d -i --name c1 busybox sh -c 'echo one; read x; echo two; read x; exit 3'",
        )
        .ok();
        let follower = host.docker_running("logs -f c1");
        follower.wait_for_stdout("one\n");
        let mut person = host.docker_running("attach c1");
        person.write(b"\n");
        follower.wait_for_stdout("two\n");
        person.write(b"\n");
        follower.wait().code(0).stdout("one\ntwo\n");
    });
}

#[test]
fn a_line_without_an_end_and_a_very_long_one_are_whole() {
    on_host(|host| {
        host.docker("run --name c1 busybox printf 'no end'").ok();
        host.docker("logs c1").code(0).stdout("no end");
        host.docker("run --name c2 busybox sh -c 'head -c 100000 /dev/zero | tr \\\\0 x; echo'")
            .ok();
        let long = host.docker("logs c2");
        assert!(long.code(0).stdout == "x".repeat(100_000) + "\n", "{} bytes", long.stdout.len());
        assert_eq!(host.docker("logs -t c2").lines().len(), 1);
    });
}

#[test]
fn a_driver_can_be_chosen() {
    on_host(|host| {
        host.docker("run --name c1 --log-driver none busybox echo x").code(0).stdout("x\n");
        host.docker("logs c1").code(1).stderr_has("does not support reading");
        host.docker("run --name c2 --log-driver nonsense busybox true").code(125);
        assert_eq!(host.inspect("c1", "{{.HostConfig.LogConfig.Type}}"), "none");
        host.docker("create --name c3 busybox").ok();
        assert_eq!(host.inspect("c3", "{{.HostConfig.LogConfig.Type}}"), "json-file");
    });
}

#[test]
fn the_log_file_is_in_dockers_format() {
    on_host(|host| {
        host.docker("run --name c1 busybox sh -c 'echo one; echo two >&2'").ok();
        let path = host.inspect("c1", "{{.LogPath}}");
        assert!(path.starts_with(&host.places().data_root.display().to_string()), "{path}");
        let log = std::fs::read_to_string(path).expect("read the log");
        let mut lines: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
        lines.sort_by_key(|line| line["log"].to_string());
        assert_eq!((&lines[0]["log"], &lines[0]["stream"]), (&"one\n".into(), &"stdout".into()));
        assert_eq!((&lines[1]["log"], &lines[1]["stream"]), (&"two\n".into(), &"stderr".into()));
        assert!(lines[0]["time"].is_string());
    });
}
