//! Images: `load`, `import`, `save`, `images`, `tag`, `inspect`, `history`, `rmi`.

use serde_json::json;
use tare_integration::archive::{DockerArchive, Tar, architecture, digest, gzip};
use tare_integration::images::{busybox_archive, busybox_tar};
use tare_integration::wait::until_true;
use tare_integration::{on_host, on_host_with};

#[test]
fn an_archive_is_loaded_plain_and_compressed() {
    on_host_with(&[], |host| {
        let archive = busybox_archive();
        host.docker_with_input("load", &archive).code(0).stdout("Loaded image: busybox:latest\n");
        host.docker("run --rm busybox echo works").code(0).stdout("works\n");
        host.docker("rmi busybox").ok();
        host.docker_with_input("load -q", &gzip(&archive)).code(0).stdout_has("busybox:latest");
        host.docker("run --rm busybox echo works").code(0).stdout("works\n");
        let file = host.scratch("files").join("image.tar");
        std::fs::write(&file, &archive).expect("write the archive");
        host.docker(&format!("load -i {}", file.display())).ok();
        assert_eq!(host.docker("images -q").lines().len(), 1);
    });
}

#[test]
fn layers_lie_over_each_other_and_whiteouts_hide() {
    on_host_with(&[], |host| {
        let changes = Tar::new()
            .file("etc/motd", 0o644, b"upper\n")
            .file("etc/.wh.group", 0o644, b"")
            .directory("home", 0o755)
            .file("home/.wh..wh..opq", 0o644, b"")
            .file("home/new", 0o644, b"")
            .bytes();
        let middle = Tar::new()
            .file("etc/motd", 0o644, b"lower\n")
            .file("home/old", 0o644, b"")
            .file("kept", 0o640, b"kept\n")
            .bytes();
        let archive = DockerArchive {
            tags: vec!["layers:1".to_owned(), "layers:2".to_owned()],
            layers: vec![busybox_tar().to_vec(), middle, changes],
            config: json!({ "Cmd": ["sh"], "Env": ["PATH=/bin"] }),
        };
        let load = host.docker_with_input("load", &archive.bytes());
        load.code(0).stdout_has("layers:1").stdout_has("layers:2");
        host.docker("run --rm layers:1 cat /etc/motd /kept").code(0).stdout("upper\nkept\n");
        host.docker("run --rm layers:2 ls /home").code(0).stdout("new\n");
        host.docker("run --rm layers:2 ls /etc/group").code(1);
        host.docker("run --rm layers:2 stat -c %a /kept").stdout("640\n");
        let id = digest(&archive.parts()[0].1);
        assert_eq!(host.inspect("layers:1", "{{.Id}} {{len .RootFS.Layers}}"), format!("{id} 3"));
    });
}

#[test]
fn a_file_tree_is_imported_with_changes() {
    on_host_with(&[], |host| {
        let changes = [
            r#"-c 'CMD ["echo", "hi"]'"#,
            "-c 'ENV A=1 B=2'",
            "-c 'WORKDIR /tmp'",
            "-c 'USER alice'",
            "-c 'EXPOSE 80'",
            "-c 'LABEL of=test'",
            "-c 'VOLUME /data'",
            "-c 'STOPSIGNAL SIGINT'",
        ];
        let typed = format!("import {} -m 'a message' - tree:1", changes.join(" "));
        let id = host.docker_with_input(&typed, busybox_tar()).ok().to_owned();
        assert!(id.starts_with("sha256:"), "{id}");
        assert_eq!(host.inspect("tree:1", "{{.Id}}"), id);
        let config = host.docker("inspect tree:1").json()[0]["Config"].clone();
        assert_eq!(config["Cmd"], json!(["echo", "hi"]));
        assert_eq!(config["WorkingDir"], "/tmp");
        assert_eq!(config["User"], "alice");
        assert_eq!(config["ExposedPorts"], json!({ "80/tcp": {} }));
        assert_eq!(config["Labels"], json!({ "of": "test" }));
        assert_eq!(config["StopSignal"], "SIGINT");
        host.docker("history tree:1 --format '{{.Comment}}'").code(0).stdout("a message\n");
        host.docker("run --rm --entrypoint '' tree:1 sh -c 'echo $A $B; pwd; id -un'");
    });
}

