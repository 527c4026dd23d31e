//! Real processes that die or stop at any instant; an effect ledger outside the engine's database is the judge.
//!
//! What each fault has to show by itself. All of them at once, on every step of thousands of intents, are the storm
//! (`tests/tests/storm`). By hand, with `INTENDANT_TEST_SCALE=full`, one poison among 10,000 intents.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{Cancelled, Error, IntentFilter, IntentState, StoreKind};
use intendant_tests::chaos::{Chaos, Poison, Work};
use intendant_tests::database::Database;
use intendant_tests::long::{self, Count};
use intendant_tests::postgres::Cluster;
use rand::RngExt as _;

fn backlog(intents: usize, step_ms: u64) -> impl Iterator<Item = Work> {
    (0..intents).map(move |number| Work {
        number,
        step_ms,
        poison: false,
    })
}

/// Long steps whose workers are killed go on from their last checkpoints.
async fn counted_amid_kills(kind: StoreKind) -> Result<()> {
    const INTENTS: usize = 8;
    const ROWS: u64 = 60;
    let mut chaos = Chaos::new(kind, backlog(0, 0), 4).await?;
    let counts = (0..INTENTS).map(|_| Count {
        rows: ROWS,
        row_ms: 10,
    });
    chaos.intendant.request_all(counts).await?;
    chaos.spawn()?;
    chaos.spawn()?;
    let mut kills = 0;
    while kills < 12 && chaos.intendant.unfinished().await?.total() > 0 {
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(100..400))).await;
        chaos.kill_one(kills)?;
        kills += 1;
    }
    chaos.drain(Duration::from_secs(120), |_| Ok(())).await?;
    // Whoever is hit by three kills looks like a poison; a resume goes on from the checkpoint as well.
    let quarantined = chaos.resume_failed().await?;
    chaos.drain(Duration::from_secs(60), |_| Ok(())).await?;
    chaos.stop()?;
    let counted = long::judge(&chaos.ledger(), INTENTS, ROWS)?;
    println!(
        "{}: {kills} kills, {} of {INTENTS} intents handed over, {} rows begun, {} of them again since they had not been \
         kept; {quarantined} quarantined and resumed",
        kind.as_str(),
        counted.handed_over,
        counted.begun,
        counted.repeated
    );
    let breaches = chaos.intendant.invariant_breaches().await?;
    ensure!(breaches.is_empty(), "{breaches:?}");
    ensure!(counted.handed_over > 0 && kills > 0, "{counted:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_survives_kill_9_on_sqlite() -> Result<()> {
    counted_amid_kills(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_survives_kill_9_on_postgres() -> Result<()> {
    counted_amid_kills(StoreKind::Postgres).await
}

/// A worker that was stopped for longer than its lease and wakes up: it tries to write, and is refused.
async fn paused_beyond_its_lease(kind: StoreKind) -> Result<()> {
    const INTENTS: usize = 900;
    const SLOTS: usize = 8;
    let mut chaos = Chaos::new(kind, backlog(INTENTS, 60), SLOTS).await?;
    let stale = chaos.spawn()?;
    let mut pauses = 0;
    // Now and then it hears that it is dead before it has anything to write.
    for _ in 0..5 {
        while !chaos.is_running_a_step(stale)? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Some way into it: as a step begins a tick is on its way, and on SQLite nobody can take over from a process that
        // is stopped in a transaction.
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(10..50))).await;
        chaos.signal(stale, "STOP")?;
        if pauses == 0 {
            chaos.spawn()?;
        }
        // Nearly two leases; the other one takes over meanwhile.
        tokio::time::sleep(Duration::from_millis(1_800)).await;
        chaos.signal(stale, "CONT")?;
        pauses += 1;
    }
    chaos.drain(Duration::from_secs(60), |_| Ok(())).await?;
    let refused = chaos.stop()?;
    let judgement = chaos.judge_paused(INTENTS, 0, pauses * SLOTS).await?;
    println!(
        "{}: {pauses} pauses, {refused} stale writes tried and refused, 0 accepted; {} steps ran again",
        kind.as_str(),
        judgement.repeated
    );
    ensure!(refused >= 1, "the paused worker has tried to write nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_worker_writes_nothing_on_sqlite() -> Result<()> {
    paused_beyond_its_lease(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_worker_writes_nothing_on_postgres() -> Result<()> {
    paused_beyond_its_lease(StoreKind::Postgres).await
}

/// One intent among many that aborts its process: it alone is quarantined, with its step named.
async fn one_poison_among_many(kind: StoreKind) -> Result<()> {
    let intents = intendant_tests::size(1_000, 10_000);
    let work = backlog(intents, 2).map(|work| Work {
        poison: work.number == 700,
        ..work
    });
    let mut chaos = Chaos::new(kind, work, 64).await?;
    chaos.spawn()?;
    let mut deaths = 0;
    chaos
        .drain(Duration::from_secs(intents as u64 / 10), |chaos| {
            deaths += chaos.respawn_dead()?;
            Ok(())
        })
        .await?;
    chaos.stop()?;
    let judgement = chaos.judge(intents, 1).await?;
    let filter = IntentFilter {
        state: Some(intendant::IntentState::Failed),
        ..IntentFilter::default()
    };
    let failed = chaos.intendant.list(filter).await?;
    println!(
        "{}: {intents} intents, {deaths} deaths, {} steps ran again; {}",
        kind.as_str(),
        judgement.repeated,
        failed[0].error.as_deref().unwrap_or_default()
    );
    ensure!(failed[0].reason.as_deref() == Some("quarantined"));
    ensure!(failed[0].failed_step.as_deref() == Some("third"));
    ensure!(deaths == 3, "{deaths} deaths");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_is_quarantined_and_takes_no_innocent_with_it_on_sqlite() -> Result<()> {
    one_poison_among_many(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_is_quarantined_and_takes_no_innocent_with_it_on_postgres() -> Result<()> {
    one_poison_among_many(StoreKind::Postgres).await
}

/// Many intents of one kind, each of which aborts its process, beside a kind that is sound: the poisoned kind is tried more and
/// more rarely, and the sound one goes on as if it were not there.
async fn a_poisoned_kind_beside_a_good_one(kind: StoreKind) -> Result<()> {
    let intents = intendant_tests::size(1_000, 10_000);
    const POISONS: usize = 40;
    let mut chaos = Chaos::new(kind, backlog(0, 0), 64).await?;
    let poisons = chaos.intendant.request_all((0..POISONS).map(|_| Poison {}));
    poisons.await?;
    let good = chaos.intendant.request_all(backlog(intents, 2)).await?;
    chaos.spawn()?;
    let (start, mut deaths) = (Instant::now(), 0);
    // Quarantined ones are finished.
    while chaos.intendant.unfinished().await?.total() > POISONS as i64
        || chaos.intendant.state(good[intents - 1]).await? != IntentState::Succeeded
    {
        deaths += chaos.respawn_dead()?;
        let limit = Duration::from_secs(intents as u64 / 10);
        ensure!(
            start.elapsed() < limit,
            "not done in {limit:?}, after {deaths} deaths"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = start.elapsed();
    for id in good {
        let record = chaos.intendant.get(id).await?;
        ensure!(
            record.state == IntentState::Succeeded,
            "{id} is {}: {:?}",
            record.state,
            record.error
        );
    }
    println!(
        "{}: {intents} good intents beside {POISONS} poisons took {took:?}, {deaths} deaths",
        kind.as_str()
    );
    // One for whatever was claimed together, one for the first that is alone; from the second on the kind backs off, for
    // 1, 2, 4… seconds.
    let tries = (took.as_secs() + 2).ilog2() as usize + 1;
    ensure!(deaths >= 2, "only {deaths} deaths");
    ensure!(deaths <= 6 + tries, "{deaths} deaths in {took:?}");
    let breaches = chaos.intendant.invariant_breaches().await?;
    ensure!(breaches.is_empty(), "{breaches:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_kind_does_not_slow_the_others_on_sqlite() -> Result<()> {
    a_poisoned_kind_beside_a_good_one(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_kind_does_not_slow_the_others_on_postgres() -> Result<()> {
    a_poisoned_kind_beside_a_good_one(StoreKind::Postgres).await
}

/// Intents are cancelled while their workers are killed: what a cancel was told is what happens, whoever carries it out.
async fn cancelled_amid_kills(kind: StoreKind) -> Result<()> {
    const INTENTS: usize = 400;
    let mut chaos = Chaos::new(kind, backlog(INTENTS, 60), 8).await?;
    let filter = IntentFilter {
        limit: Some(INTENTS as u32),
        ..IntentFilter::default()
    };
    let mut left = chaos.intendant.list(filter).await?;
    chaos.spawn()?;
    chaos.spawn()?;
    let (mut answers, mut interrupted) = (Vec::new(), 0);
    for round in 0..12 {
        for _ in 0..15 {
            // Those that were asked for first are at the end: some of them run.
            let place = left.len().saturating_sub(rand::rng().random_range(1..200));
            let id = left.remove(place).id;
            answers.push((id, chaos.intendant.cancel(id, "ada", None).await));
            tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..15))).await;
        }
        interrupted += usize::from(chaos.kill_one(round)?);
    }
    chaos.drain(Duration::from_secs(120), |_| Ok(())).await?;
    chaos.resume_failed().await?;
    chaos.drain(Duration::from_secs(60), |_| Ok(())).await?;
    chaos.stop()?;
    let (mut now, mut stopped, mut late) = (0, 0, 0);
    for (id, answer) in answers {
        let state = chaos.intendant.state(id).await?;
        match answer {
            Ok(Cancelled::Now) => now += 1,
            Ok(_) => stopped += 1,
            Err(Error::WrongState { state, .. }) => {
                // Three kills look like a poison: it was quarantined before it could be cancelled, and was resumed above.
                let is_late = matches!(state, IntentState::Succeeded | IntentState::Failed);
                ensure!(is_late, "{id}: {state}");
                late += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        ensure!(state == IntentState::Cancelled, "{id}: {state}");
    }
    println!(
        "{}: {now} cancelled before they began, {stopped} on their way, {late} too late; {interrupted} of 12 kills hit a \
         running step",
        kind.as_str()
    );
    let breaches = chaos.intendant.invariant_breaches().await?;
    ensure!(breaches.is_empty(), "{breaches:?}");
    ensure!(interrupted > 0 && stopped > 0, "{interrupted} {stopped}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_survives_kill_9_on_sqlite() -> Result<()> {
    cancelled_amid_kills(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_survives_kill_9_on_postgres() -> Result<()> {
    cancelled_amid_kills(StoreKind::Postgres).await
}

/// The server crashes again and again, with transactions and commits on their way, and stays away for longer than a
/// lease once: workers wait for it, nobody takes anybody for dead, and nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_is_waited_for() -> Result<()> {
    const INTENTS: usize = 3_000;
    let mut cluster = Cluster::start()?;
    let database = Database::on_server(&cluster.url()).await?;
    let mut chaos = Chaos::on(database, backlog(INTENTS, 4), 16).await?;
    chaos.spawn()?;
    chaos.spawn()?;
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(200..500))).await;
        let away = if round == 3 { 2_000 } else { 50 };
        cluster.crash(Duration::from_millis(away))?;
    }
    chaos.drain(Duration::from_secs(120), |_| Ok(())).await?;
    let refused = chaos.stop()?;
    let judgement = chaos.judge(INTENTS, 0).await?;
    println!(
        "PostgreSQL: 8 crashes of the server, {refused} sessions lost; {} steps ran again",
        judgement.repeated
    );
    ensure!(refused == 0, "{refused} live workers were taken for dead");
    Ok(())
}
