//! `attach`: joining the streams of a container that runs.

use rustix::process::Signal;
use tare_integration::on_host;
use tare_integration::wait::until_true;

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
