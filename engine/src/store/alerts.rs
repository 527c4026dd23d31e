//! Alerts: one look at what deserves one, by whichever live worker's turn it is; and what there is to tell of them.
//!
//! A look is one transaction. It reads the hot tables, whose size is that of what is unfinished, and takes no lock that a
//! tick waits for; what it writes are rows of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::args::{Args, Rows};
use super::circle::{self, Round};
use super::reading::readable;
use super::{Conn, Store, sql};
use crate::alert::judge::{self, Found, Late, Open, Running, Serves, Since};
use crate::alert::topic::{Failed, News, Topics};
use crate::alert::{Alert, AlertFilter, AlertKind, Notice, Unserved, Watch, Which};
use crate::clock::{Clock, micros};
use crate::error::Error;
use crate::id::{AlertId, IntentId, SessionId};
use crate::limits;

/// Who has a turn at housekeeping.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) session: SessionId,
    pub(crate) worker: String,
    pub(crate) watch: Watch,
    /// Since when this worker has seen that nobody serves a lane.
    pub(crate) unserved: Unserved,
    /// How far its look for those who wait for each other has come.
    pub(crate) circles: Round,
}

/// A notice that is to be told, and the name of its topic.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) topic: String,
    pub(crate) notice: Notice,
}

impl Store {
    /// Looks for what deserves an alert, and resolves those whose cause is gone; and for those who wait for each other.
    /// Returns false if it is somebody else's turn.
    pub(crate) async fn look(&self, turn: Turn) -> Result<bool, Error> {
        let clock = self.clock().clone();
        self.transact(move |mut conn| {
            let (turn, clock) = (turn.clone(), clock.clone());
            Box::pin(async move {
                if !take(&mut conn, "look", &turn, Duration::ZERO).await? {
                    return Ok(false);
                }
                look(&mut conn, &turn, &*clock).await?;
                circle::look(&mut conn, &turn.circles).await?;
                end(&mut conn, "look", &turn).await?;
                Ok(true)
            })
        })
        .await
    }

    /// What there is to tell, if it is this session's turn: until it says that it is done, or for [`limits::TURN`], it is
    /// nobody else's.
    pub(crate) async fn to_tell(&self, turn: Turn) -> Result<Vec<Due>, Error> {
        self.transact(move |mut conn| {
            let turn = turn.clone();
            Box::pin(async move {
                if !take(&mut conn, "tell", &turn, limits::TURN).await? {
                    return Ok(Vec::new());
                }
                let args = Args::new()
                    .int(micros(turn.watch.throttle))
                    .int(limits::NOTICES as i64)
                    .now();
                let rows = conn.fetch(&sql::NOTICE_DUE, args).await?;
                if rows.is_empty() {
                    end(&mut conn, "tell", &turn).await?;
                }
                rows.iter().map(due).collect()
            })
        })
        .await
    }

    /// These have been told; the turn is over.
    pub(crate) async fn told(&self, turn: Turn, told: Vec<Due>) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let (turn, told) = (turn.clone(), told.clone());
            Box::pin(async move {
                let count = |due: &Due| i64::try_from(due.notice.count).unwrap_or(i64::MAX);
                let rows = Rows::new()
                    .texts(told.iter().map(|due| due.topic.as_str()))
                    .ints(told.iter().map(count));
                let args = Args::new().text(turn.worker.as_str()).rows(rows).now();
                conn.execute(&sql::NOTICE_TOLD, args).await?;
                end(&mut conn, "tell", &turn).await
            })
        })
        .await
    }

    /// Alerts, newest first.
    pub(crate) async fn alerts(&self, filter: AlertFilter) -> Result<Vec<Alert>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new()
                    .bool(filter.which == Which::Open)
                    .opt_text(filter.kind.map(AlertKind::as_str))
                    .uuid(filter.intent.map(|id| id.0))
                    .int(filter.limit.map(i64::from));
                let rows = conn.fetch(&sql::ALERT_LIST, args).await?;
                Ok(readable(&rows, "alert", |row| {
                    Ok(Alert {
                        id: row.uuid(0)?,
                        kind: row.word(1)?,
                        intent: row.opt_uuid(2)?,
                        intent_kind: row.opt_text(3)?,
                        step: row.opt_text(4)?,
                        queue: row.opt_text(5)?,
                        worker: row.opt_text(6)?,
                        since: row.time(7)?.to_utc(),
                        raised_at: row.time(8)?.to_utc(),
                        resolved_at: row.opt_time(9)?.map(|time| time.to_utc()),
                        text: row.text(10)?,
                        count: row.small(11)?,
                    })
                }))
            })
        })
        .await
    }
}

