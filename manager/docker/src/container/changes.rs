//! `GET /containers/{id}/changes`: what a container has changed in its image.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use tare_core::container::{Change, ChangeKind};

use crate::api::Api;
use crate::error::Result;

/// One of them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeView {
    path: String,
    kind: u8,
}

/// Docker says `null` where nothing is changed.
pub(super) async fn handle(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Option<Vec<ChangeView>>>> {
    let container = api.engine.containers.find(&name)?;
    let changes = api.engine.containers.changes(&container.id).await?;
    let changes: Vec<_> = changes.into_iter().map(ChangeView::from).collect();
    Ok(Json((!changes.is_empty()).then_some(changes)))
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        let kind = match change.kind {
            ChangeKind::Modified => 0,
            ChangeKind::Added => 1,
            ChangeKind::Deleted => 2,
        };
        Self { path: change.path, kind }
    }
}
