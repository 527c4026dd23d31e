//! From facts to reasons: a pure function.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{
    Awaited, AwaitedFacts, Facts, Foresight, LeaseFacts, LineFacts, Place, Reason, Rival,
    RunningStep, StepFacts, Tally, TurnFacts, Why, WorkerFacts,
};
use crate::limits;
use crate::state::IntentState;
use crate::waits::Sort;

/// What an intent waits for.
pub(crate) fn explain(facts: Facts) -> Why {
    Why {
        intent: facts.intent,
        kind: facts.kind.clone(),
        account: facts.account.clone(),
        requested_by: facts.requested_by.clone(),
        requested_at: facts.requested_at,
        state: match facts.place.state() {
            state if !state.is_finished() && facts.cancel.is_some() => IntentState::Undoing,
            state => state,
        },
        at: facts.now,
        reasons: reasons(facts),
    }
}

impl Place {
    fn state(&self) -> IntentState {
        match self {
            Self::Finished(state, _) => *state,
            Self::Failed { .. } => IntentState::Failed,
            Self::Blocked { .. } => IntentState::Blocked,
            Self::Parked { .. } => IntentState::Waiting,
            Self::Leased(_) => IntentState::Running,
            Self::Ready { .. } => IntentState::Ready,
        }
    }
}

/// What it waits for; of one that was asked to stop, that first.
fn reasons(facts: Facts) -> Vec<Reason> {
    let (cancel, asked) = (facts.cancel.clone(), facts.asked.clone());
    let mut reasons = waits_for(facts);
    let finished =
        |reason: &Reason| matches!(reason, Reason::Finished { .. } | Reason::Failed { .. });
    if reasons.iter().any(finished) {
        return reasons;
    }
    if let Some(asked) = asked {
        let asked = Reason::CancelAsked {
            by: asked.actor,
            because: asked.reason,
            at: asked.at,
        };
        reasons.insert(0, asked);
    }
    if let Some(cancel) = cancel {
        // Timers are over.
        reasons.retain(|reason| !matches!(reason, Reason::Retry { .. } | Reason::Snooze { .. }));
        let stopping = Reason::Stopping {
            then: cancel.then,
            by: cancel.actor,
            because: cancel.reason,
            at: cancel.at,
        };
        reasons.insert(0, stopping);
    }
    reasons
}

fn waits_for(facts: Facts) -> Vec<Reason> {
    let Facts {
        now,
        intent,
        kind,
        queue,
        place,
        backs_off,
        said,
        workers,
        steps,
        children,
        unfinished,
        routed,
        awaited: by_names,
        ..
    } = facts;
    let workers = Workers::of(&workers);
    let children = (unfinished.count > 0).then(|| Reason::Children {
        unfinished,
        children: children.into_iter().map(awaited).collect(),
    });
    let routed = routed.into_iter().map(|step| Reason::Routed {
        step: step.step,
        queue: step.facts.queue.clone(),
        since: step.since,
        reasons: reasons(*step.facts),
    });
    let paused = said.paused.map(|(by, because, at)| Reason::QueuePaused {
        queue: queue.clone(),
        by,
        because,
        at,
    });
    let paced = said.paced.map(|(rate, due_at)| Reason::QueuePaced {
        queue: queue.clone(),
        steps: rate.steps(),
        period_ms: u64::try_from(rate.period().as_millis()).unwrap_or(u64::MAX),
        burst: rate.at_once(),
        due_at,
    });
    let named = by_names.into_iter().filter_map(by_name);
    match place {
        Place::Finished(state, at) => vec![Reason::Finished { state, at }],
        Place::Failed {
            why,
            step,
            error,
            at,
            holds,
        } => vec![Reason::Failed {
            why,
            step,
            error,
            at,
            holds,
            resume: intent,
        }],
        Place::Blocked { lines } => {
            let mut reasons = in_line(lines);
            reasons.extend(paused);
            reasons.extend(workers.missing(&queue, &kind));
            reasons
        }
        Place::Parked { reason, due_at } => {
            let mut reasons = match (reason.as_str(), due_at) {
                ("start time", Some(due_at)) => vec![Reason::StartTime { due_at }],
                ("handler", _) => vec![Reason::Handler],
                _ => waiting(steps),
            };
            reasons.extend(named);
            reasons.extend(routed);
            reasons.extend(children);
            reasons.extend(paused);
            reasons.extend(workers.missing(&queue, &kind));
            reasons
        }
        Place::Leased(lease) => {
            let (runs, waits): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.runs);
            // What is in hand and does not run may wait for a permit to.
            let paced = paced.filter(|_| runs.is_empty());
            let mut reasons = held(now, lease, runs);
            reasons.extend(paced);
            reasons.extend(waiting(waits));
            reasons.extend(named);
            reasons.extend(routed);
            reasons.extend(children);
            reasons
        }
        Place::Ready {
            crashes,
            ahead,
            turn,
        } => {
            let mut reasons = Vec::new();
            reasons.extend(paused);
            reasons.extend(said.full.map(|(slots, lent)| Reason::QueueFull {
                queue: queue.clone(),
                slots,
                lent,
            }));
            reasons.extend(turn.into_iter().flat_map(|turn| turns(&queue, turn)));
            reasons.extend(paced);
            if crashes > 0 {
                reasons.push(Reason::Suspect { crashes });
            }
            reasons.extend(backs_off.map(|(intents, due_at)| Reason::BacksOff {
                kind: kind.clone(),
                intents,
                due_at,
            }));
            reasons.extend(workers.wanting(&queue, &kind));
            reasons.push(Reason::Lane {
                queue,
                kind,
                ahead,
                workers: workers.knowing,
                free: workers.free,
            });
            reasons
        }
    }
}

