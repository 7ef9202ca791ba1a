//! `docker build` and `docker buildx build` with a stock buildx.

use serde_json::Value;
use tare_integration::buildx::context;
use tare_integration::{Host, on_building_host};

const TWO_STEPS: &str = "FROM busybox\nRUN echo made > /made\nCOPY file /copied\nENV X=1\n";

/// A context with a Dockerfile, and a file `file`.
fn with(host: &Host, name: &str, dockerfile: &str) -> String {
    let files = [("Dockerfile", dockerfile), ("file", "content\n")];
    context(host, name, &files).display().to_string()
}

#[test]
fn the_builder_says_what_it_is() {
    on_building_host(|host| {
        host.docker("buildx ls").stdout_has("default").stdout_has("running").code(0);
        let shown = host.docker("buildx inspect --bootstrap");
        shown.stdout_has("Driver:").stdout_has("docker").stdout_has("linux/amd64").code(0);
        shown.stdout_has("v0.25");
        // What is done here with archives, caches and platforms is what clients ask of such a store.
        shown.stdout_has("org.mobyproject.buildkit.worker.snapshotter:");
        shown.stdout_has("org.mobyproject.buildkit.worker.moby.host-gateway-ip:");
    });
}

#[test]
fn an_image_is_built_and_then_known() {
    on_building_host(|host| {
        let from = with(host, "app", TWO_STEPS);
        let built = host.docker(&format!("build --progress plain -t app {from}"));
        built.code(0).stderr_has("[internal] load build definition from Dockerfile");
        built
            .stderr_has("[2/3] RUN echo made > /made")
            .stderr_has("naming to docker.io/library/app");
        assert_eq!(host.docker("run --rm app cat /made /copied").ok(), "made\ncontent");
        assert_eq!(host.inspect("app", "{{index .Config.Env 2}}"), "X=1");
        let again = host.docker(&format!("build --progress plain -t app {from}"));
        again.code(0).stderr_has("CACHED");
        assert!(!again.stderr.contains("DONE 0.0s\n\n#6 [2/3]"), "{again:#?}");
        assert_eq!(host.docker("images -q").ok().lines().count(), 2);
    });
}

#[test]
fn what_was_built_is_told_to_files() {
    on_building_host(|host| {
        let from = with(host, "app", TWO_STEPS);
        let out = host.scratch("out").display().to_string();
        let quiet = host.docker(&format!("build -q --iidfile {out}/id {from}"));
        let id = quiet.ok();
        assert!(id.starts_with("sha256:") && id.lines().count() == 1, "{quiet:#?}");
        assert_eq!(std::fs::read_to_string(format!("{out}/id")).unwrap(), id);
        host.docker(&format!("build -t app --metadata-file {out}/metadata {from}")).ok();
        let metadata = std::fs::read(format!("{out}/metadata")).unwrap();
        let metadata: Value = serde_json::from_slice(&metadata).unwrap();
        assert!(metadata["containerimage.digest"].as_str().unwrap().starts_with("sha256:"));
        assert_eq!(metadata["image.name"], "docker.io/library/app:latest");
        assert!(metadata["buildx.build.ref"].as_str().unwrap().starts_with("default/default/"));
        let provenance = &metadata["buildx.build.provenance"];
        assert_eq!(provenance["buildType"], "https://mobyproject.org/buildkit@v1");
        assert_eq!(provenance["invocation"]["parameters"]["frontend"], "dockerfile.v0");
    });
}

#[test]
fn progress_is_told_in_all_ways() {
    on_building_host(|host| {
        let from = with(host, "app", "FROM busybox\nRUN echo spoken\n");
        let told = host.docker(&format!("build --progress rawjson {from}"));
        told.code(0);
        let lines: Vec<Value> =
            told.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let all =
            |key: &str| lines.iter().filter_map(|line| line[key].as_array()).flatten().count();
        assert!(all("vertexes") > 4 && all("statuses") > 0 && all("logs") > 0, "{told:#?}");
        let terminal = host.docker_at_terminal(&format!("build --progress tty --no-cache {from}"));
        terminal.wait_for("FINISHED");
        assert_eq!(terminal.wait(), 0);
    });
}

#[test]
fn a_command_that_fails_is_shown_in_its_file() {
    on_building_host(|host| {
        let from = with(host, "app", "FROM busybox\nRUN echo alas >&2; exit 7\n");
        let failed = host.docker(&format!("build --progress plain {from}"));
        failed.code(1).stderr_has("alas");
        failed.stderr_has("process \"/bin/sh -c echo alas >&2; exit 7\" did not complete successfully: exit code: 7");
        failed.stderr_has("Dockerfile:2").stderr_has(">>> RUN echo alas");
        let from = with(host, "wrong", "FROM busybox\nRUNN x\n");
        let wrong = host.docker(&format!("build {from}"));
        wrong.code(1).stderr_has("unknown instruction: RUNN").stderr_has(">>> RUNN x");
        let from = with(host, "missing", "FROM busybox\nCOPY nowhere /\n");
        let missing = host.docker(&format!("build {from}"));
        missing.code(1).stderr_has("\"/nowhere\": not found").stderr_has(">>> COPY nowhere /");
        assert_eq!(host.docker("images -q").ok().lines().count(), 1);
    });
}

