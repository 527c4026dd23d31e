//! The races that one wait row decides (PROTOCOL P3), statement by statement, in every order: the last two steps that run in
//! other queues end at the same time; one ends while its intent parks; a message is sent, or counted, while its intent
//! begins to wait for it. Those of children are in `children.rs`.
//! The statements are the engine's own, in the order of a tick. And a checkpoint of a step
//! whose session is reaped.
//!
//! On PostgreSQL, where transactions run side by side. SQLite has one writer, which takes its turn before its first
//! statement, so there are no other orders than one after the other.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, orders, race, statement};
use sqlx::{PgExecutor, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

const STATEMENTS: usize = 5;

/// A tick that does one of these for a family.
#[derive(Debug, Clone, Copy)]
enum Tick {
    /// This step of the parent's, which ran in another queue, ends.
    End { task: Uuid },
    /// Somebody sends the parent a message.
    Send,
    /// New messages are counted; before that, if it sends, somebody sends one.
    Deliver { sends: bool },
    /// A step of the parent's begins to wait for a message, and the parent is parked until something more has come.
    Listen { wake_at: i64 },
    /// The parent is parked until so many have finished.
    Park { wake_at: i64 },
}

/// A tick on its way.
struct Running {
    pool: PgPool,
    parent: Uuid,
    tick: Tick,
    /// It has moved the parent.
    moves: bool,
}

impl Running {
    fn new(pool: &PgPool, parent: Uuid, tick: Tick) -> Self {
        Self {
            pool: pool.clone(),
            parent,
            tick,
            moves: false,
        }
    }
}

impl Side for Running {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        let Self {
            pool,
            parent,
            tick,
            moves,
        } = self;
        step(pool, tx, *parent, *tick, nth, moves).await
    }
}

async fn send(parent: Uuid, db: impl PgExecutor<'_>) -> Result<()> {
    let query = sqlx::query(statement("signal_insert")?)
        .bind(Uuid::now_v7())
        .bind(parent)
        .bind("approve")
        .bind(None::<String>)
        .bind("1")
        .bind(None::<String>);
    query.execute(db).await?;
    Ok(())
}

async fn step(
    pool: &PgPool,
    tx: &mut Transaction<'static, Postgres>,
    parent: Uuid,
    tick: Tick,
    nth: usize,
    moves: &mut bool,
) -> Result<()> {
    let parents = vec![parent];
    match (tick, nth) {
        (Tick::Send, 0) => {}
        (Tick::Send, 1) => send(parent, &mut **tx).await?,
        (Tick::Deliver { sends }, 0) => {
            if sends {
                send(parent, pool).await?;
            }
        }
        (Tick::Deliver { .. }, 1) => {
            let query = sqlx::query(statement("signal_deliver")?).bind(1_000i64);
            let whose = query.fetch_all(&mut **tx).await?;
            *moves = whose.iter().any(|row| row.get::<Uuid, _>(0) == parent);
            let query = sqlx::query(statement("wait_lock")?).bind(parents);
            query.fetch_all(&mut **tx).await?;
        }
        (_, 0) => {
            let query = sqlx::query(statement("wait_lock")?).bind(parents);
            query.fetch_all(&mut **tx).await?;
        }
        (Tick::End { task }, 1) => {
            let query = sqlx::query(statement("routed_delete")?).bind(vec![task]);
            *moves = query.fetch_optional(&mut **tx).await?.is_some();
        }
        // Somebody else has said so: there is nothing to count.
        (Tick::End { .. }, 2) if !*moves => {}
        (Tick::End { .. }, 2) => {
            let query = sqlx::query(statement("wait_arrive")?)
                .bind(parents)
                .bind(vec![1i64]);
            *moves = query.fetch_one(&mut **tx).await?.get(1);
        }
        (Tick::End { .. }, _) if *moves => {
            let query = sqlx::query(statement("parked_ready")?).bind(parents);
            *moves = query.fetch_optional(&mut **tx).await?.is_some();
        }
        (Tick::Deliver { .. }, 2) if *moves => {
            let query = sqlx::query(statement("wait_count")?)
                .bind(parents)
                .bind(vec![1i64]);
            *moves = query.fetch_one(&mut **tx).await?.get(1);
        }
        (Tick::Deliver { .. }, 3) if *moves => {
            let query = sqlx::query(statement("parked_ready")?).bind(parents);
            *moves = query.fetch_optional(&mut **tx).await?.is_some();
        }
        (Tick::Listen { .. }, 1) => {
            let query = sqlx::query(statement("wait_open")?).bind(parents);
            query.execute(&mut **tx).await?;
        }
        (Tick::Listen { .. }, 2) => {
            let query = sqlx::query(statement("awaited_insert")?)
                .bind(parents.clone())
                .bind(vec!["ask"])
                .bind(vec![1i64])
                .bind(vec!["approve"])
                .bind(vec!["signal"])
                .bind(vec![None::<i64>]);
            query.execute(&mut **tx).await?;
            let query = sqlx::query(statement("signal_take")?).bind(parents);
            *moves = query.fetch_all(&mut **tx).await?.is_empty();
        }
        (Tick::Listen { wake_at }, 3) => {
            let query = sqlx::query(statement("wait_set")?)
                .bind(parents.clone())
                .bind(vec![wake_at]);
            let stays: bool = query.fetch_one(&mut **tx).await?.get(1);
            *moves &= !stays;
            if *moves {
                let query = sqlx::query(statement("parked_insert")?)
                    .bind(parents)
                    .bind(vec!["child"])
                    .bind(vec![None::<i64>]);
                query.execute(&mut **tx).await?;
            }
        }
        (Tick::Send | Tick::Deliver { .. } | Tick::Listen { .. }, _) => {}
        (Tick::Park { wake_at }, 1) => {
            let query = sqlx::query(statement("wait_set")?)
                .bind(parents)
                .bind(vec![wake_at]);
            let stays: bool = query.fetch_one(&mut **tx).await?.get(1);
            *moves = !stays;
        }
        (Tick::Park { .. }, 2) if *moves => {
            let query = sqlx::query(statement("parked_insert")?)
                .bind(parents)
                .bind(vec!["child"])
                .bind(vec![None::<i64>]);
            query.execute(&mut **tx).await?;
        }
        (Tick::End { .. } | Tick::Park { .. }, _) => {}
    }
    Ok(())
}

