//! `attach`: joining the streams of a container that runs.

use rustix::process::Signal;
use tare_integration::command::Running;
use tare_integration::peer::is_tared;
use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

#[test]
fn it_sees_what_comes_and_ends_with_the_container() {
    on_host(|host| {
        host.docker("run -d -i --name c1 busybox sh -c 'read x; echo got $x; exit 3'").ok();
        let mut person = host.docker_running("attach c1");
        person.write(b"this\n");
        person.wait_for_stdout("got this\n");
        person.wait().code(3);
    });
}

#[test]
fn several_see_the_same() {
    on_host(|host| {
        host.docker("run -d -i --name c1 busybox cat").ok();
        let (mut one, two) = (host.docker_running("attach c1"), host.docker_running("attach c1"));
        // Attaching takes a moment, and what was written before it isn't shown.
        until_true("both seeing it", || {
            one.write(b"hello\n");
            one.stdout().contains("hello") && two.stdout().contains("hello")
        });
        drop((one, two));
        host.docker("rm -f c1").ok();
    });
}

#[test]
fn signals_are_passed_on() {
    on_host(|host| {
        let script = r#"trap "exit 8" TERM; echo up; while :; do sleep 0.1; done"#;
        let person = host.docker_running(&format!("run --name c1 busybox sh -c '{script}'"));
        person.wait_for_stdout("up\n");
        person.signal(Signal::TERM);
        person.wait().code(8);
    });
}

#[test]
fn a_client_that_dies_takes_nothing_with_it() {
    on_host(|host| {
        let person = host.docker_running("run --name c1 busybox sh -c 'echo up; sleep 1000'");
        person.wait_for_stdout("up\n");
        drop(person);
        host.docker("exec c1 true").ok();
        assert_eq!(host.inspect("c1", "{{.State.Status}}"), "running");
    });
}

#[test]
fn a_container_that_does_not_run_cannot_be_attached_to() {
    on_host(|host| {
        host.docker("create --name c1 busybox").ok();
        host.docker("attach c1").code(1).stderr_has("cannot attach to a stopped container");
        host.docker("attach nobody").code(1).stderr_has("No such container: nobody");
    });
}

/// A container that waits for a word and then writes more than fits into pipes and sockets.
const FLOOD: &str =
    "busybox sh -c 'echo up; until [ -e /go ]; do sleep 0.1; done; seq 1 2000000; touch /said'";

fn flood() -> String {
    (1..=2_000_000).map(|number| format!("{number}\n")).collect()
}

/// A client that has seen `FLOOD`'s first line and doesn't read any more, while the flood comes.
fn stopped_client(host: &Host, typed: &str) -> Running {
    let client = host.docker_running(typed);
    client.wait_for_stdout("up\n");
    client.signal(Signal::STOP);
    host.docker("exec c1 touch /go").ok();
    client
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up_and_loses_nothing() {
    if !is_tared("dockerd has the container wait") {
        return;
    }
    on_host(|host| {
        let client = stopped_client(host, &format!("run --name c1 {FLOOD}"));
        host.docker("wait c1").code(0).stdout("0\n");
        assert_eq!(host.docker("logs --tail 1 c1").stdout, "2000000\n");
        // What it hasn't read outlives the container.
        host.docker("rm c1").ok();
        client.signal(Signal::CONT);
        let ran = client.wait();
        assert!(ran.stdout == format!("up\n{}", flood()), "{} bytes", ran.stdout.len());
    });
}

#[test]
fn one_that_joined_later_does_not_hold_it_up_either() {
    if !is_tared("dockerd has the container wait") {
        return;
    }
    on_host(|host| {
        host.docker(&format!("run -d --name c1 {FLOOD}")).ok();
        // What comes before it is attached isn't shown.
        let (reading, stopped) =
            (host.docker_running("attach c1"), host.docker_running("attach c1"));
        let attached = || host.docker("events --since 1h --until 0s --filter event=attach").stdout;
        until_true("both being attached", || attached().lines().count() == 2);
        stopped.signal(Signal::STOP);
        host.docker("exec c1 touch /go").ok();
        assert!(reading.wait().stdout.trim_start_matches("up\n") == flood());
        stopped.signal(Signal::CONT);
        assert!(stopped.wait().stdout.trim_start_matches("up\n") == flood());
    });
}

#[test]
fn what_is_kept_nowhere_waits_for_its_reader() {
    on_host(|host| {
        let client = stopped_client(host, &format!("run --log-driver none --name c1 {FLOOD}"));
        let seq = || host.docker("top c1").stdout.contains("seq 1 2000000");
        until_true("the flood", seq);
        host.docker("exec c1 ls /said").code(1);
        assert_eq!(host.inspect("c1", "{{.State.Status}}"), "running");
        client.signal(Signal::CONT);
        let ran = client.wait();
        assert!(ran.stdout == format!("up\n{}", flood()), "{} bytes", ran.stdout.len());
    });
}

#[test]
fn a_reader_that_goes_early_ends_nothing() {
    on_host(|host| {
        let flood = "busybox sh -c 'echo one; seq 1 200000 && sleep 1000'";
        host.docker(&format!("run --name c1 {flood} | head -n 1")).code(0).stdout("one\n");
        until_true("all of it", || host.docker("logs --tail 1 c1").stdout == "200000\n");
        assert_eq!(host.inspect("c1", "{{.State.Status}}"), "running");
    });
}
