//! `GET /containers/json`: what `docker ps` shows.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use tare_core::container::{Container, Port, State as ContainerState};

use super::summary::{Sizes, Summary};
use super::view::mounts::MountView;
use super::view::networks::networks;
use super::view::ports::listed;
use crate::api::Api;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::query::Query;

const FILTERS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATUSES: [&str; 7] =
    ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// Whether sizes are shown, which cost a walk over a container's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Without.
    Plain,
    /// With.
    WithSize,
}

pub(super) async fn handle(State(api): State<Api>, query: Query) -> Result<Json<Vec<Summary>>> {
    let filters = Filters::of(&query, &FILTERS)?;
    let wanted = Wanted::of(&api, &filters, &query)?;
    let limit = query.parse::<i64>("limit")?.unwrap_or_default();
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let mut containers = api.engine.containers.list();
    let links = names_by_links(&containers);
    containers.sort_by_key(|container| Reverse(container.created));
    let all = wanted.all || limit.is_some();
    containers.retain(|container| {
        (all || container.state.is_running()) && wanted.includes(&api, container)
    });
    containers.truncate(limit.unwrap_or(usize::MAX));
    let shown = if query.flag("size") { Shown::WithSize } else { Shown::Plain };
    let mut summaries = Vec::with_capacity(containers.len());
    for container in containers {
        let by_links = links.get(container.id.as_str()).into_iter().flatten().cloned();
        summaries.push(summary(&api, &container, shown).await.also_called(by_links));
    }
    Ok(Json(summaries))
}

/// What containers are called by those that are linked to them, by their ids.
fn names_by_links(containers: &[Arc<Container>]) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for container in containers {
        for link in &container.host.links {
            let name = format!("/{}/{}", container.name, link.alias);
            names.entry(link.target.clone()).or_default().push(name);
        }
    }
    names
}

/// The summary of one container.
pub(crate) async fn summary(api: &Api, container: &Container, shown: Shown) -> Summary {
    let image = api.engine.images.resolve(&container.image_name).ok();
    let sizes = match shown {
        Shown::Plain => Sizes::default(),
        Shown::WithSize => sizes(api, container).await,
    };
    // A name that has gone to another image since is no longer this container's.
    let name = match image {
        Some(image) if image.stands_for(&container.image_id) => container.image_name.clone(),
        _ => container.image_id.clone(),
    };
    Summary::of(container, name, sizes, &api.engine.networks, Timestamp::now())
}

/// What a container takes on disk.
pub(super) async fn sizes(api: &Api, container: &Container) -> Sizes {
    let images = &api.engine.images;
    let written = match images.snapshots().usage(container.id.as_str()).await {
        Ok(usage) => usage.bytes,
        Err(error) => {
            tracing::warn!("the size of {} is not known: {error}", container.name);
            0
        }
    };
    let image = images.resolve(&container.image_id).map_or(0, |image| image.size);
    Sizes { written, all: written + image }
}

/// Which containers a client wants.
struct Wanted<'a> {
    filters: &'a Filters,
    all: bool,
    before: Vec<Arc<Container>>,
    since: Vec<Arc<Container>>,
    exited: Vec<i64>,
    ancestors: Vec<String>,
    publish: Vec<Port>,
    expose: Vec<Port>,
    tasks: Option<bool>,
}

impl<'a> Wanted<'a> {
    fn of(api: &Api, filters: &'a Filters, query: &Query) -> Result<Self> {
        check_words(filters, "status", "state", &STATUSES)?;
        check_words(filters, "health", "health", &HEALTHS)?;
        let bounds = |name| {
            let found = filters.values(name).map(|value| api.engine.containers.find(value));
            found.collect::<Result<_, _>>()
        };
        let exited = filters.values("exited").map(|value| {
            let wrong = |error| Error::invalid(format!("invalid filter 'exited={value}': {error}"));
            value.parse().map_err(wrong)
        });
        let ancestors = filters.values("ancestor");
        // An image that isn't there is the ancestor of nothing.
        let ancestors = ancestors.filter_map(|name| api.engine.images.resolve(name).ok());
        Ok(Self {
            filters,
            all: query.flag("all") || filters.has("status"),
            before: bounds("before")?,
            since: bounds("since")?,
            exited: exited.collect::<Result<_>>()?,
            ancestors: ancestors.map(|image| image.id.to_string()).collect(),
            publish: ports(filters, "publish")?,
            expose: ports(filters, "expose")?,
            tasks: filters.truth("is-task")?,
        })
    }

