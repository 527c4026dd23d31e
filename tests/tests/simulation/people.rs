//! People: what is done by hand about what was asked for.

use intendant::{Error, IntentId, IntentState, StepState};
use rand::RngExt as _;
use sqlx::Connection as _;

use crate::asking::was_done;
use crate::features::Seen;
use crate::judge;
use crate::program::Does;
use crate::run::{Run, Stop};

/// Who acts, when somebody does.
pub(crate) const ACTOR: &str = "operator";

/// Whether the state of the intent allowed it.
fn could_be<T>(answer: Result<T, Error>) -> Result<bool, Stop> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Run {
    /// A person does something about an intent.
    pub(crate) async fn operate(&mut self) -> Result<(), Stop> {
        if self.asked.is_empty() {
            return Ok(());
        }
        self.has_written = true;
        if self.features.ticking.is_some() && self.dice.random_bool(0.3) {
            return self.operate_schedule().await;
        }
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
        if self.features.sql && self.dice.random_bool(0.5) {
            return self.cancel_by_sql(which).await;
        }
        let id = self.asked[which].id;
        let cancelled = self.troupe.intendant().cancel(id, ACTOR, None).await;
        self.tell(|| format!("cancels {id}: {cancelled:?}"));
        let could_be = could_be(cancelled)?;
        self.asked[which].is_stopped |= could_be;
        Ok(could_be)
    }

    /// Some worker carries it out when it looks; until then it may come too late.
    async fn cancel_by_sql(&mut self, which: usize) -> Result<bool, Stop> {
        let id = self.asked[which].id;
        let mut db = self.connect().await?;
        let ask = "insert into intendant_ask_cancel (intent_id, actor) values (?1, ?2)";
        let ask = sqlx::query(ask).bind(id.to_string()).bind(ACTOR);
        let asked = ask.execute(&mut db).await.map(drop);
        db.close().await.unwrap();
        let could_be = was_done(asked, "IN409: ")?;
        self.tell(|| format!("cancels {id} by plain SQL: {could_be}"));
        if could_be {
            self.see(Seen::CancelledBySql);
        }
        self.asked[which].is_stopped |= could_be;
        Ok(could_be)
    }

    /// Workers have carried out, or answered, whatever was asked to stop.
    pub(crate) async fn judge_cancels(&self) -> Result<(), Stop> {
        let mut db = self.connect().await?;
        let left = sqlx::query_scalar("select count(*) from intendant_cancel_request");
        let left: i64 = left.fetch_one(&mut db).await.unwrap();
        db.close().await.unwrap();
        judge::must(left == 0, || {
            format!("{left} cancels by plain SQL were never carried out")
        })
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
