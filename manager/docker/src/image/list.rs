//! `GET /images/json`: the images, newest first.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use regex::Regex;
use tare_core::image::{ChainId, Image, ImageId};

use super::summary::{Counted, Summary};
use crate::api::Api;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::query::Query;
use crate::version::ApiVersion;

const FILTERS: [&str; 6] = ["reference", "dangling", "label", "label!", "before", "since"];

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Vec<Summary>>> {
    let filters = Filters::of(&query, &FILTERS)?;
    let all = api.engine.images.list();
    let mut images = select(&api, &all, &filters)?;
    images.sort_by_key(|image| std::cmp::Reverse(image.config.created));
    let shared = query.flag("shared-size").then(|| Shared::of(&all));
    let users = (version >= ApiVersion::new(1, 51)).then(|| users(&api));
    let summaries = images.iter().map(|image| {
        let containers = |users: &HashMap<String, i64>| {
            users.get(&image.id.to_string()).copied().unwrap_or_default()
        };
        let counted = Counted {
            containers: users.as_ref().map_or(-1, containers),
            shared_size: shared.as_ref().map_or(-1, |shared| shared.with(image)),
        };
        Summary::of(image, counted, version)
    });
    Ok(Json(summaries.collect()))
}

/// How many containers were made from each image.
pub(crate) fn users(api: &Api) -> HashMap<String, i64> {
    let mut users = HashMap::new();
    for container in api.engine.containers.list() {
        *users.entry(container.image_id.clone()).or_default() += 1;
    }
    users
}

/// The images that pass the filters.
fn select(api: &Api, all: &[Arc<Image>], filters: &Filters) -> Result<Vec<Arc<Image>>> {
    let dangling = filters.truth("dangling")?;
    let bound = |name: &str| {
        let images = filters.values(name).map(|value| api.engine.images.resolve(value));
        images.collect::<Result<Vec<_>, _>>()
    };
    let (before, since) = (bound("before")?, bound("since")?);
    let patterns = filters.values("reference").map(glob).collect::<Result<Vec<_>>>()?;
    let passes = |image: &Arc<Image>| {
        let created = image.config.created;
        let labels = &image.config.defaults.labels;
        let unwanted = filters.has("label!") && filters.allows_labels("label!", labels);
        dangling.is_none_or(|dangling| dangling == image.repo_tags().is_empty())
            && before.iter().all(|bound| created < bound.config.created)
            && since.iter().all(|bound| created > bound.config.created)
            && filters.allows_labels("label", labels)
            && !unwanted
    };
    let chosen = all.iter().filter(|image| passes(image));
    Ok(chosen.filter_map(|image| matching(image, &patterns)).collect())
}

/// The image with those of its names that match a pattern; none if no name does. Without patterns,
/// the image as it is.
fn matching(image: &Arc<Image>, patterns: &[Regex]) -> Option<Arc<Image>> {
    if patterns.is_empty() {
        return Some(Arc::clone(image));
    }
    let mut named = Image::clone(image);
    named.references.retain(|reference| {
        let whole = reference.familiar();
        let repository = repository(&whole);
        patterns.iter().any(|pattern| pattern.is_match(&whole) || pattern.is_match(repository))
    });
    (!named.references.is_empty()).then(|| Arc::new(named))
}

/// A familiar name without its tag or digest.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// A shell pattern as a regular expression: `*` and `?` match anything but a slash.
fn glob(pattern: &str) -> Result<Regex> {
    let mut expression = String::from("^");
    for character in pattern.chars() {
        match character {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' | ']' => expression.push(character),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    let wrong = |_| Error::invalid(format!("invalid filter 'reference={pattern}'"));
    Regex::new(&expression).map_err(wrong)
}

/// How often each layer is used, by all images.
pub(crate) struct Shared(HashMap<ChainId, (u64, usize)>);

impl Shared {
    pub(crate) fn of(images: &[Arc<Image>]) -> Self {
        let mut layers = HashMap::new();
        for layer in images.iter().flat_map(|image| &image.layers) {
            layers.entry(layer.chain_id).or_insert((layer.size, 0)).1 += 1;
        }
        Self(layers)
    }

    /// Bytes of the layers of `image` that others have too.
    pub(crate) fn with(&self, image: &Image) -> i64 {
        let layers = image.layers.iter().filter_map(|layer| self.0.get(&layer.chain_id));
        let shared: u64 = layers.filter(|(_, users)| *users > 1).map(|(size, _)| *size).sum();
        i64::try_from(shared).unwrap_or(i64::MAX)
    }
}

/// Whether this image is used by a container.
pub(super) fn is_used(users: &HashMap<String, i64>, image: ImageId) -> bool {
    users.contains_key(&image.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_and_repositories() {
        let matches = |pattern: &str, name: &str| {
            let pattern = glob(pattern).unwrap();
            pattern.is_match(name) || pattern.is_match(repository(name))
        };
        assert!(matches("nginx", "nginx:latest"));
        assert!(matches("ngi*", "nginx:latest"));
        assert!(matches("*:latest", "nginx:latest"));
        assert!(matches("ngin?:[l1]atest", "nginx:latest"));
        assert!(!matches("ngin", "nginx:latest"));
        assert!(!matches("*", "example.org/nginx:1"));
        assert!(matches("*/nginx", "example.org:5000/nginx:1"));
        assert!(glob("[").is_err());
    }
}
