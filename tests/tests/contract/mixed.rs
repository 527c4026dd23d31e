//! Many intents of kinds with different rules on few resources, families among them, some that fail and some that start
//! later, while workers die: what excludes each other is never in at the same time, and everybody has their turn.
//!
//! By hand with 4,000: `INTENDANT_TEST_SCALE=full cargo test --release -p intendant-tests --test contract mixed`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use intendant::{
    Conflicts, Cx, Intent, IntentFilter, IntentId, IntentState, Relation, Resources, Rule,
    StepResult, fail,
};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    whatever_the_rules_and_whoever_dies_everybody_has_their_turn;
}

const SERVERS: u32 = 6;

/// Servers that whole families do not hold. If they did, two could wait for each other, which is an error.
const ANNEXES: u32 = 2;

macro_rules! kind {
    ($name:ident, $kind:literal, $conflicts:expr) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name(Use);

        impl Intent for $name {
            const KIND: &'static str = $kind;
            type Output = ();
            fn resources(&self) -> Resources {
                self.0.resources()
            }
            fn conflicts() -> Conflicts {
                $conflicts
            }
        }

        impl AsRef<Use> for $name {
            fn as_ref(&self) -> &Use {
                &self.0
            }
        }
    };
}

kind!(Patient, "patient", Conflicts::default());
kind!(
    Picky,
    "picky",
    Conflicts::default().once_started("patient", Rule::Reject)
);
kind!(Twin, "twin", Conflicts::default().with("twin", Rule::Join));
kind!(
    Pushy,
    "pushy",
    Conflicts::default()
        .with("patient", Rule::Supersede)
        .with("twin", Rule::SupersedeAnyway)
);
kind!(
    Friendly,
    "friendly",
    Conflicts::default().with("friendly", Rule::Share)
);
// Fails at first, and keeps what it holds until somebody resumes it.
kind!(Clumsy, "clumsy", Conflicts::default());

/// Holds what it uses while its children use that, or something else.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Family {
    of: Use,
    children: Vec<Member>,
}

impl Intent for Family {
    const KIND: &'static str = "family";
    type Output = ();
    fn resources(&self) -> Resources {
        self.of.resources()
    }
}

/// A child of a family.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Member {
    parent: Option<IntentId>,
    of: Use,
}

impl Intent for Member {
    const KIND: &'static str = "member";
    type Output = ();
    fn resources(&self) -> Resources {
        self.of.resources()
    }
}

/// Which servers it uses, and how.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Use {
    exclusive: Vec<u32>,
    shared: Vec<u32>,
    ms: u64,
}

impl Use {
    fn random(servers: u32) -> Self {
        let mut rng = rand::rng();
        let server = |rng: &mut rand::rngs::ThreadRng| rng.random_range(0..servers);
        let mut exclusive = vec![server(&mut rng)];
        let mut shared = Vec::new();
        if rng.random_range(0..3) == 0 {
            exclusive.push(server(&mut rng));
        }
        if rng.random_range(0..3) == 0 {
            std::mem::swap(&mut exclusive, &mut shared);
        }
        Self {
            exclusive,
            shared,
            ms: rng.random_range(0..4),
        }
    }

    /// As a child of somebody who uses `theirs`: one of these servers, or one that no family holds, or both.
    fn below(theirs: &Self) -> Self {
        let mut rng = rand::rng();
        let mut exclusive = theirs.exclusive.clone();
        exclusive.truncate(rng.random_range(0..=1));
        if rng.random_range(0..3) == 0 {
            exclusive.push(SERVERS + rng.random_range(0..ANNEXES));
        }
        Self {
            exclusive,
            shared: theirs.shared.clone(),
            ms: rng.random_range(0..4),
        }
    }

    fn resources(&self) -> Resources {
        let none = Resources::none();
        let exclusive = self.exclusive.iter();
        let all = exclusive.fold(none, |all, server| all.and_exclusive("server", server));
        let shared = self.shared.iter();
        shared.fold(all, |all, server| all.and_shared("server", server))
    }
}

/// Who is at which server, and who has failed before: outside the engine's database.
#[derive(Default)]
struct Ledger(Mutex<HashMap<u32, Vec<Visit>>>, Mutex<HashSet<IntentId>>);

#[derive(Clone, PartialEq)]
struct Visit {
    intent: IntentId,
    kind: &'static str,
    exclusive: bool,
    /// It belongs to this family.
    parent: Option<IntentId>,
}

/// Takes its visits out however the step ends.
struct Stay(Arc<Ledger>, Vec<(u32, Visit)>);

