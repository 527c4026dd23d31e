//! Parts of lists of what belongs to one intent: by key, a few rows at a time, until there are enough of them or of their bytes.

use std::collections::HashSet;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::args::Args;
use super::conn::Row;
use super::history;
use super::notes::{log_record, measure_record};
use super::reading::Reading;
use super::recorded::{attempt_record, child_record, link_record, step_record};
use super::records::{
    AttemptRecord, ChildRecord, LinkRecord, LogRecord, MeasureRecord, SignalRecord, StepRecord,
};
use super::signal::signal_record;
use super::sql::Statement;
use super::{Conn, Store, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::part::{Key, Mark, Part};

/// How many rows are read first, before it is known how large they are: each may be a payload or two.
const FIRST: usize = 16;

/// Stands in a key's first number for what a plan has beyond the steps that have begun, whose second number says how far.
const PLANNED: i64 = -1;

/// How many rows are read next, of `limit` and of [`limits::PAGE_BYTES`], after so many with so many bytes; none any more at 0.
pub(super) fn next_rows(rows: usize, bytes: usize, limit: usize) -> usize {
    let left = limits::PAGE_BYTES.saturating_sub(bytes);
    let missing = limit.saturating_sub(rows);
    if rows == 0 {
        return missing.min(FIRST);
    }
    if left == 0 {
        return 0;
    }
    let each = (bytes / rows).max(1);
    missing.min((left / each).max(1))
}

/// A list, and how its rows are read.
struct List<T> {
    statement: &'static Statement,
    args: fn(Args, &Key) -> Args,
    read: fn(&Row) -> Result<(T, Key), Error>,
    bytes: fn(&T) -> usize,
}

impl<T> List<T> {
    /// A part of it. A part that ends for its size or number says where.
    async fn part(
        &self,
        conn: &mut Conn<'_>,
        id: IntentId,
        mut after: Key,
        limit: usize,
    ) -> Result<Part<T>, Error> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        loop {
            let wanted = next_rows(items.len(), bytes, limit);
            if wanted == 0 {
                let next = Some(Mark(after));
                return Ok(Part { items, next });
            }
            let args = (self.args)(Args::new().uuid(id.0), &after).int(wanted as i64);
            let rows = conn.fetch(self.statement, args).await?;
            let is_end = rows.len() < wanted;
            let before = after.clone();
            for row in rows {
                let (item, key) = (self.read)(&row)?;
                bytes += (self.bytes)(&item);
                items.push(item);
                after = key;
            }
            // A key that cannot be read as it is stored may lead nowhere.
            if is_end || after == before {
                return Ok(Part { items, next: None });
            }
        }
    }
}

fn size(json: Option<&RawValue>) -> usize {
    json.map_or(0, |json| json.get().len())
}

fn uuid_of(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_default()
}

static STEPS: List<StepRecord> = List {
    statement: &sql::PART_STEPS,
    args: |args, key| args.text(key.0.as_str()).int(key.1),
    read: |row| {
        let step = step_record(row)?;
        let key = Key(step.name.clone(), step.generation, 0, String::new());
        Ok((step, key))
    },
    bytes: |step| size(step.output.as_deref()) + size(step.progress.as_deref()),
};

static ATTEMPTS: List<AttemptRecord> = List {
    statement: &sql::PART_ATTEMPTS,
    args: |args, key| args.text(key.0.as_str()).int(key.1).int(key.2),
    read: |row| {
        let it = attempt_record(row)?;
        let key = Key(it.step.clone(), it.generation, it.attempt, String::new());
        Ok((it, key))
    },
    bytes: |attempt| attempt.error.len(),
};

static LOGS: List<LogRecord> = List {
    statement: &sql::PART_LOGS,
    args: |args, key| args.text(key.0.as_str()).int(key.1).int(key.2),
    read: |row| {
        let it = log_record(row)?;
        let key = Key(it.step.clone(), it.generation, it.attempt, String::new());
        Ok((it, key))
    },
    bytes: |log| log.lines.iter().map(|line| line.text.len() + 64).sum(),
};

static MEASURES: List<MeasureRecord> = List {
    statement: &sql::PART_MEASURES,
    args: |args, key| {
        let args = args.text(key.0.as_str()).int(key.1).int(key.2);
        args.text(key.3.as_str())
    },
    read: |row| {
        let it = measure_record(row)?;
        let key = Key(it.step.clone(), it.generation, it.attempt, it.name.clone());
        Ok((it, key))
    },
    bytes: |_| 100,
};