fn due(row: &super::conn::Row) -> Result<Due, Error> {
    Ok(Due {
        topic: row.text(0)?,
        notice: Notice {
            kind: row.word(1)?,
            intent_kind: row.opt_text(2)?,
            step: row.opt_text(3)?,
            queue: row.opt_text(4)?,
            worker: row.opt_text(5)?,
            newest: row.opt_uuid(6)?,
            text: row.text(7)?,
            count: row.small(8)?,
            since: row.time(9)?.to_utc(),
            last: row.time(10)?.to_utc(),
        },
    })
}

async fn take(
    conn: &mut Conn<'_>,
    duty: &str,
    turn: &Turn,
    patience: Duration,
) -> Result<bool, Error> {
    let args = Args::new()
        .text(duty)
        .uuid(turn.session.0)
        .text(turn.worker.as_str())
        .int(micros(turn.watch.every))
        .int(micros(patience))
        .now();
    Ok(conn.fetch_one(&sql::TURN_TAKE, args).await?.is_some())
}

async fn end(conn: &mut Conn<'_>, duty: &str, turn: &Turn) -> Result<(), Error> {
    let args = Args::new().text(duty).uuid(turn.session.0);
    conn.execute(&sql::TURN_END, args).await
}

async fn look(conn: &mut Conn<'_>, turn: &Turn, clock: &dyn Clock) -> Result<(), Error> {
    let watch = &turn.watch;
    // First what is over, so that nothing is counted that is not so any more.
    let args = Args::new().int(micros(limits::WORKER_MISSED)).now();
    conn.execute(&sql::ALERT_ENDED, args).await?;
    let open = open(conn).await?;
    let room = limits::ALERTS.saturating_sub(open.len());
    let mut lanes = lanes(conn).await?;
    turn.unserved
        .note(&mut lanes, &open, watch, clock.monotonic());
    let mut found = judge::lanes(&lanes, watch);
    found.extend(late(conn, room.min(limits::LOOK)).await?);
    found.extend(slow(conn, watch).await?);
    found.extend(overdue(conn, watch).await?);
    let changes = judge::changes(&open, found);
    if !changes.resolve.is_empty() {
        let rows = Rows::new()
            .texts(changes.resolve.iter().map(|open| open.kind.as_str()))
            .texts(changes.resolve.iter().map(|open| open.about.as_str()));
        conn.execute(&sql::ALERT_RESOLVE, Args::new().rows(rows).now())
            .await?;
    }
    if !changes.update.is_empty() {
        let rows = Rows::new()
            .texts(changes.update.iter().map(|found| found.kind.as_str()))
            .texts(changes.update.iter().map(|found| found.about.as_str()))
            .texts(changes.update.iter().map(|found| found.text.as_str()))
            .ints(changes.update.iter().map(count));
        conn.execute(&sql::ALERT_UPDATE, Args::new().rows(rows))
            .await?;
    }
    let failed = failed(conn).await?;
    raise(conn, &changes.raise, failed, clock).await?;
    let args = Args::new().int(micros(limits::ALERT_RETENTION));
    let args = args.int(limits::ALERT_PURGE as i64).now();
    conn.execute(&sql::ALERT_PURGE, args).await?;
    let args = Args::new().int(micros(limits::ALERT_RETENTION)).now();
    conn.execute(&sql::NOTICE_PURGE, args).await
}

fn count(found: &Found) -> i64 {
    i64::try_from(found.count).unwrap_or(i64::MAX)
}

async fn open(conn: &mut Conn<'_>) -> Result<Vec<Open>, Error> {
    let args = Args::new().int(2 * limits::ALERTS as i64);
    let rows = conn.fetch(&sql::ALERT_OPEN, args).await?;
    Ok(readable(&rows, "alert", |row| {
        Ok(Open {
            kind: row.word(0)?,
            about: row.text(1)?,
            count: row.small(2)?,
        })
    }))
}

