//! Who has a turn, statement by statement, in every order: two sessions want to look for alerts at the same time, or to try a
//! kind that backs off; two raise the same alert. One of them does. The statements are the engine's own.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, orders, race, statement};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

/// What both do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Look,
    Try,
    Raise,
}

/// A session that wants something.
struct Wants {
    wish: Wish,
    session: Uuid,
    has_it: bool,
}

const MINUTE: i64 = 60_000_000;

/// Of the statement, a word that nothing else has to do with, and the COMMIT.
const TURNS: usize = 3;

impl Side for Wants {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        match (self.wish, nth) {
            (Wish::Look, 0) => {
                let query = sqlx::query(statement("turn_take")?)
                    .bind("look")
                    .bind(self.session)
                    .bind("worker")
                    .bind(MINUTE)
                    .bind(0i64);
                self.has_it = query.fetch_optional(&mut **tx).await?.is_some();
            }
            (Wish::Try, 0) => {
                let query = sqlx::query(statement("probe_lock")?).bind("bad");
                self.has_it = query.fetch_optional(&mut **tx).await?.is_some();
            }
            (Wish::Try, 1) if self.has_it => {
                let query = sqlx::query(statement("probe_take")?);
                let query = query.bind("bad").bind(MINUTE);
                query.execute(&mut **tx).await?;
            }
            (Wish::Raise, 0) => {
                let none = || vec![None::<String>];
                let query = sqlx::query(statement("alert_insert")?)
                    .bind(vec![self.session])
                    .bind(vec!["worker gone"])
                    .bind(vec!["the one"])
                    .bind(vec![None::<Uuid>])
                    .bind(none())
                    .bind(none())
                    .bind(vec![None::<i64>])
                    .bind(none())
                    .bind(none())
                    .bind(none())
                    .bind(vec![None::<i64>])
                    .bind(vec![None::<i64>])
                    .bind(vec!["gone"])
                    .bind(vec![1i64]);
                self.has_it = query.execute(&mut **tx).await?.rows_affected() == 1;
            }
            _ => {
                sqlx::query("select 1").execute(&mut **tx).await?;
            }
        }
        Ok(())
    }
}

async fn one_of_two(wish: Wish) -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut by = [0, 0];
    for order in orders(TURNS) {
        sqlx::raw_sql(
            "update intendant.turn set at = 'epoch', session_id = null; delete from intendant.alert; \
             delete from intendant.poison; \
             insert into intendant.poison values ('bad', 2, gen_random_uuid(), now(), 'epoch'); \
             delete from intendant.ready; \
             insert into intendant.ready (queue, kind, crashes, position, intent_id, started, locks) \
             values ('default', 'bad', 0, 0, gen_random_uuid(), false, false)",
        )
        .execute(&pool)
        .await?;
        let wants = || Wants {
            wish,
            session: Uuid::now_v7(),
            has_it: false,
        };
        let (first, second) = race(&pool, (wants(), wants()), TURNS, order).await?;
        ensure!(
            first.has_it != second.has_it,
            "{order:b}: {} {}",
            first.has_it,
            second.has_it
        );
        by[usize::from(second.has_it)] += 1;
    }
    ensure!(by[0] > 5 && by[1] > 5, "{by:?}");
    Ok(())
}

#[tokio::test]
async fn of_two_that_want_to_look_one_does() -> Result<()> {
    one_of_two(Wish::Look).await
}

#[tokio::test]
async fn of_two_that_want_to_try_a_kind_one_does() -> Result<()> {
    one_of_two(Wish::Try).await
}

#[tokio::test]
async fn of_two_that_raise_the_same_alert_one_does() -> Result<()> {
    one_of_two(Wish::Raise).await
}
