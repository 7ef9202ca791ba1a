//! What results of steps are known by: all that a step is made of. Titles and lines are no part of it.
//!
//! Every field of an operation is named here, so that a new one can't be forgotten.

use tare_dockerfile::instruction::{Network, Owner, Security, Sharing};
use tare_dockerfile::plan::{
    Archive, Copying, Item, Making, PlannedMount, PlannedMountKind, Running, Script, Selection,
    Work,
};
use tare_dockerfile::platform::Platform;

use super::request::Limits;
use crate::attrs::Attrs;
use crate::cache::{Key, KeyOf};

/// What commands see that their instruction doesn't say.
pub(super) struct Surroundings<'a> {
    pub(super) attrs: &'a Attrs,
    pub(super) limits: &'a Limits,
}

/// The key of nothing.
pub(super) fn of_nothing(platform: &Platform) -> Key {
    KeyOf::new("nothing").with("platform", platform.to_string()).key()
}

/// The key of layers that were not made here.
pub(super) fn of_layers(top: Option<&str>, platform: &Platform) -> Key {
    match top {
        None => of_nothing(platform),
        Some(top) => {
            KeyOf::new("layers").with("top", top).with("platform", platform.to_string()).key()
        }
    }
}

/// The key of files that were copied from a directory and are all that there is.
pub(super) fn of_files(digest: &str, platform: &Platform) -> Key {
    KeyOf::new("files").with("digest", digest).with("platform", platform.to_string()).key()
}

/// The key of work upon something. `sources` are what it copies or mounts, in the order in which it
/// names them; without them, it is the key of all work that differs in nothing else.
pub(super) fn of_work(
    work: &Work,
    below: Key,
    platform: &Platform,
    around: &Surroundings<'_>,
    sources: Option<&[String]>,
) -> Key {
    let mut key = KeyOf::new(if sources.is_some() { "step" } else { "outline" });
    key.add_key("below", below);
    key.add("platform", platform.to_string());
    match work {
        Work::Run(running) => run(&mut key, running, around),
        Work::Copy(copying) => copy(&mut key, copying),
        Work::Make(Making { path, user }) => {
            key.add("make", path);
            key.add("user", user);
        }
    }
    for source in sources.unwrap_or_default() {
        key.add("source", source);
    }
    key.key()
}

fn run(key: &mut KeyOf, running: &Running, around: &Surroundings<'_>) {
    let Running { arguments, environment, directory, user, mounts, network, security, script } =
        running;
    for argument in arguments {
        key.add("argument", argument);
    }
    for (name, value) in environment.iter() {
        key.add("variable", name);
        key.add("value", value);
    }
    key.add("directory", directory);
    key.add("user", user);
    key.add("network", network_name(*network));
    key.add(
        "security",
        match security {
            Security::Sandbox => "sandbox",
            Security::Insecure => "insecure",
        },
    );
    if let Some(Script { path, text }) = script {
        key.add("script", path);
        key.add("text", text);
    }
    for PlannedMount { kind, target } in mounts {
        key.add("target", target.as_deref().unwrap_or("-"));
        mount(key, kind);
    }
    surroundings(key, around);
}

/// What of the request a command can see. What it may take is no part of what comes of it.
fn surroundings(key: &mut KeyOf, around: &Surroundings<'_>) {
    let attrs = around.attrs;
    if let Some(network) = attrs.network {
        key.add("forced network", network_name(network));
    }
    for (name, address) in &attrs.hosts {
        key.add("host", format!("{name}={address}"));
    }
    key.add("hostname", &attrs.hostname);
    key.add("shm", attrs.shm_size.to_le_bytes());
    for ulimit in &attrs.ulimits {
        key.add("ulimit", format!("{}={}:{}", ulimit.name, ulimit.soft, ulimit.hard));
    }
    key.add("processors", &around.limits.cpu_set);
}

fn mount(key: &mut KeyOf, kind: &PlannedMountKind) {
    match kind {
        PlannedMountKind::Bind { origin: _, path, read_only } => {
            key.add("bind", path);
            key.add("read only", [u8::from(*read_only)]);
        }
        PlannedMountKind::Cache { id, sharing, origin: _, path, read_only, owner } => {
            key.add("cache", id);
            key.add("path", path);
            key.add(
                "sharing",
                match sharing {
                    Sharing::Shared => "shared",
                    Sharing::Private => "private",
                    Sharing::Locked => "locked",
                },
            );
            key.add("read only", [u8::from(*read_only)]);
            key.add("owner", owner_text(*owner));
        }
        PlannedMountKind::Tmpfs { size, read_only } => {
            key.add("tmpfs", size.to_le_bytes());
            key.add("read only", [u8::from(*read_only)]);
        }
        PlannedMountKind::Secret { id, env, required, owner } => {
            key.add("secret", id);
            key.add("env", env.as_deref().unwrap_or("-"));
            key.add("required", [u8::from(*required)]);
            key.add("owner", owner_text(*owner));
        }
        PlannedMountKind::Ssh { id, required, owner } => {
            key.add("ssh", id);
            key.add("required", [u8::from(*required)]);
            key.add("owner", owner_text(*owner));
        }
    }
}

/// An owner, as part of a key.
pub(super) fn owner_text(owner: Owner) -> String {
    let Owner { user, group, mode } = owner;
    format!("{user:?} {group:?} {mode:?}")
}

fn network_name(network: Network) -> &'static str {
    match network {
        Network::Default => "default",
        Network::None => "none",
        Network::Host => "host",
    }
}

fn copy(key: &mut KeyOf, copying: &Copying) {
    let Copying { items, destination, owner, mode, exclude, link } = copying;
    key.add("destination", destination);
    key.add("owner", owner);
    key.add("mode", format!("{mode:?}"));
    for pattern in exclude {
        key.add("exclude", pattern);
    }
    key.add("link", [u8::from(*link)]);
    for item in items {
        match item {
            Item::Files { origin: _, path, selection, archive } => {
                key.add("files", path);
                key.add("archive", archive_name(*archive));
                if let Some(Selection { pattern, required }) = selection {
                    key.add("selection", pattern);
                    key.add("required", required.as_deref().unwrap_or("-"));
                }
            }
            // What is there counts, by its source.
            Item::Url { url: _, name, checksum: _, archive } => {
                key.add("url", name);
                key.add("archive", archive_name(*archive));
            }
            Item::Git(repository) => key.add("git", &repository.directory),
            Item::Document { name, text } => {
                key.add("document", name);
                key.add("text", text);
            }
        }
    }
}

fn archive_name(archive: Archive) -> &'static str {
    match archive {
        Archive::Kept => "kept",
        Archive::Unpacked => "unpacked",
    }
}