/// An intent with two steps in other queues, in rows.
struct Family {
    parent: Uuid,
    routed: [Uuid; 2],
}

impl Family {
    async fn new(pool: &PgPool, arrived: i64, parked_until: Option<i64>) -> Result<Self> {
        let parent = Uuid::now_v7();
        sqlx::query(
            "insert into intendant.intent (id, kind, queue, input, position, requested_at, root_id)
             values ($1, 'family', 'default', '1', 0, to_timestamp(0), $1)",
        )
        .bind(parent)
        .execute(pool)
        .await?;
        sqlx::query("insert into intendant.wait (intent_id, arrived, wake_at) values ($1, $2, $3)")
            .bind(parent)
            .bind(arrived)
            .bind(parked_until)
            .execute(pool)
            .await?;
        if parked_until.is_some() {
            sqlx::query("insert into intendant.parked (intent_id, reason) values ($1, 'child')")
                .bind(parent)
                .execute(pool)
                .await?;
        }
        let routed = [(); 2].map(|()| Uuid::now_v7());
        for task in routed {
            sqlx::query(
                "insert into intendant.routed (task_id, intent_id, step, generation, queue, kind, position, input, sent_at)
                 values ($1, $2, $1::text, 1, 'network', 'family', 0, '1', to_timestamp(0))",
            )
            .bind(task)
            .bind(parent)
            .execute(pool)
            .await?;
        }
        Ok(Self { parent, routed })
    }

    /// How often the parent is parked, how often it is in line, how many ends have been counted.
    async fn places(&self, pool: &PgPool) -> Result<(i64, i64, i64)> {
        let row = sqlx::query(
            "select (select count(*) from intendant.parked where intent_id = $1),
                    (select count(*) from intendant.ready where intent_id = $1),
                    (select arrived from intendant.wait where intent_id = $1)",
        );
        let row = row.bind(self.parent).fetch_one(pool).await?;
        Ok((row.get(0), row.get(1), row.get(2)))
    }
}

/// Runs two ticks of one family in one order. Returns which of them moved the parent.
async fn both(pool: &PgPool, parent: Uuid, ticks: [Tick; 2], order: u32) -> Result<[bool; 2]> {
    let sides = ticks.map(|tick| Running::new(pool, parent, tick));
    let (first, second) = race(pool, sides.into(), STATEMENTS, order).await?;
    Ok([first.moves, second.moves])
}

#[tokio::test]
async fn when_the_last_two_routed_steps_end_together_one_of_them_puts_the_intent_back_in_line()
-> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut by = [0, 0];
    for order in orders(STATEMENTS) {
        let family = Family::new(&pool, 5, Some(7)).await?;
        let ticks = family.routed.map(|task| Tick::End { task });
        let moved = both(&pool, family.parent, ticks, order).await?;
        let places = family.places(&pool).await?;
        ensure!(places == (0, 1, 7), "{order:b}: {places:?}");
        ensure!(moved[0] != moved[1], "{order:b}: {moved:?}");
        by[usize::from(moved[1])] += 1;
    }
    ensure!(by[0] > 0 && by[1] > 0, "{by:?}");
    Ok(())
}

