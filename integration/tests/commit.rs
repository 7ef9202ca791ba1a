//! What a container has changed: `docker diff`, `commit` and `export`.

use rustix::process::Signal;
use serde_json::json;
use tare_integration::{Host, on_host, peer, until};

/// Starts a container that does this and then waits.
#[track_caller]
fn start(host: &Host, name: &str, script: &str) {
    host.docker(&format!(
        "run -d --name {name} busybox sh -c '{script}; touch /tmp/done; sleep 1000'"
    ))
    .ok();
    until("the container's script", || {
        (host.docker(&format!("exec {name} test -e /tmp/done")).code == 0).then_some(())
    });
}

/// Everything in a container but what a start puts there.
#[track_caller]
fn tree(host: &Host, container: &str) -> Vec<String> {
    let list = "tar -tv --full-time --numeric-owner";
    let list = host.docker(&format!("export {container} | {list}"));
    let is_own = |line: &&str| {
        let path = line.split_whitespace().nth(5).unwrap_or_default().trim_start_matches("./");
        !["", "./", ".dockerenv"].contains(&path)
            && !["dev", "etc", "proc", "sys"].iter().any(|top| path.starts_with(top))
    };
    let mut lines: Vec<String> = list.ok().lines().filter(is_own).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn changes_are_listed() {
    on_host(|host| {
        let script = "mkdir -p /data/new && echo x > /data/new/file && rm /bin/awk && \
                      echo more >> /etc/passwd && chmod 700 /home && rm -r /usr && touch /mount/file";
        host.docker(
            "run --name box -v vol:/mount busybox sh -c '{script}'"
                .replace("{script}", script)
                .as_str(),
        )
        .code(0);
        let diff = host.docker("diff box");
        let mut lines: Vec<_> = diff.ok().lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "A /data",
                "A /data/new",
                "A /data/new/file",
                "A /mount",
                "C /bin",
                "C /etc",
                "C /etc/passwd",
                "C /home",
                "D /bin/awk",
                "D /usr",
            ]
        );
        host.docker("run -d --name idle busybox sleep 1000").ok();
        host.docker("diff idle").code(0).stdout("");
        host.docker("diff nosuch").code(1).stderr_has("No such container: nosuch");
    });
}

/// What is in a commit is what was in its container.
#[test]
fn a_commit_has_the_containers_tree() {
    on_host(|host| {
        let script = "mkdir /data && cd /data && echo x > a && ln a hard && ln -s a link && mkfifo pipe && \
                      mknod null c 1 3 && truncate -s 50M hole && echo end >> hole && chmod 4711 a && \
                      chown 1234:5678 hole && touch -d @1234567890 link pipe && rm /bin/awk && \
                      rm -r /usr && mkdir /usr && touch /usr/new && rm -r /home && chmod 1770 /root && \
                      mkdir -m 2750 deep && echo y > deep/file && touch -d @1000000000 deep";
        start(host, "box", script);
        let image = host.docker("commit box made").ok().to_owned();
        assert!(image.starts_with("sha256:"), "{image}");
        host.docker("run -d --name other made sleep 1000").ok();
        let (before, after) = (tree(host, "box"), tree(host, "other"));
        assert!(before.len() > 100, "{before:#?}");
        assert_eq!(before, after);
        host.docker("exec other sh -c 'md5sum /data/hole; ls /usr; test -e /home; echo $?'")
            .code(0)
            .stdout_has("new\n1\n");
        host.docker("diff other").code(0).stdout("");
        // A second time, upon the first; and from a container that has ended. In overlay, a write to
        // a file of a lower layer that has several names changes it by one of them only.
        host.docker("exec other sh -c 'rm /usr/new; echo z > /data/a'").ok();
        host.docker("stop -t 0 other").ok();
        host.docker("commit other again:1").ok();
        host.docker("run --rm again:1 sh -c 'ls /usr; cat /data/hard /data/a'")
            .code(0)
            .stdout("x\nz\n");
    });
}

#[test]
fn a_commit_is_an_image_like_others() {
    on_host(|host| {
        start(host, "box", "echo x > /file");
        host.docker("commit box made").ok();
        // It outlives its container, its base's name, the daemon, and goes through an archive.
        host.docker("rm -f box").ok();
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        host.docker("run --rm made cat /file").code(0).stdout("x\n");
        let archive = host.scratch("archive").join("made.tar");
        host.docker(&format!("save -o {} made", archive.display())).ok();
        let id = host.inspect("made", "{{.Id}}");
        host.docker("rmi made")
            .code(0)
            .stdout_has("Untagged: made:latest")
            .stdout_has("Deleted: sha256:");
        host.docker(&format!("load -i {}", archive.display())).ok();
        assert_eq!(host.inspect("made", "{{.Id}}"), id);
        host.docker("run --rm made cat /file").code(0).stdout("x\n");
    });
}

