//! A machine on which images are built with a stock buildx.
//!
//! It is the plugin `docker-buildx` of the docker command line, from one of the directories in which
//! that looks for plugins, or from the one that `TARE_TEST_CLI_PLUGINS` names.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::host::{Host, on_host};

/// Where the docker command line looks for plugins, beside what it is told.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// Runs a test on a machine whose docker command line has buildx, and afterwards requires that
/// nothing is left of its builds, once their cache and their history are emptied.
#[track_caller]
pub fn on_building_host(test: impl FnOnce(&Host)) {
    let Some(plugins) = plugins() else {
        eprintln!("NOT TESTED: there is no docker-buildx here; TARE_TEST_CLI_PLUGINS can name one");
        return;
    };
    on_host(|host| {
        let config = json!({ "cliPluginsExtraDirs": [plugins] });
        write(&host.scratch("cli"), "config.json", &config.to_string());
        test(host);
        host.docker("buildx prune --all --force").ok();
        host.docker("buildx history rm --all").ok();
    });
}

/// The directory that has the plugin.
fn plugins() -> Option<PathBuf> {
    let named = std::env::var_os("TARE_TEST_CLI_PLUGINS").map(PathBuf::from);
    let mut usual = PLUGINS.iter().map(PathBuf::from);
    named.or_else(|| usual.find(|directory| directory.join("docker-buildx").exists()))
}

/// A directory with these files, to be built from.
pub fn context(host: &Host, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let directory = host.scratch(name);
    files.iter().for_each(|(name, text)| write(&directory, name, text));
    directory
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    let parent = path.parent().expect("it is in a directory");
    std::fs::create_dir_all(parent).expect("make a directory for the test");
    std::fs::write(path, text).expect("write a file for the test");
}
