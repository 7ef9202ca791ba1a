//! Who asks for records, and follows what becomes of them.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_util::stream;
use jiff::Timestamp;
use tare_proto::builds::moby::buildkit::v1 as api;
use tare_proto::builds::moby::buildkit::v1::BuildHistoryEventType as Happened;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::super::wire::moment;
use super::{History, event};
use crate::error::{Error, Result};
use crate::filter::{Filter, duration};

/// What goes to whoever asks.
pub(in super::super) type Events =
    Pin<Box<dyn Stream<Item = Result<api::BuildHistoryEvent, Status>> + Send>>;

/// What is asked.
pub(in super::super) struct Query {
    /// This one alone; empty for all.
    name: String,
    active_only: bool,
    follows: bool,
    filters: Vec<Vec<Part>>,
    limit: usize,
}

/// A part of a filter.
enum Part {
    Fields(Filter),
    Time { field: TimeField, relation: Relation, than: i64 },
}

/// What is compared.
#[derive(Clone, Copy)]
enum TimeField {
    /// When it began, in seconds.
    Started,
    /// When it ended, in seconds.
    Completed,
    /// How long it took, in nanoseconds.
    Duration,
}

#[derive(Clone, Copy)]
enum Relation {
    AtLeast,
    AtMost,
    More,
    Less,
}

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// If a filter isn't one.
    pub(in super::super) fn read(request: &api::BuildHistoryRequest) -> Result<Self> {
        let limit = usize::try_from(request.limit)
            .map_err(|_| Error::invalid(format!("invalid limit {}", request.limit)))?;
        let filters = request.filter.iter().map(|filter| parse(filter)).collect::<Result<_>>()?;
        Ok(Self {
            name: request.r#ref.clone(),
            active_only: request.active_only,
            follows: !request.early_exit,
            filters,
            limit,
        })
    }

    fn is_for(&self, record: &api::BuildHistoryRecord) -> bool {
        self.name.is_empty() || self.name == record.r#ref
    }

    fn holds(&self, record: &api::BuildHistoryRecord) -> bool {
        let holds = |filter: &Vec<Part>| filter.iter().all(|part| part.holds(record));
        self.filters.is_empty() || self.filters.iter().any(holds)
    }
}

impl History {
    /// The records that are asked for, and then what happens, if that is to be followed.
    pub(in super::super) async fn listen(&self, query: Query) -> Events {
        self.read().await;
        let happening = self.happened.subscribe();
        let found = self.find(&query);
        let found = stream::iter(found.into_iter().map(Ok));
        if !query.follows {
            return Box::pin(found);
        }
        let following = stream::unfold((happening, query), async |(mut happening, query)| {
            loop {
                match happening.recv().await {
                    Ok(event)
                        if event.record.as_ref().is_some_and(|record| query.is_for(record)) =>
                    {
                        return Some((Ok(event), (happening, query)));
                    }
                    // Of what was missed, the records tell.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Box::pin(found.chain(following))
    }

    fn find(&self, query: &Query) -> Vec<api::BuildHistoryEvent> {
        let state = self.lock();
        let active = state.active.values().filter(|record| query.is_for(record));
        let mut events: VecDeque<_> =
            active.map(|record| event(Happened::Started, record.clone())).collect();
        if !query.active_only {
            let over = state.over.values().map(|kept| &kept.record);
            let mut over: Vec<_> =
                over.filter(|record| query.is_for(record) && query.holds(record)).collect();
            let created =
                |record: &api::BuildHistoryRecord| record.created_at.as_ref().and_then(moment);
            over.sort_by_key(|record| std::cmp::Reverse(created(record)));
            let limit = if query.limit == 0 { over.len() } else { query.limit };
            let over = over.into_iter().take(limit);
            events.extend(over.map(|record| event(Happened::Complete, record.clone())));
        }
        events.into()
    }
}

/// A filter: parts as values of a table are written, with commas between them.
fn parse(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut fields = Vec::new();
    for part in fields_of(text)? {
        match time(&part)? {
            Some(part) => parts.push(part),
            None => fields.push(part),
        }
    }
    parts.push(Part::Fields(Filter::parse(&fields.join(","))?));
    Ok(parts)
}

/// The fields of a line of comma-separated values.
fn fields_of(text: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
            Some(quoted) => unquote(quoted)
                .ok_or_else(|| Error::invalid(format!("a quote without an end in {text:?}")))?,
        };
        fields.push(field);
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.is_empty() => after,
            None => return Err(Error::invalid(format!("text behind a quote in {text:?}"))),
        };
    }
    Ok(fields)
}

/// What is before the quote that isn't doubled, and what is behind that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (piece, after) = rest.split_once('"')?;
        field.push_str(piece);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}

