//! Namespaces that a container makes, and those of others that it joins.

use crate::bundle::Bundle;
use serde_json::json;
use std::fs;

#[test]
fn a_time_namespace_has_its_offsets() {
    let mut bundle = Bundle::new(&["cat", "/proc/self/timens_offsets"]);
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "time" }));
    });
    let clocks = |out: String| -> Vec<(String, i64, i64)> {
        let number = |text: &str| text.parse().unwrap();
        out.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .map(|words| (words[0].to_owned(), number(words[1]), number(words[2])))
            .collect()
    };
    let clock = |name: &str, seconds, nanos| (name.to_owned(), seconds, nanos);
    let zero = [clock("monotonic", 0, 0), clock("boottime", 0, 0)];
    assert_eq!(clocks(bundle.tare(&["run", "c"]).ok()), zero);

    let set = [clock("monotonic", 7881, 2_718_281), clock("boottime", -5, 3)];
    bundle.edit(|config| {
        config["linux"]["timeOffsets"] = json!({
            "monotonic": { "secs": 7881, "nanosecs": 2_718_281 },
            "boottime": { "secs": -5, "nanosecs": 3 },
        });
    });
    assert_eq!(clocks(bundle.tare(&["run", "c"]).ok()), set);
    bundle.map_ids();
    assert_eq!(clocks(bundle.tare(&["run", "c"]).ok()), set, "in a user namespace too");
    bundle.edit(|config| config["process"]["args"] = json!(["sleep", "1000"]));
    bundle.start("c");
    let shown = bundle.tare(&["exec", "c", "cat", "/proc/self/timens_offsets"]);
    assert_eq!(clocks(shown.ok()), set);
}

#[test]
fn namespaces_of_another_owner_than_the_joined_user_namespace_are_joined() {
    let mut first = Bundle::new(&["sleep", "1000"]);
    first.map_ids();
    first.start("first");
    let owner = format!("/proc/{}/ns/user", first.state("first")["pid"]);

    let mut bundle = Bundle::new(&["sleep", "1000"]);
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "user", "path": owner }));
        // Owned by the namespace that this test runs in.
        namespaces.push(json!({ "type": "network", "path": "/proc/self/ns/net" }));
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "sysfs" && mount["type"] != "cgroup");
    });
    bundle.start("c");
    let init = bundle.state("c")["pid"].to_string();
    let link = |path: &str| fs::read_link(path).unwrap().display().to_string();
    for (kind, expected) in [("user", link(&owner)), ("net", link("/proc/self/ns/net"))] {
        assert_eq!(link(&format!("/proc/{init}/ns/{kind}")), expected);
        let inside = format!("/proc/self/ns/{kind}");
        assert_eq!(bundle.tare(&["exec", "c", "readlink", &inside]).ok().trim_end(), expected);
    }
}

#[test]
fn both_names_are_set() {
    let mut bundle =
        Bundle::new(&["cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"]);
    bundle.edit(|config| {
        config["hostname"] = "here".into();
        config["domainname"] = "example.org".into();
    });
    assert_eq!(bundle.tare(&["run", "c"]).ok(), "here\nexample.org\n");
}
