//! A schedule's ticks, statement by statement, in every order: two schedulers at one tick, a scheduler and a person who pauses,
//! two schedulers at what a person has asked for, a first declaration twice. The statements are the engine's own.

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, orders, race, statement};
use sqlx::{PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

/// The tick that both are at, in microseconds since 1970, and the one after it.
const TICK: i64 = 1_893_456_000_000_000;
const NEXT: i64 = TICK + 3_600_000_000;

/// Of three statements, and the COMMIT.
const TURNS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Decide the tick that is due.
    Decide,
    /// Carry out what was asked for.
    Carry,
    Pause,
    Declare,
}

struct Wants {
    wish: Wish,
    intent: Uuid,
    version: i64,
    is_due: bool,
    has_it: bool,
}

impl Wants {
    fn to(wish: Wish) -> Self {
        Self {
            wish,
            intent: Uuid::now_v7(),
            version: 0,
            is_due: false,
            has_it: false,
        }
    }

    /// What came of the tick, in the commit that decides it.
    async fn record(&self, tx: &mut Transaction<'static, Postgres>, sort: &str) -> Result<()> {
        sqlx::query(statement("tick_insert")?)
            .bind("hourly")
            .bind(sort)
            .bind("worker")
            .bind(None::<&str>)
            .bind(None::<&str>)
            .bind(vec![TICK])
            .bind(vec!["requested"])
            .bind(vec![self.intent])
            .bind(vec![None::<String>])
            .bind(vec![1i64])
            .bind(vec![None::<i64>])
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

impl Side for Wants {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        match (self.wish, nth) {
            (Wish::Decide, 0) => {
                let query = sqlx::query(statement("schedule_load")?).bind(vec!["hourly"]);
                let row = query.fetch_one(&mut **tx).await?;
                self.version = row.try_get(14)?;
                let last: DateTime<Utc> = row.try_get(11)?;
                self.is_due = last.timestamp_micros() < TICK;
            }
            (Wish::Decide, 1) if self.is_due => {
                let query = sqlx::query(statement("schedule_advance")?)
                    .bind("hourly")
                    .bind(self.version)
                    .bind(TICK)
                    .bind(NEXT);
                self.has_it = query.fetch_optional(&mut **tx).await?.is_some();
            }
            (Wish::Decide, _) if self.has_it => self.record(tx, "due").await?,
            (Wish::Carry, 0) => {
                let query = sqlx::query(statement("tick_carry")?)
                    .bind("hourly")
                    .bind(TICK);
                self.has_it = query.fetch_optional(&mut **tx).await?.is_some();
            }
            (Wish::Carry, 1) if self.has_it => self.record(tx, "hand").await?,
            (Wish::Pause, 1) => {
                let query = sqlx::query(statement("schedule_pause")?);
                let query = query.bind("hourly").bind("ada").bind(None::<&str>);
                self.has_it = query.fetch_optional(&mut **tx).await?.is_some();
            }
            (Wish::Declare, 1) => self.has_it = declare(&mut **tx, "new").await?,
            _ => {
                sqlx::query("select 1").execute(&mut **tx).await?;
            }
        }
        Ok(())
    }
}

async fn declare(
    executor: impl sqlx::Executor<'_, Database = Postgres>,
    name: &str,
) -> Result<bool> {
    let query = sqlx::query(statement("schedule_insert")?)
        .bind(name.to_owned())
        .bind("report")
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(3_600_000_000i64)
        .bind(None::<i64>)
        .bind("latest")
        .bind(1i64)
        .bind("exclusive")
        .bind(1i64)
        .bind("worker")
        .bind(TICK - 1)
        .bind(TICK);
    Ok(query.fetch_optional(executor).await?.is_some())
}

/// Runs both in every order, and hands over what came of it: who had it, and how many ticks are decided.
async fn every_order(
    wishes: (Wish, Wish),
    mut judge: impl FnMut(bool, bool, i64, i64) -> bool,
) -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut by = [0, 0];
    for order in orders(TURNS) {
        sqlx::raw_sql("delete from intendant.schedule_tick; delete from intendant.schedule")
            .execute(&pool)
            .await?;
        ensure!(declare(&pool, "hourly").await?);
        if wishes.0 == Wish::Carry {
            sqlx::query(
                "insert into intendant.schedule_tick (schedule, at, sort, state, decided_at, asked_by) \
                 values ('hourly', 'epoch'::timestamptz + $1::bigint * interval '1 microsecond', 'hand', 'asked', now(), 'ada')",
            )
            .bind(TICK)
            .execute(&pool)
            .await?;
        }
        let sides = (Wants::to(wishes.0), Wants::to(wishes.1));
        let (first, second) = race(&pool, sides, TURNS, order).await?;
        let (ticks, version): (i64, i64) = sqlx::query_as(
            "select (select count(*) from intendant.schedule_tick where state = 'requested'), \
             (select version from intendant.schedule where name = 'hourly')",
        )
        .fetch_one(&pool)
        .await?;
        ensure!(
            judge(first.has_it, second.has_it, ticks, version),
            "{order:b}: {} {}, {ticks} ticks, version {version}",
            first.has_it,
            second.has_it
        );
        by[0] += u32::from(first.has_it);
        by[1] += u32::from(second.has_it);
    }
    ensure!(by[0] > 5 && by[1] > 5, "{by:?}");
    Ok(())
}

#[tokio::test]
async fn of_two_schedulers_at_one_tick_one_decides_it() -> Result<()> {
    every_order(
        (Wish::Decide, Wish::Decide),
        |first, second, ticks, version| first != second && ticks == 1 && version == 2,
    )
    .await
}

#[tokio::test]
async fn what_a_person_has_asked_for_is_carried_out_by_one_of_two() -> Result<()> {
    every_order((Wish::Carry, Wish::Carry), |first, second, ticks, _| {
        first != second && ticks == 1
    })
    .await
}

#[tokio::test]
async fn a_pause_is_before_a_tick_or_after_it() -> Result<()> {
    every_order(
        (Wish::Decide, Wish::Pause),
        |decided, paused, ticks, version| {
            paused && ticks == i64::from(decided) && version == 2 + ticks
        },
    )
    .await
}

#[tokio::test]
async fn of_two_that_declare_a_schedule_one_writes_it_down() -> Result<()> {
    every_order((Wish::Declare, Wish::Declare), |first, second, _, _| {
        first != second
    })
    .await
}
