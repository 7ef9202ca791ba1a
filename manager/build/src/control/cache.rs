//! What builds keep for later ones, as clients list and prune it.

use std::time::Duration;

use futures_util::stream::{self, Iter};
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::moby::buildkit::v1::types;
use tonic::Status;

use super::wire::time;
use crate::Builder;
use crate::cache::{Policy, Prune, Usage};
use crate::error::Result;
use crate::filter::of_usage;

/// What was pruned.
pub(super) type Records = Iter<std::vec::IntoIter<Result<api::UsageRecord, Status>>>;

/// What there is.
pub(super) async fn usage(
    builder: &Builder,
    request: &api::DiskUsageRequest,
) -> Result<Vec<api::UsageRecord>> {
    let holds = of_usage(&request.filter)?;
    let usage = builder.cache.usage().await?;
    Ok(usage.into_iter().filter(holds).map(record).collect())
}

/// Removes what may go: what that was.
pub(super) async fn prune(builder: &Builder, request: &api::PruneRequest) -> Result<Records> {
    let holds = of_usage(&request.filter)?;
    let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
    let prune = Prune {
        holds: Some(&holds),
        all: request.all,
        unused_for: Duration::from_nanos(bytes(request.keep_duration)),
        reserved: bytes(request.reserved_space),
        most: bytes(request.max_used_space),
        free: bytes(request.min_free_space),
    };
    let pruned = builder.cache.prune(prune).await?;
    Ok(stream::iter(pruned.into_iter().map(|usage| Ok(record(usage))).collect::<Vec<_>>()))
}

/// By which rules things go of themselves.
pub(super) fn policy(builder: &Builder) -> Vec<types::GcPolicy> {
    builder.cache.policy().iter().map(rule).collect()
}

fn rule(policy: &Policy) -> types::GcPolicy {
    types::GcPolicy {
        all: policy.all,
        keep_duration: i64::try_from(policy.unused_for.as_nanos()).unwrap_or(i64::MAX),
        filters: policy.filters.clone(),
        reserved_space: policy.reserved.cast_signed(),
        max_used_space: policy.most.cast_signed(),
        min_free_space: policy.free.cast_signed(),
    }
}

fn record(usage: Usage) -> api::UsageRecord {
    api::UsageRecord {
        id: usage.id,
        mutable: usage.mutable,
        in_use: usage.in_use,
        size: usage.size.cast_signed(),
        created_at: Some(time(usage.created)),
        last_used_at: usage.last_used.map(time),
        usage_count: usage.times_used.cast_signed(),
        description: usage.description,
        record_type: usage.kind.name().to_owned(),
        shared: usage.shared,
        parents: usage.parents,
        ..Default::default()
    }
}