impl Ledger {
    fn enter(
        self: &Arc<Self>,
        intent: IntentId,
        kind: &'static str,
        parent: Option<IntentId>,
        of: &Use,
    ) -> Result<Stay, String> {
        let exclusive = of.exclusive.iter().map(|server| (*server, true));
        let shared = of
            .shared
            .iter()
            .filter(|server| !of.exclusive.contains(server));
        let visits = exclusive.chain(shared.map(|server| (*server, false)));
        let mut stay = Stay(self.clone(), Vec::new());
        let mut servers = self.0.lock().unwrap();
        for (server, exclusive) in visits {
            let visit = Visit {
                intent,
                kind,
                exclusive,
                parent,
            };
            let there = servers.entry(server).or_default();
            let clashes = |other: &&Visit| {
                other.intent != intent
                    && Some(other.intent) != parent
                    && other.parent != Some(intent)
                    && (other.exclusive || exclusive)
                    && !(kind == "friendly" && other.kind == "friendly")
            };
            if let Some(other) = there.iter().find(clashes) {
                return Err(format!("{kind} meets {} at {server}", other.kind));
            }
            if !there.contains(&visit) {
                there.push(visit.clone());
                stay.1.push((server, visit));
            }
        }
        drop(servers);
        Ok(stay)
    }

    fn leave(&self, intent: IntentId) {
        for there in self.0.lock().unwrap().values_mut() {
            there.retain(|visit| visit.intent != intent);
        }
    }
}

impl Stay {
    /// It is there until it [leaves](Ledger::leave), whatever becomes of its step.
    fn remain(mut self) {
        self.1.clear();
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let Ok(mut servers) = self.0.0.lock() else {
            return;
        };
        for (server, visit) in &self.1 {
            servers
                .entry(*server)
                .or_default()
                .retain(|other| other != visit);
        }
    }
}

async fn visit<T: Intent<Output = ()> + AsRef<Use>>(
    cx: Cx<Arc<Ledger>>,
    intent: T,
) -> StepResult<()> {
    let stay = cx
        .state()
        .enter(cx.intent_id(), T::KIND, None, intent.as_ref())
        .map_err(fail)?;
    tokio::time::sleep(Duration::from_millis(intent.as_ref().ms)).await;
    drop(stay);
    Ok(())
}

async fn stumble(cx: Cx<Arc<Ledger>>, clumsy: Clumsy) -> StepResult<()> {
    visit(cx.clone(), clumsy).await?;
    match cx.state().1.lock().unwrap().insert(cx.intent_id()) {
        true => Err(fail("it always does at first")),
        false => Ok(()),
    }
}

/// Is at its servers from when it begins until its children have finished: nobody who is not of its family meets it, while
/// it is parked and has no step that runs, either. One that has failed keeps what it holds.
async fn raise(cx: Cx<Arc<Ledger>>, family: Family) -> StepResult<()> {
    let me = cx.intent_id();
    let stay = cx.state().enter(me, Family::KIND, None, &family.of);
    stay.map_err(fail)?.remain();
    let children = family.children.into_iter().map(|child| Member {
        parent: Some(me),
        ..child
    });
    for ended in cx.children("member", children).await? {
        ended?;
    }
    cx.state().leave(me);
    Ok(())
}

async fn help(cx: Cx<Arc<Ledger>>, member: Member) -> StepResult<()> {
    let stay = cx
        .state()
        .enter(cx.intent_id(), Member::KIND, member.parent, &member.of)
        .map_err(fail)?;
    tokio::time::sleep(Duration::from_millis(member.of.ms)).await;
    drop(stay);
    Ok(())
}

async fn ask(bench: &Bench) -> Result<(), intendant::Error> {
    let of = Use::random(SERVERS + ANNEXES);
    let intendant = &bench.intendant;
    // Some of those whom no request compares with others start later.
    let later = |most| Duration::from_millis(rand::rng().random_range(0..most));
    let soon = rand::rng().random_range(0..4) > 0;
    let start = if soon { Duration::ZERO } else { later(300) };
    let asked = match rand::rng().random_range(0..7) {
        0 => intendant
            .request(Patient(of))
            .start_in(start)
            .await
            .map(|_| ()),
        1 => intendant.request(Picky(of)).await.map(|_| ()),
        2 => intendant
            .request(Twin(Use { ms: 1, ..of }))
            .await
            .map(|_| ()),
        3 => intendant.request(Pushy(of)).await.map(|_| ()),
        4 => intendant
            .request(Friendly(of))
            .start_in(start)
            .await
            .map(|_| ()),
        5 => intendant
            .request(Clumsy(of))
            .start_in(start)
            .await
            .map(|_| ()),
        _ => {
            let of = Use::random(SERVERS);
            let children = 0..rand::rng().random_range(1..4);
            let children = children.map(|_| Member {
                parent: None,
                of: Use::below(&of),
            });
            let children = children.collect();
            intendant
                .request(Family { of, children })
                .start_in(start)
                .await
                .map(|_| ())
        }
    };
    match asked {
        Err(intendant::Error::Rejected { .. }) => Ok(()),
        other => other,
    }
}

