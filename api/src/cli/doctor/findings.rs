//! What follows from what was seen.

use intendant::{Alert, Checkup, Failures, IntentId, QueueRecord, StoreKind, WorkerRecord};
use serde::Serialize;

use crate::output::words::count;

/// From how far on a clock is another one.
const CLOCK_MS: i64 = 1_000;

/// From when on a transaction is in the way.
const TRANSACTION_S: i64 = 300;

/// Dead rows that are worth a word, if they are more than the live ones.
const DEAD_ROWS: i64 = 100_000;

/// Free room in a SQLite file that is worth a word, if it is more than half of it.
const FREE_BYTES: i64 = 100_000_000;

/// Most rows that are named where something must never be.
const NAMED: usize = 20;

/// What was seen.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) checkup: Checkup,
    /// Tasks.
    pub(super) unfinished: i64,
    pub(super) workers: Vec<WorkerRecord>,
    pub(super) queues: Vec<QueueRecord>,
    pub(super) alerts: Vec<Alert>,
    pub(super) failures: Option<Failures>,
    /// None: nobody looked.
    pub(super) breaches: Option<Vec<(String, IntentId)>>,
}

impl Facts {
    pub(super) fn new(checkup: Checkup) -> Self {
        Self {
            checkup,
            unfinished: 0,
            workers: Vec::new(),
            queues: Vec::new(),
            alerts: Vec::new(),
            failures: None,
            breaches: None,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Well,
    /// Worth knowing.
    Note,
    /// Somebody should look at it.
    Warning,
    /// Something does not work, or is not safe.
    Trouble,
}

impl Level {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Trouble => "trouble",
        }
    }
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was looked at.
    pub(super) subject: &'static str,
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

impl Finding {
    fn new(level: Level, subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            level,
            subject,
            found: found.into(),
            advice: None,
        }
    }

    fn advice(self, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { advice, ..self }
    }
}

/// What follows from it, in the order in which it is best read.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![schema(&facts.checkup)];
    if !facts.checkup.is_migrated() {
        return found;
    }
    found.insert(0, database(&facts.checkup));
    found.extend(durability(&facts.checkup));
    found.push(clock(&facts.checkup));
    found.extend(room(&facts.checkup));
    found.push(workers(facts));
    found.extend(facts.queues.iter().filter_map(queue));
    found.extend(facts.alerts.iter().map(alert));
    found.extend(facts.failures.as_ref().and_then(failures));
    found.extend(
        facts
            .breaches
            .as_deref()
            .map(breaches)
            .into_iter()
            .flatten(),
    );
    found
}

fn database(checkup: &Checkup) -> Finding {
    let version = checkup.says.get("version").map_or("", String::as_str);
    let name = match checkup.store {
        StoreKind::Postgres => "PostgreSQL",
        StoreKind::Sqlite => "SQLite",
    };
    let megabytes = checkup.figure("bytes").unwrap_or_default() / 1_000_000;
    let found = format!("{name} {version}, {megabytes} MB");
    match checkup
        .says
        .get("standby")
        .is_some_and(|says| says == "yes")
    {
        true => Finding::new(Level::Trouble, "database", format!("{found}, a standby"))
            .advice("name the primary: a standby takes no writes"),
        false => Finding::new(Level::Well, "database", found),
    }
}

fn schema(checkup: &Checkup) -> Finding {
    let missing = checkup.migrations.iter().filter(|it| !it.applied).count();
    let all = count(checkup.migrations.len(), "migration");
    match missing {
        0 => Finding::new(Level::Well, "schema", format!("{all}, all in place")),
        missing => Finding::new(
            Level::Trouble,
            "schema",
            format!("{missing} of {all} missing"),
        )
        .advice("run `intendant migrate up`"),
    }
}

fn durability(checkup: &Checkup) -> Vec<Finding> {
    let said = |name: &str| checkup.says.get(name).map_or("", String::as_str);
    // What must be, and what happens otherwise.
    let wanted: &[(&str, &[&str], &str)] = match checkup.store {
        StoreKind::Postgres => &[
            (
                "fsync",
                &["on"],
                "a crash of the machine can destroy the database",
            ),
            (
                "full_page_writes",
                &["on"],
                "a crash of the machine can tear pages",
            ),
            (
                "synchronous_commit",
                &["on", "local", "remote_write", "remote_apply"],
                "a crash can take back what was committed",
            ),
        ],
        // How much it syncs is said by each connection for itself.
        StoreKind::Sqlite => &[(
            "journal_mode",
            &["wal"],
            "readers and the writer wait for each other; is it a network's file system?",
        )],
    };
    let wrong = wanted
        .iter()
        .filter(|(name, right, _)| !right.contains(&said(name)));
    let wrong = wrong.map(|(name, right, why)| {
        let found = format!("{name} is {}: {why}", said(name));
        let advice = format!("set {name} to {}", right[0]);
        Finding::new(Level::Trouble, "durability", found).advice(advice)
    });
    let wrong: Vec<_> = wrong.collect();
    match wrong.is_empty() {
        true => vec![Finding::new(
            Level::Well,
            "durability",
            "what is committed stays",
        )],
        false => wrong,
    }
}

