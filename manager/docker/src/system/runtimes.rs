//! The OCI runtimes in `GET /info`.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;
use tare_core::config::Runtime;
use tare_core::host::runtime_features;

use crate::version::ApiVersion;

/// The first version that tells what a runtime can do.
const STATUS_SINCE: ApiVersion = ApiVersion::new(1, 44);
/// The key of what a runtime says of itself.
const FEATURES: &str = "org.opencontainers.runtime-spec.features";

/// One of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimeView {
    path: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runtime_args: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<&'static str, String>,
}

/// All of them by name. Each is asked what it can do, at the same time.
pub(super) async fn views(
    runtimes: &BTreeMap<String, Runtime>,
    version: ApiVersion,
) -> BTreeMap<String, RuntimeView> {
    let view = async |(name, runtime): (&String, &Runtime)| {
        let features =
            if version >= STATUS_SINCE { runtime_features(&runtime.path).await } else { None };
        let view = RuntimeView {
            path: runtime.path.display().to_string(),
            runtime_args: runtime.arguments.clone(),
            status: features.map(|told| (FEATURES, told.to_string())).into_iter().collect(),
        };
        (name.clone(), view)
    };
    join_all(runtimes.iter().map(view)).await.into_iter().collect()
}
