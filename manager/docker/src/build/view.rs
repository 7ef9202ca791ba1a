//! What builds keep for later ones, as clients see it.

use serde::Serialize;
use tare_build::cache::Usage;

use crate::time;

/// Something that is kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BuildCache {
    #[serde(rename = "ID")]
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
    #[serde(rename = "Type")]
    kind: &'static str,
    description: String,
    in_use: bool,
    shared: bool,
    size: u64,
    created_at: String,
    last_used_at: Option<String>,
    usage_count: u64,
}

impl From<Usage> for BuildCache {
    fn from(usage: Usage) -> Self {
        Self {
            id: usage.id,
            parents: usage.parents,
            kind: usage.kind.name(),
            description: usage.description,
            in_use: usage.in_use,
            shared: usage.shared,
            size: usage.size,
            created_at: time::rfc3339(usage.created),
            last_used_at: usage.last_used.map(time::rfc3339),
            usage_count: usage.times_used,
        }
    }
}