fn clock(checkup: &Checkup) -> Finding {
    let ahead = checkup.clock_ahead.num_milliseconds();
    match ahead.abs() {
        0..CLOCK_MS => Finding::new(Level::Well, "clock", "as the database's"),
        _ => Finding::new(
            Level::Warning,
            "clock",
            format!("the database's is {ahead} ms ahead of this machine's"),
        )
        .advice("have both follow NTP: no promise rests on it, but times that people compare do"),
    }
}

fn room(checkup: &Checkup) -> Vec<Finding> {
    let figure = |name: &str| checkup.figure(name).unwrap_or_default();
    let warning = |subject, found: String| Finding::new(Level::Warning, subject, found);
    let mut found = Vec::new();
    let (used, all) = (figure("connections"), figure("max_connections"));
    let most = all - figure("superuser_reserved_connections");
    if most > 0 && used * 10 > most * 9 {
        let says = format!("{used} of {most} are in use");
        found.push(
            warning("connections", says).advice("raise max_connections, or put a pooler before it"),
        );
    }
    let oldest = figure("oldest_transaction_s");
    if oldest > TRANSACTION_S {
        let says =
            format!("one has been open for {oldest} s: what is dead since then is not cleaned up");
        found.push(warning("transactions", says).advice(
            "look for it by `select pid, usename, state, query from pg_stat_activity order by xact_start`, and end it",
        ));
    }
    let prepared = figure("prepared_transactions");
    if prepared > 0 {
        let says = format!("{prepared} prepared: they hold locks until somebody ends them");
        found.push(
            warning("transactions", says)
                .advice("commit them or roll them back: `pg_prepared_xacts` lists them"),
        );
    }
    if checkup
        .says
        .get("autovacuum")
        .is_some_and(|says| says != "on")
    {
        let says = "autovacuum is off: tables grow, and all becomes slow";
        found.push(Finding::new(Level::Trouble, "vacuum", says).advice("set autovacuum to on"));
    }
    let (dead, live) = (figure("dead_rows"), figure("live_rows"));
    if dead > DEAD_ROWS && dead > live {
        let table = checkup.says.get("dead_rows_of").map_or("", String::as_str);
        let says = format!("{dead} dead rows in {table}, {live} live ones");
        found.push(warning("vacuum", says).advice(format!(
            "run `vacuum intendant.{table}`; does something keep a transaction open?"
        )));
    }
    let (free, bytes) = (figure("free_bytes"), figure("bytes"));
    if free > FREE_BYTES && free * 2 > bytes {
        let says = format!("{} MB of the file are free", free / 1_000_000);
        found.push(
            Finding::new(Level::Note, "room", says)
                .advice("it is used again; `vacuum` gives it back, while nothing else writes"),
        );
    }
    found
}

fn workers(facts: &Facts) -> Finding {
    let silent = facts.workers.iter().filter(|it| it.silent_ms > it.lease_ms);
    let silent: Vec<_> = silent.map(|it| it.worker.as_str()).collect();
    let alive = facts.workers.len() - silent.len();
    let said = count(alive, "worker");
    match (alive, silent.as_slice()) {
        (0, []) if facts.unfinished == 0 => {
            Finding::new(Level::Note, "workers", "none, and nothing to do")
        }
        (0, silent) if facts.unfinished == 0 => {
            let says = format!(
                "none is alive, and nothing to do; silent: {}",
                silent.join(", ")
            );
            Finding::new(Level::Warning, "workers", says).advice("look why they are silent")
        }
        (0, _) => {
            let says = format!(
                "none is alive, and {} to be done",
                count(facts.unfinished.unsigned_abs() as usize, "task")
            );
            Finding::new(Level::Trouble, "workers", says).advice("start one")
        }
        (_, []) => Finding::new(Level::Well, "workers", format!("{said} alive")),
        (_, silent) => {
            let says = format!("{said} alive; silent: {}", silent.join(", "));
            let advice = "what they have is taken over by the others; look why they are silent";
            Finding::new(Level::Warning, "workers", says).advice(advice)
        }
    }
}

/// Something of a queue that somebody should know.
fn queue(queue: &QueueRecord) -> Option<Finding> {
    let name = &queue.name;
    let oldest = queue.oldest_s.unwrap_or_default();
    let waits = format!("{} ready, the oldest for {oldest} s", queue.ready);
    let (level, says, advice) = match queue {
        _ if queue.paused_at.is_some() => {
            let by = queue.paused_by.as_deref().unwrap_or("somebody");
            (
                Level::Note,
                format!("`{name}` is paused by {by}; {waits}"),
                format!("`intendant queue resume {name}`"),
            )
        }
        _ if queue.ready > 0 && queue.workers == 0 => (
            Level::Trouble,
            format!("no worker serves `{name}`; {waits}"),
            "start one that does; is the name misspelt?".to_owned(),
        ),
        _ if queue.full => (
            Level::Warning,
            format!("`{name}` is full and refuses requests; {waits}"),
            "more workers, or fewer requests".to_owned(),
        ),
        _ => return None,
    };
    Some(Finding::new(level, "queue", says).advice(advice))
}

