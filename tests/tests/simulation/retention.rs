//! Retention: at the end of a run hours pass, workers die as before, and what people have said of how long things are kept counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use intendant::testing::troupe::Move;
use intendant::{IntentId, IntentRecord, IntentState, Retention, limits};
use rand::RngExt as _;

use crate::asking::Wish;
use crate::features::Seen;
use crate::judge::{everything, must};
use crate::people::ACTOR;
use crate::program::{Kind, Program};
use crate::run::{Run, Stop};

/// Events with faults in them.
const EVENTS: u64 = 40;
/// Longest time of a rule, in hours.
const HOURS: i64 = 6;
const HOUR: Duration = Duration::from_secs(3_600);
/// Rounds after which everything has gone that is to go: whoever has the turn may have been about to end it.
const ROUNDS: usize = 3;
/// Rounds after which what cannot succeed has failed.
const PATIENCE: usize = 100;

/// What people have said: of a kind or of all others, and of those that ended like this, for how many hours they are kept.
struct Rule {
    kind: Option<Kind>,
    state: IntentState,
    hours: i64,
}

/// An intent that was there when the rules were said.
struct Old {
    root: IntentId,
    /// Not before then; none: it stays.
    goes_at: Option<DateTime<Utc>>,
    is_gone: bool,
}

type All = BTreeMap<IntentId, Old>;

impl Run {
    pub(crate) async fn age(&mut self) -> Result<(), Stop> {
        let holding = self.let_one_fail().await?;
        let rules = self.say_rules().await?;
        let mut all = all(&everything(self).await?, &rules, holding)?;
        self.is_healed = false;
        for _ in 0..EVENTS {
            self.next_event();
            self.grow_older().await?;
            self.check().await?;
            self.check_gone(&mut all).await?;
        }
        self.is_healed = true;
        self.paused.clear();
        self.troupe.set_clock(0);
        self.let_all_go(&mut all).await?;
        self.judge_kept(&all, holding).await?;
        self.ask_for_what_is_gone(&all).await?;
        self.let_go(holding, &mut all).await
    }

    /// One that has failed and holds something: its age lets nobody remove it.
    async fn let_one_fail(&mut self) -> Result<IntentId, Stop> {
        let wish = Wish::new(Kind::Hold, Program::failing());
        let id = self.by_library(&wish).await?;
        self.tell(|| format!("asks for one that fails: {id}"));
        self.has_written = true;
        for _ in 0..PATIENCE {
            self.settle().await?;
            match self.troupe.intendant().state(id).await? {
                IntentState::Failed => return Ok(id),
                _ => {
                    let due = self.troupe.next_due().unwrap_or(limits::BACK_OFF_CAP);
                    self.troupe.advance(due + Duration::from_millis(1));
                }
            }
        }
        let why = self.troupe.intendant().why(id).await?;
        Err(Stop::Breach(format!("{id} does not fail: {why}")))
    }

    async fn say_rules(&mut self) -> Result<Vec<Rule>, Stop> {
        let dice = &mut self.dice;
        let mut rule = |kind, state, often| {
            let hours = dice.random_range(1..=HOURS);
            dice.random_bool(often)
                .then_some(Rule { kind, state, hours })
        };
        let rules = [
            rule(None, IntentState::Succeeded, 0.9),
            rule(Some(Kind::Hold), IntentState::Succeeded, 0.5),
            rule(None, IntentState::Cancelled, 0.7),
            rule(None, IntentState::Failed, 1.0),
        ];
        let rules: Vec<Rule> = rules.into_iter().flatten().collect();
        self.has_written = true;
        for rule in &rules {
            let said = Retention::of_state(rule.state).unwrap();
            let said = match rule.kind {
                Some(kind) => said.kind(kind.word()),
                None => said,
            };
            let said = said.rows_for(HOUR * u32::try_from(rule.hours).unwrap());
            self.troupe.intendant().retain(said, ACTOR, None).await?;
        }
        Ok(rules)
    }

    /// Something happens while time passes.
    async fn grow_older(&mut self) -> Result<(), Stop> {
        match self.dice.random_range(0..12) {
            0..3 => {
                let time = Duration::from_secs(self.dice.random_range(0..3_600));
                self.tell(|| format!("{time:?} pass"));
                self.troupe.advance(time);
                Ok(())
            }
            3..6 => {
                let moves = self.troupe.moves().into_iter();
                let beats: Vec<Move> = moves
                    .filter(
                        |it| matches!(it, Move::Beat(worker) if !self.paused.contains_key(worker)),
                    )
                    .collect();
                if beats.is_empty() {
                    return Ok(());
                }
                let chosen = &beats[self.dice.random_range(0..beats.len())];
                self.make(chosen).await
            }
            6 => self.take_a_life().await,
            7 => self.look_at_sessions().await,
            8 => self.set_clock(),
            _ => self.move_one().await,
        }
    }

    /// Nothing goes wrong any more, and more time passes than any rule says.
    async fn let_all_go(&mut self, all: &mut All) -> Result<(), Stop> {
        self.troupe.advance(HOUR * u32::try_from(HOURS).unwrap());
        for _ in 0..ROUNDS {
            for worker in 0..self.troupe.len() {
                self.troupe.start(worker).await?;
            }
            self.end_dead_sessions().await?;
            self.next_event();
            self.tell(|| "hours pass".to_owned());
            // What had to stay is looked at again after an hour.
            self.troupe.advance(HOUR + HOUR / 60);
            self.settle().await?;
            self.check_gone(all).await?;
        }
        Ok(())
    }

