//! A cancel from plain SQL against the finish of its intent, statement by statement, in every order: the finish has always
//! won, since nobody is stopped before a worker carries the cancel out, and whoever asked is told so: by an error, where the
//! outcome could be seen, or by an event, where it could not. And nobody has waited for anybody.
//!
//! On PostgreSQL, where transactions run side by side. SQLite has one writer.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentId, StepResult, StoreKind, Worker};
use intendant_tests::database::Database;
use intendant_tests::orders::{self, orders, race, statement};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

const STATEMENTS: usize = 3;

/// Which side it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// A tick with the success of the intent.
    Finish,
    /// A caller's transaction, with a statement of its own before the cancel.
    Ask,
}

struct Side {
    does: Does,
    intent: Uuid,
    /// It was refused, since there was an outcome.
    refused: bool,
}

impl orders::Side for Side {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        match (self.does, nth) {
            (Does::Finish, 0) => {
                let query = sqlx::query(statement("success_insert")?)
                    .bind(vec![self.intent])
                    .bind(vec!["race"])
                    .bind(vec![None::<String>])
                    .bind(vec![0i64])
                    .bind(vec![0i64])
                    .bind(vec!["1"])
                    .bind(vec![None::<String>]);
                query.execute(&mut **tx).await?;
            }
            (Does::Ask, 1) => {
                let query = sqlx::query_scalar("select intendant.cancel($1, 'sql', 'in vain')");
                let answer: Result<String, _> = query.bind(self.intent).fetch_one(&mut **tx).await;
                match answer {
                    Ok(answer) => ensure!(answer == "asked", "{answer}"),
                    Err(sqlx::Error::Database(error)) => {
                        ensure!(error.code().as_deref() == Some("IN409"), "{error}");
                        self.refused = true;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            _ => {
                sqlx::query("select 1").execute(&mut **tx).await?;
            }
        }
        Ok(())
    }
}

/// A worker needs something to do; this is never asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Bystander;

impl Intent for Bystander {
    const KIND: &'static str = "bystander";
    type Output = ();
}

async fn stand_by(_: Cx<()>, _: Bystander) -> StepResult<()> {
    Ok(())
}

#[tokio::test]
async fn a_cancel_of_plain_sql_that_a_finish_forestalls_is_refused_or_told_of() -> Result<()> {
    let (database, engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let (mut refused, mut asked) = (Vec::new(), Vec::new());
    for order in orders(STATEMENTS) {
        let intent = Uuid::now_v7();
        let insert =
            "insert into intendant.intent (id, kind, queue, input, position, requested_at, root_id)
                      values ($1, 'race', 'default', '1', 0, to_timestamp(0), $1)";
        sqlx::query(insert).bind(intent).execute(&pool).await?;
        let side = |does| Side {
            does,
            intent,
            refused: false,
        };
        let sides = (side(Does::Finish), side(Does::Ask));
        let (_, ask) = race(&pool, sides, STATEMENTS, order).await?;
        match ask.refused {
            true => refused.push(intent),
            false => asked.push(intent),
        }
    }
    ensure!(!refused.is_empty() && !asked.is_empty());
    ensure!(left(&pool).await? == asked.len() as i64);
    let worker = Worker::new(&engine, ()).poll(Duration::from_millis(20));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(worker.register_step(stand_by).run(async move {
        stopped.await.ok();
    }));
    tokio::time::timeout(Duration::from_secs(60), async {
        while left(&pool).await? > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, anyhow::Error>(())
    })
    .await??;
    stop.send(()).ok();
    worker.await??;
    for (intent, events) in refused
        .iter()
        .map(|id| (id, 0))
        .chain(asked.iter().map(|id| (id, 1)))
    {
        let found = engine.events(IntentId(*intent)).await?;
        ensure!(
            found.len() == events && found.iter().all(|event| event.verb == "cancel refused"),
            "{found:?}"
        );
        let state: String =
            sqlx::query_scalar("select state from intendant.outcome where intent_id = $1")
                .bind(intent)
                .fetch_one(&pool)
                .await?;
        ensure!(state == "succeeded");
    }
    Ok(())
}

async fn left(pool: &PgPool) -> Result<i64> {
    let count = "select count(*) from intendant.cancel_request";
    Ok(sqlx::query_scalar(count).fetch_one(pool).await?)
}