#[tokio::test]
async fn a_routed_step_of_which_two_say_that_it_has_ended_counts_once() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    for order in orders(STATEMENTS) {
        let family = Family::new(&pool, 5, Some(7)).await?;
        let task = family.routed[0];
        let ticks = [Tick::End { task }; 2];
        let moved = both(&pool, family.parent, ticks, order).await?;
        let places = family.places(&pool).await?;
        ensure!(places == (1, 0, 6), "{order:b}: {places:?}");
        ensure!(moved == [false; 2], "{order:b}: {moved:?}");
    }
    Ok(())
}

#[tokio::test]
async fn when_a_routed_step_ends_while_its_intent_parks_the_second_of_them_sees_the_other()
-> Result<()> {
    second_sees_the_other(|family| Tick::End {
        task: family.routed[0],
    })
    .await
}

/// A tick by itself.
async fn alone(pool: &PgPool, parent: Uuid, tick: Tick) -> Result<bool> {
    let mut tx = pool.begin().await?;
    let mut moves = false;
    for nth in 0..STATEMENTS - 1 {
        step(pool, &mut tx, parent, tick, nth, &mut moves).await?;
    }
    tx.commit().await?;
    Ok(moves)
}

/// Whether its wait row is there before it waits: one for earlier children, or none.
async fn listeners(pool: &PgPool, has_wait: bool) -> Result<(Family, Tick)> {
    let family = Family::new(pool, 5, None).await?;
    if has_wait {
        return Ok((family, Tick::Listen { wake_at: 6 }));
    }
    sqlx::query("delete from intendant.wait where intent_id = $1")
        .bind(family.parent)
        .execute(pool)
        .await?;
    Ok((family, Tick::Listen { wake_at: 1 }))
}

/// A message is sent and counted while its intent begins to wait for it and parks.
async fn sent_and_counted(has_wait: bool) -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let (mut woken, mut stayed) = (0, 0);
    for order in orders(STATEMENTS) {
        let (family, listen) = listeners(&pool, has_wait).await?;
        let ticks = [Tick::Deliver { sends: true }, listen];
        let moved = both(&pool, family.parent, ticks, order).await?;
        let places = family.places(&pool).await?;
        match moved {
            // It was parked, and whoever has counted the message has put it back in line.
            [true, true] => ensure!((places.0, places.1) == (0, 1), "{order:b}: {places:?}"),
            // The message was there: it was not parked, and its worker goes on with it.
            [false, false] => ensure!((places.0, places.1) == (0, 0), "{order:b}: {places:?}"),
            other => anyhow::bail!("{order:b}: {other:?}, {places:?}"),
        }
        woken += u32::from(moved[1]);
        stayed += u32::from(!moved[1]);
    }
    ensure!(woken > 0 && stayed > 0, "{woken} woken, {stayed} stayed");
    Ok(())
}

/// A message is sent in a transaction that stays open for a while, and counted afterwards.
async fn sent_slowly(has_wait: bool) -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let (mut woken, mut stayed) = (0, 0);
    for order in orders(STATEMENTS) {
        let (family, listen) = listeners(&pool, has_wait).await?;
        let [_, parked] = both(&pool, family.parent, [Tick::Send, listen], order).await?;
        let readied = alone(&pool, family.parent, Tick::Deliver { sends: false }).await?;
        let places = family.places(&pool).await?;
        ensure!(readied == parked, "{order:b}: {readied}, {parked}");
        ensure!(
            (places.0, places.1) == (0, i64::from(parked)),
            "{order:b}: {places:?}"
        );
        woken += u32::from(parked);
        stayed += u32::from(!parked);
    }
    ensure!(woken > 0 && stayed > 0, "{woken} woken, {stayed} stayed");
    Ok(())
}

#[tokio::test]
async fn when_a_message_is_counted_while_its_intent_parks_the_second_of_them_sees_the_other()
-> Result<()> {
    sent_and_counted(true).await
}

#[tokio::test]
async fn when_a_message_is_counted_for_an_intent_that_has_not_waited_before_it_is_the_same()
-> Result<()> {
    sent_and_counted(false).await
}

#[tokio::test]
async fn a_message_whose_transaction_stays_open_keeps_nobody_waiting_and_is_not_lost() -> Result<()>
{
    sent_slowly(true).await
}

#[tokio::test]
async fn a_message_whose_transaction_stays_open_for_one_that_has_not_waited_before_is_not_lost()
-> Result<()> {
    sent_slowly(false).await
}

