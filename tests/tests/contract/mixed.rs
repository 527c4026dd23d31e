//! Many intents of kinds with different rules on few resources, while workers die: what excludes each other is never in at
//! the same time, and everybody has their turn.
//!
//! By hand with 10,000: `INTENDANT_TEST_SCALE=full cargo test --release -p intendant-tests --test contract mixed`.

use std::collections::HashMap;
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

/// Which servers it uses, and how.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Use {
    exclusive: Vec<u32>,
    shared: Vec<u32>,
    ms: u64,
}

impl Use {
    fn random() -> Self {
        let mut rng = rand::rng();
        let server = |rng: &mut rand::rngs::ThreadRng| rng.random_range(0..SERVERS);
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

    fn resources(&self) -> Resources {
        let none = Resources::none();
        let exclusive = self.exclusive.iter();
        let all = exclusive.fold(none, |all, server| all.and_exclusive("server", server));
        let shared = self.shared.iter();
        shared.fold(all, |all, server| all.and_shared("server", server))
    }
}

/// Who is at which server: outside the engine's database.
#[derive(Default)]
struct Ledger(Mutex<HashMap<u32, Vec<Visit>>>);

#[derive(Clone, PartialEq)]
struct Visit {
    intent: IntentId,
    kind: &'static str,
    exclusive: bool,
}

/// Takes its visits out however the step ends.
struct Stay(Arc<Ledger>, Vec<(u32, Visit)>);

impl Ledger {
    fn enter(
        self: &Arc<Self>,
        intent: IntentId,
        kind: &'static str,
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
            };
            let there = servers.entry(server).or_default();
            let clashes = |other: &&Visit| {
                other.intent != intent
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
        .enter(cx.intent_id(), T::KIND, intent.as_ref())
        .map_err(fail)?;
    tokio::time::sleep(Duration::from_millis(intent.as_ref().ms)).await;
    drop(stay);
    Ok(())
}

async fn ask(bench: &Bench, of: Use) -> Result<(), intendant::Error> {
    let intendant = &bench.intendant;
    let asked = match rand::rng().random_range(0..5) {
        0 => intendant.request(Patient(of)).await.map(|_| ()),
        1 => intendant.request(Picky(of)).await.map(|_| ()),
        2 => intendant
            .request(Twin(Use { ms: 1, ..of }))
            .await
            .map(|_| ()),
        3 => intendant.request(Pushy(of)).await.map(|_| ()),
        _ => intendant.request(Friendly(of)).await.map(|_| ()),
    };
    match asked {
        Err(intendant::Error::Rejected { .. }) => Ok(()),
        other => other,
    }
}

async fn whatever_the_rules_and_whoever_dies_everybody_has_their_turn(bench: Bench) -> Result<()> {
    let intents = intendant_tests::size(600, 10_000);
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
            .register_step(visit::<Friendly>);
        start(worker)
    };
    let mut workers = [worker(), worker()];
    for number in 0..intents {
        ask(&bench, Use::random()).await?;
        if number % (intents / kills) == intents / kills / 2 {
            let successor = worker();
            std::mem::replace(&mut workers[number % 2], successor)
                .kill()
                .await;
            bench.check().await?;
        }
    }
    everybody(&bench).await?;
    // Whoever had the bad luck to be in hand at three deaths is resumed by a person; nobody fails otherwise.
    let failed = IntentFilter {
        state: Some(IntentState::Failed),
        ..Default::default()
    };
    for record in bench.intendant.list(failed).await? {
        ensure!(
            record.reason.as_deref() == Some("quarantined"),
            "{record:?}"
        );
        bench.intendant.resume(record.id, "ada", None).await?;
        bench.rest(record.id).await?;
    }
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await?;
    judge(&bench).await
}

/// Waits until nobody is left; fails if nothing moves for a minute.
async fn everybody(bench: &Bench) -> Result<()> {
    let (mut least, mut moved) = (i64::MAX, Instant::now());
    loop {
        let left = bench.intendant.unfinished().await?;
        if left.total() == 0 {
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
    println!("{}: {counts:?}", bench.database.kind.as_str());
    Ok(())
}
