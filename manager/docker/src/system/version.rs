//! `GET /version`: what `docker version` shows of the server.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tare_core::host::{System, program_version};

use super::VERSION;
use crate::api::Api;
use crate::version::ApiVersion;

/// The versions of the manager and of what it works with.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    platform: Platform,
    components: Vec<Component>,
    version: &'static str,
    api_version: String,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
    git_commit: &'static str,
    go_version: &'static str,
    os: &'static str,
    arch: &'static str,
    kernel_version: String,
    build_time: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Platform {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
    version: String,
    details: BTreeMap<&'static str, String>,
}

pub(super) async fn handle(State(api): State<Api>) -> Json<Version> {
    let system = System::read();
    let (newest, oldest) = (ApiVersion::NEWEST.to_string(), ApiVersion::OLDEST.to_string());
    let arch = system.architecture.oci_name();
    let engine = Component {
        name: "Engine".to_owned(),
        version: VERSION.to_owned(),
        details: BTreeMap::from([
            ("ApiVersion", newest.clone()),
            ("Arch", arch.to_owned()),
            ("BuildTime", String::new()),
            ("Experimental", "false".to_owned()),
            ("GitCommit", String::new()),
            ("GoVersion", String::new()),
            ("KernelVersion", system.kernel.clone()),
            ("MinAPIVersion", oldest.clone()),
            ("Os", "linux".to_owned()),
        ]),
    };
    Json(Version {
        platform: Platform { name: "Tare" },
        components: std::iter::once(engine).chain(runtime(&api).await).collect(),
        version: VERSION,
        api_version: newest,
        min_api_version: oldest,
        git_commit: "",
        go_version: "",
        os: "linux",
        arch,
        kernel_version: system.kernel,
        build_time: "",
    })
}

/// The default runtime, if it says its version.
async fn runtime(api: &Api) -> Option<Component> {
    let live = api.engine.config.live();
    let runtime = live.runtime(&live.default_runtime)?;
    let version = program_version(&runtime.path).await?;
    let details = BTreeMap::from([("GitCommit", String::new())]);
    Some(Component { name: live.default_runtime.clone(), version, details })
}