/// A part about times, if it is one.
fn time(part: &str) -> Result<Option<Part>> {
    let relations = [
        (">=", Relation::AtLeast),
        ("<=", Relation::AtMost),
        (">", Relation::More),
        ("<", Relation::Less),
    ];
    let split =
        relations.into_iter().find_map(|(sign, relation)| Some((part.split_once(sign)?, relation)));
    let Some(((field, value), relation)) = split else { return Ok(None) };
    let field = match field {
        "startedAt" => TimeField::Started,
        "completedAt" => TimeField::Completed,
        "duration" => TimeField::Duration,
        _ => return Ok(None),
    };
    let duration = duration(value);
    let than = match field {
        TimeField::Duration => duration
            .and_then(|duration| i64::try_from(duration.as_nanos()).ok())
            .ok_or_else(|| Error::invalid(format!("invalid duration {value}")))?,
        TimeField::Started | TimeField::Completed => duration
            .and_then(|duration| Timestamp::now().checked_sub(duration).ok())
            .or_else(|| value.parse().ok())
            .ok_or_else(|| Error::invalid(format!("invalid time {value}")))?
            .as_second(),
    };
    Ok(Some(Part::Time { field, relation, than }))
}

impl Part {
    fn holds(&self, record: &api::BuildHistoryRecord) -> bool {
        match self {
            Self::Fields(filter) => filter.holds(|name| field(record, name)),
            Self::Time { field, relation, than } => {
                let value = field.of(record);
                match relation {
                    Relation::AtLeast => value >= *than,
                    Relation::AtMost => value <= *than,
                    Relation::More => value > *than,
                    Relation::Less => value < *than,
                }
            }
        }
    }
}

impl TimeField {
    fn of(self, record: &api::BuildHistoryRecord) -> i64 {
        let started = record.created_at.as_ref().and_then(moment);
        let completed = record.completed_at.as_ref().and_then(moment);
        let value = match self {
            Self::Started => started.map(Timestamp::as_second),
            Self::Completed => completed.map(Timestamp::as_second),
            Self::Duration => started.zip(completed).and_then(|(started, completed)| {
                i64::try_from(completed.duration_since(started).as_nanos()).ok()
            }),
        };
        value.unwrap_or_default()
    }
}

/// A record's field by its name in filters.
fn field(record: &api::BuildHistoryRecord, name: &str) -> Option<String> {
    match name {
        "ref" => Some(record.r#ref.clone()),
        "status" => Some(status(record).to_owned()),
        "repository" => {
            let attribute = |name: &str| record.frontend_attrs.get(name).cloned();
            attribute("vcs:source").or_else(|| attribute("context"))
        }
        _ => None,
    }
}

fn status(record: &api::BuildHistoryRecord) -> &'static str {
    match (&record.completed_at, &record.error) {
        (None, _) => "running",
        (Some(_), None) => "completed",
        (Some(_), Some(error)) if error.message.contains("context canceled") => "canceled",
        (Some(_), Some(_)) => "error",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::wire::time as wire_time;
    use jiff::SignedDuration;

    use super::*;

    fn record() -> api::BuildHistoryRecord {
        let now = Timestamp::now();
        api::BuildHistoryRecord {
            r#ref: "abc".into(),
            created_at: Some(wire_time(now - SignedDuration::from_secs(90))),
            completed_at: Some(wire_time(now - SignedDuration::from_secs(30))),
            ..Default::default()
        }
    }

    fn holds(filter: &str) -> bool {
        parse(filter).unwrap().iter().all(|part| part.holds(&record()))
    }

    #[test]
    fn records_are_found_by_what_buildx_asks() {
        assert!(holds("status==completed"));
        assert!(holds("ref~=b,duration>59s,duration<=1m1s"));
        assert!(holds("startedAt<1m,completedAt>=1m"));
        assert!(holds("\"ref~=/a,?b/\""));
        assert!(!holds("status==error"));
        assert!(!holds("startedAt>=1m"));
        assert!(!holds("startedAt>2999-01-01T00:00:00Z"));
        assert!(parse("duration>soon").is_err());
        assert!(parse("\"ref").is_err());
    }

    proptest! {
        #[test]
        fn anything_may_be_asked(text: String) {
            let _ = parse(&text);
        }
    }
}
