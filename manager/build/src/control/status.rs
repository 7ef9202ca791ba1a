//! What a build tells, as its followers get it.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use prost::Message;
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::pb;
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tonic::Status;

use super::wire::time;
use crate::error::Place;
use crate::progress::{
    Event, Follower, Journal, LogLine, Stream as Output, Transfer, VertexState, Warning,
};

/// Bytes of events that go into one message; a log line may be a little more.
const ENOUGH: usize = 1 << 20;

/// How soon what has begun may be over.
const SOON: Duration = Duration::from_millis(15);

/// Messages to a follower.
pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<api::StatusResponse, Status>> + Send>>;

/// All that `journal` has from its beginning to its end.
pub(super) fn follow(journal: &Journal) -> Messages {
    let batches = stream::unfold(journal.follow(), next);
    Box::pin(batches.flat_map(|batch| stream::iter(batch.into_iter().map(Ok))))
}

/// What a build told that is over.
pub(super) fn again(told: Vec<api::StatusResponse>) -> Messages {
    Box::pin(stream::iter(told.into_iter().map(Ok)))
}

/// What `journal` has, once it has ended.
pub(super) async fn all(journal: &Journal) -> Vec<api::StatusResponse> {
    let mut follower = journal.follow();
    let mut messages = Vec::new();
    while let Some(events) = follower.next().await {
        messages.extend(pack(&events));
    }
    messages
}

/// What has been told meanwhile. Where something has just begun that may be over in no time, that is
/// waited for, so that people aren't shown each beginning.
async fn next(mut follower: Follower) -> Option<(Vec<api::StatusResponse>, Follower)> {
    let mut events = follower.next().await?;
    let soon = Instant::now() + SOON;
    while has_begun(&events) {
        match timeout_at(soon, follower.next()).await {
            Ok(Some(more)) => events.extend(more),
            // It is told with the next call that there is no more.
            Ok(None) | Err(_) => break,
        }
    }
    Some((pack(&events), follower))
}

/// Whether the last that is told of some transfer is its beginning.
fn has_begun(events: &[Event]) -> bool {
    last_transfers(events).values().any(|at| match &events[*at] {
        Event::Transfer(transfer) => transfer.completed.is_none() && transfer.current == 0,
        _ => false,
    })
}

/// Where the last is that is told of each transfer.
fn last_transfers(events: &[Event]) -> HashMap<(&str, &str), usize> {
    let transfers = events.iter().enumerate().filter_map(|(at, event)| match event {
        Event::Transfer(transfer) => Some(((transfer.vertex.as_str(), transfer.id.as_str()), at)),
        _ => None,
    });
    transfers.collect()
}

/// Events in as few messages as they fit into.
fn pack(events: &[Event]) -> Vec<api::StatusResponse> {
    let mut messages = Vec::new();
    let mut message = api::StatusResponse::default();
    let mut size = 0;
    let last: HashSet<usize> = last_transfers(events).into_values().collect();
    for (at, event) in events.iter().enumerate() {
        // Who reads of something later doesn't want to know how it was in between.
        if matches!(event, Event::Transfer(_)) && !last.contains(&at) {
            continue;
        }
        size += add(&mut message, event);
        if size >= ENOUGH {
            messages.push(std::mem::take(&mut message));
            size = 0;
        }
    }
    if size > 0 {
        messages.push(message);
    }
    messages
}

/// Adds an event to a message: how much longer that makes it.
fn add(message: &mut api::StatusResponse, event: &Event) -> usize {
    match event {
        // That is for others.
        Event::Planned(_) => 0,
        Event::Vertex(state) => push(&mut message.vertexes, vertex(state)),
        Event::Transfer(transfer) => push(&mut message.statuses, status(transfer)),
        Event::Log(line) => push(&mut message.logs, log(line)),
        Event::Warning(warning) => push(&mut message.warnings, self::warning(warning)),
    }
}

fn push<M: Message>(list: &mut Vec<M>, message: M) -> usize {
    let size = message.encoded_len() + 8;
    list.push(message);
    size
}

fn vertex(state: &VertexState) -> api::Vertex {
    api::Vertex {
        digest: state.id.to_string(),
        inputs: state.inputs.iter().map(ToString::to_string).collect(),
        name: state.name.clone(),
        cached: state.cached,
        started: state.started.map(time),
        completed: state.completed.map(time),
        error: state.error.clone(),
        progress_group: None,
    }
}

fn status(transfer: &Transfer) -> api::VertexStatus {
    api::VertexStatus {
        id: transfer.id.clone(),
        vertex: transfer.vertex.to_string(),
        name: transfer.id.clone(),
        current: transfer.current,
        total: transfer.total,
        timestamp: Some(time(transfer.at)),
        started: Some(time(transfer.started)),
        completed: transfer.completed.map(time),
    }
}

fn log(line: &LogLine) -> api::VertexLog {
    api::VertexLog {
        vertex: line.vertex.to_string(),
        timestamp: Some(time(line.at)),
        stream: match line.stream {
            Output::Output => 1,
            Output::Errors => 2,
        },
        msg: line.bytes.clone(),
    }
}

fn warning(warning: &Warning) -> api::VertexWarning {
    api::VertexWarning {
        vertex: warning.vertex.to_string(),
        level: 1,
        short: warning.short.clone().into_bytes(),
        detail: vec![warning.detail.clone().into_bytes()],
        url: warning.url.clone(),
        info: warning.place.as_ref().map(info),
        ranges: warning.place.as_ref().map(ranges).unwrap_or_default(),
    }
}

fn info(place: &Place) -> pb::SourceInfo {
    pb::SourceInfo {
        filename: place.file.name.clone(),
        data: place.file.text.clone(),
        definition: None,
        language: "Dockerfile".to_owned(),
    }
}

fn ranges(place: &Place) -> Vec<pb::Range> {
    let line = |line| {
        let line = i32::try_from(line).unwrap_or(i32::MAX);
        Some(pb::Position { line, character: 0 })
    };
    let lines = place.lines.first..=place.lines.last;
    lines.map(|number| pb::Range { start: line(number), end: line(number) }).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn much_output_comes_in_messages_that_can_be_sent() {
        let journal = Journal::default();
        let vertex = journal.vertex("loud", &[]);
        for _ in 0..200 {
            vertex.log(Output::Output, Bytes::from(vec![0; 10_000]));
        }
        vertex.done();
        journal.end();
        let messages: Vec<_> = follow(&journal).map(Result::unwrap).collect().await;
        assert!(messages.len() >= 2);
        assert!(messages.iter().all(|message| message.encoded_len() < 2 * ENOUGH));
        let logs: usize = messages.iter().map(|message| message.logs.len()).sum();
        assert_eq!(logs, 200);
        let last = messages.last().unwrap().vertexes.last().unwrap();
        assert!(last.completed.is_some());
        assert_eq!(all(&journal).await, messages);
    }

    #[tokio::test]
    async fn what_is_over_in_no_time_is_told_once() {
        let journal = Journal::default();
        let vertex = journal.vertex("quick", &[]);
        let mut messages = follow(&journal);
        let transfer = vertex.transfer("transferring");
        let reading = async { messages.next().await.unwrap().unwrap() };
        let doing = async {
            tokio::task::yield_now().await;
            drop(transfer);
        };
        let (message, ()) = tokio::join!(reading, doing);
        assert_eq!(message.statuses.len(), 1);
        assert!(message.statuses[0].completed.is_some());
    }
}
