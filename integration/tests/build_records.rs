//! What is kept of builds: their cache and their history, as buildx lists and removes it.

use serde_json::Value;
use tare_integration::buildx::context;
use tare_integration::{Host, on_building_host};

fn build(host: &Host, name: &str, dockerfile: &str) -> tare_integration::Ran {
    let from = context(host, name, &[("Dockerfile", dockerfile)]).display().to_string();
    host.docker(&format!("build --progress plain -t {name} {from}"))
}

#[test]
fn the_cache_is_listed_and_emptied() {
    on_building_host(|host| {
        let dockerfile =
            "FROM busybox\nRUN --mount=type=cache,target=/kept echo x > /kept/x\nRUN echo y > /y\n";
        build(host, "app", dockerfile).ok();
        let listed = host.docker("buildx du --verbose");
        listed.code(0).stdout_has("exec.cachemount").stdout_has("regular").stdout_has("Total:");
        host.docker("buildx du --filter type=exec.cachemount").code(0);
        host.docker("buildx prune --force --filter type=exec.cachemount")
            .code(0)
            .stdout_has("Total:");
        let left = host.docker("buildx du --verbose");
        assert!(!left.ok().contains("exec.cachemount"), "{left:#?}");
        host.docker("rmi app").ok();
        host.docker("builder prune --all --force").ok();
        assert_eq!(host.docker("buildx du --format '{{.ID}}'").ok(), "");
        build(host, "app", dockerfile).ok();
    });
}

#[test]
fn builds_are_remembered() {
    on_building_host(|host| {
        build(host, "good", "FROM busybox\nRUN echo spoken\n").ok();
        build(host, "bad", "FROM busybox\nRUN echo alas && false\n").code(1);
        let listed = host.docker("buildx history ls --format json --no-trunc");
        let records: Vec<Value> =
            listed.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 2, "{listed:#?}");
        let of = |status: &str| {
            let found = records.iter().find(|record| record["status"] == status);
            let found = found.unwrap_or_else(|| panic!("none is {status}: {records:?}"));
            found["ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
        };
        let (good, bad) = (of("Completed"), of("Error"));
        host.docker(&format!("buildx history logs {good}")).code(0).stderr_has("spoken");
        host.docker(&format!("buildx history inspect {good}")).code(0).stdout_has("Build Steps:");
        let failed = host.docker(&format!("buildx history inspect {bad}"));
        failed
            .code(0)
            .stdout_has("exit code: 1")
            .stdout_has(">>> RUN echo alas")
            .stdout_has("> alas");
        let filtered =
            host.docker("buildx history ls --filter status=error --format '{{.Ref}}' --no-trunc");
        assert!(
            filtered.ok().ends_with(&bad) && filtered.ok().lines().count() == 1,
            "{filtered:#?}"
        );
        let bundle = host.scratch("out").join("bundle");
        host.docker(&format!("buildx history export -o {} {good}", bundle.display())).ok();
        assert!(bundle.metadata().unwrap().len() > 100);

        // What was remembered is still known to the next daemon.
        host.end_daemon(rustix::process::Signal::TERM);
        host.start_daemon();
        host.docker(&format!("buildx history logs {good}")).code(0).stderr_has("spoken");
        host.docker(&format!("buildx history rm {bad}")).ok();
        assert_eq!(host.docker("buildx history ls --format '{{.Ref}}'").ok().lines().count(), 1);
        host.docker(&format!("buildx history rm {bad}")).code(1);
    });
}
