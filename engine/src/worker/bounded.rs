//! Bounded: what of a tick has to wait for the next one, so that no tick is too large to be committed in time.
//!
//! Everything that a worker writes is bounded by what it has in hand, except what steps ask for: one may ask for ten thousand
//! children, or for a thousand intents without waiting for them, and many steps may do so together. Then all that is to be
//! written for some of the tasks waits, in order.

use std::collections::{HashMap, HashSet};

use crate::id::{IntentId, LeaseId, TaskId};
use crate::limits;
use crate::store::{ChildRow, NewIntent, NoteRow, TickRequest};

/// Takes out of a tick what is too much for it.
pub(super) fn put_off(request: &mut TickRequest) -> Option<TickRequest> {
    if request.children.len() <= 1 && request.notes.iter().all(|row| row.requests.is_empty()) {
        return None;
    }
    let later = too_much(&request.children, &request.notes);
    if later.is_empty() {
        return None;
    }
    let is_later = |task: TaskId| later.contains(&task);
    let parks = take(&mut request.parks, |row| is_later(row.task));
    let hand_backs = take(&mut request.hand_backs, |(task, _, _)| is_later(*task));
    let finishes = take(&mut request.finishes, |row| is_later(row.intent.into()));
    let ends = take(&mut request.ends, |row| is_later(row.task));
    // A task that is still in its lease keeps the lease.
    let kept: HashSet<LeaseId> = parks
        .iter()
        .map(|row| row.lease)
        .chain(hand_backs.iter().map(|(_, lease, _)| *lease))
        .chain(finishes.iter().filter_map(|row| row.lease))
        .chain(ends.iter().filter_map(|row| row.lease))
        .collect();
    Some(TickRequest {
        started: take(&mut request.started, |row| is_later(row.intent.into())),
        steps: take(&mut request.steps, |row| is_later(row.task)),
        attempts: take(&mut request.attempts, |row| is_later(row.task)),
        notes: take(&mut request.notes, |row| is_later(row.task)),
        undos: take(&mut request.undos, |row| is_later(row.intent.into())),
        undone: take(&mut request.undone, |row| is_later(row.intent.into())),
        renews: take(&mut request.renews, |row| is_later(row.intent.into())),
        deadlines: take(&mut request.deadlines, |row| is_later(row.intent.into())),
        reruns: take(&mut request.reruns, |intent| is_later((*intent).into())),
        children: take(&mut request.children, |row| {
            parent(row).is_some_and(|parent| is_later(parent.into()))
        }),
        routed: take(&mut request.routed, |row| is_later(row.intent.into())),
        recalls: take(&mut request.recalls, |intent| is_later((*intent).into())),
        awaited: take(&mut request.awaited, |row| is_later(row.intent.into())),
        set_aside: take(&mut request.set_aside, |row| is_later(row.intent.into())),
        leases_done: take(&mut request.leases_done, |lease| kept.contains(lease)),
        finishes,
        ends,
        parks,
        hand_backs,
        ..TickRequest::default()
    })
}

/// The tasks of which all has to wait: those after the first that do not fit beside it with what they ask for.
fn too_much(children: &[ChildRow], notes: &[NoteRow]) -> HashSet<TaskId> {
    let mut order: Vec<TaskId> = Vec::new();
    let mut sizes: HashMap<TaskId, (usize, usize)> = HashMap::new();
    let mut add = |task: TaskId, intent: &NewIntent| {
        let (count, bytes) = sizes.entry(task).or_insert_with(|| {
            order.push(task);
            (0, 0)
        });
        *count += 1;
        *bytes += intent.input.get().len();
    };
    for child in children {
        if let Some(parent) = parent(child) {
            add(parent.into(), &child.intent);
        }
    }
    for note in notes {
        for asked in &note.requests {
            add(note.task, asked);
        }
    }
    let (mut count, mut bytes) = (0, 0);
    let fits = |task: &&TaskId| {
        let (more, more_bytes) = sizes.get(*task).copied().unwrap_or_default();
        (count, bytes) = (count + more, bytes + more_bytes);
        count <= limits::CHILDREN_PER_TICK && bytes <= limits::CHILDREN_BYTES
    };
    let fitting = order.iter().take_while(fits).count().max(1);
    order.into_iter().skip(fitting).collect()
}

pub(super) fn parent(child: &ChildRow) -> Option<IntentId> {
    child.intent.parent.as_ref().map(|(parent, _)| *parent)
}

