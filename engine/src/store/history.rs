//! History: what has been asked for, for whom, on what, and what came of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::admit::mode;
use super::args::Args;
use super::conn::Row;
use super::loaded::OutcomeRow;
use super::parts::next_rows;
use super::records::{
    AttemptRecord, ChildRecord, EventRecord, IntentRecord, LinkRecord, ResourceRecord, StepRecord,
    Unfinished,
};
use super::sql::Statement;
use super::{Conn, Store, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::payload::Payload;
use crate::plan::{Graph, Shape};
use crate::state::{FailureReason, StepState};

impl Store {
    pub(crate) async fn get(&self, id: IntentId) -> Result<IntentRecord, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let record = records(&mut conn, &[id]).await?.pop();
                record.ok_or(Error::NotFound { id })
            })
        })
        .await
    }

    pub(crate) async fn steps(&self, id: IntentId) -> Result<Vec<StepRecord>, Error> {
        self.read(move |mut conn| Box::pin(async move { steps(&mut conn, id).await }))
            .await
    }

    pub(crate) async fn all_steps(&self, id: IntentId) -> Result<Vec<StepRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move { all_steps(&mut conn, &sql::HISTORY_STEPS, id).await })
        })
        .await
    }

    /// The same without their outputs.
    pub(crate) async fn steps_in_brief(&self, id: IntentId) -> Result<Vec<StepRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move { all_steps(&mut conn, &sql::BRIEF_STEPS, id).await })
        })
        .await
    }

    /// The shape of an intent's plan, and what its steps have to say.
    pub(crate) async fn plan_and_steps(
        &self,
        id: IntentId,
    ) -> Result<Option<(Shape, Vec<StepRecord>)>, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let Some(shape) = plan(&mut conn, id).await? else {
                    return Ok(None);
                };
                Ok(Some((shape, steps(&mut conn, id).await?)))
            })
        })
        .await
    }

    /// The plan of an intent, with where its steps are; none before a worker has made it.
    pub(crate) async fn graph(&self, id: IntentId) -> Result<Option<Graph>, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let Some(shape) = plan(&mut conn, id).await? else {
                    return Ok(None);
                };
                let mut steps = steps_by(&mut conn, &sql::BRIEF_STEPS, id).await?;
                // Of a step that was rerun, the last generation stays.
                steps.sort_by_key(|step| step.generation);
                let steps = steps.into_iter().map(|step| (step.name, step.state));
                let states: HashMap<String, StepState> = steps.collect();
                let state =
                    |name: &str| Some(states.get(name).copied().unwrap_or(StepState::Pending));
                Ok(Some(Graph::of(&shape, state)))
            })
        })
        .await
    }

    pub(crate) async fn attempts(&self, id: IntentId) -> Result<Vec<AttemptRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn
                    .fetch(&sql::HISTORY_ATTEMPTS, Args::new().uuid(id.0))
                    .await?;
                rows.iter().map(attempt_record).collect()
            })
        })
        .await
    }

    /// What conflict rules have made of an intent, and of others on account of it; the oldest first.
    pub(crate) async fn links(&self, id: IntentId) -> Result<Vec<LinkRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn.fetch(&sql::LINK_LOAD, Args::new().ids([id])).await?;
                rows.iter().map(link_record).collect()
            })
        })
        .await
    }

    pub(crate) async fn events(&self, id: IntentId) -> Result<Vec<EventRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn
                    .fetch(&sql::HISTORY_EVENTS, Args::new().uuid(id.0))
                    .await?;
                rows.iter().map(event_record).collect()
            })
        })
        .await
    }

    pub(crate) async fn events_after(
        &self,
        id: IntentId,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(id.0).int(seq).int(i64::from(limit));
                let rows = conn.fetch(&sql::EVENT_PAGE, args).await?;
                rows.iter().map(event_record).collect()
            })
        })
        .await
    }

    pub(crate) async fn children(&self, id: IntentId) -> Result<Vec<ChildRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn
                    .fetch(&sql::HISTORY_CHILDREN, Args::new().uuid(id.0))
                    .await?;
                rows.iter().map(child_record).collect()
            })
        })
        .await
    }

    /// The accounts of those of these that are intents.
    pub(crate) async fn accounts_of(
        &self,
        ids: HashSet<IntentId>,
    ) -> Result<HashMap<IntentId, Option<String>>, Error> {
        self.read(move |mut conn| {
            let args = Args::new().ids(ids.iter().copied());
            Box::pin(async move {
                let mut accounts = HashMap::new();
                for row in conn.fetch(&sql::KIND_LOAD, args).await? {
                    let account = Some(row.text(2)?).filter(|account| !account.is_empty());
                    accounts.insert(row.uuid(0)?, account);
                }
                Ok(accounts)
            })
        })
        .await
    }

    /// What came of an intent; none while it is unfinished.
    pub(crate) async fn outcome(&self, id: IntentId) -> Result<Option<OutcomeRow>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let row = conn
                    .fetch_one(&sql::OUTCOME_READ, Args::new().ids([id]))
                    .await?;
                row.map(|row| {
                    Ok(OutcomeRow {
                        state: row.word(1)?,
                        output: row.opt_json(2)?,
                        reason: row
                            .opt_text(3)?
                            .as_deref()
                            .and_then(FailureReason::from_word),
                        error: row.opt_text(4)?,
                        step: row.opt_text(5)?,
                    })
                })
                .transpose()
            })
        })
        .await
    }

    pub(crate) async fn unfinished(&self) -> Result<Unfinished, Error> {
        // With the planner's settings: a plan that was made while there was no history would read all of it later.
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let row = conn
                    .fetch_one(&sql::UNFINISHED, Args::new())
                    .await?
                    .ok_or(sqlx::Error::RowNotFound)?;
                Ok(Unfinished {
                    ready: row.int(0)?,
                    parked: row.int(1)?,
                    blocked: row.int(2)?,
                    running: row.int(3)?,
                })
            })
        })
        .await
    }

    /// Breaches of the invariants; a look at every row.
    pub(crate) async fn breaches(&self) -> Result<Vec<(String, IntentId)>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn.fetch(&sql::INVARIANTS, Args::new()).await?;
                rows.iter()
                    .map(|row| Ok((row.text(0)?, row.uuid(1)?)))
                    .collect()
            })
        })
        .await
    }
}