#[test]
fn an_image_says_how_it_was_made() {
    on_host(|host| {
        host.docker("run --name box -e OWN=1 -l own=yes -w /work busybox sh -c 'echo x > /file'")
            .ok();
        let change = "-c 'ENV B=2 C=3' -c 'CMD [\"cat\", \"/file\"]' -c 'LABEL l=m' -c 'EXPOSE 80' \
                      -c 'VOLUME /vol' -c 'USER alice' -c 'STOPSIGNAL 9' -c 'ONBUILD RUN x'";
        host.docker(&format!("commit -a 'A. Author' -m 'a message' {change} box made:v1")).ok();
        let image = &host.docker("inspect made:v1").json()[0];
        assert_eq!(image["Author"], "A. Author");
        assert_eq!(image["Comment"], "a message");
        assert_eq!(image["Parent"], host.inspect("busybox", "{{.Id}}"));
        let config = &image["Config"];
        assert_eq!(config["Cmd"], json!(["cat", "/file"]));
        assert_eq!(config["User"], "alice");
        assert_eq!(config["WorkingDir"], "/work");
        assert_eq!(config["Labels"], json!({"made.by": "test", "own": "yes", "l": "m"}));
        assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}}));
        assert_eq!(config["Volumes"], json!({"/vol": {}}));
        assert_eq!(config["OnBuild"], json!(["RUN x"]));
        let environment = config["Env"].to_string();
        for variable in ["OWN=1", "B=2", "C=3", "FROM_IMAGE=yes"] {
            assert!(environment.contains(variable), "{environment}");
        }
        assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(2));
        let history =
            host.docker("history --no-trunc --format '{{.CreatedBy}}|{{.Comment}}' made:v1");
        history.code(0).stdout_has("sh -c echo x > /file|a message\n");
        let ids = ["made:v1", "busybox"].map(|name| host.inspect(name, "{{.Id}}"));
        let steps = host.docker("history -q --no-trunc made:v1");
        assert_eq!(steps.code(0).lines(), ids);
        host.docker("run --rm made:v1").code(0).stdout("x\n");
    });
}

#[test]
fn nothing_written_is_no_layer() {
    on_host(|host| {
        host.docker("create --name box busybox").ok();
        host.docker("commit -c 'CMD [\"echo\", \"hi\"]' box made").ok();
        assert_eq!(host.inspect("made", "{{len .RootFS.Layers}}"), "1");
        host.docker("run --rm made").code(0).stdout("hi\n");
        // Without a name, and what it is called then.
        let id = host.docker("commit box").ok().to_owned();
        host.docker(&format!("inspect --format '{{{{.RepoTags}}}}' {id}")).code(0).stdout("[]\n");
        host.docker("images -q --filter dangling=true").code(0);
    });
}

#[test]
fn a_running_container_is_frozen_unless_its_user_says_otherwise() {
    on_host(|host| {
        let watcher = host.docker_running(
            "events --filter container=box --filter type=container --format '{{.Action}}'",
        );
        until("the watcher being there", || {
            host.docker("rm -f box");
            host.docker("run -d --name box busybox sleep 1000").ok();
            watcher.stdout().contains("start").then_some(())
        });
        host.docker("commit box one").ok();
        host.docker("commit -p=false box two").ok();
        assert_eq!(host.inspect("box", "{{.State.Status}}"), "running");
        host.docker("pause box").ok();
        host.docker("commit box three").ok();
        assert_eq!(host.inspect("box", "{{.State.Status}}"), "paused");
        host.docker("unpause box").ok();
        host.docker("kill box").ok();
        watcher.wait_for_stdout("kill");
        let seen = watcher.stdout();
        let seen = seen.lines().skip_while(|line| *line != "pause");
        let seen: Vec<_> = seen.take_while(|line| *line != "kill").collect();
        let expected = ["pause", "unpause", "commit", "commit", "pause", "commit", "unpause"];
        assert_eq!(seen, expected);
    });
}

#[test]
fn a_daemon_that_dies_in_a_commit_leaves_no_container_frozen() {
    if !peer::is_tared("containers that outlive it") {
        return;
    }
    on_host(|host| {
        start(host, "box", "dd if=/dev/zero of=/big bs=1M count=300");
        let status = || host.inspect("box", "{{.State.Status}}");
        let committing = host.docker_running("commit box made");
        until("the frozen container", || (status() == "paused").then_some(()));
        host.end_daemon(Signal::KILL);
        drop(committing);
        host.start_daemon();
        assert_eq!(status(), "running");
        host.docker("exec box true").ok();
        // Who is frozen by its user stays so.
        host.docker("pause box").ok();
        host.end_daemon(Signal::KILL);
        host.start_daemon();
        assert_eq!(status(), "paused");
        host.docker("unpause box").ok();
        host.docker("commit box made").ok();
        host.docker("run --rm made test -s /big").code(0);
    });
}

