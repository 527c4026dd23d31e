//! Recorded: rows as history tells of them. What can be read of a row is shown, and what cannot is said: whoever looks for a
//! damaged row is to find it.

use std::collections::{BTreeMap, HashMap};

use super::admit::mode;
use super::args::Args;
use super::conn::Row;
use super::reading::{Reading, Unfit};
use super::records::{
    AttemptRecord, ChildRecord, EventRecord, IntentRecord, LinkRecord, ResourceRecord, StepRecord,
};
use super::{Conn, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::payload::Payload;
use crate::state::{IntentState, StepState};
use crate::trace::TraceParent;

pub(super) fn step_record(row: &Row) -> Result<StepRecord, Error> {
    let mut row = Reading::of(row, "step");
    let record = StepRecord {
        name: row.text(0),
        generation: row.int(1),
        state: row.word(2, StepState::Failed),
        attempt: row.int(3),
        output: row.opt_json(4).map(owned),
        error: row.opt_text(5),
        progress: row.opt_json(6).map(owned),
        due_at: row.opt_time(7).map(|time| time.to_utc()),
        started_at: row.opt_time(8).map(|time| time.to_utc()),
        finished_at: row.opt_time(9).map(|time| time.to_utc()),
        worker: row.opt_text(10),
        queue: row.opt_text(11),
        unreadable: None,
    };
    Ok(StepRecord {
        unreadable: row.unreadable(),
        ..record
    })
}

pub(super) fn attempt_record(row: &Row) -> Result<AttemptRecord, Error> {
    let mut row = Reading::of(row, "attempt");
    let record = AttemptRecord {
        step: row.text(0),
        generation: row.int(1),
        attempt: row.int(2),
        failure: row.text(3),
        error: row.text(4),
        started_at: row.time(5).to_utc(),
        finished_at: row.time(6).to_utc(),
        retry_at: row.opt_time(7).map(|time| time.to_utc()),
        worker: row.text(8),
        unreadable: None,
    };
    Ok(AttemptRecord {
        unreadable: row.unreadable(),
        ..record
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
    let mut row = Reading::of(row, "child");
    Ok(ChildRecord {
        step: row.text(0),
        name: row.text(1),
        id: row.uuid(2),
    })
}

pub(super) fn event_record(row: &Row) -> Result<EventRecord, Error> {
    let mut row = Reading::of(row, "event");
    let record = EventRecord {
        seq: row.int(0),
        at: row.time(1).to_utc(),
        actor: row.text(2),
        verb: row.text(3),
        reason: row.opt_text(4),
        detail: row.opt_json(5).map(owned),
        unreadable: None,
    };
    Ok(EventRecord {
        unreadable: row.unreadable(),
        ..record
    })
}

pub(super) fn intent_record(row: &Row) -> IntentRecord {
    let mut row = Reading::of(row, "intent");
    let mut record = IntentRecord {
        id: row.uuid(0),
        kind: row.text(1),
        queue: row.text(2),
        account: row.opt_text(3),
        input: row.opt_json(4).map(owned).unwrap_or_default(),
        priority: row.int(5),
        requested_by: row.opt_text(6),
        requested_at: row.time(7).to_utc(),
        run_at: row.opt_time(8).map(|time| time.to_utc()),
        parent_id: row.opt_uuid(9),
        parent_step: row.opt_text(10),
        root_id: row.uuid(11),
        correlation_id: row.opt_text(12),
        traceparent: TraceParent::kept(row.opt_text(24)),
        state: row.word(13, IntentState::Failed),
        started_at: None,
        finished_at: None,
        output: None,
        reason: None,
        error: None,
        failed_step: None,
        plan_hash: None,
        payload_removed_at: None,
        waiting_for: None,
        due_at: None,
        resources: Vec::new(),
        labels: BTreeMap::new(),
        unreadable: None,
    };
    row.table("outcome");
    record.started_at = row.opt_time(14).map(|time| time.to_utc());
    record.finished_at = row.opt_time(15).map(|time| time.to_utc());
    record.output = row.opt_json(16).map(owned);
    record.reason = row.opt_text(17);
    record.error = row.opt_text(18);
    record.failed_step = row.opt_text(19);
    record.plan_hash = row.opt_text(20);
    row.table("parked");
    record.waiting_for = row.opt_text(21);
    record.due_at = row.opt_time(22).map(|time| time.to_utc());
    row.table("outcome");
    record.payload_removed_at = row.opt_time(23).map(|time| time.to_utc());
    record.unreadable = row.unreadable();
    record
}

/// A row of something that an intent has several of cannot be read: the intent's record says so.
fn tell(records: &mut [IntentRecord], unreadable: Unfit) {
    let mut unreadable = unreadable.into_parts();
    for record in records {
        if let Some(what) = unreadable.remove(&record.id) {
            record.unreadable.get_or_insert(what);
        }
    }
}

pub(super) async fn add_resources(
    conn: &mut Conn<'_>,
    records: &mut [IntentRecord],
) -> Result<(), Error> {
    let mut resources: HashMap<IntentId, Vec<ResourceRecord>> = HashMap::new();
    let mut unreadable = Unfit::default();
    let ids = records.iter().map(|record| record.id);
    for row in conn
        .fetch(&sql::HISTORY_RESOURCES, Args::new().ids(ids))
        .await?
    {
        let mut row = Reading::of(&row, "resource");
        let record = ResourceRecord {
            resource: row.text(1),
            mode: mode(&row.text(2)),
        };
        let intent = row.uuid(0);
        unreadable.take(intent, row);
        resources.entry(intent).or_default().push(record);
    }
    for record in &mut *records {
        record.resources = resources.remove(&record.id).unwrap_or_default();
    }
    tell(records, unreadable);
    Ok(())
}

pub(super) async fn add_labels(
    conn: &mut Conn<'_>,
    records: &mut [IntentRecord],
) -> Result<(), Error> {
    let mut labels: HashMap<IntentId, BTreeMap<String, String>> = HashMap::new();
    let mut unreadable = Unfit::default();
    let ids = records.iter().map(|record| record.id);
    for row in conn
        .fetch(&sql::HISTORY_LABELS, Args::new().ids(ids))
        .await?
    {
        let mut row = Reading::of(&row, "label");
        let intent = row.uuid(0);
        let of_one: &mut BTreeMap<String, String> = labels.entry(intent).or_default();
        of_one.insert(row.text(1), row.text(2));
        unreadable.take(intent, row);
    }
    for record in &mut *records {
        record.labels = labels.remove(&record.id).unwrap_or_default();
    }
    tell(records, unreadable);
    Ok(())
}

pub(super) fn owned(payload: Payload) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(payload.get().to_owned()).unwrap_or_default()
}
