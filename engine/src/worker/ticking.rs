//! Ticking: what goes into the next tick, and what follows from a tick that is on disk.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::bounded;
use super::drive::{Phase, Recall};
use super::engine::{Engine, Probation};
use super::lane::LaneState;
use super::pausing::Claims;
use super::telling::{self, Ends};
use crate::crash;
use crate::id::{IntentId, LeaseId, TaskId};
use crate::limits;
use crate::state::{FailureReason, IntentState, StepState};
use crate::store::{ChildLoad, ChildRow, Life, StepRow, TickAnswer, TickRequest};

impl Engine {
    /// The next tick, if there is anything to write or to ask for.
    pub(super) fn next_tick(&mut self, stopping: bool) -> Option<Arc<TickRequest>> {
        let now = self.now();
        self.end_probation(now);
        self.wake_paced();
        let mut request = std::mem::take(&mut self.pending);
        if let Some(later) = bounded::put_off(&mut request) {
            self.pending = later;
        }
        let left = self.lets_go(&request);
        let claims = match stopping {
            true => Claims::None,
            false => self.ask(&mut request, now),
        };
        self.ask_permits(&mut request, stopping);
        self.ask_slots(&mut request, claims, stopping);
        self.name_partitioned(&mut request, left);
        request.hear_cancels = std::mem::take(&mut self.hear_cancels);
        if !request.is_empty() || self.watch_due {
            self.watch_due = false;
            let watching = self
                .drives
                .values()
                .filter(|drive| drive.phase == Phase::Active && drive.listens());
            let watching = watching.map(|drive| drive.id);
            request.watch = watching.filter(|id| !request.reload.contains(id)).collect();
        }
        // There may be two reasons to ask what has come for an intent; to take in the answer twice would be to act on it twice.
        let mut asked = HashSet::new();
        request.reload.retain(|id| asked.insert(*id));
        let away = |id: &IntentId| {
            let drive = self.drives.get(&TaskId::from(*id));
            drive.is_some_and(|drive| drive.away() > 0)
        };
        request.recall = request.reload.iter().copied().filter(away).collect();
        let listens = |id: &IntentId| {
            let drive = self.drives.get(&TaskId::from(*id));
            drive.is_some_and(|drive| drive.has_awaited)
        };
        request.listen = request.reload.iter().copied().filter(listens).collect();
        if request.is_empty() {
            return None;
        }
        request.worker.clone_from(&self.settings.name);
        request.cancels = self.cancels;
        request.control = self.control;
        request.stopping.clone_from(&self.to_stop);
        keep_last_word(&mut request);
        keep_one_start(&mut request);
        Some(Arc::new(request))
    }

    /// What the tick asks for: due timers, tasks, a suspect.
    fn ask(&mut self, request: &mut TickRequest, now: Duration) -> Claims {
        request.promote = self.next_due.is_some_and(|due| due <= now);
        request.deliver = std::mem::take(&mut self.signals_due);
        let full = self.bytes >= limits::PREFETCH_BYTES;
        if self.probation.is_some() || full || self.is_stuck() {
            return Claims::None;
        }
        request.claim_bytes = limits::PREFETCH_BYTES - self.bytes;
        if let Some(since) = self.suspects_since() {
            // A suspect is best claimed by a session that has nothing else in hand. For that, nothing new is claimed
            // for a while; steps that take longer than that are not waited for. Nor does a slot wait that is to be had now.
            self.withdraw_offer();
            let called = |lane: &LaneState| lane.is_called() && lane.suspects_since.is_some();
            let called = self.lanes.iter().any(called);
            if self.is_alone() || called || now.saturating_sub(since) >= self.beat_interval() {
                request.claim_suspect = self.lanes_for_suspects();
                request.probes = self.probes();
                let lanes = self.lanes.iter_mut();
                let asked = lanes.filter(|lane| lane.takes_suspects());
                asked.for_each(LaneState::suspects_asked);
            } else if !self.is_empty_handed() {
                return Claims::None;
            }
        }
        for lane in &mut self.lanes {
            let room = lane.room(now, limits::PREFETCH_BYTES - self.bytes);
            if !lane.may_claim(now) || room == 0 {
                continue;
            }
            let kinds = self.backing_off.others(&lane.kinds);
            if lane.hint && !kinds.is_empty() {
                request.claim.push(lane.claim(kinds, room));
            }
        }
        if !(request.claim_suspect.is_empty() && request.probes.is_empty()) {
            self.backing_off.tried(&request.probes, now);
            request.suspect_lease = Some(self.new_lease());
            self.withdraw_offer();
            request.alone = self.is_alone();
        }
        if !request.claim.is_empty() {
            request.lease = Some(self.new_lease());
        }
        request.rules = self.rules.clone();
        Claims::Some
    }

