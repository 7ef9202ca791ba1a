//! `--health-*`, HEALTHCHECK: whether a container is well.

use rustix::process::Signal;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host, peer};

fn health(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.State.Health.Status}}")
}

fn until_health(host: &Host, name: &str, wanted: &str) {
    until_true(&format!("{name} being {wanted}"), || health(host, name) == wanted);
}

/// Flags of a check that is well while there is a file, and is quick about it.
const OF_FILE: &str = "--health-cmd 'test -e /ok' --health-interval 100ms --health-retries 2";

#[test]
fn a_container_is_well_or_not_and_says_so() {
    on_host(|host| {
        host.docker(&format!("run -d --name c1 {OF_FILE} busybox sleep 1000")).ok();
        until_health(host, "c1", "unhealthy");
        host.docker("ps --format '{{.Status}}'").stdout_has("(unhealthy)");
        host.docker("ps -q --filter health=unhealthy")
            .stdout_has(&host.inspect("c1", "{{slice .Id 0 12}}"));
        host.docker("ps -q --filter health=healthy").code(0).stdout("");
        let streak: u32 = host.inspect("c1", "{{.State.Health.FailingStreak}}").parse().unwrap();
        assert!(streak >= 2);
        host.docker("exec c1 touch /ok").ok();
        until_health(host, "c1", "healthy");
        host.docker("ps --format '{{.Status}}'").stdout_has("(healthy)");
        assert_eq!(host.inspect("c1", "{{.State.Health.FailingStreak}}"), "0");
        until_true("five probes", || host.inspect("c1", "{{len .State.Health.Log}}") == "5");
        let told = host.docker_running(
            "events --since 1h --filter event=health_status --format '{{.Action}}'",
        );
        told.wait_for_stdout(" healthy\n");
        assert_eq!(told.stdout(), "health_status: unhealthy\nhealth_status: healthy\n");
        host.docker("stop -t 0 c1").ok();
        assert_eq!(health(host, "c1"), "unhealthy");
    });
}

#[test]
fn it_is_starting_until_a_probe_has_said_something() {
    on_host(|host| {
        host.docker("run -d --name c1 --health-cmd true busybox sleep 1000").ok();
        assert_eq!(health(host, "c1"), "starting");
        host.docker("ps --format '{{.Status}}'").stdout_has("(health: starting)");
        host.docker("ps -q --filter health=starting")
            .stdout_has(&host.inspect("c1", "{{slice .Id 0 12}}"));
        assert_eq!(
            host.inspect("c1", "{{json .Config.Healthcheck}}"),
            r#"{"Test":["CMD-SHELL","true"]}"#
        );
        // Failures in the start period don't count.
        host.docker(
            "run -d --name c2 --health-cmd false --health-start-period 1h \
             --health-start-interval 50ms --health-interval 50ms --health-retries 1 busybox sleep 1000",
        )
        .ok();
        until_true("probes", || host.inspect("c2", "{{len .State.Health.Log}}") == "5");
        assert_eq!(
            host.inspect("c2", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}"),
            "starting 0"
        );
        host.docker("run -d --name c3 busybox sleep 1000").ok();
        assert_eq!(host.inspect("c3", "{{json .State.Health}}"), "null");
        host.docker("ps -q --filter health=none")
            .stdout_has(&host.inspect("c3", "{{slice .Id 0 12}}"));
    });
}

#[test]
fn a_probe_is_a_process_of_the_container() {
    on_host(|host| {
        host.docker(
            "run -d --name c1 -u alice -w /tmp -e WORD=kept --health-interval 100ms \
             --health-cmd 'echo $(id -un) $(pwd) $WORD; exit 7' busybox sleep 1000",
        )
        .ok();
        until_true("a probe", || host.inspect("c1", "{{len .State.Health.Log}}") != "0");
        let probe = host
            .inspect("c1", "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}");
        assert_eq!(probe, "7 alice /tmp kept");
        host.docker(
            "run -d --name c2 --health-cmd 'echo begun; sleep 1000' --health-interval 100ms \
             --health-timeout 300ms --health-retries 1 busybox sleep 1000",
        )
        .ok();
        until_health(host, "c2", "unhealthy");
        let probe = host
            .inspect("c2", "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}");
        assert_eq!(probe, "-1 Health check exceeded timeout (300ms): begun");
    });
}