#[test]
fn secrets_are_there_for_a_step_alone() {
    on_building_host(|host| {
        let dockerfile = "FROM busybox\n\
            RUN --mount=type=secret,id=key,required=true cat /run/secrets/key | wc -c\n\
            RUN test ! -e /run/secrets/key\n\
            RUN --mount=type=secret,id=key,env=KEY echo $KEY | wc -c\n";
        let from = with(host, "app", dockerfile);
        let secret = host.scratch("secrets").join("key");
        std::fs::write(&secret, "not-for-everyone").unwrap();
        let build = format!(
            "build --progress plain --secret id=key,src={} -t app {from}",
            secret.display()
        );
        host.docker(&build).code(0).stderr_has("17");
        host.docker(&format!("build --no-cache {from}"))
            .code(1)
            .stderr_has("secret key: not found");
        let history = host.docker("history --no-trunc app");
        assert!(!history.ok().contains("not-for-everyone"));
        let inspected = host.docker("buildx history inspect");
        assert!(!inspected.ok().contains("not-for-everyone"));
    });
}

#[test]
fn steps_see_the_names_and_networks_that_are_asked_for() {
    on_building_host(|host| {
        let dockerfile = "FROM busybox\nRUN cat /etc/hosts > /hosts; ls /sys/class/net > /net\n";
        let from = with(host, "app", dockerfile);
        let build = format!(
            "build --add-host one:10.1.2.3 --add-host gate:host-gateway --network none -t app {from}"
        );
        host.docker(&build).ok();
        let hosts = host.docker("run --rm app cat /hosts");
        assert!(hosts.ok().contains("10.1.2.3\tone"), "{hosts:#?}");
        assert!(hosts.ok().contains("\tgate"), "{hosts:#?}");
        assert_eq!(host.docker("run --rm app cat /net").ok(), "lo");
        let insecure = host.docker(&format!("build --allow security.insecure {from}"));
        insecure.code(1).stderr_has("entitlement security.insecure is not allowed");
    });
}

#[test]
fn other_directories_and_images_are_contexts() {
    on_building_host(|host| {
        let other = context(host, "other", &[("extra", "from elsewhere\n")]);
        let dockerfile = "FROM base\nCOPY --from=other extra /extra\n";
        let from = with(host, "app", dockerfile);
        let build = format!(
            "build --build-context other={} --build-context base=docker-image://busybox -t app {from}",
            other.display()
        );
        host.docker(&build).ok();
        assert_eq!(host.docker("run --rm app cat /extra").ok(), "from elsewhere");
    });
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    on_building_host(|host| {
        let from = with(host, "app", "FROM busybox\n");
        for flag in ["--provenance=mode=max", "--sbom=true"] {
            let refused = host.docker(&format!("build {flag} {from}"));
            refused.code(1).stderr_has("attestation");
        }
        let refused =
            host.docker(&format!("build --build-arg BUILDKIT_SYNTAX=example/other {from}"));
        refused.code(1).stderr_has("example/other");
        let refused =
            host.docker(&format!("buildx build --cache-to type=gha,url=http://x,token=y {from}"));
        // The client leaves it out by itself, since the builder doesn't say that it can.
        refused.code(0);
    });
}

#[test]
fn files_are_asked_about_instead_of_built() {
    on_building_host(|host| {
        let dockerfile = "# what it is\nFROM busybox AS base\n\
            # the end\nFROM base as end\nARG VERSION=1\nRUN echo $VERSION\n";
        let from = with(host, "app", dockerfile);
        let checked = host.docker(&format!("build --check {from}"));
        checked.code(1).stdout_has("FromAsCasing");
        let targets = host.docker(&format!("build --call targets {from}"));
        targets.code(0).stdout_has("base").stdout_has("end");
        let outline = host.docker(&format!("build --call outline,format=json {from}"));
        let outline: Value = serde_json::from_str(outline.ok()).unwrap();
        assert_eq!(outline["args"][0]["name"], "VERSION", "{outline}");
        assert_eq!(host.docker("images -q").ok().lines().count(), 1);
    });
}

#[test]
fn results_go_to_directories_and_archives() {
    on_building_host(|host| {
        let from = with(host, "app", "FROM scratch\nCOPY file /a/b\n");
        let out = host.scratch("out").display().to_string();
        host.docker(&format!("build --output {out}/files {from}")).ok();
        assert_eq!(std::fs::read_to_string(format!("{out}/files/a/b")).unwrap(), "content\n");
        host.docker(&format!("build --output type=tar,dest={out}/files.tar {from}")).ok();
        assert!(host.run("tar", &["-tf", &format!("{out}/files.tar")]).ok().contains("a/b"));
        host.docker(&format!("build -t app --output type=docker,dest={out}/image.tar {from}")).ok();
        host.docker(&format!("load -i {out}/image.tar")).stdout_has("app:latest").code(0);
        host.docker(&format!("build --output type=oci,dest={out}/oci.tar {from}")).ok();
        assert!(host.run("tar", &["-tf", &format!("{out}/oci.tar")]).ok().contains("index.json"));
        host.docker(&format!("build --output type=cacheonly {from}")).ok();
    });
}
