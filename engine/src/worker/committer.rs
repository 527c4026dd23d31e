//! The committer: gets one tick at a time to the disk, whatever the database does meanwhile.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bounded::parent;
use super::heartbeat::Progress;
use crate::again::Again;
use crate::error::Error;
use crate::id::{SessionId, TaskId};
use crate::retention::Pulse;
use crate::store::{Store, TickAnswer, TickEnd, TickRequest};

/// Commits the ticks of a session, each exactly once.
#[derive(Debug)]
pub(super) struct Committer {
    store: Store,
    session: SessionId,
    /// The last tick that was committed.
    number: i64,
    progress: Progress,
    pulse: Arc<Pulse>,
}

/// What came of a tick.
#[derive(Debug)]
pub(super) enum Committed {
    Done(Box<TickAnswer>),
    /// The session is dead.
    Fenced,
}

impl Committer {
    pub(super) fn new(
        store: Store,
        session: SessionId,
        progress: Progress,
        pulse: Arc<Pulse>,
    ) -> Self {
        Self {
            store,
            session,
            number: 0,
            progress,
            pulse,
        }
    }

    /// Commits a tick, and hands itself back for the next one.
    pub(super) async fn commit(mut self, request: Arc<TickRequest>) -> (Self, Committed) {
        let committed = match self.try_commit(request).await {
            Some(answer) => Committed::Done(answer),
            None => Committed::Fenced,
        };
        (self, committed)
    }