/// Something comes to its end while the parent parks.
async fn second_sees_the_other(ends: impl Fn(&Family) -> Tick) -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let (mut woken, mut stayed) = (0, 0);
    for order in orders(STATEMENTS) {
        let family = Family::new(&pool, 5, None).await?;
        let ticks = [ends(&family), Tick::Park { wake_at: 6 }];
        let moved = both(&pool, family.parent, ticks, order).await?;
        let places = family.places(&pool).await?;
        match moved {
            // It was parked, and the step's end has put it back in line.
            [true, true] => {
                ensure!(places == (0, 1, 6), "{order:b}: {places:?}");
                woken += 1;
            }
            // The step had ended: it was not parked, and its worker goes on with it.
            [false, false] => {
                ensure!(places == (0, 0, 6), "{order:b}: {places:?}");
                stayed += 1;
            }
            other => anyhow::bail!("{order:b}: {other:?}, {places:?}"),
        }
    }
    ensure!(woken > 0 && stayed > 0, "{woken} woken, {stayed} stayed");
    Ok(())
}

/// One of the two that meet at a session which was taken for dead: a checkpoint of its step, or the reaper.
enum AtDeath {
    Checkpoint { ids: Ids, kept: bool, refused: bool },
    Reap { ids: Ids },
}

#[derive(Clone, Copy)]
struct Ids {
    session: Uuid,
    lease: Uuid,
    intent: Uuid,
}

impl Side for AtDeath {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        match (self, nth) {
            (Self::Checkpoint { ids, refused, .. }, 0) => {
                let query = sqlx::query(statement("once_fence")?)
                    .bind(ids.session)
                    .bind(ids.lease)
                    .bind(ids.intent);
                *refused = query.fetch_optional(&mut **tx).await?.is_none();
            }
            (Self::Checkpoint { ids, refused, .. }, 1) if !*refused => {
                let query = sqlx::query(statement("checkpoint_step")?)
                    .bind(ids.intent)
                    .bind("run")
                    .bind(1i64)
                    .bind(1i64)
                    .bind(0i64)
                    .bind("w");
                *refused = query.fetch_optional(&mut **tx).await?.is_none();
            }
            (Self::Checkpoint { ids, refused, kept }, 2) if !*refused => {
                let query = sqlx::query(statement("checkpoint_insert")?)
                    .bind(ids.intent)
                    .bind("run")
                    .bind(1i64)
                    .bind(1i64)
                    .bind("7")
                    .bind("w");
                query.execute(&mut **tx).await?;
                *kept = true;
            }
            (Self::Reap { ids }, 0) => {
                let query = sqlx::query(statement("session_lock")?)
                    .bind(ids.session)
                    .bind(-1i64);
                query.fetch_all(&mut **tx).await?;
            }
            (Self::Reap { ids }, 1) => {
                let query = sqlx::query(statement("session_leases_delete")?).bind(ids.session);
                query.execute(&mut **tx).await?;
            }
            (Self::Reap { ids }, 2) => {
                let query = sqlx::query(statement("session_delete")?).bind(ids.session);
                query.execute(&mut **tx).await?;
            }
            (Self::Checkpoint { .. } | Self::Reap { .. }, _) => {}
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_checkpoint_is_on_disk_before_its_session_is_reaped_or_not_at_all() -> Result<()> {
    const TURNS: usize = 4;
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let (mut before, mut never) = (0, 0);
    for order in orders(TURNS) {
        let [session, lease, intent] = [(); 3].map(|()| Uuid::now_v7());
        sqlx::query(
            "insert into intendant.session (id, worker, host, pid, build, lease_ms, started_at, beat_at)
             values ($1, 'w', 'h', 1, 'b', 1000, now(), now())",
        )
        .bind(session)
        .execute(&pool)
        .await?;
        sqlx::query(
            "insert into intendant.lease (id, session_id, claimed_at, tasks) values ($1, $2, now(), array[$3])",
        )
        .bind(lease)
        .bind(session)
        .bind(intent)
        .execute(&pool)
        .await?;
        let ids = Ids {
            session,
            lease,
            intent,
        };
        let checkpoint = AtDeath::Checkpoint {
            ids,
            kept: false,
            refused: false,
        };
        let (checkpoint, _) =
            race(&pool, (checkpoint, AtDeath::Reap { ids }), TURNS, order).await?;
        let kept = sqlx::query("select count(*) from intendant.checkpoint where intent_id = $1");
        let kept: i64 = kept.bind(intent).fetch_one(&pool).await?.get(0);
        match checkpoint {
            AtDeath::Checkpoint {
                kept: true,
                refused: false,
                ..
            } => {
                ensure!(kept == 1, "{order:b}");
                before += 1;
            }
            AtDeath::Checkpoint {
                kept: false,
                refused: true,
                ..
            } => {
                ensure!(kept == 0, "{order:b}");
                never += 1;
            }
            AtDeath::Checkpoint { .. } | AtDeath::Reap { .. } => {
                anyhow::bail!("{order:b}: neither kept nor refused")
            }
        }
    }
    ensure!(before > 10 && never > 10, "{before} kept, {never} refused");
    Ok(())
}
