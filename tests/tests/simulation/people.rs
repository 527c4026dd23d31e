//! People: who asks for what, and what is done about it by hand.

use intendant::{Error, IntentId, IntentState, StepState};
use rand::RngExt as _;

use crate::judge;
use crate::program::{Does, Hold, Kind, Release, Undo};
use crate::run::{Asked, Run, Stop};

/// Who acts, when somebody does.
const ACTOR: &str = "operator";

/// Whether the state of the intent allowed it.
fn could_be<T>(answer: Result<T, Error>) -> Result<bool, Stop> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Run {
    pub(crate) async fn ask(&mut self) -> Result<(), Stop> {
        let Some((kind, program)) = self.to_ask.pop() else {
            return self.move_one().await;
        };
        self.tell(|| format!("asks for {kind:?} {program:?}"));
        let (can_succeed, intendant) = (program.can_succeed(), self.troupe.intendant());
        let id = match kind {
            Kind::Hold => intendant.request(Hold(program)).await?.id(),
            Kind::Release => intendant.request(Release(program)).await?.id(),
            Kind::Undo => intendant.request(Undo(program)).await?.id(),
        };
        self.tell(|| format!("it is {id}"));
        self.has_written = true;
        self.asked.push(Asked {
            id,
            kind,
            can_succeed,
            is_stopped: false,
            is_discarded: false,
        });
        Ok(())
    }

    /// A person does something about an intent.
    pub(crate) async fn operate(&mut self) -> Result<(), Stop> {
        if self.asked.is_empty() {
            return Ok(());
        }
        self.has_written = true;
        let which = self.dice.random_range(0..self.asked.len());
        let id = self.asked[which].id;
        match self.dice.random_range(0..12) {
            0..3 => self.cancel(which).await.map(drop),
            3..6 => self.resume(id).await.map(drop),
            6 => self.undo(which).await.map(drop),
            7 => self.discard(which).await.map(drop),
            _ => self.signal().await.map(drop),
        }
    }

    /// Whether it could be.
    pub(crate) async fn cancel(&mut self, which: usize) -> Result<bool, Stop> {
        let id = self.asked[which].id;
        let cancelled = self.troupe.intendant().cancel(id, ACTOR, None).await;
        self.tell(|| format!("cancels {id}: {cancelled:?}"));
        let could_be = could_be(cancelled)?;
        self.asked[which].is_stopped |= could_be;
        Ok(could_be)
    }

    pub(crate) async fn undo(&mut self, which: usize) -> Result<bool, Stop> {
        let id = self.asked[which].id;
        // Of one that has succeeded that would be another intent, of which the ledger does not know.
        if self.troupe.intendant().state(id).await? != IntentState::Failed {
            return Ok(false);
        }
        let undone = self.troupe.intendant().undo(id, ACTOR, None).await;
        self.tell(|| format!("has {id} taken back: {undone:?}"));
        let could_be = could_be(undone)?;
        self.asked[which].is_stopped |= could_be;
        Ok(could_be)
    }

    pub(crate) async fn discard(&mut self, which: usize) -> Result<bool, Stop> {
        let id = self.asked[which].id;
        let discarded = self.troupe.intendant().discard(id, ACTOR, None).await;
        self.tell(|| format!("gives {id} up: {discarded:?}"));
        let could_be = could_be(discarded)?;
        self.asked[which].is_stopped |= could_be;
        self.asked[which].is_discarded |= could_be;
        Ok(could_be)
    }

    /// Whether it could be.
    pub(crate) async fn resume(&mut self, id: IntentId) -> Result<bool, Stop> {
        let resumed = self.troupe.intendant().resume(id, ACTOR, None).await;
        self.tell(|| format!("resumes {id}: {resumed:?}"));
        could_be(resumed)
    }

    /// A message to each that waits for one. How many there were.
    pub(crate) async fn signal(&mut self) -> Result<usize, Stop> {
        let mut sent = 0;
        let all = judge::everything(self).await?;
        for record in all.iter().filter(|it| !it.state.is_finished()) {
            let program = judge::program_of(record)?;
            let signals = self.troupe.intendant().signals(record.id).await?;
            let waits = program.steps.iter().filter(|it| it.does == Does::Waits);
            // What was taken back waits again.
            let steps = self.troupe.intendant().steps(record.id).await?;
            let waiting = steps.iter().any(|it| {
                it.state == StepState::Waiting
                    && judge::does(&program, &it.name) == Some(&Does::Waits)
            });
            let untaken = signals.iter().any(|it| it.taken_by.is_none());
            if waits.count() > signals.len() || waiting && !untaken {
                let signal = self.troupe.intendant().signal(record.id, "go", &true);
                signal.await?;
                let id = record.id;
                self.tell(|| format!("sends a message to {id}"));
                sent += 1;
            }
        }
        Ok(sent)
    }

    /// A person looks after what has failed: resumes it, and what cannot succeed has taken back, or gives up, at last. False:
    /// there is nothing to be done.
    pub(crate) async fn help(&mut self, helped: usize) -> Result<bool, Stop> {
        let mut done = false;
        for which in 0..self.asked.len() {
            let id = self.asked[which].id;
            if self.troupe.intendant().state(id).await? != IntentState::Failed {
                continue;
            }
            self.next_event();
            done |= match helped {
                _ if self.asked[which].can_succeed => self.resume(id).await?,
                1..=3 => self.resume(id).await?,
                4 => self.undo(which).await?,
                _ => self.discard(which).await?,
            };
        }
        Ok(done)
    }
}
