//! `ps`: which containers are shown, and what of them.

use tare_integration::wait::until_true;
use tare_integration::{Host, on_host};

/// Three containers: `up` runs, `done` ended with 3, `new` was never started.
fn three(host: &Host) {
    host.docker("run -d --name up -l tier=web -e A=1 busybox sleep 1000").ok();
    host.docker("run --name done -l tier=db busybox sh -c 'exit 3'").code(3);
    host.docker("create --name new busybox").ok();
}

fn names(host: &Host, flags: &str) -> String {
    host.docker(&format!("ps {flags} --format '{{{{.Names}}}}'")).ok().replace('\n', " ")
}

#[test]
fn it_shows_what_runs_and_with_a_all() {
    on_host(|host| {
        three(host);
        assert_eq!(names(host, ""), "up");
        assert_eq!(names(host, "-a"), "new done up");
        assert_eq!(names(host, "-n 2"), "new done");
        assert_eq!(names(host, "-l"), "new");
    });
}

#[test]
fn filters_choose() {
    on_host(|host| {
        three(host);
        assert_eq!(names(host, "--filter status=exited"), "done");
        assert_eq!(names(host, "--filter status=created --filter status=running"), "new up");
        assert_eq!(names(host, "-a --filter name=o"), "done");
        assert_eq!(names(host, "-a --filter name=^/?up$"), "up");
        assert_eq!(names(host, "-a --filter exited=3"), "done");
        assert_eq!(names(host, "-a --filter label=tier"), "done up");
        assert_eq!(names(host, "-a --filter label=tier=db"), "done");
        assert_eq!(names(host, "-a --filter ancestor=busybox"), "new done up");
        assert_eq!(names(host, "-a --filter ancestor=other"), "");
        assert_eq!(names(host, "-a --filter before=done"), "up");
        assert_eq!(names(host, "-a --filter since=done"), "new");
        assert_eq!(names(host, "-a --filter network=bridge"), "new done up");
        let id = host.inspect("new", "{{.Id}}");
        assert_eq!(names(host, &format!("-a --filter id={}", &id[..10])), "new");
        host.docker("ps --filter nonsense=1").code(1).stderr_has("invalid filter 'nonsense'");
        host.docker("ps --filter status=odd").code(1).stderr_has("status");
    });
}

#[test]
fn the_table_is_dockers() {
    on_host(|host| {
        three(host);
        let ps = host.docker("ps -a");
        let title: Vec<_> = ps.lines()[0].split("  ").filter(|word| !word.is_empty()).collect();
        let title: Vec<_> = title.into_iter().map(str::trim).collect();
        let expected = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
        assert_eq!(title, expected);
        let line = |name: &str| {
            ps.lines().into_iter().find(|line| line.ends_with(name)).unwrap_or_default().to_owned()
        };
        assert!(line("up").contains("\"sleep 1000\""), "{ps:?}");
        assert!(line("up").contains("  Up "), "{ps:?}");
        assert!(line("done").contains("Exited (3) "), "{ps:?}");
        assert!(line("new").contains("  Created "), "{ps:?}");
    });
}

#[test]
fn formats_have_every_field() {
    on_host(|host| {
        three(host);
        let row = |format: &str| {
            host.docker(&format!("ps --no-trunc --filter name=up --format '{format}'"))
                .ok()
                .to_owned()
        };
        assert_eq!(
            row("{{.Image}} {{.State}} {{.Labels}}"),
            "busybox running made.by=test,tier=web"
        );
        assert_eq!(row("{{.Command}}"), "\"sleep 1000\"");
        assert_eq!(row("{{.Label \"tier\"}} {{.Networks}}"), "web bridge");
        assert_eq!(row("{{.ID}}"), host.inspect("up", "{{.Id}}"));
        assert!(row("{{.Status}}").starts_with("Up "));
        let json = host.docker("ps -a --filter name=done --format json").json();
        assert_eq!(json["Names"], "done");
        assert_eq!(json["State"], "exited");
        until_true("a size", || {
            host.docker("ps -s --format '{{.Size}}'").ok().contains("(virtual ")
        });
    });
}
