//! What happened: a broadcast to whoever listens, and the recent past for whoever comes late.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::broadcast;

/// How many past events are kept.
const HISTORY: usize = 1024;
/// How many events a slow listener may be behind before it loses some.
const BACKLOG: usize = 4096;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What sort of thing it happened to.
    pub kind: EventType,
    /// What happened, by docker's word.
    pub action: String,
    /// The id of the thing.
    pub actor_id: String,
    /// More about it.
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub time: Timestamp,
}

/// What sort of thing an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// The manager itself.
    Daemon,
    /// What builds images.
    Builder,
}

/// The stream of events.
pub struct Events {
    // One lock over both, so that a subscriber misses nothing and gets nothing twice.
    past: Mutex<VecDeque<Event>>,
    count: AtomicU64,
    listeners: broadcast::Sender<Event>,
}

impl Event {
    /// What happens now.
    pub fn now(kind: EventType, action: impl Into<String>, actor_id: impl Into<String>) -> Self {
        Self {
            kind,
            action: action.into(),
            actor_id: actor_id.into(),
            attributes: BTreeMap::new(),
            time: Timestamp::now(),
        }
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Daemon => "daemon",
            Self::Builder => "builder",
        })
    }
}

impl Events {
    /// A stream with no past.
    pub fn new() -> Arc<Self> {
        let (listeners, _) = broadcast::channel(BACKLOG);
        Arc::new(Self { past: Mutex::new(VecDeque::new()), count: AtomicU64::new(0), listeners })
    }

    /// Tells everyone.
    pub fn publish(&self, event: Event) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == HISTORY {
            past.pop_front();
        }
        past.push_back(event.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        // An error means that nobody listens.
        let _ = self.listeners.send(event);
    }

    /// The kept events from `since` on (`None`: none of them), and all that come.
    pub fn subscribe(&self, since: Option<Timestamp>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.listeners.subscribe();
        let past = match since {
            Some(since) => past.iter().filter(|event| event.time >= since).cloned().collect(),
            None => Vec::new(),
        };
        (past, receiver)
    }

    /// How many there have been.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many listen now.
    pub fn listeners(&self) -> usize {
        self.listeners.receiver_count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str) -> Event {
        Event::now(EventType::Container, action, "id")
    }

    #[test]
    fn a_late_listener_gets_the_past_and_then_the_present() {
        let events = Events::new();
        events.publish(event("create"));
        let (past, mut receiver) = events.subscribe(Some(Timestamp::UNIX_EPOCH));
        events.publish(event("start"));
        assert_eq!(past.len(), 1);
        assert_eq!(receiver.try_recv().unwrap().action, "start");
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn the_past_is_bounded() {
        let events = Events::new();
        for _ in 0..HISTORY + 10 {
            events.publish(event("create"));
        }
        assert_eq!(events.subscribe(Some(Timestamp::UNIX_EPOCH)).0.len(), HISTORY);
        assert!(events.subscribe(None).0.is_empty());
    }
}
