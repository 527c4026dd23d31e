//! Two transactions, or three, statement by statement, in every order.

mod backlogs;
mod cancel;
mod cancel_of_sql;
mod children;
mod claims;
mod families;
mod keys;
mod partitions;
mod rates;
mod reaping;
mod resources;
mod resumes;
mod retention;
mod routed;
mod schedules;
mod slots;
mod turns;
mod waits;

/// Makes two tests out of one: on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident;)*) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() -> anyhow::Result<()> {
                super::$name(intendant::StoreKind::Sqlite).await
            }

            #[tokio::test]
            async fn on_postgres() -> anyhow::Result<()> {
                super::$name(intendant::StoreKind::Postgres).await
            }
        }
    )*};
}
pub(crate) use on_both;