fn take<T>(rows: &mut Vec<T>, goes: impl Fn(&T) -> bool) -> Vec<T> {
    rows.extract_if(.., |row| goes(row)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Micros;
    use crate::payload;
    use crate::state::{IntentState, StepState};
    use crate::store::{Finish, ParkReason, ParkRow, Start, StepRow};

    fn id(number: usize) -> IntentId {
        IntentId(uuid::Uuid::from_u128(number as u128))
    }

    fn lease(number: usize) -> LeaseId {
        LeaseId(uuid::Uuid::from_u128(number as u128))
    }

    fn child(parent: usize, number: usize) -> ChildRow {
        let own = id(parent * 1_000_000 + number);
        ChildRow {
            step: Arc::from("ask"),
            generation: 1,
            name: format!("c[{number}]"),
            input_hash: Vec::new(),
            instead_of: None,
            intent: NewIntent {
                id: own,
                kind: "c".to_owned(),
                queue: "default".to_owned(),
                account: None,
                input: payload::null(),
                priority: 0,
                release_on_failure: false,
                start: Start::Now,
                requested_by: None,
                parent: Some((id(parent), "ask".to_owned())),
                root: id(parent),
                depth: 1,
                correlation_id: None,
                traceparent: None,
                resources: Vec::new(),
                labels: Vec::new(),
                key: None,
                conflicts: None,
                deadline: None,
            },
        }
    }

    /// Each parent asks for as many, and is parked, the last one of its lease.
    fn tick(children: &[usize]) -> TickRequest {
        let mut request = TickRequest::default();
        for (parent, &count) in (1..).zip(children) {
            request
                .children
                .extend((0..count).map(|n| child(parent, n)));
            request.steps.push(StepRow {
                point_of_no_return: false,
                first: true,
                task: id(parent).into(),
                intent: id(parent),
                name: Arc::from("ask"),
                generation: 1,
                state: StepState::Waiting,
                attempt: 1,
                output: None,
                error: None,
                progress: None,
                due_in: None,
                started: None,
                finished: None,
                queue: None,
                reason: None,
                spare: None,
                waits: None,
            });
            request.parks.push(ParkRow {
                task: id(parent).into(),
                lease: lease(parent),
                reason: ParkReason::Child,
                due_in: None,
                wake_at: Some(count as i64),
            });
            request.leases_done.push(lease(parent));
        }
        request
    }

    #[test]
    fn fan_outs_that_come_together_go_one_after_the_other_and_whole() {
        let limit = limits::CHILDREN_PER_TICK;
        // Never cut in two, and the first one goes whatever its size.
        assert!(put_off(&mut tick(&[])).is_none());
        assert!(put_off(&mut tick(&[1; 2_000])).is_none());
        assert!(put_off(&mut tick(&[limits::CHILDREN_PER_STEP])).is_none());
        assert!(put_off(&mut tick(&[limit - 1, 1])).is_none());

        let mut request = tick(&[limit - 1, 2, 7]);
        let mut later = put_off(&mut request).unwrap();
        assert_eq!(
            (request.children.len(), request.parks.len()),
            (limit - 1, 1)
        );
        assert_eq!(request.leases_done, [lease(1)]);
        assert_eq!((later.children.len(), later.parks.len()), (9, 2));
        assert_eq!(later.steps.len(), 2, "what it waits for is said with it");
        assert_eq!(later.leases_done, [lease(2), lease(3)]);
        assert!(put_off(&mut later).is_none());
    }

    /// Each task asks for as many without waiting for them, and its intent succeeds.
    fn asking(requests: &[usize]) -> TickRequest {
        let mut request = TickRequest::default();
        for (intent, &count) in (1..).zip(requests) {
            request.notes.push(NoteRow {
                task: id(intent).into(),
                intent: id(intent),
                step: Arc::from("ask"),
                generation: 1,
                attempt: 1,
                measures: Vec::new(),
                requests: (0..count).map(|n| child(intent, n).intent).collect(),
                log: None,
                forgets_checkpoint: false,
            });
            request.finishes.push(Finish {
                intent: id(intent),
                lease: Some(lease(1)),
                kind: Arc::from("k"),
                account: None,
                state: IntentState::Succeeded,
                requested: Micros(0),
                started: Micros(0),
                output: None,
                reason: None,
                error: None,
                step: None,
                plan: None,
                parent: None,
                frees: false,
                waits: false,
                taken_back: false,
            });
        }
        request.leases_done.push(lease(1));
        request
    }

    #[test]
    fn what_steps_ask_for_without_waiting_counts_as_well_and_keeps_the_lease_of_what_is_put_off() {
        let limit = limits::REQUESTS_PER_STEP;
        assert!(put_off(&mut asking(&[0; 100])).is_none());
        assert!(put_off(&mut asking(&[limit, limit])).is_none());
        let mut request = asking(&[limit, limit, 1, 0]);
        let later = put_off(&mut request).unwrap();
        let finished = |request: &TickRequest| {
            let finishes = request.finishes.iter();
            finishes.map(|finish| finish.intent).collect::<Vec<_>>()
        };
        assert_eq!(finished(&request), [id(1), id(2), id(4)]);
        assert_eq!((finished(&later), later.notes.len()), (vec![id(3)], 1));
        assert!(request.leases_done.is_empty(), "its lease is not done yet");
        assert_eq!(later.leases_done, [lease(1)]);
        // Children and requests are counted together.
        let mut both = tick(&[limits::CHILDREN_PER_TICK]);
        both.notes = asking(&[0, 1]).notes;
        let later = put_off(&mut both).unwrap();
        assert_eq!(
            (both.children.len(), later.notes.len()),
            (limits::CHILDREN_PER_TICK, 1)
        );
    }
}
