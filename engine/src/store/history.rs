//! History: what has been asked for, for whom, on what, and what came of it.

use std::collections::{HashMap, HashSet};

use super::args::Args;
use super::conn::Row;
use super::loaded::OutcomeRow;
use super::parts::next_rows;
use super::reading::{Reading, readable};
use super::recorded::{
    add_labels, add_resources, attempt_record, child_record, event_record, intent_record,
    link_record, step_record,
};
use super::records::{
    AttemptRecord, ChildRecord, EventRecord, IntentRecord, LinkRecord, StepRecord, Unfinished,
};
use super::sql::Statement;
use super::{Conn, Store, load, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::plan::{Graph, Shape};
use crate::state::StepState;

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
                Ok(readable(&rows, "link", link_record))
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
                    let mut row = Reading::of(&row, "intent");
                    let account = Some(row.text(2)).filter(|account| !account.is_empty());
                    accounts.insert(row.uuid(0), account);
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
                let Some(row) = row else { return Ok(None) };
                let mut row = Reading::of(&row, "outcome");
                let mut outcome = load::outcome(&mut row, 1);
                outcome.payload_removed_at = row.opt_time(6);
                match row.unreadable() {
                    None => Ok(Some(outcome)),
                    Some(unreadable) => Err(sqlx::Error::Decode(unreadable.into()).into()),
                }
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
                // What cannot be read of one that breaks an invariant says enough.
                let breach = |row: &Row| {
                    let mut row = Reading::of(row, "invariants");
                    (row.text(0), row.uuid(1))
                };
                Ok(rows.iter().map(breach).collect())
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
    let mut records: Vec<IntentRecord> = rows.iter().map(intent_record).collect();
    add_resources(conn, &mut records).await?;
    add_labels(conn, &mut records).await?;
    Ok(records)
}

/// The record of an intent, for whoever writes down what it says: nothing of it may be a stand-in.
pub(super) async fn whole(conn: &mut Conn<'_>, id: IntentId) -> Result<IntentRecord, Error> {
    let record = records(conn, &[id]).await?.pop();
    let record = record.ok_or(Error::NotFound { id })?;
    match record.unreadable {
        None => Ok(record),
        Some(unreadable) => Err(sqlx::Error::Decode(unreadable.into()).into()),
    }
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

/// The stored shape of an intent's plan; none where it is not known, or cannot be read: what its steps say can be.
pub(super) async fn plan(conn: &mut Conn<'_>, id: IntentId) -> Result<Option<Shape>, Error> {
    let row = conn
        .fetch_one(&sql::HISTORY_PLAN, Args::new().uuid(id.0))
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut row = Reading::of(&row, "plan");
    let shape = row.opt_value::<Shape>(0).filter(Shape::is_sound);
    if let Some(unreadable) = row.unreadable() {
        tracing::error!(intent = %id, unreadable, "a plan cannot be read");
    }
    Ok(shape)
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
