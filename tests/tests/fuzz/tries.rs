//! Properties: how many values they are tried with, and how a run is played again.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Result, anyhow, ensure};
use intendant::StoreKind;
use intendant_tests::size;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tokio::runtime::{Builder, Runtime};

/// How many times as many values by hand.
const FULL: usize = 40;

/// How long a smaller value that fails is looked for, in milliseconds.
const SHRINKING_MS: u32 = 20_000;

/// From so many tries on each sort of outcome has to have come about.
const ENOUGH: usize = 100;

/// Makes two tests out of one: on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident;)*) => {$(
        mod $name {
            #[test]
            fn on_sqlite() -> anyhow::Result<()> {
                super::$name(intendant::StoreKind::Sqlite)
            }

            #[test]
            fn on_postgres() -> anyhow::Result<()> {
                super::$name(intendant::StoreKind::Postgres)
            }
        }
    )*};
}
pub(crate) use on_both;

/// Tries a property with so many values, unless the environment says how many.
pub(crate) fn check<S: Strategy>(
    usual: usize,
    values: &S,
    property: impl Fn(S::Value) -> Result<()>,
) -> Result<()> {
    let mut config = Config {
        // A failure is kept as a test, by whoever mends it, and not as a file beside this one.
        failure_persistence: None,
        max_shrink_time: SHRINKING_MS,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = u32::try_from(size(usual, usual * FULL))?;
    }
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => rand::random(),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let tried = TestRunner::new(config).run(values, |value| {
        property(value).map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    tried.map_err(|error| anyhow!("{error}\nthe same run again: PROPTEST_RNG_SEED={seed}"))
}

/// Fewer on PostgreSQL, where each takes longer.
pub(crate) fn usual(kind: StoreKind, on_sqlite: usize) -> usize {
    match kind {
        StoreKind::Sqlite => on_sqlite,
        StoreKind::Postgres => on_sqlite / 2,
    }
}

/// For what is asynchronous in a property.
pub(crate) fn runtime() -> Result<Runtime> {
    let mut runtime = Builder::new_multi_thread();
    Ok(runtime.worker_threads(2).enable_all().build()?)
}

/// What came of the tries: who tries nothing but what is refused shows little.
#[derive(Debug, Default)]
pub(crate) struct Tally(RefCell<BTreeMap<&'static str, usize>>);

impl Tally {
    pub(crate) fn add(&self, outcome: &'static str) {
        *self.0.borrow_mut().entry(outcome).or_default() += 1;
    }

    /// Each of these has come about.
    pub(crate) fn has(&self, outcomes: &[&str]) -> Result<()> {
        let tally = self.0.borrow();
        println!("{tally:?}");
        let few = tally.values().sum::<usize>() < ENOUGH;
        let missing = outcomes
            .iter()
            .find(|outcome| !tally.contains_key(**outcome));
        ensure!(
            few || missing.is_none(),
            "nothing was {missing:?}: {tally:?}"
        );
        Ok(())
    }
}