    fn includes(&self, api: &Api, container: &Container) -> bool {
        let filters = self.filters;
        let slashed = format!("/{}", container.name);
        let named =
            filters.allows_match("name", &slashed) || filters.allows_match("name", &container.name);
        named
            && filters.allows_prefix("id", container.id.as_str())
            && filters.allows("status", container.state.status())
            && filters.allows("health", &health(container))
            && filters.allows_labels("label", &container.config.labels)
            && !self.tasks.unwrap_or_default()
            && self.before.iter().all(|bound| container.created < bound.created)
            && self.since.iter().all(|bound| container.created > bound.created)
            && self.includes_exit(&container.state)
            && (!filters.has("ancestor") || self.ancestors.contains(&container.image_id))
            && self.includes_mounts(container)
            && self.includes_networks(api, container)
            && self.includes_ports(container)
    }

    fn includes_exit(&self, state: &ContainerState) -> bool {
        let rests = !state.is_running();
        self.exited.is_empty()
            || state.exit().is_some_and(|exit| rests && self.exited.contains(&exit.code))
    }

    fn includes_mounts(&self, container: &Container) -> bool {
        let mut mounts = container.shown_mounts().map(MountView::from);
        let called = |mount: MountView| self.filters.values("volume").any(|v| mount.is_called(v));
        !self.filters.has("volume") || mounts.any(called)
    }

    fn includes_networks(&self, api: &Api, container: &Container) -> bool {
        if !self.filters.has("network") {
            return true;
        }
        networks(container, &api.engine.networks).iter().any(|(name, endpoint)| {
            let mut wanted = self.filters.values("network");
            wanted.any(|value| name == value || endpoint.network_id().starts_with(value))
        })
    }

    fn includes_ports(&self, container: &Container) -> bool {
        if !self.filters.has("publish") && !self.filters.has("expose") {
            return true;
        }
        listed(container).iter().any(|found| {
            self.publish.iter().any(|port| found.is_published_at(port))
                || self.expose.iter().any(|port| found.is(port))
        })
    }
}

fn health(container: &Container) -> String {
    container.health.as_ref().map_or_else(|| "none".to_owned(), |health| health.status.to_string())
}

/// Refuses a value of the filter `name` that is none of the words for `what`.
fn check_words(filters: &Filters, name: &str, what: &str, known: &[&str]) -> Result<()> {
    match filters.values(name).find(|value| !known.contains(value)) {
        None => Ok(()),
        Some(value) => Err(Error::invalid(format!(
            "invalid filter '{name}={value}': invalid value for {what} ({value}): must be one of {}",
            known.join(", ")
        ))),
    }
}

/// The ports of a filter: `80`, `80/udp`, `8000-8010/tcp`.
fn ports(filters: &Filters, name: &str) -> Result<Vec<Port>> {
    let mut list = Vec::new();
    for value in filters.values(name) {
        let wrong = || Error::invalid(format!("invalid filter '{name}={value}'"));
        let (numbers, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
        // What is no protocol is that of no port.
        let Ok(protocol) = protocol.parse() else { continue };
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        list.extend((number(first)?..=number(last)?).map(|number| Port { number, protocol }));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::filters;

    #[test]
    fn port_filters_have_ranges() {
        let list = ports(&filters(r#"{"publish":["8000-8001/udp","80"]}"#), "publish").unwrap();
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["80/tcp", "8000/udp", "8001/udp"]);
        assert!(ports(&filters(r#"{"publish":["x"]}"#), "publish").is_err());
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let error = check_words(&filters(r#"{"status":["up"]}"#), "status", "state", &STATUSES);
        let expected = "invalid filter 'status=up': invalid value for state (up): must be one of ";
        assert!(error.unwrap_err().to_string().starts_with(expected));
    }
}