/// Whose turn it has to be.
fn turns(queue: &str, turn: TurnFacts) -> impl Iterator<Item = Reason> {
    let full = turn.full.map(|limit| Reason::PartitionFull {
        queue: queue.to_owned(),
        partition: turn.partition.clone(),
        limit,
        lent: turn.lent,
    });
    let turns = Reason::Turns {
        queue: queue.to_owned(),
        by: turn.by,
        partition: turn.partition,
    };
    [Some(turns), full].into_iter().flatten()
}

/// Who holds it, and whether that one is heard of.
fn held(now: DateTime<Utc>, lease: LeaseFacts, runs: Vec<StepFacts>) -> Vec<Reason> {
    let silent_ms = u64::try_from((now - lease.beat_at).num_milliseconds()).unwrap_or_default();
    let silent = is_silent(silent_ms, lease.lease_ms).then(|| Reason::Silent {
        worker: lease.worker.clone(),
        since: lease.beat_at,
        lease_ms: lease.lease_ms,
    });
    let mut reasons = vec![Reason::Running {
        worker: lease.worker,
        host: lease.host,
        since: lease.since,
        steps: runs.into_iter().map(running).collect(),
        free: lease.free,
    }];
    reasons.extend(silent);
    reasons
}

/// What an intent would meet: behind whom it would be in line, by resource; and what it would wait for besides.
pub(crate) fn foresee(
    foresight: Foresight,
    queue: &str,
    kind: &str,
) -> (HashMap<String, Reason>, Vec<Reason>) {
    let workers = Workers::of(&foresight.workers);
    let lines = foresight.lines.into_iter();
    let behind = lines.map(|line| (line.resource.clone(), place_in_line(line)));
    let behind = behind.filter(|(_, reason)| !is_first(reason));
    (
        behind.collect(),
        workers.wanting(queue, kind).into_iter().collect(),
    )
}

/// What the lines say: those in which somebody is before it; all of them if there is nobody, since its turn has come.
fn in_line(lines: Vec<LineFacts>) -> Vec<Reason> {
    let lines = lines.into_iter();
    let mut reasons: Vec<Reason> = lines.map(place_in_line).collect();
    if !reasons.iter().all(is_first) {
        reasons.retain(|reason| !is_first(reason));
    }
    reasons
}

