//! An image in a list.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::image::Image;

use crate::version::ApiVersion;
use crate::wire::null_if_empty;

/// One image of `GET /images/json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    containers: i64,
    created: i64,
    id: String,
    #[serde(serialize_with = "null_if_empty")]
    labels: BTreeMap<String, String>,
    parent_id: String,
    repo_digests: Vec<String>,
    repo_tags: Vec<String>,
    shared_size: i64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
}

/// What costs extra to know about an image; -1 where it isn't known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Containers made from it.
    pub(crate) containers: i64,
    /// Bytes that other images share with it.
    pub(crate) shared_size: i64,
}

impl Summary {
    /// The summary of `image` for a client of this version.
    pub(crate) fn of(image: &Image, counted: Counted, version: ApiVersion) -> Self {
        let mut repo_tags = image.repo_tags();
        let mut repo_digests = image.repo_digests();
        if repo_tags.is_empty() && repo_digests.is_empty() && version < ApiVersion::new(1, 43) {
            repo_tags.push("<none>:<none>".to_owned());
            repo_digests.push("<none>@<none>".to_owned());
        }
        Self {
            containers: counted.containers,
            created: image.config.created.map_or(0, |created| created.as_second()),
            id: image.id.to_string(),
            labels: image.config.defaults.labels.clone(),
            parent_id: image.parent.map_or_else(String::new, |parent| parent.to_string()),
            repo_digests,
            repo_tags,
            shared_size: counted.shared_size,
            size: image.size,
            virtual_size: (version < ApiVersion::new(1, 44)).then_some(image.size),
        }
    }
}
