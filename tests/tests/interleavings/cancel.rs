//! Cancel against what a worker does at the same time, statement by statement, in every order: a finish, a parking, a claim
//! of what is in line, a promotion of what is parked. Each time one of them wins, and both agree on who. The statements are
//! the engine's own, in the order of a tick and of a cancel.
//!
//! On PostgreSQL, where transactions run side by side. SQLite has one writer, which takes its turn before its first
//! statement, so there are no other orders than one after the other.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{self, race, statement};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

const STATEMENTS: usize = 5;

/// One intent, and the session that holds it or would claim it.
#[derive(Debug, Clone, Copy)]
struct Scene {
    intent: Uuid,
    session: Uuid,
    lease: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Finish,
    Park,
    Claim,
    Promote,
    Cancel,
}

/// What a side came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Came {
    /// Nothing yet, or it gave way to the other one.
    #[default]
    Nothing,
    /// A tick did what it was to do; a cancel ended the intent.
    Done,
    /// A tick saw that the intent is to stop; a cancel asked for that.
    Stopping,
    /// A cancel has found the intent finished.
    Late,
    /// A cancel has found that something has moved: it begins anew.
    Moved,
}

/// What a cancel saw last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    finished: bool,
    session: Option<Uuid>,
    parked: Option<String>,
    ready: Option<bool>,
}

struct Actor {
    side: Side,
    scene: Scene,
    came: Came,
    seen: Seen,
}

impl orders::Side for Actor {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        match (self.side, nth) {
            (Side::Cancel, _) => self.cancel(tx, nth).await,
            (_, 0) => self.fence(tx).await,
            (side, _) if self.came == Came::Stopping && side != Side::Claim => Ok(()),
            (Side::Finish, 1) => {
                let query = sqlx::query(statement("success_insert")?)
                    .bind(vec![self.scene.intent])
                    .bind(vec!["race"])
                    .bind(vec![None::<String>])
                    .bind(vec![0i64])
                    .bind(vec![0i64])
                    .bind(vec!["1"])
                    .bind(vec![None::<String>]);
                query.execute(&mut **tx).await?;
                self.came = Came::Done;
                Ok(())
            }
            (Side::Park, 1) => {
                let query = sqlx::query(statement("parked_insert")?)
                    .bind(vec![self.scene.intent])
                    .bind(vec!["snooze"])
                    .bind(vec![Some(1i64)]);
                query.execute(&mut **tx).await?;
                self.came = Came::Done;
                Ok(())
            }
            (Side::Finish | Side::Park, 2) => {
                let query = sqlx::query(statement("lease_delete")?)
                    .bind(self.scene.session)
                    .bind(vec![self.scene.lease]);
                query.execute(&mut **tx).await?;
                Ok(())
            }
            (Side::Claim, 1) => {
                let query = sqlx::query(statement("claim_take")?)
                    .bind("default")
                    .bind(vec!["race"])
                    .bind(1i64);
                if query.fetch_optional(&mut **tx).await?.is_some() {
                    self.came = Came::Done;
                }
                Ok(())
            }
            (Side::Claim, 2) if self.came == Came::Done => {
                let query = sqlx::query(statement("started_load")?).bind(vec![self.scene.intent]);
                let row = query.fetch_optional(&mut **tx).await?;
                if row.is_some_and(|row| row.get::<Option<String>, _>(4).is_some()) {
                    self.came = Came::Stopping;
                }
                Ok(())
            }
            (Side::Claim, 3) if self.came != Came::Nothing => {
                let query = sqlx::query(statement("lease_insert")?)
                    .bind(self.scene.lease)
                    .bind(self.scene.session)
                    .bind(0i64)
                    .bind(false)
                    .bind(vec![self.scene.intent]);
                query.execute(&mut **tx).await?;
                Ok(())
            }
            (Side::Promote, 1) => {
                let query = sqlx::query(statement("parked_due")?).bind(10i64);
                if query.fetch_optional(&mut **tx).await?.is_some() {
                    self.came = Came::Done;
                }
                Ok(())
            }
            (Side::Finish | Side::Park | Side::Claim | Side::Promote, _) => Ok(()),
        }
    }
}

impl Actor {
    fn new(side: Side, scene: Scene) -> Self {
        Self {
            side,
            scene,
            came: Came::Nothing,
            seen: Seen::default(),
        }
    }

    /// The first statement of a tick, and, if it says that there is something to stop, the look for what it is.
    async fn fence(&mut self, tx: &mut Transaction<'static, Postgres>) -> Result<()> {
        let query = sqlx::query(statement("tick_fence")?)
            .bind(self.scene.session)
            .bind(1i64)
            .bind(false);
        let cancels: i64 = query.fetch_one(&mut **tx).await?.get(0);
        if cancels > 0 {
            let query = sqlx::query(statement("cancel_of_session")?).bind(self.scene.session);
            if query.fetch_optional(&mut **tx).await?.is_some() {
                self.came = Came::Stopping;
            }
        }
        Ok(())
    }

