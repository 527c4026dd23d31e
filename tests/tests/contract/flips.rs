//! Flipped bytes: whatever a byte in a stored row turns into, the worker goes on, what was not damaged comes to its end,
//! and everything can be asked about (promise 7).
//!
//! SQLite, whose columns hold whatever is put there. Each round fills a database with intents in all stages, flips bits in
//! rows of every other one, and has a worker carry out what there is. `INTENDANT_TEST_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use chrono::Utc;
use intendant::{
    Cx, Error, Intent, IntentFilter, IntentId, IntentState, Node, Plan, Resources, StepResult,
    StoreKind, Worker, value,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

use crate::support::{Bench, Gate, start};

/// Together at least a thousand flips.
const ROUNDS: usize = 8;
const FLIPS: usize = 130;
/// Of each sort.
const INTENTS: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(30);

/// Has rows of all sorts: a step with a result, a failed attempt, a child, a message that it waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job(u64);

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = u64;
}

async fn pass_on(_: Cx<Gate>, n: u64) -> StepResult<u64> {
    Ok(n)
}

async fn ask(cx: Cx<Gate>, n: u64) -> StepResult<u64> {
    if cx.attempt() == 1 {
        return Err(std::io::Error::other("not yet").into());
    }
    let part = cx.child("part", Part(n)).await?;
    let go: u64 = cx.signal("go").await?;
    Ok(n + part + go)
}

fn job(job: &Job, plan: &mut Plan<Gate>) -> Node<u64> {
    let first = plan.step("first", pass_on).input(value(job.0));
    let second = plan.step("second", ask);
    let second = second.backoff(Duration::ZERO, Duration::ZERO).input(first);
    plan.step("third", pass_on).input(second)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part(u64);

impl Intent for Part {
    const KIND: &'static str = "part";
    type Output = u64;
}

async fn part(_: Cx<Gate>, part: Part) -> StepResult<u64> {
    Ok(part.0)
}

/// In hand until the gate opens, with something that others may not have.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hold(u64);

impl Intent for Hold {
    const KIND: &'static str = "hold";
    type Output = u64;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.0)
    }
}

async fn hold(cx: Cx<Gate>, hold: Hold) -> StepResult<u64> {
    cx.state().pass().await;
    Ok(hold.0)
}

/// Its step waits in a queue that nobody serves at first.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Away(u64);

impl Intent for Away {
    const KIND: &'static str = "away";
    type Output = u64;
}

fn away(away: &Away, plan: &mut Plan<Gate>) -> Node<u64> {
    let step = plan.step("away", pass_on).queue("network");
    let there = step.input(value(away.0));
    plan.step("back", pass_on).input(there)
}

/// Fails at first, and waits for its next attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Again(u64);

impl Intent for Again {
    const KIND: &'static str = "again";
    type Output = u64;
}

fn again(again: &Again, plan: &mut Plan<Gate>) -> Node<u64> {
    async fn fails(cx: Cx<Gate>, n: u64) -> StepResult<u64> {
        match cx.attempt() {
            1 => Err(std::io::Error::other("not yet").into()),
            _ => Ok(n),
        }
    }
    let pause = Duration::from_secs(2);
    let step = plan.step("fails", fails).backoff(pause, pause);
    step.input(value(again.0))
}

fn worker(bench: &Bench, gate: &Gate) -> Worker<Gate> {
    bench
        .worker(gate.clone())
        .concurrency(200)
        .register::<Job, _>(job)
        .register::<Away, _>(away)
        .register::<Again, _>(again)
        .register_step::<Part, _, _>(part)
        .register_step::<Hold, _, _>(hold)
}

/// What is in a database: whose families, and of what sort they are.
struct Filled {
    all: Vec<IntentId>,
    /// They wait for a message.
    jobs: Vec<IntentId>,
}