#[test]
fn an_images_check_is_taken_over_part_by_part() {
    on_host(|host| {
        let change = "HEALTHCHECK --interval=100ms --retries=1 CMD [\"test\", \"-e\", \"/ok\"]";
        let tar = tare_integration::images::busybox_tar();
        host.docker_with_input(&format!("import --change '{change}' - checked"), tar).ok();
        host.docker("run -d --name c1 checked sleep 1000").code(0);
        until_health(host, "c1", "unhealthy");
        let check = r#"{"Test":["CMD","test","-e","/ok"],"Interval":100000000,"Retries":1}"#;
        assert_eq!(host.inspect("c1", "{{json .Config.Healthcheck}}"), check);
        host.docker("run -d --name c2 --health-cmd true checked sleep 1000").ok();
        until_health(host, "c2", "healthy");
        host.docker("run -d --name c3 --no-healthcheck checked sleep 1000").ok();
        assert_eq!(host.inspect("c3", "{{json .State.Health}}"), "null");
        host.docker("rm -f c1 c2 c3").ok();
        host.docker("rmi checked").ok();
    });
}

#[test]
fn times_that_make_no_sense_are_refused() {
    on_host(|host| {
        for (field, value, text) in [
            ("Interval", 999_999, "Interval in Healthcheck cannot be less than 1ms"),
            ("Timeout", 1, "Timeout in Healthcheck cannot be less than 1ms"),
            ("StartPeriod", -1, "StartPeriod in Healthcheck cannot be less than 1ms"),
            ("StartInterval", 1, "StartInterval in Healthcheck cannot be less than 1ms"),
            ("Retries", -1, "Retries in Healthcheck cannot be negative"),
        ] {
            let body = format!(r#"{{"Image":"busybox","Healthcheck":{{"{field}":{value}}}}}"#);
            let answer = host.post("/containers/create", &body);
            assert_eq!(answer.status, 400, "{field}");
            assert!(answer.message().contains(text), "{field}: {}", answer.message());
        }
    });
}

#[test]
fn each_run_has_to_show_its_health_anew() {
    on_host(|host| {
        host.docker(
            "run -d --name c1 --restart always --health-cmd 'test -e /tmp/ok' \
             --health-interval 300ms --health-retries 1 --tmpfs /tmp \
             busybox sh -c 'touch /tmp/ok; trap \"exit 3\" USR1; while :; do sleep 0.1; done'",
        )
        .ok();
        until_health(host, "c1", "healthy");
        let before = host.inspect("c1", "{{.State.Pid}}");
        host.run("kill", &["-USR1", &before]).ok();
        until_true("another run", || {
            let now = host.inspect("c1", "{{.State.Status}} {{.State.Pid}}");
            now.starts_with("running") && !now.ends_with(&before)
        });
        until_health(host, "c1", "healthy");
        host.docker("restart -t 0 c1").ok();
        until_health(host, "c1", "healthy");
    });
}

#[test]
fn health_goes_on_being_asked_for_while_the_daemon_is_away() {
    if !peer::is_tared("health checks that go on without it") {
        return;
    }
    on_host(|host| {
        let shared = host.scratch("shared");
        let ok = shared.join("ok");
        std::fs::write(&ok, "").unwrap();
        host.docker(&format!(
            "run -d --name c1 -v {}:/s --health-cmd 'test -e /s/ok && echo >> /s/asked' \
             --health-interval 100ms --health-retries 2 busybox sleep 1000",
            shared.display()
        ))
        .ok();
        until_health(host, "c1", "healthy");
        host.end_daemon(Signal::KILL);
        let asked = || std::fs::read_to_string(shared.join("asked")).map_or(0, |text| text.len());
        let before = asked();
        until_true("probes without the daemon", || asked() > before + 2);
        std::fs::remove_file(&ok).unwrap();
        host.start_daemon();
        until_health(host, "c1", "unhealthy");
        std::fs::write(&ok, "").unwrap();
        until_health(host, "c1", "healthy");
        let told = host.docker_running(
            "events --since 1h --filter event=health_status --format '{{.Action}}'",
        );
        told.wait_for_stdout("health_status: healthy\n");
    });
}

#[test]
fn a_probe_that_dies_with_its_container_does_not_count() {
    on_host(|host| {
        host.docker(
            "run -d --name c1 --health-cmd 'touch /begun; sleep 1000' --health-interval 100ms \
             --health-retries 1 busybox sleep 1000",
        )
        .ok();
        until_true("a probe", || host.docker("exec c1 test -e /begun").code == 0);
        host.docker("kill c1").ok();
        assert_eq!(host.inspect("c1", "{{len .State.Health.Log}}"), "0");
        let told = host.docker("events --since 1h --until 0s --filter event=health_status");
        told.code(0).stdout("");
    });
}
