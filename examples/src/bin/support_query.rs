//! A support engineer's question: what was done lately for whom, is it done, and how long did it take?
//!
//! The engine's tables stand in the application's own database. So a request is part of the application's transaction,
//! and the answer is one SQL query that joins the engine's views with the application's tables.

use std::time::Duration;

use anyhow::Result;
use intendant::{Cx, Error, Handle, Intendant, Intent, StepResult, Worker, fail};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqlitePool;
use tokio::sync::oneshot;

#[derive(Serialize, Deserialize)]
struct CreateDatabase {
    customer: String,
    image: String,
}

impl Intent for CreateDatabase {
    const KIND: &'static str = "database.create";
    type Output = String;

    fn account(&self) -> Option<&str> {
        Some(&self.customer)
    }
}

async fn create_database(_: Cx<()>, intent: CreateDatabase) -> StepResult<String> {
    tokio::time::sleep(Duration::from_millis(40)).await;
    if intent.image != "postgres-17" {
        // Trying again would be of no use.
        return Err(fail(format!("there is no image `{}`", intent.image)));
    }
    Ok(format!("{}.db.example.org", intent.customer))
}

/// Takes on a customer: the row and the operation come into being together, or neither does.
async fn sign_up(
    app: &SqlitePool,
    intendant: &Intendant,
    (customer, name): (&str, &str),
    image: &str,
) -> Result<Handle<CreateDatabase>> {
    // SQLite has one writer at a time; `immediate` waits for the turn now instead of failing later.
    let mut tx = app.begin_with("begin immediate").await?;
    sqlx::query("insert into customers (id, name) values (?1, ?2)")
        .bind(customer)
        .bind(name)
        .execute(&mut *tx)
        .await?;
    let intent = CreateDatabase {
        customer: customer.to_owned(),
        image: image.to_owned(),
    };
    let handle = intendant
        .request(intent)
        .by("sign-up")
        .within(&mut tx)
        .await?;
    // No worker sees the request before this. Without it, there would be neither customer nor operation.
    tx.commit().await?;
    // Nobody tells the worker of this commit: it finds the request when it next looks, three times a second.
    Ok(handle)
}

/// The views (`intendant_intents`, `intendant_steps`, `intendant_resources`…) are made for such queries: ids and times
/// are text, and every intent is in them, finished or not.
const RECENT: &str = "
    select c.name, i.kind, i.state,
           (julianday(coalesce(i.finished_at, 'now')) - julianday(i.requested_at)) * 86400.0 as seconds,
           coalesce(i.error, json_extract(i.output, '$'), '') as result
      from customers c
      join intendant_intents i on i.account = c.id
     order by i.requested_at desc
     limit 20";

async fn print_recent(app: &SqlitePool) -> Result<()> {
    let rows: Vec<(String, String, String, f64, String)> =
        sqlx::query_as(RECENT).fetch_all(app).await?;
    println!(
        "{:<16} {:<16} {:<10} {:>8}  result",
        "customer", "operation", "state", "seconds"
    );
    for (customer, operation, state, seconds, result) in rows {
        println!("{customer:<16} {operation:<16} {state:<10} {seconds:>8.2}  {result}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}/app.db", directory.path().display());
    // The engine's tables and the application's, side by side in one file.
    let intendant = Intendant::open(&url).await?;
    let app = SqlitePool::connect(&url).await?;
    sqlx::query("create table customers (id text primary key, name text not null)")
        .execute(&app)
        .await?;

    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).register_step(create_database);
    let working = tokio::spawn(worker.run(async { stopped.await.unwrap_or(()) }));

    let ada = sign_up(&app, &intendant, ("ada", "Ada Lovelace"), "postgres-17").await?;
    let grace = sign_up(&app, &intendant, ("grace", "Grace Hopper"), "postgres-71").await?;
    ada.output().await?;
    // A failure is an outcome like any other: on record, and for a person to look at.
    if let Err(error @ Error::Failed { .. }) = grace.output().await {
        println!("{error}\n");
    }

    stop.send(()).ok();
    working.await??;

    // Nobody works any more, and still the request is safe: it waits for the next worker.
    sign_up(
        &app,
        &intendant,
        ("edsger", "Edsger Dijkstra"),
        "postgres-17",
    )
    .await?;
    print_recent(&app).await?;

    app.close().await;
    intendant.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::testing::Kit;

    #[tokio::test]
    async fn twice_is_no_more_than_once() -> Result<()> {
        let kit = Kit::new(|| (), |worker| worker.register_step(create_database));
        let database = || CreateDatabase {
            customer: "ada".to_owned(),
            image: "postgres-17".to_owned(),
        };
        kit.check_idempotent(database, async |_| ())
            .await?
            .assert_clean();
        kit.check_recovery(database, async |_| ())
            .await?
            .assert_clean();
        Ok(())
    }

    /// The sign-up's own transaction, on the run's own database.
    #[tokio::test]
    async fn a_customer_has_a_database_once_the_sign_up_is_committed() -> Result<()> {
        let connect = |url: String| async move { SqlitePool::connect(&url).await };
        let kit = Kit::with_database(connect, |worker| {
            let step = |_, intent| async move {
                let CreateDatabase { customer, image } = intent;
                Ok(format!("{customer} on {image}"))
            };
            worker.register_step(step)
        });
        let mut stage = kit.stage().await?;
        let app = stage
            .state()
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        sqlx::query("create table customers (id text primary key, name text not null)")
            .execute(app)
            .await?;
        let customer = ("ada", "Ada Lovelace");
        let handle = sign_up(app, stage.intendant(), customer, "postgres-17").await?;
        let ended = stage.rest(handle.id()).await?;
        assert_eq!(ended.output::<String>()?, "ada on postgres-17");
        Ok(())
    }
}