    /// Tries until it is known whether the tick took place. None: the session is dead, so it did not.
    fn try_commit(
        &mut self,
        request: Arc<TickRequest>,
    ) -> Pin<Box<dyn Future<Output = Option<Box<TickAnswer>>> + Send + '_>> {
        Box::pin(async move {
            let mut again = Again::new();
            loop {
                let number = self.number + 1;
                let begun = Instant::now();
                let error = match self.store.tick(self.session, number, request.clone()).await {
                    Ok(TickEnd::Done(answer)) => {
                        self.number = number;
                        self.progress.made();
                        self.pulse.beat(begun.elapsed());
                        return Some(answer);
                    }
                    // Either the session is dead, or an earlier try did commit and its answer was lost.
                    Ok(TickEnd::Fenced) => match self.after_refusal(number, &request).await {
                        Ok(answer) => return answer,
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
                if error.is_data_error() {
                    return self.bisect(&request, &error).await;
                }
                tracing::warn!(%error, number, "a tick is tried again");
                self.progress.made();
                // In a test's time there is nothing to wait for: the next try is a move of its own.
                if !self.store.seam().is_watched() {
                    again.wait().await;
                }
            }
        })
    }

    async fn after_refusal(
        &mut self,
        number: i64,
        request: &Arc<TickRequest>,
    ) -> Result<Option<Box<TickAnswer>>, Error> {
        if self.store.last_tick(self.session).await? != Some(number) {
            return Ok(None);
        }
        let mut answer = self.store.adopt(self.session, request.clone()).await?;
        tracing::info!(number, "the answer to a tick was lost; it had taken place");
        answer.adopted = 1;
        self.number = number;
        Ok(Some(Box::new(answer)))
    }

    /// The database refuses something in the tick: finds the intents for which it does, and writes all the others
    /// (PROTOCOL P7).
    async fn bisect(&mut self, request: &TickRequest, error: &Error) -> Option<Box<TickAnswer>> {
        tracing::debug!(%error, careful = request.careful, "the database refuses a tick");
        if !request.careful {
            // What is refused may only be there already.
            let mut careful = request.clone();
            careful.careful = true;
            return self.try_commit(Arc::new(careful)).await;
        }
        if request.asks() {
            // What is asked for may be at fault: the writes go by themselves, and the questions are asked again.
            let writes = request.without_questions();
            if writes.has_writes() {
                return self.try_commit(Arc::new(writes)).await;
            }
        }
        let (first, second) = match halves(request) {
            Halves::Two(first, second) => (first, second),
            Halves::One(task) => {
                tracing::error!(%task, %error, "the database refuses what is to be written for a task");
                return self.all_but(request, task, error).await;
            }
            Halves::None => {
                // Nothing of an intent's: a claim or a promotion. It will be asked for again.
                tracing::error!(%error, "the database refuses a tick that writes for no intent");
                tokio::time::sleep(Duration::from_millis(200)).await;
                return Some(Box::default());
            }
        };
        let mut answer = self.try_commit(Arc::from(first)).await?;
        let more = self.try_commit(Arc::from(second)).await?;
        answer.not_parked.extend(more.not_parked);
        answer.refused.extend(more.refused);
        answer.readied += more.readied;
        answer.taken.extend(more.taken);
        answer.adopted += more.adopted;
        answer.cancels = answer.cancels.max(more.cancels);
        answer.to_stop.extend(more.to_stop);
        answer.not_finished.extend(more.not_finished);
        Some(answer)
    }

    /// Writes what is in the tick for everybody but one task, for which the database refuses something.
    async fn all_but(
        &mut self,
        request: &TickRequest,
        task: TaskId,
        error: &Error,
    ) -> Option<Box<TickAnswer>> {
        let rest = part(request, |other| other != task);
        let mut answer = if rest.has_writes() {
            self.try_commit(Arc::new(rest)).await?
        } else {
            Box::default()
        };
        answer.refused.push((task, error.to_string()));
        Some(answer)
    }
}

enum Halves {
    Two(Box<TickRequest>, Box<TickRequest>),
    One(TaskId),
    None,
}

/// Splits a tick by tasks. What belongs to no task goes with the first half; nothing is claimed.
fn halves(request: &TickRequest) -> Halves {
    let tasks: Vec<TaskId> = tasks(request).into_iter().collect();
    match tasks.as_slice() {
        [] => Halves::None,
        [task] => Halves::One(*task),
        many => {
            let half: HashSet<TaskId> = many[..many.len() / 2].iter().copied().collect();
            let first = part(request, |task| half.contains(&task));
            let mut second = part(request, |task| !half.contains(&task));
            second.plans.clear();
            second.session_plans.clear();
            second.leases_beside.clear();
            second.leases_cleared.clear();
            Halves::Two(Box::new(first), Box::new(second))
        }
    }
}

fn part(request: &TickRequest, keep: impl Fn(TaskId) -> bool) -> TickRequest {
    let mut part = request.without_questions();
    part.started.retain(|row| keep(row.intent.into()));
    part.steps.retain(|row| keep(row.task));
    part.attempts.retain(|row| keep(row.task));
    part.notes.retain(|row| keep(row.task));
    part.undos.retain(|row| keep(row.intent.into()));
    part.undone.retain(|row| keep(row.intent.into()));
    part.renews.retain(|row| keep(row.intent.into()));
    part.deadlines.retain(|row| keep(row.intent.into()));
    part.reruns.retain(|intent| keep((*intent).into()));
    part.children
        .retain(|row| parent(row).is_some_and(|parent| keep(parent.into())));
    part.routed.retain(|row| keep(row.intent.into()));
    part.recalls.retain(|intent| keep((*intent).into()));
    part.awaited.retain(|row| keep(row.intent.into()));
    part.set_aside.retain(|row| keep(row.intent.into()));
    part.finishes.retain(|row| keep(row.intent.into()));
    part.ends.retain(|row| keep(row.task));
    part.parks.retain(|row| keep(row.task));
    part.hand_backs.retain(|(task, _, _)| keep(*task));
    // A refused task stays in its lease; an empty lease that stays with it does no harm before the session ends.
    part.leases_done.clear();
    part
}

fn tasks(request: &TickRequest) -> HashSet<TaskId> {
    let parents = request.children.iter().filter_map(parent);
    let drivers = (request.started.iter().map(|row| row.intent))
        .chain(request.undos.iter().map(|row| row.intent))
        .chain(request.undone.iter().map(|row| row.intent))
        .chain(request.renews.iter().map(|row| row.intent))
        .chain(request.deadlines.iter().map(|row| row.intent))
        .chain(request.reruns.iter().copied())
        .chain(parents)
        .chain(request.routed.iter().map(|row| row.intent))
        .chain(request.recalls.iter().copied())
        .chain(request.awaited.iter().map(|row| row.intent))
        .chain(request.set_aside.iter().map(|row| row.intent))
        .chain(request.finishes.iter().map(|row| row.intent));
    drivers
        .map(TaskId::from)
        .chain(request.steps.iter().map(|row| row.task))
        .chain(request.attempts.iter().map(|row| row.task))
        .chain(request.notes.iter().map(|row| row.task))
        .chain(request.ends.iter().map(|row| row.task))
        .chain(request.parks.iter().map(|row| row.task))
        .chain(request.hand_backs.iter().map(|(task, _, _)| *task))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IntentId;

    #[test]
    fn what_asks_for_nothing_is_not_split_into_itself() {
        let id = IntentId(uuid::Uuid::from_u128(1));
        let every_question = [
            TickRequest {
                promote: true,
                ..TickRequest::default()
            },
            TickRequest {
                deliver: true,
                ..TickRequest::default()
            },
            TickRequest {
                slots: vec![crate::slots::SlotAsk {
                    queue: "default".into(),
                    running: 0,
                    in_hand: 0,
                    wanted: 1,
                }],
                ..TickRequest::default()
            },
            TickRequest {
                hear_cancels: true,
                ..TickRequest::default()
            },
            TickRequest {
                watch: vec![id],
                ..TickRequest::default()
            },
            TickRequest {
                reload: vec![id],
                ..TickRequest::default()
            },
        ];
        for question in every_question {
            assert!(question.asks());
            assert!(!question.without_questions().asks(), "{question:?}");
        }
    }
}
