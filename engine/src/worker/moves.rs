//! Moves: an attempt has ended, an intent goes on, starts steps, parks, finishes, is handed back.

use std::cmp::Reverse;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::drive::{Drive, Move, Phase, Recall};
use super::engine::{Announced, Engine, Running};
use super::lane::Waiting;
use super::limiting::stop_others;
use super::noting::AtEnd;
use super::pacing::late;
use super::runner::{self, Bounds, Ended, Run, StepEnd};
use crate::advance::Status;
use crate::cx::StepContext;
use crate::id::TaskId;
use crate::limits;
use crate::state::{AttemptFailure, StepState};
use crate::store::{CancelLoad, Finish, Goal, Life, Once, ParkRow, Ran, UndoRow, When};

impl Engine {
    /// An attempt has ended; with it, take in all that have ended meanwhile. While nothing is on its way to the disk,
    /// give those that are about to end a chance to go with the same tick.
    pub(super) async fn hear_ended(
        &mut self,
        ended: Ended,
        more: &mut mpsc::UnboundedReceiver<Ended>,
        idle: bool,
    ) {
        self.step_ended(ended);
        loop {
            let mut heard = false;
            for _ in 0..limits::ENDED_AT_ONCE {
                let Ok(ended) = more.try_recv() else { break };
                self.step_ended(ended);
                heard = true;
            }
            if !idle
                || self.running.is_empty()
                || (!heard && self.pending.has_writes() && self.running.len() < 2)
            {
                return;
            }
            tokio::task::yield_now().await;
            match more.try_recv() {
                Ok(ended) => self.step_ended(ended),
                Err(_) => return,
            }
        }
    }

