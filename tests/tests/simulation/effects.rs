//! The database of a run, past the engine: what steps have written there, and a copy to look at.

use std::collections::BTreeMap;

use sqlx::{Connection as _, SqliteConnection};

use crate::run::{Run, Stop};

impl Run {
    /// Keeps the database as it is, to be looked at.
    pub(crate) async fn keep(&self, path: &str) {
        let mut db = SqliteConnection::connect(self.troupe.database_url())
            .await
            .expect("the database");
        let copy = sqlx::query("vacuum into ?1")
            .bind(path)
            .execute(&mut db)
            .await;
        copy.expect("a copy of the database");
    }

    /// How often what is written with a result is there.
    pub(crate) async fn effects(&self) -> Result<BTreeMap<String, i64>, Stop> {
        let broken = |error: sqlx::Error| Stop::Breach(format!("effects: {error}"));
        let url = self.troupe.database_url();
        let mut db = SqliteConnection::connect(url).await.map_err(broken)?;
        let make = sqlx::query("create table if not exists effect (key text not null)");
        make.execute(&mut db).await.map_err(broken)?;
        let count = sqlx::query_as("select key, count(*) from effect group by key");
        let rows: Vec<(String, i64)> = count.fetch_all(&mut db).await.map_err(broken)?;
        Ok(rows.into_iter().collect())
    }
}
