//! Turns: a worker's ticks by hand, and a stop before each of their statements. For the engine's own tests, which drive two
//! transactions, or three, statement by statement through every order; no part of the kit, and free to change.
//!
//! What runs is the engine's code for a tick, not an imitation of it, so a test also shows what it decides on what it has
//! read. There is no worker, no heartbeat that is not made by hand and nobody who looks for work: what is not ticked does not
//! happen.

mod heart;
mod own;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{Unserved, Watch};
use crate::client::Intendant;
use crate::clock::Micros;
use crate::conflict::Conflicts;
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId};
use crate::intent::Resources;
use crate::payload;
use crate::request::bare;
use crate::seam::PAUSE;
use crate::state::{FailureReason, IntentState, StepState};
use crate::store::{
    ChildRow, Claimed, Finish, Lane, NewIntent, ParkReason, ParkRow, Round, SessionRow, StartedRow,
    StepRow, Store, TickEnd, TickRequest, Turn, When, text_of,
};

pub use crate::seam::Pause;
pub use heart::{Heart, Seen};

/// The step of all children.
const STEP: &str = "run";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Before each statement of what this future does to the database, `pause` is told of it, by its name; and before each
/// commit, as `commit`.
pub async fn paused<F: Future>(pause: Pause, future: F) -> F::Output {
    PAUSE.scope(pause, future).await
}

/// The statement of this name for PostgreSQL, as this process has it, for those who play a transaction by hand.
pub fn statement(name: &str) -> Option<&'static str> {
    text_of(name)
}

/// An intent that somebody wants; its input is null.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Its kind.
    pub kind: &'static str,
    /// Its queue: by that it is claimed.
    pub queue: String,
    /// What it wants to hold.
    pub resources: Resources,
    /// Larger goes first.
    pub priority: i32,
    /// It lets go of what it holds when it fails.
    pub releases: bool,
    /// Its key, and what stands for its body there.
    pub key: Option<(String, u8)>,
}

impl Wish {
    fn into_new(self, id: IntentId) -> NewIntent {
        let key = self.key.map(|(key, body)| (key, vec![body]));
        NewIntent {
            release_on_failure: self.releases,
            priority: self.priority,
            key,
            ..bare(
                id,
                self.kind,
                &self.queue,
                None,
                payload::null(),
                &self.resources,
            )
        }
    }
}

/// Asks for these, in one transaction: as a request without a type does. Returns who they are: one with a key that was
/// taken is the one that has it.
pub async fn ask(intendant: &Intendant, wishes: Vec<Wish>) -> Result<Vec<IntentId>, Error> {
    let store = intendant.store();
    let id = || IntentId(store.clock().ordered_id());
    let wishes = wishes.into_iter().map(|wish| wish.into_new(id()));
    Ok(store.request(wishes.collect(), None).await?.ids)
}

/// A task that a session has in hand.
#[derive(Debug, Clone)]
pub struct Held {
    finish: Finish,
    lease: LeaseId,
    root: IntentId,
    depth: usize,
    releases: bool,
    unfit: Option<(FailureReason, String)>,
    results: Vec<String>,
    stops: bool,
}

impl Held {
    fn new(claimed: Claimed, claimed_at: Micros) -> Self {
        let has_wait = claimed.waits();
        let started = claimed.started.as_ref().map(|load| load.started);
        let steps = claimed.steps.iter();
        let done = steps.filter(|step| step.state == StepState::Succeeded);
        Self {
            results: done.map(|step| step.name.clone()).collect(),
            stops: claimed.cancel.is_some(),
            lease: claimed.lease,
            root: claimed.root,
            depth: claimed.depth,
            releases: claimed.release_on_failure,
            unfit: claimed.unfit,
            finish: Finish {
                intent: claimed.intent,
                lease: Some(claimed.lease),
                kind: claimed.kind,
                account: claimed.account,
                state: IntentState::Succeeded,
                requested: claimed.requested,
                started: started.unwrap_or(claimed_at),
                output: Some(payload::null()),
                reason: None,
                error: None,
                step: None,
                plan: None,
                parent: claimed.parent,
                frees: claimed.locks,
                waits: has_wait,
                taken_back: false,
            },
        }
    }