    fn step_ended(&mut self, ended: Ended) {
        let now = self.now();
        let key = (ended.task, ended.step);
        let Some(running) = self.running.remove(&key) else {
            return;
        };
        let queue = running.queue;
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == queue) {
            lane.ended(now);
        }
        // Only a failure needs it, for its retry, and a random number is not for nothing.
        let random = match ended.end {
            StepEnd::Failed { .. } | StepEnd::Undecodable { .. } => self.store().clock().random(),
            StepEnd::Output(_)
            | StepEnd::Recorded(_)
            | StepEnd::Snoozed(_)
            | StepEnd::Awaits(_)
            | StepEnd::SignalRefused { .. }
            | StepEnd::Left => 0,
        };
        let Some(drive) = self.drives.get_mut(&ended.task) else {
            self.start_waiting(&queue);
            return;
        };
        let end = match ended.end {
            StepEnd::Awaits(awaits)
                if !awaits.children.is_empty() && !drive.may_have_children() =>
            {
                StepEnd::Failed {
                    failure: AttemptFailure::GaveUp,
                    error: format!(
                        "the tree of intents is {} levels deep, which is the limit",
                        limits::TREE_DEPTH
                    ),
                }
            }
            end => end,
        };
        let is_recorded = matches!(end, StepEnd::Recorded(_));
        let at_end = AtEnd::of(&end);
        drive.hear_of_checkpoint(ended.step, &running.context);
        drive.step_ended(ended.step, end, ended.ran, now, random, &mut self.pending);
        drive.note(
            ended.step,
            &running.context,
            at_end,
            ended.ran,
            &mut self.pending,
        );
        if is_recorded {
            self.progressed(ended.task);
        }
        self.go_on(ended.task);
        // Whatever this intent does next: a slot is free.
        self.start_waiting(&queue);
    }

    /// Does what is next for a task.
    pub(super) fn go_on(&mut self, id: TaskId) {
        let now = self.now();
        let stopping = *self.stopping.borrow();
        let on_probation = self.probation.is_some_and(|probation| probation.task == id);
        let Some(drive) = self.drives.get_mut(&id) else {
            return;
        };
        if drive.limited
            && let Some(lost) = drive.mind_limits(now, &mut self.pending)
        {
            stop_others(&self.intendant, drive.id, lost);
        }
        match drive.next(now, stopping) {
            Move::Nothing => {}
            Move::Park(_) if drive.looks_up => {}
            Move::Later(due) => self.timers.push(Reverse((due, id))),
            Move::Start { steps, due } => {
                let is_map = |step: &usize| drive.plan.is_map(*step);
                let maps: Vec<usize> = steps.iter().copied().filter(is_map).collect();
                if !maps.is_empty() {
                    // What is next depends on what they come to.
                    for map in maps {
                        drive.turn_map(map, now, &mut self.pending);
                    }
                    return self.go_on(id);
                }
                if let Some(due) = due {
                    self.timers.push(Reverse((due, id)));
                }
                let queue = drive.queue.clone();
                drive.note_deadlines(&steps, &mut self.pending);
                let (away, mut steps): (Vec<usize>, Vec<usize>) = steps
                    .into_iter()
                    .partition(|step| drive.route(*step).is_some());
                // What runs or is begun here goes on with the others when it has ended.
                let stays = !steps.is_empty();
                if on_probation {
                    // One step of a suspect at a time, so that the next crash has its name.
                    steps.truncate(usize::from(!drive.is_running()));
                }
                for &step in &steps {
                    drive.slots[step].status = Status::Running;
                }
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == queue) {
                    lane.waiting.extend(steps.into_iter().map(|step| Waiting {
                        task: id,
                        step,
                        since: now,
                    }));
                }
                self.send_away(id, away);
                if stays {
                    self.start_waiting(&queue);
                } else {
                    self.go_on(id);
                }
            }
            Move::Park(park) => self.park(id, park),
            Move::Undo(failure) => {
                let reason = match &failure.step {
                    Some(step) => format!("step `{step}` has failed: {}", failure.error),
                    None => failure.error.clone(),
                };
                drive.refusal = None;
                self.pending.undos.push(UndoRow {
                    intent: drive.id,
                    reason: reason.clone(),
                    failure: failure.clone(),
                });
                drive.cancel = Some(CancelLoad {
                    actor: "intendant".to_owned(),
                    reason: Some(reason),
                    goal: Goal::Fail(failure),
                });
                self.go_on(id);
            }
            Move::Rerun(steps) => {
                self.pending.renews.extend(steps);
                self.pending.reruns.push(drive.id);
                self.hand_back(id);
                // It may be claimed by the tick that hands it back.
                self.lanes.iter_mut().for_each(|lane| lane.hint = true);
            }
            Move::TakeBack => {
                drive.take_back(now, &mut self.pending);
                self.go_on(id);
            }
            Move::Finish(finish) => self.finish(id, *finish),
            Move::End(why) => self.end_routed(id, why),
            Move::Recall => {
                drive.recall = Recall::Asked;
                self.pending.recalls.push(drive.id);
            }
            Move::HandBack => self.hand_back(id),
        }
    }

    /// Starts steps that wait for a slot, as far as there are slots, and permits where the queue has a rate.
    pub(super) fn start_waiting(&mut self, queue: &str) {
        let Some(index) = self.lanes.iter().position(|lane| &*lane.queue == queue) else {
            return;
        };
        if self.lanes[index].paused {
            self.hand_back_unbegun(index);
        }
        // A worker that was paused, or has not reached its database for a lease, may be dead without knowing: it starts
        // nothing before it has been told that it lives.
        let now = self.now();
        if now.saturating_sub(self.confirmed) >= self.settings.lease {
            return;
        }
        let late = late(&self.announced, &self.lanes[index].queue, now);
        while self.lanes[index].may_begin(late, now) {
            let Some(Waiting { task, step, .. }) = self.lanes[index].waiting.pop_front() else {
                return;
            };
            let Some(drive) = self.drives.get_mut(&task) else {
                continue;
            };
            self.lanes[index].running += 1;
            let paced = self.lanes[index].paced.as_mut();
            let permit = paced.and_then(|paced| paced.take(now));
            drive.begun = true;
            let def = drive.plan.def(step);
            let is_final = def.is_some_and(|def| def.point_of_no_return || def.at_most_once);
            if drive.crashes > 0 || (is_final && drive.plan.undoes(step).is_none()) {
                // A suspect's step is on disk before it runs, so that the next crash has a name (P6); and a point of no
                // return, so that who cancels knows of it; and what may run only once.
                let row = drive.row(step, StepState::Running, When::Now);
                self.pending.steps.push(row);
                let queue = drive.queue.clone();
                self.announced.push(Announced {
                    task,
                    step,
                    queue,
                    permit,
                    written: false,
                });
            } else {
                self.start(task, step);
            }
        }
    }

    /// A step that had a slot is not begun after all.
    pub(super) fn free_slot(&mut self, queue: &str) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| &*lane.queue == queue) {
            lane.running = lane.running.saturating_sub(1);
        }
    }

    /// Starts one attempt.
    pub(super) fn start(&mut self, task: TaskId, step: usize) {
        let now = self.now();
        let Some(session) = self.session else { return };
        let Some(drive) = self.drives.get_mut(&task) else {
            return;
        };
        drive.slots[step].started = true;
        let Some(run) = drive.run_of(step) else {
            return;
        };
        let limit = drive.attempt_limit(step, now);
        let def = drive.plan.def(step);
        let at_most_once = def.is_some_and(|def| def.at_most_once);
        let once = Once {
            session,
            lease: drive.lease,
            task,
            intent: drive.id,
            step: drive.step_name(step).clone(),
            generation: drive.slots[step].generation,
            attempt: drive.slots[step].attempts + 1,
            worker: self.settings.name.clone(),
        };
        let children = drive.children_of(step);
        let waits = drive.slots[step].known_waits(now);
        let context = StepContext::new(
            self.intendant.clone(),
            drive.context.clone(),
            once,
            children,
            waits,
            self.stopping.subscribe(),
            self.places.clone(),
        )
        .at_most_once(at_most_once);
        let context = Arc::new(context);
        if drive.slots[step].checkpoint {
            context.notes.set_checkpoint();
        }
        let output = |index: usize| drive.slots[index].output.as_ref();
        let input = drive.plan.input(step, &output);
        let abort = match input {
            Ok(input) => {
                let watchdog = self.watchdog.as_ref();
                let run = Run {
                    run,
                    context: context.clone(),
                    input,
                    bounds: Bounds {
                        limit,
                        grace: self.settings.cancel_grace,
                    },
                    around: drive.kind.around.clone(),
                    watched: watchdog.map(|watchdog| watchdog.watchlist().watch(context.clone())),
                };
                runner::spawn(run, step, self.ended_tx.clone())
            }
            Err(error) => {
                let end = StepEnd::Undecodable { error };
                let _ = self.ended_tx.send(Ended {
                    task,
                    step,
                    end,
                    ran: Ran::NOT,
                });
                tokio::spawn(async {}).abort_handle()
            }
        };
        self.running.insert(
            (task, step),
            Running {
                abort,
                queue: drive.queue.clone(),
                context,
                flushed: false,
            },
        );
    }

    fn park(&mut self, id: TaskId, park: ParkRow) {
        let now = self.now();
        if let Some(due_in) = park.due_in {
            let due = now + due_in;
            self.next_due = Some(self.next_due.map_or(due, |known| known.min(due)));
        }
        if self.leave(id) {
            self.note_start(id);
            self.pending.parks.push(park);
        }
    }

    pub(super) fn finish(&mut self, id: TaskId, finish: Finish) {
        if self.leave(id) {
            self.pending.finishes.push(finish);
        }
    }

    pub(super) fn hand_back(&mut self, id: TaskId) {
        let Some(drive) = self.drives.get(&id) else {
            return;
        };
        let (lease, begun) = (drive.lease, drive.begun);
        let begun = begun || drive.cancel.is_some();
        let life = if begun { Life::Started } else { Life::Fresh };
        if self.leave(id) {
            if begun {
                self.note_start(id);
            }
            self.pending.hand_backs.push((id, lease, life));
            self.report.handed_back += 1;
        }
    }

    /// A task that leaves unfinished has started.
    fn note_start(&mut self, id: TaskId) {
        let started = self.drives.get(&id).and_then(Drive::started_row);
        self.pending.started.extend(started);
    }

    /// The task leaves its lease with the next tick. False: it is leaving already.
    pub(super) fn leave(&mut self, id: TaskId) -> bool {
        let Some(drive) = self.drives.get_mut(&id) else {
            return false;
        };
        if drive.phase == Phase::Leaving {
            return false;
        }
        drive.phase = Phase::Leaving;
        let lease = drive.lease;
        if let Some(state) = self.leases.get_mut(&lease) {
            state.members = state.members.saturating_sub(1);
            if state.members == 0 {
                self.leases.remove(&lease);
                self.pending.leases_done.push(lease);
            }
        }
        true
    }
}