/// Intents in all stages: finished, waiting for messages, children, other queues, times and retries, in the hands of a dead
/// session, in line.
async fn fill(bench: &Bench) -> Result<Filled> {
    let intendant = &bench.intendant;
    let (mut all, mut jobs) = (Vec::new(), Vec::new());
    let dies = start(worker(bench, &Gate::default()));
    for n in 0..INTENTS {
        all.push(intendant.request(Part(n)).await?.id());
        all.push(intendant.request(Away(n)).await?.id());
        jobs.push(intendant.request(Job(n)).await?.id());
        all.push(intendant.request(Hold(n)).await?.id());
        // Behind that one in line.
        all.push(intendant.request(Hold(n)).await?.id());
    }
    let settled = "select (select count(*) from @awaited) + (select count(*) from @routed)
                        + (select count(*) from @blocked)";
    bench
        .until(|| async { Ok((bench.number(settled).await? == 3 * INTENTS as i64).then_some(())) })
        .await?;
    for n in 0..INTENTS {
        all.push(intendant.request(Again(n)).await?.id());
    }
    let failed = "select count(*) from @attempt where step = 'fails'";
    bench
        .until(|| async { Ok((bench.number(failed).await? == INTENTS as i64).then_some(())) })
        .await?;
    dies.kill().await;
    for n in 0..INTENTS {
        all.push(intendant.request(Part(n)).label("of", "flips").await?.id());
        let later = Utc::now() + chrono::TimeDelta::milliseconds(1_500);
        all.push(intendant.request(Part(n)).start_at(later).await?.id());
    }
    for job in &jobs {
        intendant.signal(*job, "go", &1_u64).await?;
    }
    all.extend(&jobs);
    Ok(Filled { all, jobs })
}

/// The tables whose rows belong to an intent, and the column that says to which.
const TABLES: &[(&str, &str)] = &[
    ("intent", "id"),
    ("intent", "id"),
    ("resource", "intent_id"),
    ("outcome", "intent_id"),
    ("started", "intent_id"),
    ("ready", "intent_id"),
    ("parked", "intent_id"),
    ("blocked", "intent_id"),
    ("step", "intent_id"),
    ("step", "intent_id"),
    ("attempt", "intent_id"),
    ("event", "intent_id"),
    ("child", "parent_id"),
    ("wait", "intent_id"),
    ("holder", "intent_id"),
    ("line", "intent_id"),
    ("label", "intent_id"),
    ("routed", "intent_id"),
    ("awaited", "intent_id"),
    ("signal", "intent_id"),
];

/// Flips bits in rows of these families. Returns how many were flipped, and of which tables.
async fn flip(
    bench: &Bench,
    victims: &BTreeSet<String>,
    random: &mut StdRng,
) -> Result<BTreeMap<&'static str, usize>> {
    let pool = SqlitePool::connect(&bench.database.url).await?;
    let victims = serde_json::to_string(&victims)?;
    let mut flipped = BTreeMap::new();
    let mut tries = 0;
    while flipped.values().sum::<usize>() < FLIPS {
        tries += 1;
        ensure!(tries < 50 * FLIPS, "the database takes too few flips");
        let (table, owner) = TABLES[random.random_range(0..TABLES.len())];
        let columns: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(format!(
            "select name, pk from pragma_table_info('intendant_{table}')"
        )))
        .fetch_all(&pool)
        .await?;
        let keys: Vec<&str> = columns
            .iter()
            .filter(|column| column.1 > 0)
            .map(|column| column.0.as_str())
            .collect();
        let (column, _) = &columns[random.random_range(0..columns.len())];
        let key = |key: &&str| format!("typeof({key}), hex({key})");
        let key = keys.iter().map(key).collect::<Vec<_>>().join(", ");
        let rows = sqlx::query(AssertSqlSafe(format!(
            "select typeof({column}), hex({column}), {key} from intendant_{table} t
              where t.{owner} in (select i.id from intendant_intent i join json_each(?1) v on v.value = i.root_id)"
        )))
        .bind(&victims)
        .fetch_all(&pool)
        .await?;
        if rows.is_empty() {
            continue;
        }
        let row = &rows[random.random_range(0..rows.len())];
        let Some(new) = flipped_value(&row.get::<String, _>(0), &row.get::<String, _>(1), random)
        else {
            continue;
        };
        let is = |(at, key): (usize, &&str)| {
            let (sort, hex): (String, String) = (row.get(2 + 2 * at), row.get(3 + 2 * at));
            format!("{key} = {}", literal(&sort, &hex))
        };
        let place = keys
            .iter()
            .enumerate()
            .map(is)
            .collect::<Vec<_>>()
            .join(" and ");
        let update = format!("update intendant_{table} set {column} = {new} where {place}");
        // What a check or a unique key refuses cannot have come about.
        if let Ok(done) = sqlx::query(AssertSqlSafe(update)).execute(&pool).await {
            *flipped.entry(table).or_default() += usize::try_from(done.rows_affected())?;
        }
    }
    pool.close().await;
    Ok(flipped)
}

