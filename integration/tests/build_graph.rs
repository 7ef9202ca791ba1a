//! Builds: which steps are done, when, and how often.

use rustix::process::Signal;
use tare_integration::buildx::context;
use tare_integration::{Host, Ran, Running, on_host, until, until_true};

fn command(host: &Host, context: &std::path::Path, flags: &str) -> String {
    let socket = host.places().socket.display();
    let context = context.display();
    format!("DOCKER_BUILDKIT=0 exec docker -H unix://{socket} build {flags} {context}")
}

#[track_caller]
fn build(host: &Host, context: &std::path::Path, flags: &str) -> Ran {
    host.run("sh", &["-c", &command(host, context, flags)])
}

fn building(host: &Host, context: &std::path::Path, flags: &str) -> Running {
    host.running("sh", &["-c", &command(host, context, flags)])
}

#[track_caller]
fn read(host: &Host, image: &str, path: &str) -> String {
    host.docker(&format!("run --rm {image} cat {path}")).ok().to_owned()
}

#[test]
fn stages_that_need_nothing_of_each_other_run_at_the_same_time() {
    on_host(|host| {
        // Each waits for the other: one after the other they would never end.
        let file = "FROM busybox AS one\n\
                    RUN echo met | nc -l -p 5999 > /met\n\
                    FROM busybox AS two\n\
                    RUN until echo met | nc 127.0.0.1 5999 > /met && grep met /met; do :; done\n\
                    FROM busybox\n\
                    COPY --from=one /met /one\n\
                    COPY --from=two /met /two\n";
        let context = context(host, "context", &[("Dockerfile", file)]);
        build(host, &context, "--network host -t both").ok();
        assert_eq!(read(host, "both", "/two"), "met");
    });
}

#[test]
fn what_is_known_is_not_done_again() {
    on_host(|host| {
        let file = "FROM busybox\n\
                    RUN cat /proc/sys/kernel/random/uuid > /early\n\
                    COPY file /file\n\
                    RUN cat /proc/sys/kernel/random/uuid > /late\n";
        let context = context(host, "context", &[("Dockerfile", file), ("file", "one")]);
        build(host, &context, "-t first").ok();
        build(host, &context, "-t again").ok();
        let id = |image: &str| host.inspect(image, "{{.Id}}");
        assert_eq!(id("first"), id("again"));
        std::fs::write(context.join("file"), "two").expect("change the context");
        build(host, &context, "-t changed").ok();
        assert_eq!(read(host, "first", "/early"), read(host, "changed", "/early"));
        assert_ne!(read(host, "first", "/late"), read(host, "changed", "/late"));
        assert_eq!(read(host, "changed", "/file"), "two");
        // Something that is the same again is known again.
        std::fs::write(context.join("file"), "one").expect("change the context");
        build(host, &context, "-t back").ok();
        assert_eq!(id("first"), id("back"));
        build(host, &context, "--no-cache -t fresh").ok();
        assert_ne!(read(host, "first", "/early"), read(host, "fresh", "/early"));
        // What was made anew is what is known from then on.
        build(host, &context, "-t after").ok();
        assert_eq!(read(host, "fresh", "/late"), read(host, "after", "/late"));
    });
}

#[test]
fn results_are_known_after_a_start_and_forgotten_by_a_prune() {
    on_host(|host| {
        let file = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /made\n";
        let context = context(host, "context", &[("Dockerfile", file)]);
        build(host, &context, "-t first").ok();
        host.docker("system df").ok();
        host.end_daemon(Signal::TERM);
        host.start_daemon();
        build(host, &context, "-t second").ok();
        assert_eq!(host.inspect("first", "{{.Id}}"), host.inspect("second", "{{.Id}}"));
        host.docker("builder prune -af").ok();
        build(host, &context, "-t third").ok();
        assert_ne!(read(host, "first", "/made"), read(host, "third", "/made"));
    });
}

/// A cache that knows files alone can't give an image the settings of another.
#[test]
fn settings_are_never_those_of_another_build() {
    on_host(|host| {
        let made = |name: &str, settings: &str| {
            let file = format!("FROM scratch\nCOPY file /file\n{settings}");
            let context = context(host, name, &[("Dockerfile", &file), ("file", "text")]);
            build(host, &context, &format!("-t {name}")).ok();
            host.inspect(
                name,
                "{{json .Config.Healthcheck}} {{json .Config.OnBuild}} {{json .Config.Cmd}}",
            )
        };
        let plain = made("plain", "CMD [\"/file\"]\n");
        assert!(plain.starts_with("null "), "{plain}");
        let checked = made("checked", "HEALTHCHECK CMD evil\nCMD [\"/file\"]\n");
        assert!(checked.contains("evil"), "{checked}");
        let triggered = made("triggered", "ONBUILD RUN evil\nCMD [\"/file\"]\n");
        assert!(triggered.contains("RUN evil"), "{triggered}");
        assert_eq!(made("plain-again", "CMD [\"/file\"]\n"), plain);
        assert_eq!(host.inspect("plain", "{{.Id}}"), host.inspect("plain-again", "{{.Id}}"));
    });
}

#[test]
fn two_builds_do_the_same_step_once() {
    on_host(|host| {
        // Whoever does it waits until the test says that it may go on.
        let file = "FROM busybox\n\
                    RUN nc -l -p 5998 > /dev/null; cat /proc/sys/kernel/random/uuid > /made\n";
        let context = context(host, "context", &[("Dockerfile", file)]);
        let first = building(host, &context, "--network host -t first");
        first.wait_for_stdout("Running in");
        let second = building(host, &context, "--network host -t second");
        second.wait_for_stdout("Step 1/2");
        until("the step to listen", || {
            (host.run("bash", &["-c", "echo > /dev/tcp/127.0.0.1/5998"]).code == 0).then_some(())
        });
        first.wait().ok();
        second.wait().ok();
        assert_eq!(read(host, "first", "/made"), read(host, "second", "/made"));
    });
}

#[test]
fn a_cancelled_build_leaves_nothing() {
    on_host(|host| {
        let before = host.footprint();
        let file = "FROM busybox\nRUN echo begun; sleep 1000\n";
        let context = context(host, "context", &[("Dockerfile", file)]);
        let build = building(host, &context, "-t never");
        build.wait_for_stdout("begun");
        build.signal(Signal::KILL);
        let _ended = build.wait();
        until_true("the command to be gone", || host.run("pgrep", &["-x", "sleep"]).code != 0);
        host.leaves_nothing_since(&before);
        assert_ne!(host.docker("image inspect never").code, 0);
    });
}
