//! Seeded simulation: several workers of the engine itself over one SQLite file, in one thread and in virtual time, and dice
//! that say what happens next. After every event the invariants; when nothing goes wrong any more, the promises.
//!
//! ```sh
//! cargo test -p intendant-tests --test simulation -- --nocapture
//! INTENDANT_SIMULATION_SEEDS=1000000 cargo test --release -p intendant-tests --test simulation -- --nocapture   # by hand
//! INTENDANT_SIMULATION_SEED=17 cargo test -p intendant-tests --test simulation -- --nocapture                   # one again
//! ```

#![expect(
    clippy::unwrap_used,
    reason = "a test that finds nothing to unwrap fails, as it should"
)]

mod asking;
mod effects;
mod features;
mod found;
mod healing;
mod judge;
mod mishaps;
mod people;

mod program;
mod queues;
mod retention;
mod run;
mod schedules;
mod script;
mod shrink;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use features::Seen;
use intendant::testing::planted::VARIABLE;
use mishaps::Mishap;
use run::play;
use script::{Played, Script, Telling};

/// Seeds of the usual run.
const SEEDS: u64 = 1_000;

/// Runs at a time for each core: they wait for SQLite's threads most of the time.
const AT_ONCE: usize = 3;

/// What all runs together have come to.
#[derive(Debug, Default)]
struct Totals {
    runs: u64,
    intents: usize,
    attempts: u64,
    commits: u64,
    events: u64,
    mishaps: BTreeMap<Mishap, u64>,
    seen: BTreeMap<Seen, u64>,
    /// The first run in which something was that must not be.
    broken: Option<(Script, Played)>,
}

impl Totals {
    fn add(&mut self, script: Script, played: Played) {
        self.runs += 1;
        self.intents += played.intents;
        self.attempts += played.attempts;
        self.commits += played.commits;
        self.events += played.events;
        for (_, mishap) in &played.mishaps {
            *self.mishaps.entry(*mishap).or_default() += 1;
        }
        for (seen, times) in &played.seen {
            *self.seen.entry(*seen).or_default() += times;
        }
        if played.breach.is_some() {
            self.broken.get_or_insert((script, played));
        }
    }
}

/// Plays a run from its beginning to its end.
fn played(script: Script) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(play(script))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The run that is asked for, if one is.
fn one() -> Option<Script> {
    let without = std::env::var("INTENDANT_SIMULATION_WITHOUT").unwrap_or_default();
    let without = without.split(',').filter_map(|it| it.parse().ok());
    Some(Script {
        seed: number("INTENDANT_SIMULATION_SEED")?,
        without: without.collect(),
        telling: Telling::Printed,
    })
}

/// Plays these seeds, until something is that must not be.
fn all(seeds: std::ops::Range<u64>) -> Totals {
    let (next, totals) = (AtomicU64::new(seeds.start), Mutex::new(Totals::default()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let go_on = || {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let well = totals.lock().unwrap().broken.is_none();
        (well && seed < seeds.end).then_some(seed)
    };
    std::thread::scope(|scope| {
        for _ in 0..cores * AT_ONCE {
            scope.spawn(|| {
                while let Some(seed) = go_on() {
                    let script = Script {
                        seed,
                        ..Script::default()
                    };
                    let played = played(script.clone());
                    totals.lock().unwrap().add(script, played);
                }
            });
        }
    });
    totals.into_inner().unwrap()
}

#[test]
fn whatever_goes_wrong_the_promises_hold() {
    if let Some(script) = one() {
        assert_eq!(played(script).breach, None);
        return;
    }
    let from = number("INTENDANT_SIMULATION_FROM").unwrap_or(1);
    let count = number("INTENDANT_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let begun = Instant::now();
    let mut totals = all(from..from + count);
    let broken = totals.broken.take();
    intendant_tests::tell!("{totals:#?} in {:?}", begun.elapsed());
    if let Some((script, played)) = broken {
        let breach = played.breach.unwrap_or_default();
        // What a planted bug needs is known: the run is shown as it is.
        let script = match std::env::var_os(VARIABLE) {
            None => shrink::shrink(&script, &played.mishaps),
            Some(_) => script,
        };
        let line = script.line();
        panic!("seed {}: {breach}\nto see it again: {line}", script.seed);
    }
    // Runs in which nothing went wrong show nothing. Counted is what was dealt: a commit that was to fail may never have come.
    for mishap in Mishap::ALL {
        let hits = totals.mishaps.get(&mishap).copied().unwrap_or_default();
        assert!(count < 200 || hits > 0, "{mishap:?} has never happened");
    }
    for seen in Seen::ALL {
        let times = totals.seen.get(&seen).copied().unwrap_or_default();
        assert!(count < 200 || times > 0, "{seen:?} was never seen");
    }
}
