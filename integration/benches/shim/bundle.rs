//! A container to be made by a shim or by conmon directly.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::machine::Machine;

/// Makes a bundle that sleeps; All share one root file system.
pub(crate) fn make(machine: &Machine, id: &str) -> PathBuf {
    let bundle = machine.directory(&format!("bundles/{id}"));
    let mut config: Value =
        serde_json::from_str(include_str!("../runtime/config.json")).expect("it is JSON");
    config["process"]["args"] = json!(["/bin/sleep", "100000"]);
    config["root"]["path"] = json!(machine.path("rootfs"));
    config["linux"]["cgroupsPath"] = json!(format!("{}/{id}", machine.cgroup));
    std::fs::write(bundle.join("config.json"), config.to_string()).expect("write it");
    bundle
}

/// What an exec in it is to run: an OCI process object.
pub(crate) fn process(bundle: &Path, args: &[&str]) -> Vec<u8> {
    let text = std::fs::read(bundle.join("config.json")).expect("read the configuration");
    let config: Value = serde_json::from_slice(&text).expect("it is JSON");
    let mut process = config["process"].clone();
    process["args"] = json!(args);
    process.to_string().into_bytes()
}
