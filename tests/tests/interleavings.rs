//! The races that one wait row decides (PROTOCOL P3), statement by statement, in every order: the last two children of a
//! parent finish at the same time; a child finishes while its parent parks; the same with steps that run in other queues.
//! The statements are the engine's own, in the order of a tick.
//!
//! On PostgreSQL, where transactions run side by side. SQLite has one writer, which takes its turn before its first
//! statement, so there are no other orders than one after the other.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, orders, race, statement};
use sqlx::{PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

const STATEMENTS: usize = 5;

/// A tick that does one of these for a family.
#[derive(Debug, Clone, Copy)]
enum Tick {
    /// This child finishes.
    Finish { child: Uuid },
    /// This step of the parent's, which ran in another queue, ends.
    End { task: Uuid },
    /// The parent is parked until so many have finished.
    Park { wake_at: i64 },
}

/// A tick on its way.
struct Running {
    parent: Uuid,
    tick: Tick,
    /// It has moved the parent.
    moves: bool,
}

impl Running {
    fn new(parent: Uuid, tick: Tick) -> Self {
        Self {
            parent,
            tick,
            moves: false,
        }
    }
}

impl Side for Running {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        let Self {
            parent,
            tick,
            moves,
        } = self;
        step(tx, *parent, *tick, nth, moves).await
    }
}

async fn step(
    tx: &mut Transaction<'static, Postgres>,
    parent: Uuid,
    tick: Tick,
    nth: usize,
    moves: &mut bool,
) -> Result<()> {
    let parents = vec![parent];
    match (tick, nth) {
        (_, 0) => {
            let query = sqlx::query(statement("wait_lock")?).bind(parents);
            query.fetch_all(&mut **tx).await?;
        }
        (Tick::Finish { child }, 1) => {
            let query = sqlx::query(statement("success_insert")?)
                .bind(vec![child])
                .bind(vec!["child"])
                .bind(vec![None::<String>])
                .bind(vec![0i64])
                .bind(vec![0i64])
                .bind(vec!["1"])
                .bind(vec![None::<String>]);
            query.execute(&mut **tx).await?;
        }
        (Tick::End { task }, 1) => {
            let query = sqlx::query(statement("routed_delete")?).bind(vec![task]);
            *moves = query.fetch_optional(&mut **tx).await?.is_some();
        }
        // Somebody else has said so: there is nothing to count.
        (Tick::End { .. }, 2) if !*moves => {}
        (Tick::Finish { .. } | Tick::End { .. }, 2) => {
            let query = sqlx::query(statement("wait_arrive")?)
                .bind(parents)
                .bind(vec![1i64]);
            *moves = query.fetch_one(&mut **tx).await?.get(1);
        }
        (Tick::Finish { .. } | Tick::End { .. }, _) if *moves => {
            let query = sqlx::query(statement("parked_ready")?).bind(parents);
            *moves = query.fetch_optional(&mut **tx).await?.is_some();
        }
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
        (Tick::Finish { .. } | Tick::End { .. } | Tick::Park { .. }, _) => {}
    }
    Ok(())
}

/// A parent with two children and two steps in other queues, in rows.
struct Family {
    parent: Uuid,
    children: [Uuid; 2],
    routed: [Uuid; 2],
}

impl Family {
    async fn new(pool: &PgPool, arrived: i64, parked_until: Option<i64>) -> Result<Self> {
        let [parent, first, second] = [(); 3].map(|()| Uuid::now_v7());
        for id in [parent, first, second] {
            sqlx::query(
                "insert into intendant.intent (id, kind, queue, input, position, requested_at, root_id)
                 values ($1, 'family', 'default', '1', 0, to_timestamp(0), $1)",
            )
            .bind(id)
            .execute(pool)
            .await?;
        }
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
        Ok(Self {
            parent,
            children: [first, second],
            routed,
        })
    }

    /// How often the parent is parked, how often it is in line, how many have been counted.
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
    let sides = ticks.map(|tick| Running::new(parent, tick));
    let (first, second) = race(pool, sides.into(), STATEMENTS, order).await?;
    Ok([first.moves, second.moves])
}

#[tokio::test]
async fn when_the_last_two_children_finish_together_one_of_them_puts_the_parent_back_in_line()
-> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut by = [0, 0];
    for order in orders(STATEMENTS) {
        let family = Family::new(&pool, 5, Some(7)).await?;
        let ticks = family.children.map(|child| Tick::Finish { child });
        let moved = both(&pool, family.parent, ticks, order).await?;
        let places = family.places(&pool).await?;
        ensure!(places == (0, 1, 7), "{order:b}: {places:?}");
        ensure!(moved[0] != moved[1], "{order:b}: {moved:?}");
        by[usize::from(moved[1])] += 1;
    }
    ensure!(by[0] > 50 && by[1] > 50, "{by:?}");
    Ok(())
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
    ensure!(by[0] > 50 && by[1] > 50, "{by:?}");
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
async fn when_a_child_finishes_while_its_parent_parks_the_second_of_them_sees_the_other()
-> Result<()> {
    second_sees_the_other(|family| Tick::Finish {
        child: family.children[0],
    })
    .await
}

#[tokio::test]
async fn when_a_routed_step_ends_while_its_intent_parks_the_second_of_them_sees_the_other()
-> Result<()> {
    second_sees_the_other(|family| Tick::End {
        task: family.routed[0],
    })
    .await
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
            // It was parked, and the child has put it back in line.
            [true, true] => {
                ensure!(places == (0, 1, 6), "{order:b}: {places:?}");
                woken += 1;
            }
            // The child had finished: it was not parked, and its worker goes on with it.
            [false, false] => {
                ensure!(places == (0, 0, 6), "{order:b}: {places:?}");
                stayed += 1;
            }
            other => anyhow::bail!("{order:b}: {other:?}, {places:?}"),
        }
    }
    ensure!(woken > 50 && stayed > 50, "{woken} woken, {stayed} stayed");
    Ok(())
}
