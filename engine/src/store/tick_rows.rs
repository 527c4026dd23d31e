//! What a worker has to write and asks for in one tick, and what the tick brings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::loaded::{AwaitedLoad, ChildLoad, Claimed, StepLoad, ToStop};
use super::notes::NoteRow;
use super::partition::Turns;
use super::queue::Control;
use super::rows::{
    AttemptRow, AwaitedRow, ChildRow, DeadlineRow, Finish, ParkRow, RoutedEnd, RoutedRow,
    SetAsideRow, StartedRow, StepAt, StepRow, UndoRow,
};
use crate::clock::Micros;
use crate::conflict::Conflicts;
use crate::id::{IntentId, LeaseId, TaskId};
use crate::plan::Shape;
use crate::rate::{PermitAsk, PermitsGiven};
use crate::slots::{SlotAsk, SlotsHeld};

/// A queue's kinds, and how many of their tasks there is room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) queue: Arc<str>,
    pub(crate) kinds: Arc<[Arc<str>]>,
    pub(crate) room: usize,
    /// Its tasks take turns.
    pub(crate) turns: Option<Turns>,
}

/// What came of trying a kind that backs off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probed {
    /// One task of it was claimed: it is to be alone, as a suspect.
    Took,
    /// There was none that could be had.
    Nothing,
    /// Somebody else tries it, or has of late.
    Refused,
}

/// A kind that backs off, of which one task may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) kind: Arc<str>,
    /// The queue, and the kind alone.
    pub(crate) lane: Lane,
    /// How many of its intents, in a row, have crashed their workers.
    pub(crate) intents: u32,
}

/// What a worker has to write, and what it asks for: one transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct TickRequest {
    pub(crate) worker: Arc<str>,
    /// Written with the statements that look for what is there already: the others have met something unexpected.
    pub(crate) careful: bool,
    pub(crate) plans: Vec<(Arc<str>, Arc<Shape>)>,
    pub(crate) session_plans: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) started: Vec<StartedRow>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) attempts: Vec<AttemptRow>,
    /// What ended attempts leave beside that, if anything.
    pub(crate) notes: Vec<NoteRow>,
    pub(crate) undos: Vec<UndoRow>,
    pub(crate) undone: Vec<StepAt>,
    /// Steps that are run again, as their next generation.
    pub(crate) renews: Vec<StepAt>,
    /// Intents of which everything is taken back that was to be before they run again.
    pub(crate) reruns: Vec<IntentId>,
    /// Steps that have a deadline and have become ready.
    pub(crate) deadlines: Vec<DeadlineRow>,
    pub(crate) children: Vec<ChildRow>,
    pub(crate) routed: Vec<RoutedRow>,
    /// Intents that fail: what of theirs nobody has begun in other queues is not to be begun.
    pub(crate) recalls: Vec<IntentId>,
    pub(crate) awaited: Vec<AwaitedRow>,
    pub(crate) set_aside: Vec<SetAsideRow>,
    pub(crate) finishes: Vec<Finish>,
    pub(crate) ends: Vec<RoutedEnd>,
    pub(crate) parks: Vec<ParkRow>,
    /// Tasks that go back to *ready*, with whether they have been started.
    pub(crate) hand_backs: Vec<(TaskId, LeaseId, Life)>,
    pub(crate) leases_done: Vec<LeaseId>,
    /// Suspects that have something beside them from now on.
    pub(crate) leases_beside: Vec<LeaseId>,
    /// Suspects that have made progress: they are none any more.
    pub(crate) leases_cleared: Vec<LeaseId>,
    /// Intents whose count of what has come is asked for.
    pub(crate) watch: Vec<IntentId>,
    /// Intents whose children are asked for again.
    pub(crate) reload: Vec<IntentId>,
    /// Of these, those whose steps in other queues are asked for as well.
    pub(crate) recall: Vec<IntentId>,
    /// Of these, those whose steps wait by names.
    pub(crate) listen: Vec<IntentId>,
    pub(crate) promote: bool,
    /// New messages are to be counted.
    pub(crate) deliver: bool,
    pub(crate) claim: Vec<Lane>,
    /// Most bytes of inputs that the claimed tasks may have; one task is always taken.
    pub(crate) claim_bytes: usize,
    /// Queues of which one suspect is asked for.
    pub(crate) claim_suspect: Vec<Lane>,
    /// Kinds that back off, of which one task may be tried if there is no suspect.
    pub(crate) probes: Vec<Probe>,
    /// Chosen before the tick, so that a claim whose answer was lost can be found again.
    pub(crate) lease: Option<LeaseId>,
    /// Lease of the suspect, which is by itself.
    pub(crate) suspect_lease: Option<LeaseId>,
    /// The session has nothing else in hand.
    pub(crate) alone: bool,
    /// Of the kinds that may be claimed, those that do anything but wait.
    pub(crate) rules: KindRules,
    /// How often the session had been told to stop something, as far as the worker knows.
    pub(crate) cancels: i64,
    /// Of the intents in the request, those of which the worker knows that they are to stop: what it writes for them is how
    /// it carries that out.
    pub(crate) stopping: HashSet<TaskId>,
    /// The session has been told to stop something: which it is, is asked for.
    pub(crate) hear_cancels: bool,
    /// What people have said of queues, as far as the worker knows: the count of it.
    pub(crate) control: i64,
    /// Slots of limited queues.
    pub(crate) slots: Vec<SlotAsk>,
    /// Queues with a limit on each partition, if tasks of theirs may be taken in hand or let go of.
    pub(crate) partitioned: Vec<Arc<str>>,
    /// Permits of queues with a rate.
    pub(crate) permits: Vec<PermitAsk>,
}