#[test]
fn they_are_listed_and_inspected() {
    on_host(|host| {
        let row = host
            .docker("images --no-trunc --format '{{.Repository}} {{.Tag}} {{.ID}} {{.CreatedAt}}'");
        let id = host.inspect("busybox", "{{.Id}}");
        row.code(0).stdout_has(&format!("busybox latest {id} 2024-01-02 "));
        let image = host.docker("image inspect busybox").json()[0].clone();
        assert_eq!(image["RepoTags"], json!(["busybox:latest"]));
        assert_eq!(image["Os"], "linux");
        assert_eq!(image["Architecture"], architecture());
        assert_eq!(image["Created"], "2024-01-02T03:04:05Z");
        assert_eq!(image["Config"]["Labels"], json!({ "made.by": "test" }));
        assert_eq!(image["RootFS"]["Layers"], json!([digest(busybox_tar())]));
        assert!(image["Size"].as_u64() > Some(1_000_000), "{image}");
        assert_eq!(host.docker("images -q other").stdout, "");
        assert_eq!(host.docker("images -q busybox").lines().len(), 1);
        assert_eq!(host.docker("images -q 'busy*'").lines().len(), 1);
        assert_eq!(host.docker("images -q --filter label=made.by=test").lines().len(), 1);
        assert_eq!(host.docker("images -q --filter reference='b*:latest'").lines().len(), 1);
        assert_eq!(host.docker("images -q --filter dangling=true").stdout, "");
        host.docker("image inspect other").code(1).stderr_has("No such image: other");
    });
}

#[test]
fn tags_are_names_for_the_same_image() {
    on_host(|host| {
        host.docker("tag busybox example.org:5000/team/box:v1").ok();
        host.docker("tag busybox other").ok();
        let id = host.inspect("busybox", "{{.Id}}");
        assert_eq!(host.inspect("example.org:5000/team/box:v1", "{{.Id}}"), id);
        assert_eq!(host.inspect("other:latest", "{{.Id}}"), id);
        assert_eq!(host.inspect("docker.io/library/busybox", "{{.Id}}"), id);
        assert_eq!(host.inspect(&id[7..19], "{{.Id}}"), id);
        host.docker("tag nothing there").code(1).stderr_has("No such image: nothing");
        host.docker("tag busybox 'Bad Name'").code(1).stderr_has("invalid reference format");
        host.docker("rmi other").code(0).stdout("Untagged: other:latest\n");
        host.docker("run --rm example.org:5000/team/box:v1 true").ok();
    });
}

#[test]
fn one_name_can_move_to_another_image() {
    on_host(|host| {
        let old = host.inspect("busybox", "{{.Id}}");
        host.docker_with_input("import - busybox:latest", busybox_tar()).ok();
        assert_ne!(host.inspect("busybox", "{{.Id}}"), old);
        assert_eq!(host.inspect(&old, "{{json .RepoTags}}"), "[]");
        assert_eq!(host.docker("images -q --filter dangling=true").lines().len(), 1);
    });
}