async fn lanes(conn: &mut Conn<'_>) -> Result<Vec<judge::Lane>, Error> {
    let args = Args::new().int(limits::WHY_COUNT as i64);
    let args = args.int(limits::LANES as i64).now();
    let rows = conn.fetch(&sql::LANE_LOOK, args).await?;
    Ok(readable(&rows, "ready", |row| {
        Ok(judge::Lane {
            queue: row.text(0)?,
            kind: row.text(1)?,
            waiting: row.small(2)?,
            oldest: row.opt_int(3)?.map(from_us),
            serves: match (row.bool(4)?, row.bool(5)?) {
                (_, true) => Serves::Kind,
                (true, false) => Serves::Queue,
                (false, false) => Serves::Nobody,
            },
        })
    }))
}

fn from_us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// What is not done by its deadline. The deadlines go with that: an alert stands for those that were missed.
async fn late(conn: &mut Conn<'_>, room: usize) -> Result<Vec<Found>, Error> {
    if room == 0 {
        return Ok(Vec::new());
    }
    let args = Args::new().int(room as i64).now();
    let rows = conn.fetch(&sql::DEADLINE_DUE, args).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut late: Vec<Found> = Vec::new();
    let mut seen: Vec<(IntentId, String, u32)> = Vec::with_capacity(rows.len());
    let due = readable(&rows, "deadline", |row| {
        let of = (row.uuid(0)?, row.text(1)?, row.small(2)?);
        Ok((of, row.time(3)?, row.opt_text(4)?, row.bool(5)?))
    });
    for ((intent, step, generation), due, kind, is_done) in due {
        seen.push((intent, step.clone(), generation));
        if is_done {
            continue;
        }
        late.push(judge::late(Late {
            intent,
            kind: kind.unwrap_or_default(),
            step: Some(step).filter(|step| !step.is_empty()),
            generation,
            due,
        }));
    }
    let rows = Rows::new()
        .uuids(seen.iter().map(|(intent, ..)| *intent))
        .texts(seen.iter().map(|(_, step, _)| step.as_str()))
        .ints(seen.iter().map(|(.., generation)| i64::from(*generation)));
    conn.execute(&sql::DEADLINE_DELETE, Args::new().rows(rows))
        .await?;
    Ok(late)
}

/// Steps that run far longer than they usually do.
async fn slow(conn: &mut Conn<'_>, watch: &Watch) -> Result<Vec<Found>, Error> {
    let args = Args::new().int(micros(watch.slow));
    let args = args.int(limits::SLOW_RUNNING as i64).now();
    let mut by_step: BTreeMap<(String, String), Vec<Running>> = BTreeMap::new();
    let rows = conn.fetch(&sql::RUNNING_LOOK, args).await?;
    let running = readable(&rows, "step", |row| {
        Ok(Running {
            intent: row.uuid(0)?,
            kind: row.text(1)?,
            step: row.text(2)?,
            generation: row.small(3)?,
            runs: from_us(row.int(4)?),
            worker: row.text(5)?,
        })
    });
    for running in running {
        let step = judge::durations_of(&running.step).to_owned();
        let of = by_step.entry((running.kind.clone(), step)).or_default();
        of.push(running);
    }
    let mut found = Vec::new();
    for ((kind, step), running) in by_step.into_iter().take(limits::SLOW_STEPS) {
        let args = Args::new()
            .text(kind)
            .text(step)
            .int(limits::SLOW_LOOK_BACK as i64)
            .int(limits::SLOW_LATEST as i64);
        let rows = conn.fetch(&sql::DURATION_LOOK, args).await?;
        let durations = readable(&rows, "step", |row| Ok(from_us(row.int(0)?)));
        let usual = judge::usual(durations);
        found.extend(
            running
                .iter()
                .filter_map(|step| judge::slow(step, usual, watch)),
        );
    }
    Ok(found)
}

/// Schedules whose ticks nobody decides.
async fn overdue(conn: &mut Conn<'_>, watch: &Watch) -> Result<Vec<Found>, Error> {
    let args = Args::new().int(micros(watch.unserved));
    let args = args.int(limits::LOOK as i64).now();
    let rows = conn.fetch(&sql::SCHEDULE_OVERDUE, args).await?;
    Ok(readable(&rows, "schedule", |row| {
        Ok(judge::overdue(judge::Overdue {
            name: row.text(0)?,
            kind: row.text(1)?,
            next: row.time(2)?,
            late: from_us(row.int(3)?),
            revision: row.small(4)?,
            declared: match (row.bool(5)?, row.bool(6)?) {
                (true, _) => judge::IsDeclared::AsItIs,
                (false, true) => judge::IsDeclared::Otherwise,
                (false, false) => judge::IsDeclared::ByNobody,
            },
        }))
    }))
}