    /// Whose task it is.
    pub fn intent(&self) -> IntentId {
        self.finish.intent
    }

    /// Why it cannot be carried out, if so.
    pub fn unfit(&self) -> Option<&str> {
        self.unfit.as_ref().map(|(_, error)| error.as_str())
    }

    /// Which of its steps had a result when it was claimed.
    pub fn results(&self) -> &[String] {
        &self.results
    }

    /// It had been asked to stop when it was claimed.
    pub fn stops(&self) -> bool {
        self.stops
    }

    fn start(&self) -> StartedRow {
        StartedRow {
            intent: self.intent(),
            started: self.finish.started,
            plan: None,
        }
    }
}

/// What a tick is to do.
#[derive(Debug, Clone, Default)]
pub struct Tick(TickRequest);

impl Tick {
    /// Claims up to so many of a queue's intents of one kind, and lets them in.
    pub fn claim(mut self, queue: &str, kind: &str, room: usize) -> Self {
        self.0.claim.push(lane(queue, kind, room));
        self.0.claim_bytes = 1 << 30;
        self
    }

    /// Claims one of those whose session has been ended.
    pub fn claim_suspect(mut self, queue: &str, kind: &str) -> Self {
        self.0.claim_suspect.push(lane(queue, kind, 1));
        self.0.claim_bytes = 1 << 30;
        self
    }

    /// What a kind does about others; said where it is claimed.
    pub fn rules(mut self, kind: &str, conflicts: Conflicts) -> Self {
        self.0.rules = Arc::new(HashMap::from([(Arc::from(kind), Arc::new(conflicts))]));
        self
    }

    /// It has begun, and this step of it has a result, by this attempt.
    pub fn record(mut self, held: &Held, step: &str, attempt: u32) -> Self {
        self.0.started.push(held.start());
        self.0.steps.push(StepRow {
            first: true,
            task: held.intent().into(),
            intent: held.intent(),
            name: step.into(),
            generation: 1,
            state: StepState::Succeeded,
            attempt,
            output: Some(payload::null()),
            error: None,
            progress: None,
            due_in: None,
            started: Some(When::Now),
            finished: Some(When::Now),
            point_of_no_return: false,
            queue: None,
            reason: None,
            spare: None,
            waits: None,
        });
        self
    }

    /// The same of a step that may have a row already.
    pub fn record_again(mut self, held: &Held, step: &str, attempt: u32) -> Self {
        self = self.record(held, step, attempt);
        self.0.started.pop();
        if let Some(row) = self.0.steps.last_mut() {
            row.first = false;
        }
        self
    }

    /// It succeeds.
    pub fn succeed(mut self, held: &Held) -> Self {
        self.0.finishes.push(held.finish.clone());
        self
    }

    /// It fails; with what made it unfit, if anything did.
    pub fn fail(mut self, held: &Held) -> Self {
        let step_failed = || (FailureReason::StepFailed, "broken".to_owned());
        let (reason, error) = held.unfit.clone().unwrap_or_else(step_failed);
        self.0.finishes.push(Finish {
            state: IntentState::Failed,
            output: None,
            reason: Some(reason),
            error: Some(error),
            frees: held.finish.frees && held.releases,
            ..held.finish.clone()
        });
        self
    }

    /// It is cancelled, as it was asked to be.
    pub fn cancelled(mut self, held: &Held) -> Self {
        self.0.stopping.insert(held.intent().into());
        self.0.finishes.push(Finish {
            state: IntentState::Cancelled,
            output: None,
            error: Some("cancelled by hand".to_owned()),
            taken_back: true,
            ..held.finish.clone()
        });
        self
    }

