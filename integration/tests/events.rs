//! `events`: what happens, as it happens.

use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

#[test]
fn a_containers_life_is_told_in_order() {
    on_host(|host| {
        let format = "--format '{{.Type}} {{.Action}} {{index .Actor.Attributes \"name\"}}'";
        let watcher = host.docker_running(&format!("events --filter type=container {format}"));
        // The watcher is there when it sees something.
        until_true("the watcher being there", || {
            host.docker("rm -f probe");
            host.docker("create --name probe busybox").ok();
            watcher.stdout().contains("probe")
        });
        host.docker("run --name c1 busybox sh -c 'exit 3'").code(3);
        host.docker("rename c1 c2").ok();
        host.docker("rm c2").ok();
        watcher.wait_for_stdout("container destroy c2");
        let seen = watcher.stdout();
        let of_c: Vec<_> = seen.lines().filter(|line| !line.contains("probe")).collect();
        let expected = [
            "container create c1",
            "container attach c1",
            "container start c1",
            "container die c1",
            "container rename c2",
            "container destroy c2",
        ];
        assert_eq!(of_c, expected);
    });
}

/// What has happened to `c1`, up to the action `last`.
fn past(host: &Host, last: &str, flags: &str) -> String {
    let watcher = host.docker_running(&format!("events --since 1h --filter container=c1 {flags}"));
    watcher.wait_for_stdout(last);
    watcher.stdout()
}

#[test]
fn the_past_can_be_asked_for() {
    on_host(|host| {
        host.docker("run --name c1 busybox sh -c 'exit 3'").code(3);
        let die = past(host, "container die", "--filter event=die");
        assert!(die.contains("exitCode=3") && die.contains("image=busybox"), "{die}");
        let start = past(host, "start", "--filter event=start --format json");
        let start: serde_json::Value = serde_json::from_str(start.trim()).expect("a JSON line");
        assert_eq!(start["Action"], "start");
        assert_eq!(start["Actor"]["Attributes"]["name"], "c1");
        assert_eq!(start["Actor"]["ID"], host.inspect("c1", "{{.Id}}"));
        host.docker("events --since 1h --until 30m").code(0).stdout("");
    });
}

#[test]
fn kills_and_stops_are_told() {
    on_host(|host| {
        host.docker("run -d --name c1 busybox sleep 1000").ok();
        host.docker("exec c1 true").ok();
        host.docker("stop -t 0 c1").ok();
        let past = past(host, "stop\n", "--format '{{.Action}}'");
        for action in [
            "create",
            "start",
            "exec_create: true",
            "exec_start: true",
            "exec_die",
            "kill",
            "die",
            "stop",
        ] {
            assert!(past.lines().any(|line| line.trim_end() == action), "{past}");
        }
    });
}
