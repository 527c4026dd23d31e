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
mod results;
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
            #[test]
            fn on_sqlite() -> anyhow::Result<()> {
                intendant_tests::run_in_one_thread(test(intendant::StoreKind::Sqlite))
            }

            #[test]
            fn on_postgres() -> anyhow::Result<()> {
                intendant_tests::run_in_one_thread(test(intendant::StoreKind::Postgres))
            }

            fn test(
                kind: intendant::StoreKind,
            ) -> futures_util::future::LocalBoxFuture<'static, anyhow::Result<()>> {
                Box::pin(super::$name(kind))
            }
        }
    )*};
}
pub(crate) use on_both;