/// What a person does meanwhile: whoever has failed is resumed. These are the clumsy ones, whoever had the bad luck to be in
/// hand at three deaths, and whose child had; nobody fails otherwise.
async fn resume_failed(bench: &Bench) -> Result<()> {
    let failed = IntentFilter {
        state: Some(IntentState::Failed),
        limit: Some(intendant::limits::PAGE),
        ..Default::default()
    };
    for record in bench.intendant.list(failed).await? {
        let error = record.error.as_deref().unwrap_or_default();
        ensure!(
            error == "it always does at first"
                || record.reason.as_deref() == Some("quarantined")
                || error.contains("quarantined"),
            "{record:?}"
        );
        match bench.intendant.resume(record.id, "ada", None).await {
            Ok(_) => {}
            // With its parent, or its child, or its parent has yet to hear of it.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn whatever_the_rules_and_whoever_dies_everybody_has_their_turn(bench: Bench) -> Result<()> {
    let intents = intendant_tests::size(400, 4_000);
    let kills = intendant_tests::size(3, 40);
    let ledger = Arc::new(Ledger::default());
    let worker = || {
        let worker = bench
            .worker(ledger.clone())
            .concurrency(8)
            .cancel_grace(Duration::from_millis(5))
            .register_step(visit::<Patient>)
            .register_step(visit::<Picky>)
            .register_step(visit::<Twin>)
            .register_step(visit::<Pushy>)
            .register_step(visit::<Friendly>)
            .register_step(stumble)
            .register_step(raise)
            .register_step(help);
        start(worker)
    };
    let mut workers = [worker(), worker()];
    for number in 0..intents {
        ask(&bench).await?;
        if number % (intents / kills) == intents / kills / 2 {
            let successor = worker();
            std::mem::replace(&mut workers[number % 2], successor)
                .kill()
                .await;
            bench.check().await?;
            resume_failed(&bench).await?;
        }
    }
    everybody(&bench).await?;
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await?;
    judge(&bench).await
}

/// Waits until nobody is left, and resumes who fails; fails if nothing moves for a minute.
async fn everybody(bench: &Bench) -> Result<()> {
    let (mut least, mut moved) = (i64::MAX, Instant::now());
    loop {
        resume_failed(bench).await?;
        let left = bench.intendant.unfinished().await?;
        let failed = IntentFilter {
            state: Some(IntentState::Failed),
            limit: Some(1),
            ..Default::default()
        };
        if left.total() == 0 && bench.intendant.list(failed).await?.is_empty() {
            return Ok(());
        }
        if left.total() < least {
            (least, moved) = (left.total(), Instant::now());
        }
        if moved.elapsed() > Duration::from_secs(60) {
            let oldest = IntentFilter {
                state: Some(IntentState::Blocked),
                limit: Some(5),
                ..Default::default()
            };
            for record in bench.intendant.list(oldest).await? {
                println!("{record:?}: {}", bench.intendant.why(record.id).await?);
            }
            bail!("still {left:?}");
        }
        bench.check().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Who did not succeed has a rule to thank for it.
async fn judge(bench: &Bench) -> Result<()> {
    let mut counts: HashMap<Relation, usize> = HashMap::new();
    let cancelled = IntentFilter {
        state: Some(IntentState::Cancelled),
        limit: Some(intendant::limits::PAGE),
        ..Default::default()
    };
    for record in bench.intendant.list(cancelled).await? {
        let links = bench.intendant.links(record.id).await?;
        let Some(link) = links.iter().rfind(|link| link.intent == record.id) else {
            bail!("{record:?} was cancelled by no rule");
        };
        let other = bench.intendant.get(link.other).await?;
        let expected: &[&str] = match link.relation {
            Relation::SupersededBy => &["patient pushy", "twin pushy"],
            Relation::Joined => &["twin twin"],
            Relation::RejectedBy => &["picky patient"],
        };
        let found = format!("{} {}", record.kind, other.kind);
        ensure!(
            expected.contains(&found.as_str()),
            "{:?}: {found}",
            link.relation
        );
        ensure!(other.id < record.id || link.relation == Relation::SupersededBy);
        *counts.entry(link.relation).or_default() += 1;
    }
    ensure!(counts.contains_key(&Relation::SupersededBy), "{counts:?}");
    for (what, sql) in [
        ("children", "select count(*) from @child"),
        (
            "resumed",
            "select count(*) from @event where verb = 'resume'",
        ),
        (
            "in an annex",
            "select count(*) from @resource w join @intent i on i.id = w.intent_id
              where i.kind = 'member' and w.resource in ('server:6', 'server:7')",
        ),
    ] {
        let found = bench.number(sql).await?;
        ensure!(found > 0, "{what}: {found}");
    }
    println!("{}: {counts:?}", bench.database.kind.as_str());
    Ok(())
}