#[test]
fn rmi_removes_names_and_then_what_nobody_uses() {
    on_host(|host| {
        let id = host.inspect("busybox", "{{.Id}}");
        host.docker("tag busybox other").ok();
        host.docker(&format!("rmi {id}"))
            .code(1)
            .stderr_has("is referenced in multiple repositories");
        host.docker("create --name c1 other").ok();
        host.docker("rmi other").code(0).stdout("Untagged: other:latest\n");
        host.docker("rmi busybox").code(1).stderr_has("is using its referenced image");
        host.docker("start c1").ok();
        host.docker("wait c1").ok();
        host.docker("rm c1").ok();
        let removed = host.docker("rmi busybox");
        removed
            .code(0)
            .stdout_has("Untagged: busybox:latest\n")
            .stdout_has(&format!("Deleted: {id}\n"));
        host.docker("rmi busybox").code(1).stderr_has("No such image: busybox:latest");
        host.docker("images -aq").stdout("");
    });
}

/// A container of what an image was made of does not keep the image's name.
#[test]
fn rmi_asks_for_containers_of_the_image_itself() {
    on_host(|host| {
        host.docker("create --name first busybox").ok();
        host.docker("commit -c 'LABEL a=b' first made").ok();
        host.docker("create --name second made").ok();
        let parent = host.inspect("made", "{{.Id}}");
        host.docker("commit -c 'LABEL c=d' second made").ok();
        host.docker("rmi made").code(0).stdout_has("Untagged: made:latest").stdout_has("Deleted: ");
        host.docker(&format!("image inspect {parent}")).code(0);
        host.docker("tag busybox other").ok();
        host.docker("rmi busybox:latest").code(0).stdout("Untagged: busybox:latest\n");
        host.docker("rmi other").code(1).stderr_has(
            "conflict: unable to remove repository reference \"other\" (must force) - container",
        );
    });
}

#[test]
fn what_is_saved_can_be_loaded() {
    on_host(|host| {
        let file = host.scratch("files").join("saved.tar");
        let id = host.inspect("busybox", "{{.Id}}");
        host.docker(&format!("save -o {} busybox", file.display())).ok();
        host.docker("rmi busybox").ok();
        host.docker(&format!("load -i {}", file.display())).code(0).stdout_has("busybox:latest");
        assert_eq!(host.inspect("busybox", "{{.Id}}"), id);
        host.docker("run --rm busybox echo works").code(0).stdout("works\n");
    });
}

#[test]
fn history_tells_where_layers_come_from() {
    on_host(|host| {
        host.docker("history --no-trunc --format '{{.CreatedBy}}' busybox")
            .code(0)
            .stdout("ADD layer1.tar\n");
    });
}

#[test]
fn a_file_tree_is_imported_from_a_url() {
    on_host(|host| {
        let serve = "mkdir /www; exec httpd -f -h /www -p 80";
        host.docker(&format!("run -d --name web -p 8080:80 busybox sh -c '{serve}'")).ok();
        let put = "exec -i web sh -c 'cat > /www/tree.tar'";
        until_true("the server", || host.docker_with_input(put, busybox_tar()).code == 0);
        let url = "http://127.0.0.1:8080/tree.tar";
        until_true("the served file", || !host.fetch("http://127.0.0.1:8080/").is_empty());
        let import = host.docker(&format!("import -c 'CMD [\"echo\", \"hi\"]' {url} tree:1"));
        import.code(0).stdout_has("Downloading from http://127.0.0.1:8080/tree.tar");
        assert_eq!(
            import.lines().last().copied().unwrap_or_default(),
            host.inspect("tree:1", "{{.Id}}")
        );
        host.docker("run --rm tree:1").code(0).stdout("hi\n");
        assert_eq!(host.inspect("tree:1", "{{.Comment}}"), format!("Imported from {url}"));
        host.docker("import http://127.0.0.1:8080/none tree:2").code(1).stderr_has("404 Not Found");
        host.docker("import http://127.0.0.1:1/none tree:2").code(1).stderr_has("refused");
    });
}

