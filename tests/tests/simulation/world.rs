//! The world of a run: what steps do there, and the ledger of what they have done, outside the engine's database.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use intendant::{Committed, Cx, IntentId, StepError, StepResult, fail};
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::program::{Does, Step, ask, result};

/// What a step is given: what those before it have come to, which it is, itself, and which of those before it write.
pub(crate) type Given = (Vec<u64>, usize, Step, Vec<usize>);

/// What has been done for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Done,
    TakenBack,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By intent and step, in the order in which it was done.
    pub deeds: BTreeMap<(IntentId, String), Vec<Deed>>,
    /// How often a step has begun that errs a few times.
    tries: BTreeMap<String, u32>,
    /// What must not have happened.
    pub breaches: Vec<String>,
    /// Whoever acts now has lost its session: what it does is done, and counts for nothing.
    pub is_stale: bool,
}

#[derive(Debug, Default)]
pub(crate) struct World(Mutex<Ledger>);

impl World {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn add(&mut self, cx: &Cx<World>, step: &str, deed: Deed) {
        if !self.is_stale {
            let place = (cx.intent_id(), step.to_owned());
            self.deeds.entry(place).or_default().push(deed);
        }
    }
}

/// What it depends on has been done. Of what was done within a transaction the ledger may not know.
fn check_order(cx: &Cx<World>, given: &Given) {
    let mut ledger = cx.state().ledger();
    for before in &given.2.after {
        let place = (cx.intent_id(), crate::program::name(*before));
        if !ledger.deeds.contains_key(&place) && !given.3.contains(before) {
            let early = format!(
                "{} of {} began before {}",
                cx.step_name(),
                cx.intent_id(),
                place.1
            );
            ledger.breaches.push(early);
        }
    }
}

pub(crate) async fn act(cx: Cx<World>, given: Given) -> StepResult<u64> {
    check_order(&cx, &given);
    match given.2.does.clone() {
        Does::Acts | Does::Writes => {}
        Does::Refuses => return Err(fail("it refuses")),
        Does::Errs(times) => {
            let key = cx.idempotency_key();
            let mut ledger = cx.state().ledger();
            let tries = ledger.tries.entry(key).or_default();
            *tries += 1;
            if *tries <= times {
                return Err(StepError::new("not yet"));
            }
        }
        Does::Asks(kind, program) => {
            ask(&cx, kind, program).await?;
        }
        Does::Sleeps(seconds) => {
            cx.sleep("a while", Duration::from_secs(seconds.into()))
                .await?;
        }
        Does::Waits => {
            cx.signal::<Value>("go").await?;
        }
    }
    cx.state().ledger().add(&cx, cx.step_name(), Deed::Done);
    Ok(result(&given))
}

pub(crate) async fn write(cx: Cx<World>, given: Given) -> StepResult<Committed<u64>> {
    check_order(&cx, &given);
    let key = cx.idempotency_key();
    let committed = cx
        .transaction(async |db: &mut SqliteConnection| {
            let make = "create table if not exists effect (key text not null)";
            sqlx::query(make).execute(&mut *db).await?;
            let add = sqlx::query("insert into effect values (?1)").bind(&key);
            add.execute(&mut *db).await?;
            Ok(result(&given))
        })
        .await?;
    cx.state().ledger().add(&cx, cx.step_name(), Deed::Done);
    Ok(committed)
}

pub(crate) async fn undo(cx: Cx<World>, given: Given, _: Option<u64>) -> StepResult<()> {
    let step = crate::program::name(given.1);
    cx.state().ledger().add(&cx, &step, Deed::TakenBack);
    Ok(())
}