    async fn look(&mut self, tx: &mut Transaction<'static, Postgres>) -> Result<()> {
        let query = sqlx::query(statement("cancel_look")?).bind(vec![self.scene.intent]);
        let row = query.fetch_one(&mut **tx).await?;
        self.seen = Seen {
            finished: row.get::<Option<String>, _>(3).is_some(),
            session: row.get(4),
            parked: row.get(5),
            ready: row.get(7),
        };
        if self.seen.finished {
            self.came = Came::Late;
        }
        Ok(())
    }

    async fn cancel(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        let intents = vec![self.scene.intent];
        match nth {
            0 => self.look(tx).await?,
            _ if matches!(self.came, Came::Late | Came::Moved) => {}
            1 if self.seen.session.is_some() => {
                let query =
                    sqlx::query(statement("cancel_session")?).bind(vec![self.scene.session]);
                ensure!(query.fetch_optional(&mut **tx).await?.is_some());
            }
            1 => {
                let query = sqlx::query(statement("cancel_hold")?).bind(intents);
                let row = query.fetch_optional(&mut **tx).await?;
                let there = row.map(|row| (row.get::<String, _>(1), row.get::<bool, _>(2)));
                let expected = match (&self.seen.parked, self.seen.ready) {
                    (Some(reason), _) => ("parked".to_owned(), reason != "start time"),
                    (None, begun) => ("ready".to_owned(), begun.unwrap_or(true)),
                };
                if there != Some(expected) {
                    self.came = Came::Moved;
                }
            }
            2 if self.seen.session.is_some() => {
                self.look(tx).await?;
                if self.came != Came::Late && self.seen.session.is_none() {
                    self.came = Came::Moved;
                }
            }
            2 => {
                let take = match (&self.seen.parked, self.seen.ready) {
                    (Some(_), _) => "parked_take",
                    (None, Some(false)) => "ready_take",
                    (None, _) => return Ok(()),
                };
                let query = sqlx::query(statement(take)?).bind(intents);
                ensure!(query.fetch_optional(&mut **tx).await?.is_some());
            }
            3 if self.seen.ready == Some(false) => {
                let query = sqlx::query(statement("outcome_cancel")?)
                    .bind(intents)
                    .bind(vec!["cancelled by ada"]);
                query.execute(&mut **tx).await?;
                self.came = Came::Done;
            }
            3 => {
                let query = sqlx::query(statement("cancel_insert")?)
                    .bind("ada")
                    .bind(intents.clone())
                    .bind(vec![None::<String>]);
                query.execute(&mut **tx).await?;
                if self.seen.parked.is_some() {
                    let query = sqlx::query(statement("ready_insert")?)
                        .bind(intents)
                        .bind(vec![0i64])
                        .bind(vec![true])
                        .bind(vec![false]);
                    query.execute(&mut **tx).await?;
                }
                self.came = Came::Stopping;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Scene {
    /// An intent where a side wants it: leased, in line, or parked and due. `begun`: something of it has begun.
    async fn new(pool: &PgPool, side: Side, begun: bool) -> Result<Self> {
        let scene = Self {
            intent: Uuid::now_v7(),
            session: Uuid::new_v4(),
            lease: Uuid::now_v7(),
        };
        sqlx::query(
            "insert into intendant.session (id, worker, host, pid, build, lease_ms, started_at, beat_at)
             values ($1, 'w', 'h', 1, 'b', 15000, now(), now())",
        )
        .bind(scene.session)
        .execute(pool)
        .await?;
        sqlx::query(
            "insert into intendant.intent (id, kind, queue, input, position, requested_at, root_id)
             values ($1, 'race', 'default', '1', 0, to_timestamp(0), $1)",
        )
        .bind(scene.intent)
        .execute(pool)
        .await?;
        if begun {
            let sql = "insert into intendant.started (intent_id, started_at) values ($1, now())";
            sqlx::query(sql).bind(scene.intent).execute(pool).await?;
        }
        let place = match side {
            Side::Finish | Side::Park | Side::Cancel => {
                "insert into intendant.lease (id, session_id, claimed_at, tasks)
                 select $2, $3, now(), array[$1::uuid] where not $4"
            }
            Side::Claim => {
                "insert into intendant.ready (queue, kind, position, intent_id, started, locks)
                 select 'default', 'race', 0, $1, $4, false where $2::uuid <> $3::uuid"
            }
            Side::Promote => {
                "insert into intendant.parked (intent_id, reason, due_at)
                 select $1, 'snooze', to_timestamp(0) where $4 and $2::uuid <> $3::uuid"
            }
        };
        let query = sqlx::query(place).bind(scene.intent).bind(scene.lease);
        let placed = query.bind(scene.session).bind(begun).execute(pool).await?;
        ensure!(placed.rows_affected() == 1);
        Ok(scene)
    }

    /// Where it is: leased, parked, in line, asked to stop, and its outcome.
    async fn places(&self, pool: &PgPool) -> Result<(i64, i64, i64, i64, Option<String>)> {
        let row = sqlx::query(
            "select (select count(*) from intendant.lease where $1 = any (tasks)),
                    (select count(*) from intendant.parked where intent_id = $1),
                    (select count(*) from intendant.ready where intent_id = $1),
                    (select count(*) from intendant.cancel where intent_id = $1),
                    (select state from intendant.outcome where intent_id = $1)",
        );
        let row = row.bind(self.intent).fetch_one(pool).await?;
        Ok((row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
    }

    async fn clear(&self, pool: &PgPool) -> Result<()> {
        for table in ["lease", "parked", "ready", "cancel"] {
            let sql = format!("delete from intendant.{table}");
            sqlx::query(AssertSqlSafe(sql)).execute(pool).await?;
        }
        Ok(())
    }
}

/// Runs every order of a race, and counts what both came to.
async fn every_order(
    side: Side,
    begun: bool,
    check: impl Fn([Came; 2], (i64, i64, i64, i64, Option<&str>)) -> bool,
) -> Result<std::collections::BTreeMap<String, usize>> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut seen = std::collections::BTreeMap::new();
    for order in orders::orders(STATEMENTS) {
        let scene = Scene::new(&pool, side, begun).await?;
        let sides = (Actor::new(side, scene), Actor::new(Side::Cancel, scene));
        let (tick, cancel) = race(&pool, sides, STATEMENTS, order).await?;
        let came = [tick.came, cancel.came];
        let (leased, parked, ready, asked, outcome) = scene.places(&pool).await?;
        ensure!(
            check(came, (leased, parked, ready, asked, outcome.as_deref())),
            "{order:b}: {came:?}, {leased} leased, {parked} parked, {ready} ready, {asked} asked, {outcome:?}"
        );
        *seen.entry(format!("{came:?}")).or_insert(0) += 1;
        scene.clear(&pool).await?;
    }
    println!("{side:?}: {seen:?}");
    Ok(seen)
}

#[tokio::test]
async fn against_a_finish_whoever_commits_first_has_won() -> Result<()> {
    let seen = every_order(Side::Finish, false, |came, places| match came {
        // Finished, and the cancel says so.
        [Came::Done, Came::Late] => places == (0, 0, 0, 0, Some("succeeded")),
        // Asked to stop, and the tick has left its success out and the task in its lease.
        [Came::Stopping, Came::Stopping] => places == (1, 0, 0, 1, None),
        _ => false,
    })
    .await?;
    ensure!(
        seen.len() == 2 && seen.values().all(|count| *count > 20),
        "{seen:?}"
    );
    Ok(())
}

#[tokio::test]
async fn against_a_parking_the_cancel_sees_where_it_is_or_keeps_it_from_being_parked() -> Result<()>
{
    let seen = every_order(Side::Park, false, |came, places| match came {
        // It kept it in its lease.
        [Came::Stopping, Came::Stopping] => places == (1, 0, 0, 1, None),
        // It was parked before: the cancel began anew, or found it there.
        [Came::Done, Came::Moved] => places == (0, 1, 0, 0, None),
        [Came::Done, Came::Stopping] => places == (0, 0, 1, 1, None),
        _ => false,
    })
    .await?;
    ensure!(seen.len() >= 2, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn against_a_claim_one_of_them_has_the_task() -> Result<()> {
    let seen = every_order(Side::Claim, false, |came, places| match came {
        [Came::Nothing, Came::Done] => places == (0, 0, 0, 0, Some("cancelled")),
        // Claimed: the cancel begins anew, or has found it in the lease, of which the next tick hears.
        [Came::Done, Came::Moved] => places == (1, 0, 0, 0, None),
        [Came::Done, Came::Stopping] => places == (1, 0, 0, 1, None),
        _ => false,
    })
    .await?;
    ensure!(seen.len() >= 2, "{seen:?}");
    // Of one that has begun, whoever claims it after the cancel knows of it.
    let seen = every_order(Side::Claim, true, |came, places| match came {
        [Came::Nothing, Came::Stopping] => places == (0, 0, 1, 1, None),
        [Came::Stopping, Came::Stopping] => places == (1, 0, 0, 1, None),
        [Came::Done, Came::Moved] => places == (1, 0, 0, 0, None),
        [Came::Done, Came::Stopping] => places == (1, 0, 0, 1, None),
        _ => false,
    })
    .await?;
    ensure!(seen.len() >= 3, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn against_a_promotion_one_of_them_has_the_task() -> Result<()> {
    let seen = every_order(Side::Promote, true, |came, places| match came {
        [Came::Nothing, Came::Stopping] => places == (0, 0, 1, 1, None),
        [Came::Done, Came::Moved] => places == (0, 0, 1, 0, None),
        [Came::Done, Came::Stopping] => places == (0, 0, 1, 1, None),
        _ => false,
    })
    .await?;
    ensure!(seen.len() >= 2, "{seen:?}");
    Ok(())
}
