//! `POST /build`, as clients without BuildKit use it: the docker command line, and by HTTP.

use serde_json::Value;
use tare_integration::buildx::context;
use tare_integration::{Host, Ran, on_host};

const FILE: &str = "FROM busybox AS one\nRUN echo made > /made; echo more > /more\nFROM busybox\nARG V=1\n\
                    COPY --from=one /made /more /w/\nRUN echo $V > /v\nCMD [\"cat\",\"/v\"]\n";

/// A context with a Dockerfile, and a file `file`.
fn with(host: &Host, name: &str, dockerfile: &str) -> String {
    let files = [("Dockerfile", dockerfile), ("file", "content\n")];
    context(host, name, &files).display().to_string()
}

/// Runs a line of a shell that knows where the daemon is.
#[track_caller]
fn shell(host: &Host, line: &str) -> Ran {
    let socket = host.places().socket.display();
    let line = format!("export S={socket} DOCKER_HOST=unix://{socket} DOCKER_BUILDKIT=0; {line}");
    host.run("sh", &["-c", &line])
}

/// Builds with the docker command line, as it does without BuildKit.
#[track_caller]
fn build(host: &Host, arguments: &str) -> Ran {
    shell(host, &format!("docker build {arguments} 2>&1"))
}

/// A machine of which nothing is left, once the cache of its builds is emptied.
#[track_caller]
fn on_classic_host(test: impl FnOnce(&Host)) {
    on_host(|host| {
        test(host);
        host.docker("builder prune --all --force").ok();
    });
}

#[test]
fn steps_are_told_in_the_order_of_the_file_and_known_the_next_time() {
    on_classic_host(|host| {
        let from = with(host, "app", FILE);
        let built = build(host, &format!("-t app --build-arg V=2 --label a=b {from}"));
        built.code(0).stdout_has("Step 1/8 : FROM busybox AS one");
        built.stdout_has("Step 8/8 : LABEL a=b").stdout_has(" ---> Running in ");
        built.stdout_has(" ---> Removed intermediate container ");
        built.stdout_has("Successfully built ").stdout_has("Successfully tagged app:latest");
        assert_eq!(host.docker("run --rm app").ok(), "2");
        assert_eq!(host.inspect("app", "{{index .Config.Labels \"a\"}}"), "b");
        let again = build(host, &format!("-t again --build-arg V=2 --label a=b {from}"));
        assert_eq!(again.stdout.matches(" ---> Using cache").count(), 6, "{again:#?}");
        let id = |name| host.inspect(name, "{{.Id}}");
        assert_eq!(id("app"), id("again"));
        let history = host.docker("history --no-trunc --format {{.CreatedBy}} app");
        history.stdout_has("|1 V=2 /bin/sh -c echo $V > /v");
        history.stdout_has("/bin/sh -c #(nop) COPY multi:").stdout_has(" in /w/ ");
        history.stdout_has("/bin/sh -c #(nop)  CMD [\"cat\" \"/v\"]");
    });
}

#[test]
fn a_command_that_fails_gives_its_exit_code() {
    on_classic_host(|host| {
        let from = with(host, "fails", "FROM busybox\nRUN echo spoken; exit 7\n");
        let failed = build(host, &from);
        failed
            .code(7)
            .stdout_has("spoken")
            .stdout_has("The command '/bin/sh -c echo spoken; exit 7' returned a non-zero code: 7");
        let from = with(host, "lacks", "FROM busybox\nCOPY nothere /\n");
        build(host, &from).code(1).stdout_has(
            "COPY failed: file not found in build context or excluded by .dockerignore: stat \
             nothere: file does not exist",
        );
    });
}

#[test]
fn what_is_wrong_is_said_before_anything_is_done() {
    on_classic_host(|host| {
        let refused = |file: &str, text: &str| {
            let from = with(host, "wrong", file);
            build(host, &from).code(1).stdout_has(text);
        };
        refused(
            "FROM busybox\nFOO\n",
            "dockerfile parse error on line 2: unknown instruction: FOO",
        );
        refused("FROM busybox\nRUN --mount=type=tmpfs,target=/x true\n", "requires BuildKit");
        refused("", "the Dockerfile (Dockerfile) cannot be empty");
        let from = with(host, "named", FILE);
        let lacks = build(host, &format!("--target nope {from}"));
        lacks.code(1).stdout_has("target stage \"nope\" could not be found");
        let squash = "curl -s --unix-socket $S -X POST 'http://d/build?squash=1'";
        let squash = shell(host, squash);
        squash.stdout_has("squash is only supported with experimental mode");
    });
}

#[test]
fn a_context_can_be_on_standard_input() {
    on_classic_host(|host| {
        let line = "printf 'FROM busybox\\nRUN echo x > /x\\n' | docker build -q -t in - 2>&1";
        let built = shell(host, line);
        built.code(0);
        assert_eq!(host.docker("run --rm in cat /x").ok(), "x");
    });
}

#[test]
fn the_answer_is_lines_of_json() {
    on_classic_host(|host| {
        let from = with(host, "lines", "FROM busybox\nENV A=b\n");
        let lines = shell(
            host,
            &format!(
                "tar -C {from} -c . | curl -s --unix-socket $S -X POST \
             --data-binary @- -H 'Content-Type: application/x-tar' 'http://d/build?t=lines'"
            ),
        );
        let lines: Vec<Value> =
            lines.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text: String = lines.iter().filter_map(|line| line["stream"].as_str()).collect();
        assert!(text.contains("Step 2/2 : ENV A=b\n") && text.ends_with("tagged lines:latest\n"));
        let told: Vec<&str> = lines.iter().filter_map(|line| line["aux"]["ID"].as_str()).collect();
        assert_eq!(told, [host.inspect("lines", "{{.Id}}")]);
    });
}
