//! `GET /images/json`: the images, newest first.
//!
//! A name of images for several platforms is listed once, as the image that suits this machine best;
//! the others are among its manifests.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use tare_core::image::{ChainId, Image, ImageId};

use super::manifests;
use super::select;
use super::summary::{Counted, Summary};
use crate::api::Api;
use crate::error::Result;
use crate::filter::Filters;
use crate::query::Query;
use crate::version::ApiVersion;

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Vec<Summary>>> {
    let filters = Filters::of(&query, &select::FILTERS)?;
    let all = All::of(&api);
    let shown = if query.flag("all") { select::Shown::All } else { select::Shown::Uppermost };
    let mut images = select::select(&api, &all, &filters, shown)?;
    images.sort_by_key(|chosen| std::cmp::Reverse(chosen.image().config.created));
    let shared = (version >= ApiVersion::new(1, 42) && query.flag("shared-size"))
        .then(|| Shared::of(&all.images));
    let users = (version >= ApiVersion::new(1, 51)).then(|| users(&api));
    let with_manifests = version >= ApiVersion::new(1, 47) && query.flag("manifests");
    let mut manifests = match with_manifests {
        true => {
            let images = images.iter().map(|chosen| Arc::clone(chosen.image())).collect();
            manifests::of(&api, images).await?.into_iter()
        }
        false => Vec::new().into_iter(),
    };
    let summaries = images.iter().map(|chosen| {
        let image = chosen.image();
        let counted = Counted {
            containers: users.as_ref().map_or(-1, |users| users_of(users, image)),
            shared_size: shared.as_ref().map_or(-1, |shared| shared.with(image)),
            variants: all.variants_of(image).map(|variant| variant.size).sum(),
            manifests: manifests.next(),
        };
        Summary::of(image, chosen.names(), counted, version)
    });
    Ok(Json(summaries.collect()))
}

/// All images, at one moment.
pub(crate) struct All {
    pub(crate) images: Vec<Arc<Image>>,
}

impl All {
    pub(crate) fn of(api: &Api) -> Self {
        Self { images: api.engine.images.list() }
    }

    /// Those that are listed: not the ones that stand behind another one of the same name.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.iter().filter(|image| !image.is_variant_only())
    }

    /// The other images that the names of `image` stand for.
    pub(crate) fn variants_of<'a>(&'a self, image: &'a Image) -> impl Iterator<Item = &'a Image> {
        // They come sorted by id.
        let find = |id: &ImageId| self.images.binary_search_by_key(id, |image| image.id).ok();
        image.variants.iter().filter_map(find).map(|place| &*self.images[place])
    }
}

/// How many containers were made from each image.
pub(crate) fn users(api: &Api) -> HashMap<String, i64> {
    let mut users = HashMap::new();
    for container in api.engine.containers.list() {
        *users.entry(container.image_id.clone()).or_default() += 1;
    }
    users
}

/// How many containers were made from what the names of an image stand for.
pub(crate) fn users_of(users: &HashMap<String, i64>, image: &Image) -> i64 {
    if users.is_empty() {
        return 0;
    }
    let all = std::iter::once(&image.id).chain(&image.variants);
    all.filter_map(|id| users.get(&id.to_string())).sum()
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