fn alert(alert: &Alert) -> Finding {
    let says = format!("{}: {}", alert.kind, alert.text);
    Finding::new(Level::Warning, "alert", says)
}

fn failures(failures: &Failures) -> Option<Finding> {
    let failed: u64 = failures.groups.iter().map(|group| group.count).sum();
    let most = failures.groups.iter().max_by_key(|group| group.count)?;
    let failed = match failures.more {
        true => format!("at least {failed}"),
        false => failed.to_string(),
    };
    let says = format!(
        "{failed} failed, {} of them {}: {}",
        most.count, most.kind, most.error
    );
    let advice = "`intendant failures` lists them in groups; resume, undo or discard them";
    Some(Finding::new(Level::Note, "failed", says).advice(advice))
}

fn breaches(breaches: &[(String, IntentId)]) -> Vec<Finding> {
    if breaches.is_empty() {
        return vec![Finding::new(
            Level::Well,
            "rows",
            "nothing is there that must never be",
        )];
    }
    let found = breaches.iter().take(NAMED).map(|(what, intent)| {
        Finding::new(Level::Trouble, "rows", format!("{what}: {intent}"))
            .advice("this is a fault of the engine, or of somebody who has written to its tables: keep a copy of the database, and report it")
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::Intendant;

    /// Of a new database.
    async fn facts() -> Facts {
        let engine = Intendant::open("sqlite::memory:")
            .await
            .expect("a database");
        let mut checkup = engine.checkup().await.expect("a checkup");
        // One in memory has no log.
        checkup
            .says
            .insert("journal_mode".to_owned(), "wal".to_owned());
        Facts::new(checkup)
    }

    fn worst(facts: &Facts) -> (Level, Vec<String>) {
        let found = findings(facts);
        let worst = found.iter().map(|finding| finding.level).max();
        let bad = found.iter().filter(|finding| Some(finding.level) == worst);
        let bad = bad.map(|finding| format!("{}: {}", finding.subject, finding.found));
        (worst.unwrap_or(Level::Well), bad.collect())
    }

    #[tokio::test]
    async fn a_new_database_is_well() {
        let (level, found) = worst(&facts().await);
        assert_eq!((level, found.len()), (Level::Note, 1), "{found:?}");
    }

    #[tokio::test]
    async fn what_is_not_safe_is_trouble() {
        for (store, name, value) in [
            (StoreKind::Sqlite, "journal_mode", "delete"),
            (StoreKind::Postgres, "fsync", "off"),
            (StoreKind::Postgres, "synchronous_commit", "off"),
            (StoreKind::Postgres, "autovacuum", "off"),
            (StoreKind::Postgres, "standby", "yes"),
        ] {
            let mut facts = facts().await;
            facts.checkup.store = store;
            for name in [
                "fsync",
                "full_page_writes",
                "synchronous_commit",
                "autovacuum",
            ] {
                facts.checkup.says.insert(name.to_owned(), "on".to_owned());
            }
            facts.checkup.says.insert(name.to_owned(), value.to_owned());
            let (level, found) = worst(&facts);
            assert!(
                level == Level::Trouble && found.len() == 1,
                "{name}: {found:?}"
            );
        }
    }

    #[tokio::test]
    async fn tasks_that_nobody_does_are_trouble() {
        let mut facts = facts().await;
        facts.unfinished = 3;
        assert_eq!(
            worst(&facts),
            (
                Level::Trouble,
                vec!["workers: none is alive, and 3 tasks to be done".to_owned()]
            )
        );
    }

    #[tokio::test]
    async fn a_long_transaction_and_a_wrong_clock_are_warnings() {
        let mut facts = facts().await;
        facts.checkup.clock_ahead = chrono::TimeDelta::seconds(-90);
        facts
            .checkup
            .says
            .insert("oldest_transaction_s".to_owned(), "301".to_owned());
        let (level, found) = worst(&facts);
        assert!(level == Level::Warning && found.len() == 2, "{found:?}");
    }

    #[tokio::test]
    async fn what_must_never_be_is_trouble() {
        let mut facts = facts().await;
        facts.breaches = Some(vec![(
            "I1: a task has two tokens".to_owned(),
            uuid::Uuid::nil().into(),
        )]);
        let (level, found) = worst(&facts);
        assert!(
            level == Level::Trouble && found[0].contains("two tokens"),
            "{found:?}"
        );
    }
}
