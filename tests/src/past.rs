//! Past the engine: SQL of the tests' own. `@` stands for the engine's schema or prefix.

use intendant::StoreKind;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Error};

use crate::database::Database;

impl Database {
    /// Runs statements, on a connection of their own.
    pub async fn run_sql(&self, sql: &str) -> Result<(), Error> {
        let sql = self.in_dialect(sql);
        match self.kind {
            StoreKind::Sqlite => {
                let mut conn = SqliteConnection::connect(&self.url).await?;
                let done = sqlx::raw_sql(sql).execute(&mut conn).await;
                conn.close().await.ok();
                done.map(|_| ())
            }
            StoreKind::Postgres => {
                let mut conn = PgConnection::connect(&self.url).await?;
                let done = sqlx::raw_sql(sql).execute(&mut conn).await;
                conn.close().await.ok();
                done.map(|_| ())
            }
        }
    }

    /// Reads one number. Tests ask again and again until it is what they wait for, so PostgreSQL is asked on a connection that is
    /// kept: a new one is a new process, which knows no table yet.
    pub async fn number(&self, sql: &str) -> Result<i64, Error> {
        let sql = self.in_dialect(sql);
        if self.kind == StoreKind::Sqlite {
            let mut conn = SqliteConnection::connect(&self.url).await?;
            let number = sqlx::query_scalar(sql).fetch_one(&mut conn).await;
            conn.close().await.ok();
            return number;
        }
        let mut kept = self.kept.lock().await;
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => PgConnection::connect(&self.url).await?,
        };
        let number = sqlx::query_scalar(sql).fetch_one(&mut conn).await;
        if number.is_ok() {
            *kept = Some(conn);
        }
        number
    }

    fn in_dialect(&self, sql: &str) -> AssertSqlSafe<String> {
        let name = match self.kind {
            StoreKind::Sqlite => "intendant_",
            StoreKind::Postgres => "intendant.",
        };
        AssertSqlSafe(sql.replace('@', name))
    }
}
