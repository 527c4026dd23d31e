//! Permits of a queue with a rate, statement by statement, in every order: two sessions want one each. The statements are the
//! engine's own.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, orders, race, statement};
use sqlx::{PgPool, Postgres, Row as _, Transaction};

/// Of two statements and the COMMIT.
const TURNS: usize = 3;

/// Takes a permit: moves the theoretical arrival time by an hour, from what it finds or from now.
#[derive(Default)]
struct Takes {
    found: Option<DateTime<Utc>>,
    now: Option<DateTime<Utc>>,
}

const INTERVAL: TimeDelta = TimeDelta::hours(1);

impl Side for Takes {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        if nth == 0 {
            let query = sqlx::query(statement("slot_lock")?).bind(vec!["mail"]);
            let row = query.fetch_one(&mut **tx).await?;
            (self.found, self.now) = (row.get(6), row.get(7));
            return Ok(());
        }
        if nth > 1 {
            return Ok(());
        }
        let from = self.found.max(self.now).expect("a time");
        sqlx::query(statement("rate_take")?)
            .bind(vec!["mail"])
            .bind(vec![(from + INTERVAL).timestamp_micros()])
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

#[tokio::test]
async fn of_two_that_take_a_permit_the_second_one_finds_what_the_first_one_took() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut who_was_first = HashSet::new();
    for order in orders(TURNS) {
        sqlx::raw_sql(
            "delete from intendant.queue;
             insert into intendant.queue (name, rate_steps, rate_period_ms, rate_burst) values ('mail', 1, 3600000, 1)",
        )
        .execute(&pool)
        .await?;
        let sides = (Takes::default(), Takes::default());
        let (first, second) = race(&pool, sides, TURNS, order).await?;
        let query = sqlx::query_scalar("select rate_tat from intendant.queue");
        let tat: DateTime<Utc> = query.fetch_one(&pool).await?;
        let (early, late) = match first.found {
            None => (&first, &second),
            Some(_) => (&second, &first),
        };
        who_was_first.insert(first.found.is_none());
        let at = early.now.expect("a time");
        ensure!(early.found.is_none(), "{order:b}: both have found nothing");
        ensure!(late.found == Some(at + INTERVAL), "{order:b}");
        ensure!(tat == at + INTERVAL * 2, "{order:b}: {tat}");
        // The time is that of after the wait for the lock.
        ensure!(late.now > early.now, "{order:b}");
    }
    ensure!(who_was_first.len() == 2);
    Ok(())
}