fn place_in_line(line: LineFacts) -> Reason {
    let LineFacts {
        resource,
        mode,
        holders,
        ahead,
        more,
    } = line;
    let place = Tally {
        count: ahead.len() as u64 + 1,
        more,
    };
    let ahead = ahead
        .into_iter()
        .filter(|(other, _)| !mode.is_compatible(*other))
        .filter_map(|(mode, other)| {
            Some(Rival {
                mode,
                other: other?,
            })
        });
    let holders = holders
        .into_iter()
        .filter(|holder| !mode.is_compatible(holder.mode));
    Reason::InLine {
        place,
        holders: holders.take(limits::WHY_OTHERS).collect(),
        ahead: ahead.take(limits::WHY_OTHERS).collect(),
        resource,
        mode,
    }
}

/// Nobody goes before it.
fn is_first(reason: &Reason) -> bool {
    matches!(reason, Reason::InLine { holders, ahead, .. } if holders.is_empty() && ahead.is_empty())
}

/// What the waiting steps wait for. One that waits for children has neither an error nor a time.
fn waiting(steps: Vec<StepFacts>) -> Vec<Reason> {
    let waits = steps.into_iter().filter(|step| !step.runs);
    waits
        .filter_map(|step| match (step.error, step.due_at) {
            (Some(error), Some(due_at)) => Some(Reason::Retry {
                step: step.name,
                attempts: step.attempt,
                error,
                due_at,
            }),
            (None, Some(due_at)) => Some(Reason::Snooze {
                step: step.name,
                due_at,
            }),
            (_, None) => None,
        })
        .take(limits::WHY_OTHERS)
        .collect()
}

/// What a step waits for by a name. A sleep always has a time.
fn by_name(awaited: AwaitedFacts) -> Option<Reason> {
    let AwaitedFacts {
        step, name, due_at, ..
    } = awaited;
    Some(match awaited.sort {
        Sort::Sleep => Reason::Sleep {
            step,
            name,
            due_at: due_at?,
        },
        Sort::Signal => Reason::Signal { step, name, due_at },
    })
}

fn running(step: StepFacts) -> RunningStep {
    RunningStep {
        name: step.name,
        attempt: step.attempt,
        since: step.started_at,
        progress: step.progress,
    }
}

fn awaited(child: super::ChildFacts) -> Awaited {
    Awaited {
        step: child.step,
        name: child.name,
        other: child.other,
        reasons: child.facts.map(|facts| reasons(*facts)).unwrap_or_default(),
    }
}

/// Whether a session has been silent for longer than its lease. Only what people are told: who is dead is decided by the
/// other sessions (PROTOCOL P2).
fn is_silent(silent_ms: u64, lease_ms: u64) -> bool {
    silent_ms > lease_ms
}

/// The workers as one lane sees them.
struct Workers {
    /// Serve its queue.
    serving: Vec<String>,
    /// Did so, and have been silent for longer than their lease.
    silent: Vec<String>,
    knowing: u64,
    free: u64,
}

impl Workers {
    fn of(workers: &[WorkerFacts]) -> Self {
        let mut lane = Self {
            serving: Vec::new(),
            silent: Vec::new(),
            knowing: 0,
            free: 0,
        };
        for worker in workers.iter().filter(|worker| worker.serves) {
            if worker.leaving || is_silent(worker.silent_ms, worker.lease_ms) {
                lane.silent.push(worker.worker.clone());
                continue;
            }
            lane.serving.push(worker.worker.clone());
            if worker.knows {
                lane.knowing += 1;
                lane.free += worker.free;
            }
        }
        lane
    }

    /// There is nobody who could take it now.
    fn wanting(&self, queue: &str, kind: &str) -> Option<Reason> {
        let busy = || Reason::Busy {
            queue: queue.to_owned(),
            workers: self.knowing,
        };
        self.missing(queue, kind)
            .or_else(|| (self.free == 0).then(busy))
    }

    /// There is nobody to carry it out.
    fn missing(&self, queue: &str, kind: &str) -> Option<Reason> {
        let first = |names: &[String]| {
            let names = names.iter().take(limits::WHY_OTHERS);
            names.cloned().collect::<Vec<_>>()
        };
        if self.serving.is_empty() {
            return Some(Reason::NoWorker {
                queue: queue.to_owned(),
                silent: first(&self.silent),
            });
        }
        (self.knowing == 0).then(|| Reason::UnknownKind {
            queue: queue.to_owned(),
            kind: kind.to_owned(),
            workers: first(&self.serving),
        })
    }
}