#[test]
fn what_cannot_be_committed_is_said() {
    on_host(|host| {
        host.docker("create --name box busybox").ok();
        host.docker("commit nosuch").code(1).stderr_has("No such container: nosuch");
        host.docker("commit box Wrong").code(1).stderr_has("must be lowercase");
        host.docker("commit -c 'FROM x' box")
            .code(1)
            .stderr_has("FROM is not a valid change command");
        host.docker("commit box sha256:1").code(1);
        assert_eq!(host.post("/commit", "").status, 400);
        if peer::is_tared("a refusal of names that can't be in an image") {
            host.docker("run --name evil busybox touch /.wh.passwd").ok();
            host.docker("commit evil").code(1).stderr_has("/.wh.passwd can't be part of an image");
            host.docker("images -q --filter dangling=true").code(0).stdout("");
        }
    });
}

/// Hostile layers: a container leaves links where an image's layers have directories.
#[test]
fn a_commit_stays_inside() {
    on_host(|host| {
        let canary = tare_integration::hostile::Canary::on(host);
        let target = canary.directory().display();
        let script =
            format!("rm -r /home && ln -s {target} /home && ln -s {target}/file /etc/group2");
        start(host, "box", &script);
        host.docker("commit box made").ok();
        host.docker("run --name two made sh -c 'rm /home; mkdir /home; echo x > /home/file'")
            .code(0);
        host.docker("commit two again").ok();
        host.docker("run --rm again cat /home/file").code(0).stdout("x\n");
        host.docker("export box").code(0);
        canary.is_untouched();
    });
}

#[test]
fn an_export_is_the_root_without_volumes() {
    on_host(|host| {
        host.docker(
            "run -d --name box -v vol:/mount --tmpfs /memory busybox sh -c \
                     'echo x > /file; echo x > /mount/file; echo x > /memory/file; sleep 1000'",
        )
        .ok();
        until("the files", || {
            (host.docker("exec box test -e /memory/file").code == 0).then_some(())
        });
        let list = || host.docker("export box | tar -t").ok().to_owned();
        let running = list();
        for path in ["file", "bin/busybox", "mount/", "memory/"] {
            assert!(running.lines().any(|line| line == path), "{path} is not in {running}");
        }
        assert!(!running.contains("mount/file") && !running.contains("memory/file"), "{running}");
        host.docker("stop -t 0 box").ok();
        assert_eq!(list(), running);
        host.docker("export box | docker import - again").ok();
        host.docker("run --rm again /bin/cat /file").code(0).stdout("x\n");
        host.docker("export nosuch").code(1).stderr_has("No such container: nosuch");
    });
}

#[test]
fn a_container_outlives_the_name_of_its_image() {
    on_host(|host| {
        start(host, "box", "echo kept > /kept");
        host.docker("stop -t 0 box").ok();
        host.docker("rmi -f busybox").code(0).stdout_has("Untagged: busybox:latest");
        host.docker("commit box again:1").ok();
        host.docker("run --rm again:1 cat /kept").code(0).stdout("kept\n");
        assert_eq!(host.docker("images -q").lines().len(), 1);
        assert_eq!(host.docker("images -aq").lines().len(), 2);
        // It goes with what was made of it, once no container needs it.
        host.docker("rm box").ok();
        host.docker("rmi again:1").code(0);
        assert_eq!(host.docker("images -aq").ok(), "");
    });
}

#[test]
fn a_container_outlives_its_image() {
    on_host(|host| {
        start(host, "box", "echo kept > /kept; rm /etc/passwd");
        host.docker("stop -t 0 box").ok();
        let image = host.inspect("box", "{{.Image}}");
        host.docker(&format!("rmi -f {image}")).code(0).stdout_has("Deleted: sha256:");
        if !peer::is_tared("an image of a container whose own image is gone") {
            return;
        }
        host.docker("commit -m whole box again:1").ok();
        let run = host.docker("run --rm again:1 sh -c 'cat /kept; test ! -e /etc/passwd'");
        run.code(0).stdout("kept\n");
        host.docker("history --format '{{.Comment}}' again:1").code(0).stdout("whole\n");
        assert_eq!(host.inspect("again:1", "{{len .RootFS.Layers}}"), "1");
    });
}
