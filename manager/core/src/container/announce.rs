//! What containers tell the world: docker's container events.

use super::record::Container;
use super::state::Exit;
use crate::events::{Event, EventType, Events};
use crate::network::Endpoint;

/// An event about `container`, with what every such event says of it.
pub(super) fn event(container: &Container, action: impl Into<String>) -> Event {
    let mut event = Event::now(EventType::Container, action, container.id.as_str());
    event.attributes.extend(container.config.labels.clone());
    if !container.config.image.is_empty() {
        event.attributes.insert("image".to_owned(), container.config.image.clone());
    }
    event.with("name", container.name.clone())
}

/// Says that `action` happened to `container`.
pub(super) fn announce(events: &Events, container: &Container, action: &str) {
    events.publish(event(container, action));
}

/// Says that a run of `container` has ended.
pub(super) fn ended(events: &Events, container: &Container, exit: &Exit) {
    if exit.oom_killed {
        announce(events, container, "oom");
    }
    let seconds = exit.finished_at.duration_since(exit.started_at).as_secs().max(0);
    let die = event(container, "die")
        .with("exitCode", exit.code.to_string())
        .with("execDuration", seconds.to_string());
    events.publish(die);
}

/// Says that the container's volumes are mounted into it.
pub(super) fn mounted(events: &Events, container: &Container) {
    for (point, volume, driver) in container.volumes() {
        let event = volume_event(container, volume, driver, "mount")
            .with("destination", point.target.clone())
            .with("propagation", point.propagation.map(|p| p.to_string()).unwrap_or_default())
            .with("read/write", point.writable.to_string());
        events.publish(event);
    }
}

/// Says that they are no more.
pub(super) fn unmounted(events: &Events, container: &Container) {
    for (_, volume, driver) in container.volumes() {
        events.publish(volume_event(container, volume, driver, "unmount"));
    }
}

fn volume_event(container: &Container, volume: &str, driver: &str, action: &str) -> Event {
    Event::now(EventType::Volume, action, volume)
        .with("container", container.id.as_str())
        .with("driver", driver)
}

/// An event about a network that `container` is on by this endpoint.
pub(super) fn network_event(container: &Container, endpoint: &Endpoint, action: &str) -> Event {
    Event::now(EventType::Network, action, endpoint.network_id.clone())
        .with("container", container.id.as_str())
        .with("name", endpoint.network.clone())
        .with("type", endpoint.driver.clone())
}
