//! `GET /system/df`: what takes how much of the disk. Of images that is more than the files that a list
//! of them counts: what they came as is there, too.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::api::Api;
use crate::build::view::BuildCache;
use crate::container::list::{Shown, summary};
use crate::container::summary::Summary as ContainerSummary;
use crate::error::{Error, Result};
use crate::image::list::{All, users, users_of};
use crate::image::summary::{Counted, Summary as ImageSummary};
use crate::query::Query;
use crate::version::ApiVersion;
use crate::volume::view::VolumeView;

/// Everything on the disk.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Usage {
    layers_size: u64,
    images: Option<Vec<ImageSummary>>,
    containers: Option<Vec<ContainerSummary>>,
    volumes: Option<Vec<VolumeView>>,
    build_cache: Option<Vec<BuildCache>>,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Usage>> {
    let types: Vec<&str> = query.all("type").collect();
    let known = ["container", "image", "volume", "build-cache"];
    if let Some(unknown) = types.iter().find(|name| !known.contains(name)) {
        return Err(Error::invalid(format!("unknown object type: {unknown}")));
    }
    let wants = |name: &str| types.is_empty() || types.contains(&name);
    let mut usage = Usage::default();
    if wants("image") {
        add_images(&api, version, &mut usage).await?;
    }
    if wants("container") {
        let mut containers = Vec::new();
        for container in api.engine.containers.list() {
            containers.push(summary(&api, &container, Shown::WithSize).await);
        }
        usage.containers = Some(containers);
    }
    if wants("volume") {
        usage.volumes = Some(volumes(&api).await?);
    }
    if wants("build-cache") {
        let cache = api.builds.builder().cache.usage().await?;
        usage.build_cache = Some(cache.into_iter().map(BuildCache::from).collect());
    }
    Ok(Json(usage))
}

async fn volumes(api: &Api) -> Result<Vec<VolumeView>> {
    let mut volumes = Vec::new();
    // Docker, too, leaves out what is mounted: it may be on another machine.
    for volume in api.engine.volumes.ours().await? {
        // One that has just been removed has no size.
        let size = api.engine.volumes.size(&volume.name).await.ok();
        volumes.push(VolumeView::with_usage(volume, size));
    }
    Ok(volumes)
}

async fn add_images(api: &Api, version: ApiVersion, usage: &mut Usage) -> Result<()> {
    let users = users(api);
    let all = All::of(api);
    let on_disk = api.engine.images.on_disk().await?;
    usage.layers_size = on_disk.total();
    let summaries = all.listed().map(|image| {
        // With the images for other platforms that its names stand for.
        let both: Vec<_> =
            std::iter::once(image.id).chain(image.variants.iter().copied()).collect();
        let counted = Counted {
            containers: users_of(&users, image),
            shared_size: 0,
            variants: 0,
            manifests: None,
        };
        let summary = ImageSummary::of(image, image.references.iter(), counted, version);
        summary.on_disk(on_disk.of(&both))
    });
    usage.images = Some(summaries.collect());
    Ok(())
}
