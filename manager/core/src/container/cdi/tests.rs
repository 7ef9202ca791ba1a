//! Tests of devices that files tell of.

use super::*;
use crate::container::spec::document::{Device, DeviceKind};

const NULL: &str = r#"
cdiVersion: "0.6.0"
kind: "vendor.com/thing"
containerEdits:
  env: ["ALL=1"]
devices:
  - name: one
    containerEdits:
      env: ["ONE=1"]
      additionalGids: [7]
      deviceNodes:
        - path: /dev/thing
          hostPath: /dev/null
          permissions: r
      mounts:
        - {hostPath: /usr/lib/thing.so, containerPath: /usr/lib/thing.so, options: [ro, bind]}
      hooks:
        - {hookName: createContainer, path: /usr/bin/thing, args: [thing, link]}
  - name: two
    containerEdits:
      env: ["TWO=1"]
"#;

fn request(driver: &str, ids: &[&str]) -> DeviceRequest {
    DeviceRequest {
        driver: driver.to_owned(),
        ids: ids.iter().map(|&id| id.to_owned()).collect(),
        ..DeviceRequest::default()
    }
}

fn directory(name: &str, text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(name), text).unwrap();
    directory
}

#[test]
fn a_device_brings_what_its_file_says() {
    let files = directory("thing.yaml", NULL);
    let mut spec = crate::container::spec::tests::spec();
    let wanted = request("cdi", &["vendor.com/thing=one", "vendor.com/thing=two"]);
    add_from(&mut spec, &[wanted], &[files.path()]).unwrap();
    let env = &spec.process.env;
    for variable in ["ALL=1", "ONE=1", "TWO=1"] {
        assert_eq!(env.iter().filter(|env| *env == variable).count(), 1, "{env:?}");
    }
    let node: &Device = spec.linux.devices.last().unwrap();
    assert_eq!((node.path.as_str(), node.kind), ("/dev/thing", DeviceKind::Character));
    assert_eq!((node.major, node.minor), (1, 3));
    assert_eq!(spec.linux.resources.devices.last().unwrap().access, "r");
    assert!(spec.process.user.additional_gids.contains(&7));
    assert!(spec.mounts.iter().any(|mount| mount.source == "/usr/lib/thing.so"));
    assert_eq!(spec.hooks.create_container.first().unwrap().args, ["thing", "link"]);
}

#[test]
fn the_later_directory_counts_more() {
    let json = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/thing", "devices": [
        {"name": "one", "containerEdits": {"env": ["NEW=1"]}}]}"#;
    let (old, new) = (directory("thing.yaml", NULL), directory("thing.json", json));
    let mut spec = crate::container::spec::tests::spec();
    let wanted = [request("cdi", &["vendor.com/thing=one"])];
    add_from(&mut spec, &wanted, &[old.path(), new.path()]).unwrap();
    assert!(spec.process.env.contains(&"NEW=1".to_owned()));
    assert!(!spec.process.env.contains(&"ONE=1".to_owned()));
    // Side by side, nobody knows which is meant.
    std::fs::write(old.path().join("other.json"), json).unwrap();
    assert!(add_from(&mut spec, &wanted, &[old.path()]).is_err());
}

#[test]
fn what_is_not_there_is_refused_in_dockers_words() {
    let files = directory("broken.json", "{");
    let refused = |request: DeviceRequest| {
        let mut spec = crate::container::spec::tests::spec();
        add_from(&mut spec, &[request], &[files.path(), Path::new("/none")])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(request("cdi", &["vendor.com/thing=one", "b.c/d=e"])),
        "CDI device injection failed: unresolvable CDI devices vendor.com/thing=one, b.c/d=e"
    );
    let gpu = DeviceRequest {
        count: -1,
        capabilities: vec![vec!["gpu".to_owned(), "nvidia".to_owned()]],
        ..request("", &[])
    };
    let expected = "could not select device driver \"\" with capabilities: [[gpu nvidia]]";
    assert_eq!(refused(gpu), expected);
    let counted = DeviceRequest { count: 1, ..request("cdi", &["a.b/c=d"]) };
    assert_eq!(refused(counted), "unexpected count in CDI device request");
}