/// Conflict rules by kind.
pub(crate) type KindRules = Arc<HashMap<Arc<str>, Arc<Conflicts>>>;

/// Whether a task that goes back to *ready* has something to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Fresh,
    Started,
}

impl TickRequest {
    /// Nothing to write and nothing to ask for.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_writes() && !self.asks()
    }

    /// Something is asked for.
    pub(crate) fn asks(&self) -> bool {
        !(self.claim.is_empty()
            && self.claim_suspect.is_empty()
            && self.probes.is_empty()
            && self.slots.is_empty()
            && self.permits.is_empty()
            && self.reload.is_empty()
            && self.watch.is_empty()
            && !self.promote
            && !self.hear_cancels
            && !self.deliver)
    }

    /// The same, with nothing asked for.
    pub(crate) fn without_questions(&self) -> Self {
        Self {
            claim: Vec::new(),
            claim_suspect: Vec::new(),
            probes: Vec::new(),
            lease: None,
            suspect_lease: None,
            reload: Vec::new(),
            recall: Vec::new(),
            listen: Vec::new(),
            watch: Vec::new(),
            promote: false,
            hear_cancels: false,
            deliver: false,
            slots: Vec::new(),
            permits: Vec::new(),
            ..self.clone()
        }
    }

    /// The tasks that it lets go of.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = TaskId> {
        let parked = self.parks.iter().map(|park| park.task);
        let handed = self.hand_backs.iter().map(|(task, _, _)| *task);
        let finished = self.finishes.iter().map(|finish| finish.intent.into());
        let ended = self.ends.iter().map(|end| end.task);
        parked.chain(handed).chain(finished).chain(ended)
    }

    /// Something of the worker's is on its way to the disk.
    pub(crate) fn has_writes(&self) -> bool {
        !(self.plans.is_empty()
            && self.session_plans.is_empty()
            && self.started.is_empty()
            && self.steps.is_empty()
            && self.attempts.is_empty()
            && self.notes.is_empty()
            && self.undos.is_empty()
            && self.undone.is_empty()
            && self.renews.is_empty()
            && self.reruns.is_empty()
            && self.deadlines.is_empty()
            && self.children.is_empty()
            && self.routed.is_empty()
            && self.recalls.is_empty()
            && self.awaited.is_empty()
            && self.set_aside.is_empty()
            && self.finishes.is_empty()
            && self.ends.is_empty()
            && self.parks.is_empty()
            && self.hand_backs.is_empty()
            && self.leases_done.is_empty()
            && self.leases_beside.is_empty()
            && self.leases_cleared.is_empty())
    }
}

