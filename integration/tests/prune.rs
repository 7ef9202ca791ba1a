//! What takes how much of the disk, and taking away what nobody needs.

use tare_integration::{BUSYBOX, Host, on_host};

/// An image that has `bytes` more than its base.
#[track_caller]
fn image_with(host: &Host, name: &str, base: &str, bytes: u32) {
    let write = format!("head -c {bytes} /dev/zero > /{name}");
    host.docker(&format!("run --name maker {base} sh -c '{write}'")).ok();
    host.docker(&format!("commit maker {name}")).ok();
    host.docker("rm maker").ok();
}

#[test]
fn sizes_are_what_is_on_the_disk() {
    on_host(|host| {
        image_with(host, "one", BUSYBOX, 1_000_000);
        image_with(host, "two", "one", 500_000);
        host.docker("run --name box two sh -c 'head -c 250000 /dev/zero > /own'").ok();
        let base: u64 = host.inspect("busybox", "{{.Size}}").parse().unwrap();
        // What a container sees; what all is on the disk is more, and another test's.
        let images = host.get("/images/json?shared-size=true").json();
        let images = images.as_array().unwrap();
        let image = |name: &str| {
            let tag = format!("{name}:latest");
            images.iter().find(|image| image["RepoTags"][0] == tag.as_str()).unwrap()
        };
        assert_eq!(image("two")["Size"], base + 1_500_000);
        assert_eq!(image("two")["SharedSize"], base + 1_000_000);
        assert_eq!(image("one")["SharedSize"], base + 1_000_000);
        assert_eq!(image("busybox")["SharedSize"], base);
        let df = host.get("/system/df").json();
        assert!(df["LayersSize"].as_u64().unwrap() > base + 1_500_000);
        assert_eq!(
            df["Images"].as_array().unwrap().iter().filter(|i| i["Containers"] == 1).count(),
            1
        );
        let container = &df["Containers"][0];
        assert_eq!(container["SizeRw"], 250_000);
        assert_eq!(container["SizeRootFs"], base + 1_750_000);
        host.docker("ps -as --format '{{.Size}}'").code(0).stdout_has("250kB (virtual ");
        let inspected = host.docker("inspect -s --format '{{.SizeRw}} {{.SizeRootFs}}' box");
        inspected.code(0).stdout(&format!("250000 {}\n", base + 1_750_000));
        host.docker("system df").code(0).stdout_has("Build Cache");
        let table = host.docker("system df -v");
        table.code(0).stdout_has("SHARED SIZE");
        assert_eq!(df["BuildCache"], serde_json::json!([]));
        assert_eq!(host.get("/system/df?type=image").json()["Containers"], serde_json::Value::Null);
    });
}

#[test]
fn images_without_a_name_or_a_user_are_pruned() {
    on_host(|host| {
        image_with(host, "one", BUSYBOX, 100_000);
        image_with(host, "two", BUSYBOX, 300_000);
        let nameless = host.docker("images -q --no-trunc one").ok().to_owned();
        host.docker("tag two one").ok();
        let old = host.docker("image prune -f --filter until=1h");
        old.code(0).stdout("Total reclaimed space: 0B\n");
        host.docker("image prune -f --filter label=other")
            .code(0)
            .stdout("Total reclaimed space: 0B\n");
        host.docker("image prune -f --filter label!=made.by")
            .code(0)
            .stdout("Total reclaimed space: 0B\n");
        host.docker("image prune -f")
            .code(0)
            .stdout_has(&format!("deleted: {nameless}"))
            .stdout_has("Total reclaimed space: 100kB");
        host.docker("create --name box two").ok();
        image_with(host, "three", BUSYBOX, 200_000);
        let all = host.docker("image prune -af");
        all.code(0).stdout_has("untagged: three:latest").stdout_has("Total reclaimed space: 200kB");
        // What a container is made of stays, with all its names.
        let left = host.docker("images --format '{{.Repository}}'");
        let mut left: Vec<_> = left.ok().lines().collect();
        left.sort_unstable();
        assert_eq!(left, ["one", "two"]);
    });
}

#[test]
fn containers_that_do_not_run_are_pruned() {
    on_host(|host| {
        host.docker("run -d --name up busybox sleep 1000").ok();
        host.docker("create --name spared -l keep busybox").ok();
        let ended = host.docker("run --name ended busybox sh -c 'head -c 1000 /dev/zero > /x'");
        ended.code(0);
        let id = host.inspect("ended", "{{.Id}}");
        host.docker("container prune -f --filter until=1h")
            .code(0)
            .stdout("Total reclaimed space: 0B\n");
        host.docker("container prune -f --filter label!=keep")
            .code(0)
            .stdout(&format!("Deleted Containers:\n{id}\n\nTotal reclaimed space: 1kB\n"));
        host.docker("container prune -f --filter until=nonsense").code(1);
        let left = host.docker("ps -a --format '{{.Names}}'");
        let mut left: Vec<_> = left.ok().lines().collect();
        left.sort_unstable();
        assert_eq!(left, ["spared", "up"]);
    });
}

#[test]
fn the_whole_system_is_pruned_and_it_is_told() {
    on_host(|host| {
        host.docker("create --name box busybox").ok();
        host.docker("network prune -f").code(0).stdout("");
        host.docker("builder prune -f").code(0).stdout_has("0B");
        host.docker("system prune -af --volumes")
            .code(0)
            .stdout_has("Deleted Containers:")
            .stdout_has("untagged: busybox:latest")
            .stdout_has("Total reclaimed space:");
        let watcher = host.docker_running(
            "events --since 1h --filter event=prune --format '{{.Type}} {{.Actor.Attributes.reclaimed}}'",
        );
        for kind in ["container 0", "network 0", "volume 0", "image ", "builder "] {
            watcher.wait_for_stdout(kind);
        }
    });
}