static CHILDREN: List<ChildRecord> = List {
    statement: &sql::PART_CHILDREN,
    args: |args, key| args.text(key.0.as_str()).int(key.1).text(key.3.as_str()),
    read: |row| {
        let it = child_record(row)?;
        let generation = Reading::of(row, "child").int(3);
        let key = Key(it.step.clone(), generation, 0, it.name.clone());
        Ok((it, key))
    },
    bytes: |_| 100,
};

static LINKS: List<LinkRecord> = List {
    statement: &sql::PART_LINKS,
    args: |args, key| {
        // The id of one and of the other in one text, with what they have to do with each other.
        let (intent, other) = key.0.split_once(' ').unwrap_or_default();
        let args = args.uuid(uuid_of(intent)).text(key.3.as_str());
        args.uuid(uuid_of(other))
    },
    read: |row| {
        let it = link_record(row)?;
        let both = format!("{} {}", it.intent, it.other);
        let key = Key(both, 0, 0, it.relation.as_str().to_owned());
        Ok((it, key))
    },
    bytes: |_| 200,
};

static SIGNALS: List<SignalRecord> = List {
    statement: &sql::PART_SIGNALS,
    args: |args, key| args.uuid(uuid_of(&key.0)),
    read: |row| {
        let it = signal_record(row)?;
        let key = Key(it.id.to_string(), 0, 0, String::new());
        Ok((it, key))
    },
    bytes: |signal| size(signal.payload.as_deref()),
};

macro_rules! parts {
    ($($name:ident: $list:ident, $record:ty;)*) => {
        impl Store {
            $(pub(crate) async fn $name(
                &self,
                id: IntentId,
                after: Key,
                limit: usize,
            ) -> Result<Part<$record>, Error> {
                self.read(move |mut conn| {
                    let after = after.clone();
                    Box::pin(async move { $list.part(&mut conn, id, after, limit).await })
                })
                .await
            })*
        }
    };
}

parts! {
    part_of_attempts: ATTEMPTS, AttemptRecord;
    part_of_logs: LOGS, LogRecord;
    part_of_measurements: MEASURES, MeasureRecord;
    part_of_children: CHILDREN, ChildRecord;
    part_of_links: LINKS, LinkRecord;
    part_of_signals: SIGNALS, SignalRecord;
}

impl Store {
    pub(crate) async fn part_of_steps(
        &self,
        id: IntentId,
        after: Key,
        limit: usize,
    ) -> Result<Part<StepRecord>, Error> {
        self.read(move |mut conn| {
            let after = after.clone();
            Box::pin(async move {
                let mut part = Part {
                    items: Vec::new(),
                    next: Some(Mark(after)),
                };
                if let Some(Mark(key)) = part.next.take_if(|mark| mark.0.1 != PLANNED) {
                    part = STEPS.part(&mut conn, id, key, limit).await?;
                    if part.next.is_some() {
                        return Ok(part);
                    }
                    let first = Key(String::new(), PLANNED, 0, String::new());
                    part.next = Some(Mark(first));
                }
                let Some(Mark(Key(_, _, from, _))) = part.next.take() else {
                    return Ok(part);
                };
                let Some(shape) = history::plan(&mut conn, id).await? else {
                    return Ok(part);
                };
                let begun = history::steps_by(&mut conn, &sql::BRIEF_STEPS, id).await?;
                let begun: HashSet<&str> = begun.iter().map(|step| step.name.as_str()).collect();
                let from = usize::try_from(from).unwrap_or_default();
                for (at, step) in shape.steps.into_iter().enumerate().skip(from) {
                    if begun.contains(&*step.name) {
                        continue;
                    }
                    if part.items.len() >= limit {
                        let next = Key(String::new(), PLANNED, at as i64, String::new());
                        part.next = Some(Mark(next));
                        break;
                    }
                    let queue = step.queue.map(|queue| queue.to_string());
                    let step = StepRecord::pending(step.name.to_string(), queue);
                    part.items.push(step);
                }
                Ok(part)
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_in_few_looks_and_ends_with_its_number_or_its_bytes() {
        // Small rows: the first few, and then all.
        assert_eq!(next_rows(0, 0, 1_000), FIRST);
        assert_eq!(next_rows(FIRST, 1_600, 1_000), 1_000 - FIRST);
        assert_eq!(next_rows(1_000, 100_000, 1_000), 0);
        assert_eq!(next_rows(0, 0, 3), 3);
        // Large ones: no more than fit, but one at a time as long as there is room at all.
        let mb = 1024 * 1024;
        assert_eq!(next_rows(2, 2 * mb, 1_000), limits::PAGE_BYTES / mb - 2);
        assert_eq!(next_rows(1, limits::PAGE_BYTES - 1, 1_000), 1);
        assert_eq!(next_rows(1, limits::PAGE_BYTES, 1_000), 0);
        assert_eq!(next_rows(4, 0, 1_000), 996);
    }
}
