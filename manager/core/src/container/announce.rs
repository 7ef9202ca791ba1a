//! What containers tell the world: docker's container events.

use super::record::Container;
use crate::events::{Event, EventType, Events};

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