/// A value, as SQL.
fn literal(sort: &str, hex: &str) -> String {
    match sort {
        "integer" => unhex(hex).iter().map(|byte| char::from(*byte)).collect(),
        "blob" => format!("x'{hex}'"),
        _ => format!("cast(x'{hex}' as text)"),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_default();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The same with one bit flipped, as SQL; none of what has none.
fn flipped_value(sort: &str, hex: &str, random: &mut StdRng) -> Option<String> {
    let mut bytes = unhex(hex);
    match sort {
        "integer" => {
            let number: i64 = String::from_utf8(bytes).ok()?.parse().ok()?;
            let flipped = number ^ (1 << random.random_range(0..64_u32));
            Some(flipped.to_string()).filter(|_| flipped != i64::MIN)
        }
        "text" | "blob" if !bytes.is_empty() => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8_u32);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(literal(sort, &hex))
        }
        _ => None,
    }
}

/// Everything that can be asked about an intent.
async fn ask_all(bench: &Bench, id: IntentId) -> Result<(), Error> {
    let intendant = &bench.intendant;
    intendant.get(id).await?;
    intendant.why(id).await?;
    intendant.steps(id).await?;
    intendant.all_steps(id).await?;
    intendant.graph(id).await?;
    intendant.attempts(id).await?;
    intendant.events(id).await?;
    intendant.children(id).await?;
    intendant.signals(id).await?;
    intendant.links(id).await?;
    intendant.logs(id).await?;
    Ok(())
}

async fn round(random: &mut StdRng) -> Result<usize> {
    let bench = Bench::open(StoreKind::Sqlite).await?;
    let Filled { all, jobs } = fill(&bench).await?;
    // Who stands in line behind another one is damaged with it, and the other way round: two after each other.
    let damaged: BTreeSet<IntentId> = all
        .iter()
        .filter(|_| random.random_bool(0.5))
        .copied()
        .collect();
    let mut damaged = damaged;
    for pair in all[..4 * INTENTS as usize].chunks(4) {
        if damaged.contains(&pair[2]) || damaged.contains(&pair[3]) {
            damaged.extend(&pair[2..4]);
        }
    }
    let victims = damaged.iter().map(IntentId::to_string).collect();
    let flipped = flip(&bench, &victims, random).await?;
    println!("{flipped:?}");

    let gate = Gate::default();
    gate.open();
    let worker = start(worker(&bench, &gate).queue("network", 8));
    let sound: Vec<IntentId> = all
        .iter()
        .filter(|id| !damaged.contains(id))
        .copied()
        .collect();
    let begin = Instant::now();
    for id in &sound {
        let state = loop {
            let state = bench.intendant.state(*id).await.context("its state")?;
            if state.is_finished() {
                break state;
            }
            if begin.elapsed() > PATIENCE {
                let why = bench.intendant.why(*id).await?;
                bail!("{id} was not damaged, and is {state}: {why}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        if state != IntentState::Succeeded {
            let record = bench.intendant.get(*id).await?;
            bail!("{id} was not damaged, and is {state}: {:?}", record.error);
        }
        ask_all(&bench, *id)
            .await
            .context("what is asked of a sound one")?;
    }
    for id in &damaged {
        match bench.intendant.get(*id).await {
            Ok(_) => {
                let why = bench.intendant.why(*id).await;
                why.with_context(|| format!("why {id} waits"))?;
            }
            // Its id was what was damaged.
            Err(Error::NotFound { .. }) => {}
            Err(error) => bail!("{id} cannot be asked about: {error}"),
        }
    }
    let kind = |kind: &str| IntentFilter {
        kind: Some(kind.into()),
        ..IntentFilter::default()
    };
    for filter in [IntentFilter::default(), kind("job"), kind("part")] {
        bench.intendant.page(filter).await.context("a page")?;
    }
    ensure!(!jobs.is_empty());
    let stopped = tokio::time::timeout(PATIENCE, worker.stop()).await;
    let stopped = stopped.context("the worker does not stop")?;
    stopped.context("the worker has ended")?;
    Ok(flipped.values().sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bytes_stop_their_own_intents_and_nothing_else() -> Result<()> {
    let seed = std::env::var("INTENDANT_TEST_SEED");
    let seed = seed.ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("INTENDANT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut flips = 0;
    for nth in 0..ROUNDS {
        flips += round(&mut random)
            .await
            .with_context(|| format!("round {nth} of seed {seed}"))?;
    }
    ensure!(flips >= 1_000, "{flips}");
    Ok(())
}