    /// It has nothing in hand, and nothing is on its way here.
    fn is_alone(&self) -> bool {
        self.is_empty_handed() && self.is_offer_settled()
    }

    /// It has nothing in hand, nor has it claimed anything that it is about to take in hand.
    fn is_empty_handed(&self) -> bool {
        self.drives.is_empty() && self.lanes.iter().all(|lane| lane.arriving == 0)
    }

    fn new_lease(&self) -> LeaseId {
        LeaseId(self.store().clock().ordered_id())
    }

    /// A tick is on disk: what the next one has to know of it.
    pub(super) fn tick_heard(&mut self, request: &TickRequest, answer: &TickAnswer) {
        self.report.ticks += 1;
        telling::tick(self.now().saturating_sub(self.sent));
        self.report.finished += answer.losers as u64;
        if answer.losers > 0 {
            self.intendant.announce_finished();
        }
        if answer.superseding {
            self.ask_to_stop();
        }
        self.cancels = self.cancels.max(answer.cancels);
        if let Some(control) = &answer.control {
            self.hear_control(control);
        }
        self.slots_heard(request, answer);
        self.permits_heard(request, answer);
        self.suspects_heard(request, answer);
        self.turns_heard(answer);
        self.confirm(self.sent);
        if request.promote {
            // Another one may be due already; the next look says when.
            self.next_due = (answer.promoted >= limits::TIMERS_PER_TICK).then(|| self.now());
        }
        self.signals_due |= answer.delivered >= limits::SIGNALS_PER_TICK;
        for lane in &mut self.lanes {
            lane.hint = (lane.hint && !answer.drained.contains(&lane.queue)) || answer.readied > 0;
        }
        for task in &answer.claimed {
            self.bytes += task.input.get().len();
            let own = self.kinds.get(&task.kind).map(|kind| &kind.queue);
            let queue = task.routed.as_ref().map(|routed| &routed.queue).or(own);
            if let Some(lane) = self
                .lanes
                .iter_mut()
                .find(|lane| Some(&lane.queue) == queue)
            {
                lane.claimed(task.input.get().len());
            }
        }
    }

    /// Takes in what a tick that is on disk has brought.
    pub(super) fn tick_done(&mut self, request: &TickRequest, mut answer: TickAnswer) {
        let stopped = self.cancels_heard(request, &mut answer);
        for ask in &request.slots {
            self.start_waiting(&ask.queue);
        }
        for ask in &request.permits {
            self.start_waiting(&ask.queue);
        }
        let refused: HashSet<TaskId> = answer.refused.iter().map(|(task, _)| *task).collect();
        // Before anything goes on, which may find that nothing of an intent runs any more.
        self.taken_heard(&answer.taken);
        self.steps_recorded(request, &refused);
        self.intents_left(request, &answer, &refused);
        self.start_announced(&request.steps);
        self.plans_written(request);
        // Which steps were taken back is looked up: whoever was faster has them.
        for intent in &request.recalls {
            if let Some(drive) = self.drives.get_mut(&TaskId::from(*intent))
                && drive.recall == Recall::Asked
            {
                drive.recall = Recall::Looking;
            }
            self.look_up(*intent);
        }
        self.others_heard(request, &answer);
        for (task, error) in answer.refused {
            self.refused(request, task, error);
        }
        for lane in &mut self.lanes {
            lane.arriving = 0;
        }
        self.take_claimed(answer.claimed, answer.claimed_at);
        for task in stopped {
            self.go_on(task);
        }
    }

