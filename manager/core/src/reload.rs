//! Settings that are changed while the manager runs.

use std::collections::BTreeMap;

use serde_json::json;

use crate::container::{CgroupnsMode, IpcMode};
use crate::engine::Engine;
use crate::events::{Event, EventType};
use crate::host::manager_id;
use crate::live::Live;
use crate::registry::RegistrySettings;

impl Engine {
    /// Works with these settings from now on. `more` is what else was changed, for who listens.
    pub fn reload(&self, live: Live, registry: RegistrySettings, more: BTreeMap<String, String>) {
        let mut event = Event::now(EventType::Daemon, "reload", manager_id(&self.config.data_root));
        event.attributes = attributes(&live, &registry);
        event.attributes.extend(more);
        self.config.change(live);
        self.images.change_registries(registry);
        self.events.publish(event);
    }
}

/// What the event tells, under docker's names.
fn attributes(live: &Live, registry: &RegistrySettings) -> BTreeMap<String, String> {
    let runtimes = live.runtimes.iter();
    let runtimes = runtimes.map(|(name, runtime)| format!("{name}:{}", runtime.path.display()));
    let mut insecure = registry.insecure.hosts().to_vec();
    insecure.extend(registry.insecure.networks());
    let attributes = [
        ("default-cgroupns-mode", cgroupns(live.cgroupns_mode).to_owned()),
        ("default-ipc-mode", ipc(&live.ipc_mode).to_owned()),
        ("default-runtime", live.default_runtime.clone()),
        ("default-shm-size", live.shm_size.to_string()),
        ("default-stop-timeout", live.stop_timeout.to_string()),
        ("insecure-registries", json!(insecure).to_string()),
        ("labels", json!(live.labels).to_string()),
        ("live-restore", "true".to_owned()),
        ("max-concurrent-downloads", registry.downloads.to_string()),
        ("max-concurrent-uploads", registry.uploads.to_string()),
        ("max-download-attempts", registry.patience.attempts.to_string()),
        ("registry-mirrors", json!(registry.mirrors.of_the_hub()).to_string()),
        ("runtimes", runtimes.collect::<Vec<_>>().join(" ")),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn ipc(mode: &IpcMode) -> &'static str {
    match mode {
        IpcMode::Shareable => "shareable",
        IpcMode::Default | IpcMode::Private => "private",
        IpcMode::None => "none",
        IpcMode::Host => "host",
        IpcMode::Container(_) => "container",
    }
}

fn cgroupns(mode: Option<CgroupnsMode>) -> &'static str {
    match mode {
        Some(CgroupnsMode::Private) => "private",
        Some(CgroupnsMode::Host) => "host",
        Some(CgroupnsMode::Default) | None => "",
    }
}