    /// What has gone since this was looked at was old enough, and has gone as a whole tree.
    async fn check_gone(&mut self, all: &mut All) -> Result<(), Stop> {
        let now = self.troupe.now();
        let there = everything(self).await?;
        let there: BTreeSet<IntentId> = there.iter().map(|it| it.id).collect();
        let mut gone = 0;
        for (id, old) in all.iter_mut() {
            must(!old.is_gone || !there.contains(id), || {
                format!("{id} is there again")
            })?;
            if old.is_gone || there.contains(id) {
                continue;
            }
            must(old.goes_at.is_some_and(|at| at <= now), || {
                format!(
                    "{id} has gone at {now}, and was to stay until {:?}",
                    old.goes_at
                )
            })?;
            old.is_gone = true;
            gone += 1;
        }
        for (id, old) in all.iter() {
            let root = all.get(&old.root).map(|root| root.is_gone);
            must(root == Some(old.is_gone), || {
                format!(
                    "of {id} and its root {} one has gone without the other",
                    old.root
                )
            })?;
        }
        for _ in 0..gone {
            self.see(Seen::Removed);
        }
        Ok(())
    }

    /// What a rule says something of has gone, and all else is there; what holds something stays, and that is said.
    async fn judge_kept(&mut self, all: &All, holding: IntentId) -> Result<(), Stop> {
        let kept = self.troupe.intendant().kept_by_retention().await?;
        for (id, old) in all {
            must(old.is_gone == old.goes_at.is_some(), || {
                format!(
                    "{id} is still there, and was to go at {:?}: {kept:?}",
                    old.goes_at
                )
            })?;
        }
        let why = kept.iter().find(|it| it.intent == holding);
        must(why.is_some_and(|it| it.reason.contains("holds")), || {
            format!("{holding} holds something, and it is kept for {why:?}")
        })?;
        self.see(Seen::Kept);
        Ok(())
    }

    /// A key outlives its intent: what has been done is not done again.
    async fn ask_for_what_is_gone(&mut self, all: &All) -> Result<(), Stop> {
        let is_gone = |id: &IntentId| all.get(id).is_some_and(|old| old.is_gone);
        let keyed = self.asked.iter().filter(|it| it.wish.key.is_some());
        let gone = keyed.filter(|it| is_gone(&it.id));
        let gone: Vec<(IntentId, Wish)> = gone.map(|it| (it.id, it.wish.clone())).collect();
        for (id, wish) in gone {
            let again = self.by_library(&wish).await?;
            let found = self.troupe.intendant().get(again).await;
            must(
                again == id && found.is_err_and(|it| it.is_not_found()),
                || format!("the key of {id}, which has gone, has {again} now"),
            )?;
        }
        Ok(())
    }

    /// It is given up: now it is as old as it is since then.
    async fn let_go(&mut self, holding: IntentId, all: &mut All) -> Result<(), Stop> {
        self.next_event();
        self.has_written = true;
        let discarded = self.troupe.intendant().discard(holding, ACTOR, None);
        discarded.await?;
        let rules = self.troupe.intendant().retentions().await?;
        let hours = rules
            .iter()
            .find(|rule| rule.state == IntentState::Cancelled)
            .and_then(|rule| rule.rows_s);
        let old = all.get_mut(&holding).unwrap();
        let time = |seconds: u64| TimeDelta::seconds(i64::try_from(seconds).unwrap());
        old.goes_at = hours.map(|seconds| self.troupe.now() + time(seconds));
        let goes = old.goes_at.is_some();
        self.let_all_go(all).await?;
        must(all[&holding].is_gone == goes, || {
            format!("{holding} was given up; by the rules it goes: {goes}")
        })
    }
}

/// All that there are, and when they may go.
fn all(records: &[IntentRecord], rules: &[Rule], holding: IntentId) -> Result<All, Stop> {
    let mut all = All::new();
    for record in records {
        let root = records.iter().find(|it| it.id == record.root_id);
        let root = root.ok_or_else(|| Stop::Breach(format!("{} has no root", record.id)))?;
        let goes_at = goes_at(root, rules).filter(|_| root.id != holding);
        let old = Old {
            root: root.id,
            goes_at,
            is_gone: false,
        };
        all.insert(record.id, old);
    }
    Ok(all)
}

/// When a root may go: the kind's own rule goes before the one for all.
fn goes_at(root: &IntentRecord, rules: &[Rule]) -> Option<DateTime<Utc>> {
    let of_kind = |rule: &&Rule| rule.kind.is_some_and(|kind| kind.word() == root.kind);
    let of_all = |rule: &&Rule| rule.kind.is_none();
    let mut of_state = rules.iter().filter(|rule| rule.state == root.state);
    let own = of_state.clone().find(of_kind);
    let rule = own.or_else(|| of_state.find(of_all))?;
    Some(root.finished_at? + TimeDelta::hours(rule.hours))
}