    /// Results are on disk: what depends on them may start.
    fn steps_recorded(&mut self, request: &TickRequest, refused: &HashSet<TaskId>) {
        let mut touched: Vec<TaskId> = Vec::new();
        for row in &request.steps {
            if refused.contains(&row.task) {
                continue;
            }
            if row.state == StepState::Succeeded {
                self.report.steps += 1;
                if let Some(drive) = self.drives.get_mut(&row.task) {
                    drive.recorded(&row.name);
                }
                self.progressed(row.task);
            }
            if touched.last() != Some(&row.task) {
                touched.push(row.task);
            }
        }
        for task in touched {
            self.go_on(task);
        }
    }

    /// What has left its lease is forgotten, except what could not be parked since its wait was over.
    fn intents_left(
        &mut self,
        request: &TickRequest,
        answer: &TickAnswer,
        refused: &HashSet<TaskId>,
    ) {
        let stays: HashSet<TaskId> = answer.not_parked.iter().copied().collect();
        for park in &request.parks {
            if stays.contains(&park.task) {
                if let Some(drive) = self.drives.get_mut(&park.task) {
                    drive.phase = Phase::Active;
                    self.pending.reload.push(drive.id);
                    self.rejoin(park.lease);
                } else {
                    // Parked without having been taken in hand: whoever claims it next goes on with it.
                    self.pending
                        .hand_backs
                        .push((park.task, park.lease, Life::Started));
                }
            } else if !refused.contains(&park.task) {
                self.drop_drive(park.task);
            }
        }
        let ends = request.ends.iter().map(|end| end.task);
        let left = request.hand_backs.iter().map(|(task, _, _)| *task);
        for task in left.chain(ends).filter(|task| !refused.contains(task)) {
            self.drop_drive(task);
        }
        let (mut finished, mut failed, mut trusted) = (false, false, Vec::new());
        let mut ends = Ends::default();
        for finish in request
            .finishes
            .iter()
            .filter(|finish| !refused.contains(&finish.intent.into()))
            .filter(|finish| !answer.not_finished.contains(&finish.intent))
        {
            self.drop_drive(finish.intent.into());
            self.report.finished += 1;
            finished = true;
            ends.add(&finish.kind, finish.state);
            if finish.state == IntentState::Succeeded {
                trusted.extend(
                    self.backing_off
                        .has(&finish.kind)
                        .then(|| finish.kind.clone()),
                );
            }
            failed |= finish.state == IntentState::Failed;
        }
        ends.tell();
        trusted.iter().for_each(|kind| self.trust(kind));
        if failed {
            // Somebody may wait for it to stop, and it has failed instead.
            self.ask_to_stop();
        }
        if finished {
            self.intendant.announce_finished();
        }
        if answer.readied > 0 {
            self.intendant.wake_here();
            // Children may be of kinds that this worker does not know.
            let foreign = |child: &ChildRow| !self.kinds.contains_key(child.intent.kind.as_str());
            let full = self.lanes.iter().all(|lane| lane.free() == 0);
            let not_here = request.children.iter().any(foreign) || self.concerns_others(request);
            if self.others_idle && (full || not_here) {
                self.intendant.wake_elsewhere();
            }
        }
    }

    /// Steps that were sent off, or intents that go on since theirs have ended, may be in queues that this worker does not
    /// serve.
    fn concerns_others(&self, request: &TickRequest) -> bool {
        let served = |queue: &Arc<str>| self.lanes.iter().any(|lane| lane.queue == *queue);
        !request.ends.is_empty() || request.routed.iter().any(|row| !served(&row.queue))
    }

    pub(super) fn drop_drive(&mut self, task: TaskId) {
        if !self.to_stop.is_empty() {
            self.to_stop.remove(&task);
        }
        if let Some(drive) = self.drives.remove(&task) {
            self.bytes = self.bytes.saturating_sub(drive.context.input.get().len());
            if self
                .probation
                .is_some_and(|probation| probation.task == task)
            {
                self.probation = None;
            }
        }
    }

