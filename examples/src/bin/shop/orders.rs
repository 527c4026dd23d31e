//! Orders, and how they are carried out.

use anyhow::Result;
use intendant::{
    Committed, Cx, Intendant, Intent, Node, Plan, Resources, StepResult, Worker, fail, value,
};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{SqliteConnection, SqlitePool};

/// The application's tables, in the engine's database.
pub(crate) async fn open(url: &str) -> Result<SqlitePool> {
    let options: SqliteConnectOptions = url.parse()?;
    let options = options.busy_timeout(std::time::Duration::from_secs(10));
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    sqlx::raw_sql(
        "create table if not exists stock (item text primary key, left_over integer not null check (left_over >= 0));
         create table if not exists orders (
           id integer primary key, customer text not null, item text not null, intent text, parcel text
         );
         insert or ignore into stock values ('lamp', 100), ('chair', 0);",
    )
    .execute(&pool)
    .await?;
    Ok(pool)
}

/// Send what was ordered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShipOrder {
    pub(crate) order: i64,
    pub(crate) customer: String,
    pub(crate) item: String,
}

impl Intent for ShipOrder {
    const KIND: &'static str = "order.ship";
    type Output = String;

    fn account(&self) -> Option<&str> {
        Some(&self.customer)
    }

    fn resources(&self) -> Resources {
        Resources::exclusive("order", self.order)
    }
}

/// Takes it out of the stock, in one commit with the step's result: exactly once.
async fn reserve(cx: Cx<SqlitePool>, order: ShipOrder) -> StepResult<Committed<ShipOrder>> {
    cx.transaction(async |db: &mut SqliteConnection| {
        let taken = "update stock set left_over = left_over - 1 where item = ? and left_over > 0";
        let taken = sqlx::query(taken)
            .bind(&order.item)
            .execute(&mut *db)
            .await?;
        match taken.rows_affected() {
            0 => Err(fail(format!("there is no {} left", order.item))),
            _ => Ok(order.clone()),
        }
    })
    .await
}

/// Has the carrier fetch it. The carrier knows the order's number, so asking twice is asking once.
async fn send(cx: Cx<SqlitePool>, order: ShipOrder) -> StepResult<String> {
    let parcel = format!("parcel-{}", order.order);
    sqlx::query("update orders set parcel = ? where id = ?")
        .bind(&parcel)
        .bind(order.order)
        .execute(cx.state())
        .await?;
    Ok(parcel)
}

fn ship(order: &ShipOrder, plan: &mut Plan<SqlitePool>) -> Node<String> {
    let reserved = plan.step("reserve", reserve).input(value(order.clone()));
    plan.step("send", send).input(reserved)
}

/// Who carries them out.
pub(crate) fn worker(intendant: &Intendant, orders: SqlitePool) -> Worker<SqlitePool> {
    Worker::new(intendant, orders).register(ship)
}
