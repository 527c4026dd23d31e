//! Cron expressions: any text is one or is refused, soon, in any time zone. When ticks are is found out by [`cron_walk`].
//!
//! [`cron_walk`]: crate::cron_walk

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use chrono::DateTime;
use intendant::{Error, Intendant, Schedule, ScheduleError, Worker};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::history::Note;
use crate::text::{edited_text, few_edits, texts};
use crate::tries::{Tally, check, runtime};

/// Longer than it takes to look through all years for what never comes, without optimisation on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// When a schedule ticks.
#[derive(Debug, Clone)]
pub(crate) enum When {
    Cron { cron: String, zone: String },
    Every { ms: u64, from_us: Option<i64> },
}

impl When {
    pub(crate) fn schedule(&self, name: &str) -> Schedule {
        match self {
            Self::Cron { cron, zone } => Schedule::cron(name, cron).in_zone(zone),
            Self::Every { ms, from_us } => {
                let every = Schedule::every(name, Duration::from_millis(*ms));
                match from_us.and_then(DateTime::from_timestamp_micros) {
                    Some(from) => every.starting_at(from),
                    None => every,
                }
            }
        }
    }
}

/// Whether there is such a schedule. The worker has all that is checked before a database is asked, and then goes no further.
pub(crate) fn verdict(
    runtime: &Runtime,
    intendant: &Intendant,
    when: &When,
) -> Result<Result<(), ScheduleError>> {
    let worker = Worker::new(intendant, ()).schedule(when.schedule("s"), |_| Note(Value::Null));
    let begun = Instant::now();
    let ended = runtime.block_on(worker.only_named_queues().run(async {}));
    ensure!(
        begun.elapsed() < SOON,
        "{when:?} was thought about for {:?}",
        begun.elapsed()
    );
    match ended {
        Err(Error::Schedule { error, .. }) => Ok(Err(error)),
        // That it serves no queue.
        Err(Error::Setup(_)) => Ok(Ok(())),
        ended => bail!("{when:?}: {ended:?}"),
    }
}

/// Numbers beyond every field, and what is no number.
const ODD: &[&str] = &[
    "",
    ",",
    "60",
    "99",
    "00",
    "-1",
    "4294967296",
    "1-",
    "-",
    "5-1",
    "*/0",
    "*/",
    "/5",
    "1/5",
    "*/65535",
    "?",
    "L",
    "é",
    "٣",
];

/// A field with numbers from `least` to `most`, and with what else it may have.
fn field(least: u32, most: u32, more: &'static [&'static str]) -> BoxedStrategy<String> {
    let range = (least..=most, least..=most);
    let range = range.prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other)));
    let range = range.boxed();
    let part = prop_oneof![
        6 => Just("*".to_owned()),
        6 => (least..=most).prop_map(|number| number.to_string()),
        3 => range.clone(),
        3 => (1..=most).prop_map(|step| format!("*/{step}")),
        2 => (range, 1..=most).prop_map(|(range, step)| format!("{range}/{step}")),
        2 => select(more).prop_map(str::to_owned),
        1 => select(ODD).prop_map(str::to_owned),
    ];
    let part = part.boxed();
    let parts = prop_oneof![4 => vec(part.clone(), 1), 1 => vec(part, 2..4)];
    parts.prop_map(|parts| parts.join(",")).boxed()
}

fn crons() -> BoxedStrategy<String> {
    let minute = field(0, 59, &["*"]);
    let hour = field(0, 23, &["*"]);
    let day = field(1, 31, &["L", "LW", "1W", "15W", "31W", "?", "0"]);
    let month = field(1, 12, &["JAN", "JAN-DEC", "feb", "0"]);
    let weekday = field(
        0,
        7,
        &[
            "MON-FRI", "SAT-SUN", "sun", "5L", "1#5", "2#6", "+1", "+", "?",
        ],
    );
    let year = field(1970, 2100, &["*", "1", "5000", "5001"]);
    let five = vec![minute.clone(), hour, day, month, weekday];
    let six = [vec![minute], five.clone()].concat();
    let seven = [six.clone(), vec![year]].concat();
    let between = select(vec![" ", "  ", "\t"]);
    let fields = (prop_oneof![8 => five, 4 => six, 1 => seven], between);
    let fields = fields.prop_map(|(fields, between)| fields.join(between));
    let names = select(vec![
        "@yearly", "@daily", "@hourly", "@reboot", "@ daily", "@DAILY@",
    ]);
    let names = names.prop_map(str::to_owned);
    let cron = prop_oneof![14 => fields, 1 => names, 2 => texts()];
    let cron = (cron, few_edits());
    cron.prop_map(|(cron, edits)| edited_text(cron, &edits))
        .boxed()
}

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Stockholm",
    "America/New_York",
    "America/Nuuk",
    "America/St_Johns",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Etc/GMT+12",
];

pub(crate) fn whens() -> BoxedStrategy<When> {
    let zone = prop_oneof![8 => select(ZONES).prop_map(str::to_owned), 1 => texts()];
    let cron = (crons(), zone).prop_map(|(cron, zone)| When::Cron { cron, zone });
    let edges = select(vec![0, 999, 1_000, 86_400_000, u64::MAX / 1_000, u64::MAX]);
    let ms = prop_oneof![2 => 0..10_000_000_u64, 1 => edges];
    let from_us = prop::option::of(any::<i64>());
    let every = (ms, from_us).prop_map(|(ms, from_us)| When::Every { ms, from_us });
    prop_oneof![6 => cron, 1 => every].boxed()
}

#[test]
fn any_text_is_a_cron_expression_or_is_refused() -> Result<()> {
    let runtime = runtime()?;
    let intendant = runtime.block_on(Intendant::open("sqlite::memory:"))?;
    let tally = Tally::default();
    check(1_500, &whens(), |when| {
        match verdict(&runtime, &intendant, &when)? {
            Ok(()) => tally.add("taken"),
            Err(error) => {
                ensure!(!error.to_string().is_empty());
                tally.add("refused");
            }
        }
        Ok(())
    })?;
    tally.has(&["taken", "refused"])
}

/// These are looked for through thousands of years, unless it is seen that there is nothing to look for.
#[test]
fn what_never_comes_is_found_out_soon() -> Result<()> {
    let runtime = runtime()?;
    let intendant = runtime.block_on(Intendant::open("sqlite::memory:"))?;
    for cron in [
        ", * * * * *",
        ", * * * *",
        "* , * * *",
        "* * , * *",
        "* * * , *",
        "* * * * ,",
        "* * * * * * ,",
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 1 * +1#5",
        "0 0 0 1 1 * 1969",
    ] {
        let when = When::Cron {
            cron: cron.to_owned(),
            zone: "America/New_York".to_owned(),
        };
        let verdict = verdict(&runtime, &intendant, &when)?;
        ensure!(verdict.is_err(), "`{cron}` comes");
    }
    // Nor does an interval that is longer than any calendar.
    let (ms, from_us) = (u64::MAX, None);
    let verdict = verdict(&runtime, &intendant, &When::Every { ms, from_us })?;
    ensure!(verdict.is_err(), "it comes");
    Ok(())
}