/// Failures that are to be told of. One that was put back in line meanwhile is none any more.
async fn failed(conn: &mut Conn<'_>) -> Result<Vec<Failed>, Error> {
    let args = Args::new().int(limits::LOOK as i64);
    let rows = conn.fetch(&sql::UNTOLD_TAKE, args).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<IntentId> = readable(&rows, "untold", |row| row.uuid(0));
    let rows = conn.fetch(&sql::UNTOLD_LOAD, Args::new().ids(ids)).await?;
    Ok(readable(&rows, "outcome", |row| {
        Ok(Failed {
            intent: row.uuid(0)?,
            kind: row.text(1)?,
            step: row.opt_text(2)?,
            error: row.opt_text(3)?.unwrap_or_default(),
            at: row.time(4)?,
        })
    }))
}

/// Whether there is an open alert about the same already.
pub(super) async fn is_open(conn: &mut Conn<'_>, found: &Found) -> Result<bool, Error> {
    let open = open(conn).await?;
    let same = |open: &Open| open.kind == found.kind && open.about == found.about;
    Ok(open.iter().any(same))
}

/// Raises alerts, and counts them, and these failures, in what there is to tell.
pub(super) async fn raise(
    conn: &mut Conn<'_>,
    found: &[Found],
    failed: Vec<Failed>,
    clock: &dyn Clock,
) -> Result<(), Error> {
    if found.is_empty() && failed.is_empty() {
        return Ok(());
    }
    if !found.is_empty() {
        insert(conn, found, clock).await?;
    }
    let args = Args::new().int(limits::TOPICS as i64);
    let rows = conn.fetch(&sql::NOTICE_TOPICS, args).await?;
    let known = readable(&rows, "notice", |row| Ok((row.text(0)?, row.text(1)?)));
    let mut topics = Topics::new(known);
    found.iter().for_each(|found| topics.raised(found));
    failed.into_iter().for_each(|failed| topics.failed(failed));
    add(conn, &topics.into_news()).await
}

async fn insert(conn: &mut Conn<'_>, found: &[Found], clock: &dyn Clock) -> Result<(), Error> {
    let since = |found: &Found| match found.since {
        Since::At(at) => (Some(at.0), None),
        Since::Ago(ago) => (None, Some(micros(ago))),
    };
    let rows = Rows::new()
        .uuids(found.iter().map(|_| AlertId(clock.ordered_id()).0))
        .texts(found.iter().map(|found| found.kind.as_str()))
        .texts(found.iter().map(|found| found.about.as_str()))
        .opt_uuids(found.iter().map(|found| found.intent.map(|id| id.0)))
        .opt_texts(found.iter().map(|found| found.intent_kind.as_deref()))
        .opt_texts(found.iter().map(|found| found.step.as_deref()))
        .opt_ints(found.iter().map(|found| found.generation.map(i64::from)))
        .opt_texts(found.iter().map(|found| found.queue.as_deref()))
        .opt_texts(found.iter().map(|found| found.worker.as_deref()))
        .opt_texts(found.iter().map(|found| found.host.as_deref()))
        .opt_ints(found.iter().map(|found| since(found).0))
        .opt_ints(found.iter().map(|found| since(found).1))
        .texts(found.iter().map(|found| found.text.as_str()))
        .ints(found.iter().map(count));
    conn.execute(&sql::ALERT_INSERT, Args::new().rows(rows).now())
        .await
}

async fn add(conn: &mut Conn<'_>, news: &[News]) -> Result<(), Error> {
    let rows = Rows::new()
        .texts(news.iter().map(|news| news.topic.as_str()))
        .texts(news.iter().map(|news| news.kind.as_str()))
        .opt_texts(news.iter().map(|news| news.intent_kind.as_deref()))
        .opt_texts(news.iter().map(|news| news.step.as_deref()))
        .opt_texts(news.iter().map(|news| news.queue.as_deref()))
        .opt_texts(news.iter().map(|news| news.worker.as_deref()))
        .opt_uuids(news.iter().map(|news| news.newest.map(|id| id.0)))
        .texts(news.iter().map(|news| news.text.as_str()))
        .ints(
            news.iter()
                .map(|news| i64::try_from(news.count).unwrap_or(i64::MAX)),
        )
        .opt_ints(news.iter().map(|news| news.since.map(|at| at.0)))
        .opt_ints(news.iter().map(|news| news.last.map(|at| at.0)));
    conn.execute(&sql::NOTICE_ADD, Args::new().rows(rows).now())
        .await
}