    /// It asks for a child, in the place of one that has failed if that is said.
    pub fn child(
        mut self,
        parent: &Held,
        child: IntentId,
        wish: Wish,
        instead_of: Option<IntentId>,
    ) -> Self {
        let intent = NewIntent {
            parent: Some((parent.intent(), STEP.to_owned())),
            root: parent.root,
            depth: parent.depth + 1,
            ..wish.into_new(child)
        };
        self.0.children.push(ChildRow {
            step: STEP.into(),
            generation: 1,
            name: child.to_string(),
            input_hash: vec![7],
            instead_of,
            intent,
        });
        self
    }

    /// It is parked until so many of its children have finished.
    pub fn park(mut self, held: &Held, wake_at: i64) -> Self {
        self.0.started.push(held.start());
        self.0.parks.push(ParkRow {
            task: held.intent().into(),
            lease: held.lease,
            reason: ParkReason::Child,
            due_in: None,
            wake_at: Some(wake_at),
        });
        self
    }
}

fn lane(queue: &str, kind: &str, room: usize) -> Lane {
    Lane {
        queue: queue.into(),
        kinds: Arc::from([Arc::from(kind)]),
        room,
        turns: None,
    }
}

/// What came of a tick.
#[derive(Debug, Default)]
pub struct Ticked {
    /// What it has claimed, and was let in or is unfit.
    pub held: Vec<Held>,
    /// What it was to park stays in hand, since what it waits for has come.
    pub stays: bool,
    /// How many tasks it has put in line for workers.
    pub readied: usize,
}

/// A worker's session, whose ticks are made by hand.
#[derive(Debug)]
pub struct Session {
    store: Store,
    id: SessionId,
    number: i64,
}

impl Session {
    /// Opens one.
    pub async fn open(intendant: &Intendant) -> Result<Self, Error> {
        let store = intendant.store().clone();
        let id = SessionId(store.clock().secret_id());
        let row = SessionRow {
            id,
            worker: format!("by hand {}", id.0),
            host: "nowhere".to_owned(),
            pid: 0,
            build: String::new(),
            lock_file: None,
            lease: DAY,
            free: 0,
            kinds: Vec::new(),
            lanes: Vec::new(),
            schedules: Vec::new(),
        };
        store.open_session(row).await?;
        Ok(Self {
            store,
            id,
            number: 0,
        })
    }

    /// Commits a tick of a session that lives.
    pub async fn tick(&mut self, tick: Tick) -> Result<Ticked, Error> {
        self.try_tick(tick).await?.ok_or_else(gone)
    }

    /// Commits a tick; none: the session has been ended, and nothing is written.
    pub async fn try_tick(&mut self, tick: Tick) -> Result<Option<Ticked>, Error> {
        self.number += 1;
        let lease = || Some(LeaseId(self.store.clock().secret_id()));
        let request = TickRequest {
            worker: "by hand".into(),
            lease: lease(),
            suspect_lease: lease(),
            ..tick.0
        };
        let end = self.store.tick(self.id, self.number, Arc::new(request));
        let TickEnd::Done(answer) = end.await? else {
            return Ok(None);
        };
        let claimed = answer.claimed.into_iter();
        Ok(Some(Ticked {
            held: claimed
                .map(|task| Held::new(task, answer.claimed_at))
                .collect(),
            stays: !answer.not_parked.is_empty(),
            readied: answer.readied,
        }))
    }

    /// What housekeeping does from time to time: looks for those who wait for each other. Returns false if somebody else
    /// is at it.
    pub async fn look(&self) -> Result<bool, Error> {
        let turn = Turn {
            session: self.id,
            worker: "by hand".to_owned(),
            watch: Watch::default().every(Duration::from_micros(1)),
            unserved: Unserved::default(),
            circles: Round::default(),
        };
        self.store.look(turn).await
    }

    /// Its worker has died, and another one has seen it: what it had in hand goes back as suspect.
    pub async fn die(self) -> Result<(), Error> {
        self.store.reap(self.id, None).await?;
        Ok(())
    }

    /// A new id for a child.
    pub fn child_id(&self) -> IntentId {
        IntentId(self.store.clock().ordered_id())
    }
}

fn gone() -> Error {
    Error::Unreachable("the session is gone".to_owned())
}