#[test]
fn every_filter_of_a_list() {
    on_host_with(&[], |host| {
        for (name, label) in [("first:1", "a=1"), ("second:1", "a=2"), ("second:2", "b")] {
            let archive = DockerArchive {
                tags: vec![name.to_owned()],
                layers: vec![busybox_tar().to_vec()],
                config: json!({ "Labels": { (label.split('=').next().unwrap_or_default()):
                    label.split('=').nth(1).unwrap_or_default() }, "Hostname": name }),
            };
            host.docker_with_input("load", &archive.bytes()).ok();
        }
        let tree = Tar::new().file("new", 0o644, b"").bytes();
        host.docker_with_input("import - late:1", &tree).ok();
        host.docker_with_input("import -", &tree).ok();
        let named = |filters: &str| {
            let filters = filters.split(' ').filter(|filter| !filter.is_empty());
            let filters: String = filters.map(|filter| format!(" -f '{filter}'")).collect();
            let listed = host
                .docker(&format!("images{filters} --format '{{{{.Repository}}}}:{{{{.Tag}}}}'"));
            let mut names: Vec<String> = listed.ok().lines().map(str::to_owned).collect();
            names.sort();
            names.join(" ")
        };
        for (filters, expected) in [
            ("", "<none>:<none> first:1 late:1 second:1 second:2"),
            ("dangling=true", "<none>:<none>"),
            ("dangling=false", "first:1 late:1 second:1 second:2"),
            ("label=a", "first:1 second:1"),
            ("label=a=1", "first:1"),
            ("label!=a", "<none>:<none> late:1 second:2"),
            ("label!=a=1", "<none>:<none> late:1 second:1 second:2"),
            ("label!=a label!=b", "<none>:<none> late:1"),
            ("reference=second", "second:1 second:2"),
            ("reference=*:1", "first:1 late:1 second:1"),
            ("reference=docker.io/library/first", "first:1"),
            ("reference=first reference=late", "first:1 late:1"),
            ("before=late:1", "first:1 second:1 second:2"),
            ("since=first:1", "<none>:<none> late:1"),
            ("until=2024-06-01", "first:1 second:1 second:2"),
            ("until=10m", "first:1 second:1 second:2"),
        ] {
            assert_eq!(named(filters), expected, "{filters}");
        }
        for (wrong, message) in [
            ("name=x", "invalid filter 'name'"),
            ("dangling=maybe", "invalid filter 'dangling"),
            ("until=soon", "invalid value for 'until' filter"),
            ("before=nothing", "No such image: nothing:latest"),
        ] {
            host.docker(&format!("images -f {wrong}")).code(1).stderr_has(message);
        }

        let id = host.inspect("late:1", "{{.Id}}");
        host.docker("images --no-trunc --format '{{.ID}}' late").stdout(&format!("{id}\n"));
        host.docker("images --digests late").code(0).stdout_has("DIGEST").stdout_has("<none>");
        let shared = host.get("/images/json?shared-size=1").json();
        let shared = shared.as_array().expect("a list").iter();
        let sizes =
            shared.map(|image| (image["SharedSize"] == image["Size"], &image["SharedSize"]));
        assert!(sizes.clone().all(|(is_all, _)| is_all), "{:?}", sizes.collect::<Vec<_>>());
        let plain = host.get("/images/json").json();
        assert!(plain.as_array().expect("a list").iter().all(|image| image["SharedSize"] == -1));
    });
}

#[test]
fn images_that_others_were_made_of_are_shown_if_all_are() {
    on_host_with(&[], |host| {
        host.docker_with_input("load", &busybox_archive()).ok();
        host.docker("run --name box busybox touch /made").ok();
        host.docker("commit box made:1").ok();
        host.docker("rm box").ok();
        host.docker("tag made:1 busybox").ok();
        assert_eq!(host.docker("images -q").lines().len(), 2);
        assert_eq!(host.docker("images -aq").lines().len(), 3);
        assert_eq!(host.docker("images -q -f dangling=true").ok(), "");
        host.docker("rmi busybox").ok();
        host.docker("rmi --no-prune made:1").ok();
        assert_eq!(host.docker("images -aq").lines().len(), 1);
    });
}
