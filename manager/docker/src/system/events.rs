//! `GET /events`: what happens, as it happens, and what has happened of late.

use std::collections::BTreeMap;
use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use tare_core::events::{Event, EventType};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use crate::api::{Api, Closing};
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::query::Query;
use crate::stream::json_lines::{self, LineEnd};
use crate::time;

/// An event as clients get it.
#[derive(Debug, Serialize)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    scope: &'static str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    attributes: BTreeMap<String, String>,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Response> {
    let since = time::parameter(&query, "since")?;
    let until = time::parameter(&query, "until")?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Error::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            since.as_second(),
            until.as_second()
        )));
    }
    // Docker doesn't mind filters that it doesn't know here.
    let filters = Filters::any(&query)?;
    // Naming an end asks for the past too.
    let since = since.or(until.map(|_| Timestamp::UNIX_EPOCH));
    let (past, present) = api.engine.events.subscribe(since);
    let wanted = Wanted { filters, until };
    let past: Vec<Wire> =
        past.into_iter().filter(|event| wanted.includes(event)).map(Wire::from).collect();
    let follower = Follower { past: past.into_iter(), present, wanted, closing: api.closing };
    let events = stream::unfold(follower, async |mut follower| {
        follower.next().await.map(|event| (event, follower))
    });
    Ok(json_lines::response(events, LineEnd::Events))
}

/// Which events a client wants.
struct Wanted {
    filters: Filters,
    until: Option<Timestamp>,
}

/// A client that follows.
struct Follower {
    past: std::vec::IntoIter<Wire>,
    present: Receiver<Event>,
    wanted: Wanted,
    closing: Closing,
}

impl Follower {
    /// The next event; none when there will be no more for this client.
    async fn next(&mut self) -> Option<Wire> {
        if let Some(event) = self.past.next() {
            return Some(event);
        }
        let mut end = pin!(self.wanted.end());
        let mut closing = pin!(self.closing.clone().wait());
        loop {
            let event = tokio::select! {
                event = self.present.recv() => event,
                () = &mut end => return None,
                () = &mut closing => return None,
            };
            match event {
                Ok(event) if self.wanted.includes(&event) => return Some(event.into()),
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!("a client is too slow for the events; it lost {lost}");
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Wanted {
    /// Waits until no more events can be wanted.
    async fn end(&self) {
        match self.until {
            Some(until) => {
                let left = until.duration_since(Timestamp::now());
                sleep(left.try_into().unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    }

    fn includes(&self, event: &Event) -> bool {
        let filters = &self.filters;
        let kind = event.kind.to_string();
        let named = |name: &str| {
            let found = event.attributes.get("name").map_or("", String::as_str);
            filters.allows_prefix(name, &event.actor_id)
                || (!found.is_empty() && filters.allows_prefix(name, found))
        };
        let never = ["config", "node", "plugin", "secret", "service"];
        self.until.is_none_or(|until| event.time <= until)
            && self.includes_action(&event.action)
            && filters.allows("type", &kind)
            && filters.allows("scope", "local")
            && ["container", "daemon", "network", "volume"].into_iter().all(named)
            && self.includes_image(event)
            && filters.allows_labels("label", &event.attributes)
            && !never.into_iter().any(|name| filters.has(name))
    }

    /// `exec_create: ls` is wanted by who wants `exec_create`.
    fn includes_action(&self, action: &str) -> bool {
        let word = action.split(':').next().unwrap_or(action);
        self.filters.allows("event", action) || self.filters.allows("event", word)
    }

    fn includes_image(&self, event: &Event) -> bool {
        let attribute = if event.kind == EventType::Image { "name" } else { "image" };
        let name = event.attributes.get(attribute).map_or("", String::as_str);
        let untagged = |name: &str| match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
            _ => name.to_owned(),
        };
        let names = [event.actor_id.clone(), name.to_owned(), untagged(name)];
        names.iter().any(|name| self.filters.allows("image", name))
    }
}

impl From<Event> for Wire {
    fn from(event: Event) -> Self {
        let is_container = event.kind == EventType::Container;
        let has_status = is_container || event.kind == EventType::Image;
        let nanoseconds = event.time.as_nanosecond();
        Self {
            status: has_status.then(|| event.action.clone()),
            id: has_status.then(|| event.actor_id.clone()),
            from: event.attributes.get("image").filter(|_| is_container).cloned(),
            kind: event.kind.to_string(),
            action: event.action,
            actor: Actor { id: event.actor_id, attributes: event.attributes },
            scope: "local",
            time: event.time.as_second(),
            time_nano: i64::try_from(nanoseconds).unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::filters;

    fn wanted(json: &str) -> Wanted {
        Wanted { filters: filters(json), until: None }
    }

    fn event() -> Event {
        Event::now(EventType::Container, "exec_create: ls", "c11d7f")
            .with("name", "web")
            .with("image", "nginx:1")
            .with("tier", "front")
    }

    #[test]
    fn events_are_chosen_by_all_filters() {
        for json in [
            "{}",
            r#"{"container":["web"]}"#,
            r#"{"container":["c11"]}"#,
            r#"{"event":["exec_create"]}"#,
            r#"{"event":["exec_create: ls"],"type":["container"]}"#,
            r#"{"image":["nginx"]}"#,
            r#"{"image":["nginx:1"]}"#,
            r#"{"label":["tier=front"]}"#,
        ] {
            assert!(wanted(json).includes(&event()), "{json}");
        }
        for json in [
            r#"{"container":["db"]}"#,
            r#"{"event":["start"]}"#,
            r#"{"type":["image"]}"#,
            r#"{"image":["nginx:2"]}"#,
            r#"{"label":["tier=back"]}"#,
            r#"{"scope":["swarm"]}"#,
            r#"{"network":["bridge"]}"#,
            r#"{"service":["web"]}"#,
        ] {
            assert!(!wanted(json).includes(&event()), "{json}");
        }
    }

    #[test]
    fn old_clients_find_their_fields() {
        let json = serde_json::to_value(Wire::from(event())).unwrap();
        assert_eq!(json["status"], "exec_create: ls");
        assert_eq!(json["from"], "nginx:1");
        assert_eq!(json["Actor"]["ID"], "c11d7f");
        assert_eq!(json["Actor"]["Attributes"]["name"], "web");
        assert_eq!(json["scope"], "local");
        let network = Event::now(EventType::Network, "connect", "n");
        let json = serde_json::to_value(Wire::from(network)).unwrap();
        assert!(json.get("status").is_none());
    }
}