/// Records of these intents, newest first; those that are not there are left out.
pub(super) async fn records(
    conn: &mut Conn<'_>,
    ids: &[IntentId],
) -> Result<Vec<IntentRecord>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let args = Args::new().ids(ids.iter().copied());
    let rows = conn.fetch(&sql::HISTORY_RECORDS, args).await?;
    let records = rows.iter().map(intent_record);
    let mut records = records.collect::<Result<Vec<_>, _>>()?;
    add_resources(conn, &mut records).await?;
    add_labels(conn, &mut records).await?;
    Ok(records)
}

/// Records of these intents, which are in order, newest first: as many as go together ([`limits::PAGE_BYTES`]), and the last that
/// was looked at, if that was not all.
pub(super) async fn records_in_part(
    conn: &mut Conn<'_>,
    ids: &[IntentId],
) -> Result<(Vec<IntentRecord>, Option<IntentId>), Error> {
    let (mut found, mut looked, mut bytes) = (Vec::new(), 0, 0);
    loop {
        let wanted = next_rows(looked, bytes, ids.len());
        let Some(next) = ids.get(looked..looked + wanted).filter(|_| wanted > 0) else {
            break;
        };
        let records = records(conn, next).await?;
        let sizes = records.iter().map(|record| {
            let output = record
                .output
                .as_ref()
                .map_or(0, |output| output.get().len());
            record.input.get().len() + output
        });
        bytes += sizes.sum::<usize>();
        looked += wanted;
        found.extend(records);
    }
    let cut = (looked < ids.len()).then(|| ids.get(looked.checked_sub(1)?).copied());
    Ok((found, cut.flatten()))
}

/// The stored shape of an intent's plan, as far as it is known.
pub(super) async fn plan(conn: &mut Conn<'_>, id: IntentId) -> Result<Option<Shape>, Error> {
    let row = conn
        .fetch_one(&sql::HISTORY_PLAN, Args::new().uuid(id.0))
        .await?;
    let shape = row.map(|row| row.opt_json(0)).transpose()?.flatten();
    let shape = shape.map(|shape| serde_json::from_str(shape.get()));
    let shape = shape.transpose();
    Ok(shape.map_err(|error| sqlx::Error::Decode(Box::new(error)))?)
}

async fn all_steps(
    conn: &mut Conn<'_>,
    statement: &'static Statement,
    id: IntentId,
) -> Result<Vec<StepRecord>, Error> {
    // The plan first: what begins in between has a row, and is left out of what has not begun.
    let plan = plan(conn, id).await?;
    let mut steps = steps_by(conn, statement, id).await?;
    if let Some(shape) = plan {
        let rest = not_begun(shape, &steps);
        steps.extend(rest);
    }
    Ok(steps)
}

async fn steps(conn: &mut Conn<'_>, id: IntentId) -> Result<Vec<StepRecord>, Error> {
    steps_by(conn, &sql::HISTORY_STEPS, id).await
}

/// An intent's steps, by a statement that has their outputs, or not.
pub(super) async fn steps_by(
    conn: &mut Conn<'_>,
    statement: &'static Statement,
    id: IntentId,
) -> Result<Vec<StepRecord>, Error> {
    let rows = conn.fetch(statement, Args::new().uuid(id.0)).await?;
    rows.iter().map(step_record).collect()
}

/// Those of a plan that have no row among these, in the order of the plan.
pub(super) fn not_begun(shape: Shape, steps: &[StepRecord]) -> Vec<StepRecord> {
    let begun: HashSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let rest = shape.steps.into_iter();
    let rest = rest.filter(|step| !begun.contains(&*step.name));
    rest.map(|step| {
        let queue = step.queue.map(|queue| queue.to_string());
        StepRecord::pending(step.name.to_string(), queue)
    })
    .collect()
}

