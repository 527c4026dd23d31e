//! What the tests share: databases to test on, and binaries to run.

pub mod binary;
pub mod chaos;
pub mod chromium;
pub mod clock;
pub mod database;
pub mod full;
pub mod idle;
pub mod long;
pub mod orders;
mod past;
pub mod postgres;
pub mod proxy;
pub mod python;
pub mod rounds;
pub mod scenes;
pub mod scratch;
pub mod serving;
mod template;
pub mod terminal;
mod wire;

use std::fmt::Arguments;
use std::io::Write as _;

use anyhow::Result;
use futures_util::future::LocalBoxFuture;
use intendant::StoreKind;
use tokio::runtime::Builder;

/// Runs a test, as `#[tokio::test(flavor = "multi_thread", worker_threads = 2)]` does. It is behind a pointer, so that a
/// runtime's code is there once and not for each of a thousand tests.
pub fn run(test: LocalBoxFuture<'_, Result<()>>) -> Result<()> {
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    runtime.block_on(test)
}

/// What a test is given: something on a store of its own.
pub trait Given: Sized {
    /// One on a new database of this store.
    fn given(store: StoreKind) -> impl Future<Output = Result<Self>>;
}

/// Runs a test on a store.
pub fn on<T: Given>(
    store: StoreKind,
    test: fn(T) -> LocalBoxFuture<'static, Result<()>>,
) -> Result<()> {
    run(Box::pin(async move { test(T::given(store).await?).await }))
}

/// Makes two tests out of one, an `async fn` of what it is given: on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! on_both {
    ($($name:ident;)*) => {$(
        mod $name {
            #[test]
            fn on_sqlite() -> anyhow::Result<()> {
                $crate::on(intendant::StoreKind::Sqlite, |it| Box::pin(super::$name(it)))
            }

            #[test]
            fn on_postgres() -> anyhow::Result<()> {
                $crate::on(intendant::StoreKind::Postgres, |it| Box::pin(super::$name(it)))
            }
        }
    )*};
}

/// Runs a test in one thread, as `#[tokio::test]` does.
pub fn run_in_one_thread(test: LocalBoxFuture<'_, Result<()>>) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(test)
}

/// Says what is to be seen of a test that passes, too: what `println!` says is kept back then.
#[macro_export]
macro_rules! tell {
    ($($what:tt)*) => { $crate::told(format_args!($($what)*)) };
}

#[doc(hidden)]
pub fn told(what: Arguments<'_>) {
    writeln!(std::io::stdout().lock(), "{what}").ok();
}

/// A test's usual size, or its full one by hand, with `INTENDANT_TEST_SCALE=full`.
pub fn size(usual: usize, full: usize) -> usize {
    match std::env::var("INTENDANT_TEST_SCALE") {
        Ok(scale) if scale == "full" => full,
        _ => usual,
    }
}