    /// Steps whose start is on disk now, or was before and had no permit, begin.
    pub(super) fn start_announced(&mut self, written: &[StepRow]) {
        let on_disk: HashSet<(TaskId, &str)> = written
            .iter()
            .filter(|row| row.state == StepState::Running)
            .map(|row| (row.task, &*row.name))
            .collect();
        // Who may be dead without knowing begins nothing.
        let is_sure = self.now().saturating_sub(self.confirmed) < self.settings.lease;
        let announced = std::mem::take(&mut self.announced);
        for mut announced in announced {
            let (task, step) = (announced.task, announced.step);
            let Some(drive) = self.drives.get(&task) else {
                self.free_slot(&announced.queue);
                continue;
            };
            announced.written |= on_disk.contains(&(task, drive.step_name(step)));
            if announced.written && is_sure && self.has_permit(&mut announced) {
                self.start(task, step);
            } else {
                self.announced.push(announced);
            }
        }
    }

    /// Intents whose plan is on disk now may start.
    fn plans_written(&mut self, request: &TickRequest) {
        let mut ready: Vec<TaskId> = Vec::new();
        // They have a row of their own to wait for, whatever the session's plan is.
        let own: HashSet<IntentId> = self.pending.started.iter().map(|row| row.intent).collect();
        for (kind, hash) in &request.session_plans {
            self.session_plans.insert(kind.clone(), hash.clone());
            let waiting = self.drives.values().filter(|drive| {
                drive.phase == Phase::Planning
                    && drive.context.kind == *kind
                    && drive.plan.hash == *hash
                    && !own.contains(&drive.id)
            });
            ready.extend(waiting.map(|drive| drive.task));
        }
        ready.extend(request.started.iter().map(|row| TaskId::from(row.intent)));
        for task in ready {
            if let Some(drive) = self.drives.get_mut(&task)
                && drive.phase == Phase::Planning
            {
                drive.phase = Phase::Active;
                self.go_on(task);
            }
        }
    }

    /// Messages were there already for steps that have just begun to wait: which ones is asked for. An intent that the next
    /// tick was to park, since nothing else of it runs, stays: nobody would wake it. One that leaves otherwise has no use for them.
    fn taken_heard(&mut self, taken: &HashSet<IntentId>) {
        for intent in taken {
            let task = TaskId::from(*intent);
            let Some(drive) = self.drives.get_mut(&task) else {
                continue;
            };
            let parks = self.pending.parks.extract_if(.., |row| row.task == task);
            let parked = parks.last();
            if parked.is_some() {
                drive.phase = Phase::Active;
            }
            drive.looks_up = drive.phase == Phase::Active;
            if let Some(park) = parked {
                self.rejoin(park.lease);
            }
            self.look_up(*intent);
        }
    }

    /// Asks what has come for an intent in hand.
    fn look_up(&mut self, intent: IntentId) {
        let drive = self.drives.get(&TaskId::from(intent));
        let is_active = drive.is_some_and(|drive| drive.phase == Phase::Active);
        if is_active && !self.pending.reload.contains(&intent) {
            self.pending.reload.push(intent);
        }
    }