/// How a tick ended.
#[derive(Debug)]
pub(crate) enum TickEnd {
    Done(Box<TickAnswer>),
    /// The session is dead: nothing was written.
    Fenced,
}

/// What a tick brought.
#[derive(Debug, Default)]
pub(crate) struct TickAnswer {
    /// The database's time of the claim.
    pub(crate) claimed_at: Micros,
    pub(crate) claimed: Vec<Claimed>,
    /// Queues of which fewer tasks came back than there was room for.
    pub(crate) drained: Vec<Arc<str>>,
    /// These were not parked: what they wait for has come meanwhile.
    pub(crate) not_parked: Vec<TaskId>,
    /// Counts of what has come, for `watch` and `reload`.
    pub(crate) arrived: HashMap<IntentId, i64>,
    /// Children, for `reload`.
    pub(crate) children: Vec<ChildLoad>,
    /// Steps that were sent to other queues, for `recall`.
    pub(crate) sent: HashMap<IntentId, Vec<StepLoad>>,
    /// What steps wait for by names, and what has come, for `listen`.
    pub(crate) awaited: HashMap<IntentId, Vec<AwaitedLoad>>,
    /// Of these intents something that was asked for cannot be read: they fail with that.
    pub(crate) unreadable: HashMap<IntentId, String>,
    /// Intents of whose steps some have begun to wait for messages that were there.
    pub(crate) taken: HashSet<IntentId>,
    /// How many new messages were counted.
    pub(crate) delivered: usize,
    /// Tasks that this tick made ready: others', or the worker's own.
    pub(crate) readied: usize,
    /// Tasks that were promoted because they were due.
    pub(crate) promoted: usize,
    /// Intents that a rule refused, or made the same as another one.
    pub(crate) losers: usize,
    /// Some intents wait for others that a rule has stop.
    pub(crate) superseding: bool,
    /// Tasks for which the database refused what was to be written, and why; nothing of this tick was written for them.
    pub(crate) refused: Vec<(TaskId, String)>,
    /// Commits of which the answer was lost, and which were found to have taken place.
    pub(crate) adopted: u64,
    /// How often the session had been told to stop something.
    pub(crate) cancels: i64,
    /// Tasks of the session that are to stop.
    pub(crate) to_stop: Vec<ToStop>,
    /// Which kinds that back off were tried, and what came of it.
    pub(crate) probed: Vec<(Arc<str>, Probed)>,
    /// These were not finished: they were asked to stop first.
    pub(crate) not_finished: Vec<IntentId>,
    /// What people have said of queues, if that is news.
    pub(crate) control: Option<Control>,
    /// How many slots of limited queues the session has, of those that it has asked for.
    pub(crate) slots: Vec<SlotsHeld>,
    /// What it was given of queues with a rate, of those that it has asked.
    pub(crate) permits: Vec<PermitsGiven>,
    /// Where slots or permits were asked for: how many tasks were taken of each queue.
    pub(crate) took: Vec<(Arc<str>, usize)>,
    /// Where tasks take turns: whose turn it is, by queue.
    pub(crate) turns: Vec<(Arc<str>, Arc<str>)>,
    /// A partition that had reached its limit has not any more.
    pub(crate) freed: bool,
}

impl TickAnswer {
    /// Nothing in it changes what may be written next: nobody stays in a lease that was left, nobody was refused or is to
    /// stop, and no suspect was claimed, which would have to be alone.
    pub(crate) fn is_plain(&self) -> bool {
        self.not_parked.is_empty()
            && self.taken.is_empty()
            && self.refused.is_empty()
            && self.to_stop.is_empty()
            && self
                .probed
                .iter()
                .all(|(_, probed)| *probed != Probed::Took)
            && self.claimed.iter().all(|task| task.crashes == 0)
    }
}
