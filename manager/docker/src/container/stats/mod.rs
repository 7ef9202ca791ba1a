//! `GET /containers/{id}/stats`: what a container uses, once or every second.

mod view;

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use tare_core::Kind;
use tare_core::container::{Container, ContainerId, Sample};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::api::Api;
use crate::error::Result;
use crate::query::Query;
use crate::stream::json_lines::{self, LineEnd};
use crate::version::ApiVersion;

use view::Stats;

/// What lies between two samples.
const PERIOD: Duration = Duration::from_secs(1);

/// The first version that has `one-shot`.
const ONE_SHOT: ApiVersion = ApiVersion::new(1, 41);

/// What a client wants to see.
enum Wanted {
    /// A sample every second, for as long as the container is there.
    Stream,
    /// One sample, with the one before it, so that it tells how busy the container is.
    Pair,
    /// One sample, at once.
    Single,
}

pub(super) async fn handle(
    State(api): State<Api>,
    version: ApiVersion,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let one_shot = version >= ONE_SHOT && query.flag("one-shot");
    let wanted = match query.flag_or("stream", true) {
        true => Wanted::Stream,
        false if one_shot => Wanted::Single,
        false => Wanted::Pair,
    };
    let container = api.engine.containers.find(&name)?;
    match wanted {
        Wanted::Stream => {
            let closing = api.closing.clone();
            let samples = follow(api, container.id.clone()).take_until(closing.wait());
            Ok(json_lines::response(samples, LineEnd::Events))
        }
        Wanted::Single => {
            let sample = api.engine.containers.sample(&container.id).await?;
            Ok(Json(Stats::of(&container, sample.as_ref(), None)).into_response())
        }
        Wanted::Pair => pair(&api, &container).await,
    }
}

/// Two samples, a period apart. One that doesn't run isn't waited for.
async fn pair(api: &Api, container: &Container) -> Result<Response> {
    let containers = &api.engine.containers;
    let Some(before) = containers.sample(&container.id).await? else {
        return Ok(Json(Stats::of(container, None, None)).into_response());
    };
    sleep_until(Instant::now() + PERIOD).await;
    let sample = containers.sample(&container.id).await?;
    Ok(Json(Stats::of(container, sample.as_ref(), Some(&before))).into_response())
}

/// A sample every period; ends when the container is removed.
fn follow(api: Api, id: ContainerId) -> impl Stream<Item = Stats> + Send {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (ticks, None::<Sample>);
    stream::unfold(state, move |(mut ticks, before)| {
        let (api, id) = (api.clone(), id.clone());
        async move {
            ticks.tick().await;
            let container = api.engine.containers.find(id.as_str()).ok()?;
            let sample = match api.engine.containers.sample(&id).await {
                Ok(sample) => sample,
                Err(error) if error.kind() == Kind::NotFound => return None,
                Err(error) => {
                    tracing::error!(container = %id, "read what it uses: {error}");
                    None
                }
            };
            let stats = Stats::of(&container, sample.as_ref(), before.as_ref());
            Some((stats, (ticks, sample)))
        }
    })
}