    /// Children of intents in hand have finished, or their steps in other queues have ended: ask what came of them, or take
    /// in the answer.
    fn others_heard(&mut self, request: &TickRequest, answer: &TickAnswer) {
        for intent in &request.reload {
            let (now, task) = (self.now(), TaskId::from(*intent));
            let Some(drive) = self.drives.get_mut(&task) else {
                continue;
            };
            let children: Vec<ChildLoad> = answer
                .children
                .iter()
                .filter(|child| child.parent == *intent)
                .cloned()
                .collect();
            let unreadable = answer.unreadable.get(intent);
            if let Some(unreadable) = unreadable {
                let error = super::runner::clip(unreadable.clone());
                drive.refusal = Some((FailureReason::Undecodable, error));
                drive.looks_up = false;
            }
            let Some(&arrived) = answer.arrived.get(intent) else {
                match unreadable {
                    Some(_) => self.go_on(task),
                    // An answer that does not speak of the intent (its tick was split) is asked for again.
                    None => self.pending.reload.push(*intent),
                }
                continue;
            };
            drive.set_children(children, arrived, now);
            let recalled = request.recall.contains(intent);
            // What stands in for a word that cannot be read is not to be written down as if it were one.
            if recalled && unreadable.is_none() {
                let sent = answer.sent.get(intent).map_or(&[][..], Vec::as_slice);
                let under_way = self.inflight.as_deref();
                drive.set_sent(sent, now, (&mut self.pending, under_way));
            }
            drive.recalled(recalled);
            if let Some(awaited) = answer.awaited.get(intent) {
                drive.set_awaited(awaited.clone(), now);
            }
            drive.looks_up = false;
            self.go_on(task);
        }
        for intent in &request.watch {
            let Some(drive) = self.drives.get(&TaskId::from(*intent)) else {
                continue;
            };
            // What came of ten thousand children is read when it matters, not whenever one of them has finished.
            let arrived = answer.arrived.get(intent).copied();
            if arrived.is_some_and(|arrived| arrived >= drive.wakes_at())
                && !self.pending.reload.contains(intent)
            {
                self.pending.reload.push(*intent);
            }
        }
    }

    /// The database refused what was to be written for an intent: it fails with that as its reason.
    fn refused(&mut self, request: &TickRequest, task: TaskId, error: String) {
        let now = self.now();
        let Some(drive) = self.drives.get_mut(&task) else {
            return;
        };
        let left = (drive.phase == Phase::Leaving).then_some(drive.lease);
        drive.phase = Phase::Active;
        if left.is_some() && drive.refusal.is_some() {
            drive.refused_until = now + limits::REFUSED_WAIT;
        }
        drive.recall = Recall::No;
        drive.refuse_rows(request);
        drive.refusal = Some((FailureReason::DataRefused, super::runner::clip(error)));
        if let Some(lease) = left {
            self.rejoin(lease);
        }
        self.go_on(task);
    }

    /// A task has not left its lease after all.
    pub(super) fn rejoin(&mut self, lease: LeaseId) {
        self.leases.entry(lease).or_default().members += 1;
        self.pending.leases_done.retain(|done| *done != lease);
    }

    /// A suspect has made progress: it is none any more (P6). That its lease says so goes with the result.
    pub(super) fn progressed(&mut self, task: TaskId) {
        let Some(drive) = self.drives.get_mut(&task) else {
            return;
        };
        drive.crashes = 0;
        if self
            .probation
            .is_some_and(|probation| probation.task == task)
        {
            self.probation = None;
        }
    }

    /// Puts a claimed suspect on probation.
    pub(super) fn begin_probation(&mut self, task: TaskId, lease: LeaseId, crashes: u32) {
        let until = crash::probation(crashes, self.beat_interval()).map(|time| self.now() + time);
        self.probation = Some(Probation { task, lease, until });
    }

    fn end_probation(&mut self, now: Duration) {
        let Some(probation) = self.probation else {
            return;
        };
        if probation.until.is_some_and(|until| until <= now) {
            self.probation = None;
            self.pending.leases_beside.push(probation.lease);
            self.go_on(probation.task);
        }
    }
}

/// A step that has several rows in one tick (it runs, it failed, it failed again) keeps the last one.
fn keep_last_word(request: &mut TickRequest) {
    if request
        .steps
        .iter()
        .all(|row| row.state == StepState::Succeeded)
    {
        return;
    }
    let mut seen = HashSet::new();
    let mut kept: Vec<_> = std::mem::take(&mut request.steps)
        .into_iter()
        .rev()
        .filter(|row| seen.insert((row.intent, row.name.clone())))
        .collect();
    kept.reverse();
    request.steps = kept;
}

/// That an intent has started may be said for several reasons at a time; it is written once.
fn keep_one_start(request: &mut TickRequest) {
    let mut seen = HashSet::new();
    request.started.retain(|row| seen.insert(row.intent));
}
