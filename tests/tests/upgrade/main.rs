//! An upgrade under load: workers and a server of an older revision go on while the database is migrated and workers of this revision
//! begin beside them; workers of both are killed meanwhile.
//!
//! By hand, since the older revision is built first. That takes minutes the first time, and is kept under `target/upgrade`:
//!
//! ```sh
//! cargo test --workspace --test upgrade -- --nocapture
//! INTENDANT_UPGRADE_FROM=256f252 cargo test --workspace --test upgrade -- --nocapture   # 4793d85 or later
//! ```
//!
//! The older revision is the one before the newest migration, unless it is named.

mod asking;
mod older;
mod refusals;
mod shares;
mod side_by_side;

use std::time::Instant;

use anyhow::{Result, ensure};
use intendant::StoreKind;
use side_by_side::{BACKLOG, Ended, Revision, SLOTS, SideBySide};
use tokio::sync::Mutex;

/// Of the older revision. Those that are killed after the migration have no successors, and some are left in the end.
const OLD_WORKERS: usize = 5;

const NEW_WORKERS: usize = 2;

/// In each of them one worker of either revision is killed.
const ROUNDS: usize = 3;

/// One before the migration, and those of the rounds.
const KILLS: usize = 1 + 2 * ROUNDS;

/// The databases take turns: with the processes of both at once, two cores would be measured.
static TURN: Mutex<()> = Mutex::const_new(());

async fn upgraded_under_load(kind: StoreKind) -> Result<()> {
    let _turn = TURN.lock().await;
    let older = older::older()?;
    let mut site = SideBySide::on_the_older_schema(kind, older).await?;
    site.newer_does_not_start().await?;

    let begun = Instant::now();
    for _ in 0..OLD_WORKERS {
        site.start(Revision::Old)?;
    }
    site.await_kind().await?;
    site.ask(Revision::Old, BACKLOG).await?;
    site.kill(Revision::Old).await?;
    site.start(Revision::Old)?;
    site.all_at_work().await?;

    let migrated = site.migrate().await?;
    let at_migration = site.mark()?;
    site.older_does_not_start().await?;
    for _ in 0..NEW_WORKERS {
        site.start(Revision::New)?;
    }
    site.ask(Revision::New, BACKLOG).await?;
    for _ in 0..ROUNDS {
        site.top_up().await?;
        site.kill(Revision::Old).await?;
        site.older_does_not_start().await?;
        site.kill(Revision::New).await?;
        site.start(Revision::New)?;
    }

    let at_last_kill = site.mark()?;
    site.ask(Revision::Old, BACKLOG / 2).await?;
    site.ask(Revision::New, BACKLOG / 2).await?;
    let ended = site.end().await?;
    let beside = site.shares(at_migration)?;
    let left = site.shares(at_last_kill)?;
    println!(
        "{} from {} in {:?}: {migrated}; {} intents, {} of {KILLS} kills hit a running step; since the migration the older \
         workers have ended {} steps and the newer ones {}, {} intents were handed on from older to newer and {} the other way; \
         {} steps ran again, {} ticks were refused, {} intents quarantined and resumed",
        kind.as_str(),
        older.revision,
        begun.elapsed(),
        site.intents,
        site.hits,
        beside.old,
        beside.new,
        beside.to_new,
        beside.to_old,
        ended.repeated,
        ended.refused,
        ended.quarantined
    );
    check(&ended, site.hits)?;
    ensure!(
        beside.to_new > 0 && beside.to_old > 0,
        "what one revision has begun the other does not go on with: {beside:?}"
    );
    ensure!(
        left.old > 0 && left.new > 0,
        "not both have worked after the last kill: {left:?}"
    );
    Ok(())
}

/// The kills have hit something, and cost no more than kills do: a worker whose results are refused would do all of it again.
fn check(ended: &Ended, hits: usize) -> Result<()> {
    ensure!(
        hits >= KILLS / 2,
        "only {hits} of {KILLS} kills hit a running step"
    );
    // Those of its own slots and those for steps of the other queue; and as many that had ended and were not recorded yet.
    let most = KILLS * 4 * SLOTS;
    ensure!(
        ended.repeated <= most,
        "{} steps ran again, and {most} at most can have been hit",
        ended.repeated
    );
    ensure!(
        ended.quarantined <= KILLS / 3,
        "{} intents were quarantined",
        ended.quarantined
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_and_new_workers_share_the_work_of_an_upgrade_on_sqlite() -> Result<()> {
    upgraded_under_load(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_and_new_workers_share_the_work_of_an_upgrade_on_postgres() -> Result<()> {
    upgraded_under_load(StoreKind::Postgres).await
}
