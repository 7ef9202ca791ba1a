//! An image in a list.

use std::collections::BTreeMap;

use serde::Serialize;
use tare_core::image::{Image, OnDisk, Reference};

use super::manifests::{ManifestSummary, descriptor};
use crate::version::ApiVersion;
use crate::wire::null_if_empty;

/// One image of `GET /images/json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    containers: i64,
    created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptor: Option<serde_json::Value>,
    id: String,
    #[serde(serialize_with = "null_if_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Vec<ManifestSummary>>,
    parent_id: String,
    repo_digests: Option<Vec<String>>,
    repo_tags: Option<Vec<String>>,
    shared_size: i64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
}

/// What costs extra to know about an image; -1 where it isn't known.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Containers made from it.
    pub(crate) containers: i64,
    /// Bytes that other images share with it.
    pub(crate) shared_size: i64,
    /// Bytes of the files in the images that its names stand for besides it.
    pub(crate) variants: u64,
    /// The manifests that its names stand for.
    pub(crate) manifests: Option<Vec<ManifestSummary>>,
}

impl Summary {
    /// The summary of `image` by these of its names, for a client of this version.
    pub(crate) fn of<'a>(
        image: &Image,
        names: impl Iterator<Item = &'a Reference>,
        counted: Counted,
        version: ApiVersion,
    ) -> Self {
        let (mut repo_tags, mut repo_digests) = (Vec::new(), Vec::new());
        for name in names {
            let list = if name.tag().is_some() { &mut repo_tags } else { &mut repo_digests };
            list.push(name.familiar());
        }
        if repo_tags.is_empty() && repo_digests.is_empty() && version < ApiVersion::new(1, 43) {
            repo_tags.push("<none>:<none>".to_owned());
            repo_digests.push("<none>@<none>".to_owned());
        }
        // Of versions before 1.43, a list without anything is none.
        let listed = |names: Vec<String>| {
            Some(names).filter(|names| !names.is_empty() || version >= ApiVersion::new(1, 43))
        };
        let target = image.target.as_ref().filter(|_| version >= ApiVersion::new(1, 48));
        let size = image.size + counted.variants;
        Self {
            containers: counted.containers,
            created: image.config.created.map_or(0, |created| created.as_second()),
            descriptor: target.map(descriptor),
            id: image.id.to_string(),
            labels: image.config.defaults.labels.clone(),
            manifests: counted.manifests,
            parent_id: image.parent.map_or_else(String::new, |parent| parent.to_string()),
            repo_digests: listed(repo_digests),
            repo_tags: listed(repo_tags),
            shared_size: counted.shared_size,
            size,
            virtual_size: (version < ApiVersion::new(1, 44)).then_some(size),
        }
    }

    /// The same with what the image takes of the disk in the place of the sizes of its files.
    pub(crate) fn on_disk(mut self, on_disk: OnDisk) -> Self {
        self.size = on_disk.total;
        self.virtual_size = self.virtual_size.map(|_| on_disk.total);
        self.shared_size = i64::try_from(on_disk.shared).unwrap_or(i64::MAX);
        self
    }
}