pub(super) fn step_record(row: &Row) -> Result<StepRecord, Error> {
    Ok(StepRecord {
        name: row.text(0)?,
        generation: row.int(1)?,
        state: row.word(2)?,
        attempt: row.int(3)?,
        output: row.opt_json(4)?.map(owned),
        error: row.opt_text(5)?,
        progress: row.opt_json(6)?.map(owned),
        due_at: row.opt_time(7)?.map(|time| time.to_utc()),
        started_at: row.opt_time(8)?.map(|time| time.to_utc()),
        finished_at: row.opt_time(9)?.map(|time| time.to_utc()),
        worker: row.opt_text(10)?,
        queue: row.opt_text(11)?,
    })
}

pub(super) fn attempt_record(row: &Row) -> Result<AttemptRecord, Error> {
    Ok(AttemptRecord {
        step: row.text(0)?,
        generation: row.int(1)?,
        attempt: row.int(2)?,
        failure: row.text(3)?,
        error: row.text(4)?,
        started_at: row.time(5)?.to_utc(),
        finished_at: row.time(6)?.to_utc(),
        retry_at: row.opt_time(7)?.map(|time| time.to_utc()),
        worker: row.text(8)?,
    })
}

pub(super) fn link_record(row: &Row) -> Result<LinkRecord, Error> {
    Ok(LinkRecord {
        intent: row.uuid(0)?,
        relation: row.word(1)?,
        other: row.uuid(2)?,
        resource: row.text(3)?,
        at: row.time(4)?.to_utc(),
    })
}

pub(super) fn child_record(row: &Row) -> Result<ChildRecord, Error> {
    Ok(ChildRecord {
        step: row.text(0)?,
        name: row.text(1)?,
        id: row.uuid(2)?,
    })
}

fn event_record(row: &Row) -> Result<EventRecord, Error> {
    Ok(EventRecord {
        seq: row.int(0)?,
        at: row.time(1)?.to_utc(),
        actor: row.text(2)?,
        verb: row.text(3)?,
        reason: row.opt_text(4)?,
        detail: row.opt_json(5)?.map(owned),
    })
}

fn intent_record(row: &Row) -> Result<IntentRecord, Error> {
    Ok(IntentRecord {
        id: row.uuid(0)?,
        kind: row.text(1)?,
        queue: row.text(2)?,
        account: row.opt_text(3)?,
        input: row
            .opt_json(4)?
            .map(owned)
            .ok_or(sqlx::Error::RowNotFound)?,
        priority: row.int(5)?,
        requested_by: row.opt_text(6)?,
        requested_at: row.time(7)?.to_utc(),
        run_at: row.opt_time(8)?.map(|time| time.to_utc()),
        parent_id: row.opt_uuid(9)?,
        parent_step: row.opt_text(10)?,
        root_id: row.uuid(11)?,
        correlation_id: row.opt_text(12)?,
        state: row.word(13)?,
        started_at: row.opt_time(14)?.map(|time| time.to_utc()),
        finished_at: row.opt_time(15)?.map(|time| time.to_utc()),
        output: row.opt_json(16)?.map(owned),
        reason: row.opt_text(17)?,
        error: row.opt_text(18)?,
        failed_step: row.opt_text(19)?,
        plan_hash: row.opt_text(20)?,
        waiting_for: row.opt_text(21)?,
        due_at: row.opt_time(22)?.map(|time| time.to_utc()),
        resources: Vec::new(),
        labels: BTreeMap::new(),
    })
}

async fn add_resources(conn: &mut Conn<'_>, records: &mut [IntentRecord]) -> Result<(), Error> {
    let mut resources: HashMap<IntentId, Vec<ResourceRecord>> = HashMap::new();
    let ids = records.iter().map(|record| record.id);
    for row in conn
        .fetch(&sql::HISTORY_RESOURCES, Args::new().ids(ids))
        .await?
    {
        let record = ResourceRecord {
            resource: row.text(1)?,
            mode: mode(&row.text(2)?),
        };
        resources.entry(row.uuid(0)?).or_default().push(record);
    }
    for record in records {
        record.resources = resources.remove(&record.id).unwrap_or_default();
    }
    Ok(())
}

async fn add_labels(conn: &mut Conn<'_>, records: &mut [IntentRecord]) -> Result<(), Error> {
    let mut labels: HashMap<IntentId, BTreeMap<String, String>> = HashMap::new();
    let ids = records.iter().map(|record| record.id);
    for row in conn
        .fetch(&sql::HISTORY_LABELS, Args::new().ids(ids))
        .await?
    {
        let of_one = labels.entry(row.uuid(0)?).or_default();
        of_one.insert(row.text(1)?, row.text(2)?);
    }
    for record in records {
        record.labels = labels.remove(&record.id).unwrap_or_default();
    }
    Ok(())
}

pub(super) fn owned(payload: Payload) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(payload.get().to_owned()).unwrap_or_default()
}
