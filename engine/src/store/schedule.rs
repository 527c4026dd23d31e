//! Schedule: what the code declares, which ticks are decided, and what came of them.
//!
//! A schedule's row has a version, which counts its changes. Whoever decides ticks has read one version and writes only if it
//! is still that: the row's lock puts those who do so at the same time one after the other, and the second finds another
//! version. The row, its ticks and their intents are one commit (I12).

use super::args::{Args, Rows};
use super::conn::Row;
use super::reading::readable;
use super::request::insert_requests;
use super::{Actor, Conn, NewChange, NewIntent, Store, change, sql};
use crate::clock::{Micros, micros};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::schedule::due::{Decision, LeftOut, passed_over};
use crate::schedule::times::Times;
use crate::schedule::{CatchUp, Schedule, TickState, When};

/// What the code says of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    pub(crate) schedule: Schedule,
    pub(crate) times: Times,
    pub(crate) kind: &'static str,
    pub(crate) worker: String,
    /// The version of the database's declaration of which nothing is due, as this program reckons: another program may know
    /// another history of the time zone.
    pub(crate) nothing_due: Option<i64>,
}

/// What the database says of one.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleLoad {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) when: When,
    pub(crate) catch_up: CatchUp,
    /// The word for how its intents use the resource that they share.
    pub(crate) overlap: String,
    pub(crate) revision: u32,
    pub(crate) declared_by: String,
    pub(crate) last_at: Micros,
    pub(crate) next_at: Option<Micros>,
    pub(crate) paused: bool,
    pub(crate) version: i64,
    pub(crate) now: Micros,
    /// What a person has asked for and nobody has carried out: when, and who.
    pub(crate) asked: Option<(Micros, String)>,
}

/// How a declaration stands to what the database has.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// It is what the database has, by now.
    Ours,
    /// The database has another one: newer, as new, or older with ticks that are to be decided first.
    Theirs(Box<ScheduleLoad>),
}

/// A tick, and the intent that is made of it; or why none can be.
pub(crate) type NewTick = (Micros, Result<NewIntent, String>);

/// What came of a tick.
struct Came {
    at: Micros,
    state: TickState,
    intent: Option<IntentId>,
    error: Option<String>,
    count: usize,
    since: Option<Micros>,
}

impl Store {
    /// Writes a declaration down, if it is a new one, or a newer one with nothing left to be decided by the older one.
    pub(crate) async fn declare_schedule(&self, new: Declaration) -> Result<Standing, Error> {
        self.transact(move |mut conn| {
            let new = new.clone();
            Box::pin(async move { declare(&mut conn, &new).await })
        })
        .await
    }

    /// What the database says of these schedules.
    pub(crate) async fn schedules_load(
        &self,
        names: Vec<String>,
    ) -> Result<Vec<ScheduleLoad>, Error> {
        self.read(move |mut conn| Box::pin(async move { load(&mut conn, &names).await }))
            .await
    }

    pub(crate) async fn schedule_load(&self, name: &str) -> Result<ScheduleLoad, Error> {
        let loaded = self.schedules_load(vec![name.to_owned()]).await?;
        loaded.into_iter().next().ok_or_else(|| none(name))
    }

    /// Decides ticks: requests intents for some, leaves others out. Returns false if somebody was faster, or has changed
    /// the schedule.
    pub(crate) async fn decide_ticks(
        &self,
        name: String,
        version: i64,
        decision: Decision,
        ticks: Vec<NewTick>,
        worker: String,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let (name, worker) = (name.clone(), worker.clone());
            let (decision, ticks) = (decision.clone(), ticks.clone());
            Box::pin(async move {
                let args = Args::new()
                    .text(name.as_str())
                    .int(version)
                    .int(decision.last.0)
                    .int(decision.next.map(|next| next.0));
                let mine = conn.fetch_one(&sql::SCHEDULE_ADVANCE, args).await?;
                if mine.is_none() {
                    return Ok(false);
                }
                let mut came: Vec<Came> = decision.left_out.map(left_out).into_iter().collect();
                came.extend(request(&mut conn, ticks).await?);
                let args = Args::new().text(name.as_str()).text("due").text(worker);
                let args = args.opt_text(None::<&str>).opt_text(None::<&str>);
                record(&mut conn, args, &came).await?;
                let args = Args::new().text(name).int(micros(limits::TICK_RETENTION));
                let args = args.int(limits::TICK_PURGE as i64).now();
                conn.execute(&sql::TICK_PURGE, args).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Carries out what a person has asked for. Returns false if somebody was faster.
    pub(crate) async fn carry_out_tick(
        &self,
        name: String,
        tick: NewTick,
        worker: String,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let (name, tick, worker) = (name.clone(), tick.clone(), worker.clone());
            Box::pin(async move {
                let args = Args::new().text(name.as_str()).int(tick.0.0);
                let Some(row) = conn.fetch_one(&sql::TICK_CARRY, args).await? else {
                    return Ok(false);
                };
                let (by, reason) = (row.opt_text(0)?, row.opt_text(1)?);
                let came = request(&mut conn, vec![tick]).await?;
                let args = Args::new().text(name).text("hand").text(worker);
                record(&mut conn, args.opt_text(by).opt_text(reason), &came).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Returns false if it is paused already.
    pub(crate) async fn pause_schedule(&self, change: NewChange) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                let Actor { name, reason } = &change.by;
                let args = Args::new().text(change.name.as_str()).text(name.as_str());
                let args = args.opt_text(reason.as_deref()).now();
                if conn.fetch_one(&sql::SCHEDULE_PAUSE, args).await?.is_some() {
                    change::insert(&mut conn, &change).await?;
                    return Ok(true);
                }
                known(&mut conn, &change.name).await?;
                Ok(false)
            })
        })
        .await
    }

    /// Goes on with a version that was read: from a time, with the next tick. Returns false if it is another one by now.
    pub(crate) async fn resume_schedule(
        &self,
        change: NewChange,
        (version, last, next): (i64, Micros, Option<Micros>),
        passed_over: Option<LeftOut>,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                let args = Args::new().text(change.name.as_str()).int(version);
                let args = args.int(last.0).int(next.map(|next| next.0));
                let resumed = conn.fetch_one(&sql::SCHEDULE_RESUME, args).await?.is_some();
                if resumed {
                    change::insert(&mut conn, &change).await?;
                    let Actor { name, reason } = &change.by;
                    let args = Args::new().text(change.name.as_str()).text("due");
                    let args = args.opt_text(None::<&str>).opt_text(Some(name.as_str()));
                    let args = args.opt_text(reason.as_deref());
                    record_left_out(&mut conn, args, passed_over).await?;
                }
                Ok(resumed)
            })
        })
        .await
    }

    /// Asks for an intent now. Returns the time by which it is found.
    pub(crate) async fn ask_schedule(&self, change: NewChange) -> Result<Micros, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                change::insert(&mut conn, &change).await?;
                loop {
                    let Actor { name, reason } = &change.by;
                    let args = Args::new().text(change.name.as_str()).text(name.as_str());
                    let args = args.opt_text(reason.as_deref()).now();
                    if let Some(row) = conn.fetch_one(&sql::SCHEDULE_ASK, args).await? {
                        return row.time(0);
                    }
                    // It is there: somebody has asked in the same microsecond.
                    known(&mut conn, &change.name).await?;
                }
            })
        })
        .await
    }

    pub(crate) async fn remove_schedule(&self, change: NewChange) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                let args = Args::new().text(change.name.as_str());
                if conn.fetch_one(&sql::SCHEDULE_REMOVE, args).await?.is_some() {
                    return change::insert(&mut conn, &change).await;
                }
                known(&mut conn, &change.name).await?;
                Err(Error::ScheduleDeclared {
                    name: change.name.clone(),
                })
            })
        })
        .await
    }
}

async fn declare(conn: &mut Conn<'_>, new: &Declaration) -> Result<Standing, Error> {
    let now = conn.fetch_one(&sql::CLOCK_READ, Args::new().now()).await?;
    let now = Micros(now.ok_or(sqlx::Error::RowNotFound)?.int(0)?);
    let args = |last: Micros| {
        let Schedule { name, when, .. } = &new.schedule;
        let (cron, zone, every, from) = match when {
            When::Cron { cron, zone } => (Some(cron.as_str()), Some(zone.as_str()), None, None),
            When::Every { every_us, from } => (None, None, Some(*every_us), *from),
        };
        let (catch_up, most) = new.schedule.catch_up.word();
        Args::new()
            .text(name.as_str())
            .text(new.kind)
            .opt_text(cron)
            .opt_text(zone)
            .int(every)
            .int(from.map(|from| from.0))
            .text(catch_up)
            .int(i64::from(most))
            .text(new.schedule.overlap.as_str())
            .int(i64::from(new.schedule.revision))
            .text(new.worker.as_str())
            .int(now.0)
            .int(new.times.after(last).map(|next| next.0))
    };
    let inserted = conn.fetch_one(&sql::SCHEDULE_INSERT, args(now)).await?;
    if inserted.is_some() {
        return Ok(Standing::Ours);
    }
    let name = new.schedule.name.as_str();
    let theirs = load(conn, &[name.to_owned()]).await?.into_iter().next();
    let theirs = theirs.ok_or_else(|| none(name))?;
    if theirs.is(new) {
        return Ok(Standing::Ours);
    }
    let decided = theirs.paused
        || theirs.next_at.is_none_or(|next| next > now)
        || new.nothing_due == Some(theirs.version);
    if theirs.revision < new.schedule.revision && decided {
        let args = args(now.max(theirs.last_at)).int(theirs.version);
        if conn.fetch_one(&sql::SCHEDULE_CHANGE, args).await?.is_some() {
            // Of one that is paused, what was due is left out.
            let times = theirs.when.times().ok().filter(|_| theirs.paused);
            let passed_over = times.and_then(|times| passed_over(&times, theirs.last_at, now));
            let args = Args::new().text(name).text("due").text(new.worker.as_str());
            let args = args.opt_text(None::<&str>).opt_text(None::<&str>);
            record_left_out(conn, args, passed_over).await?;
            return Ok(Standing::Ours);
        }
    }
    Ok(Standing::Theirs(Box::new(theirs)))
}

impl ScheduleLoad {
    /// Whether this is what the code says.
    fn is(&self, new: &Declaration) -> bool {
        let ours = &new.schedule;
        self.revision == ours.revision
            && self.kind == new.kind
            && self.when == ours.when
            && self.catch_up == ours.catch_up
            && self.overlap == ours.overlap.as_str()
    }
}

async fn load(conn: &mut Conn<'_>, names: &[String]) -> Result<Vec<ScheduleLoad>, Error> {
    let names = Rows::new().texts(names.iter().map(String::as_str));
    let args = Args::new().rows(names).now();
    let rows = conn.fetch(&sql::SCHEDULE_LOAD, args).await?;
    Ok(readable(&rows, "schedule", |row| {
        let asked = row.opt_time(16)?;
        let asked_by = row.opt_text(17)?.unwrap_or_default();
        Ok(ScheduleLoad {
            name: row.text(0)?,
            kind: row.text(1)?,
            when: when(row)?,
            catch_up: CatchUp::of(&row.text(6)?, row.small(7)?),
            overlap: row.text(8)?,
            revision: row.small(9)?,
            declared_by: row.text(10)?,
            last_at: row.time(11)?,
            next_at: row.opt_time(12)?,
            paused: row.bool(13)?,
            version: row.int(14)?,
            now: row.time(15)?,
            asked: asked.map(|at| (at, asked_by)),
        })
    }))
}

/// Of a row that begins as `schedule_load` does.
pub(super) fn when(row: &Row) -> Result<When, Error> {
    Ok(match row.opt_text(2)? {
        Some(cron) => When::Cron {
            cron,
            zone: row.opt_text(3)?.unwrap_or_default(),
        },
        None => When::Every {
            every_us: row.opt_int(4)?.unwrap_or_default(),
            from: row.opt_time(5)?,
        },
    })
}

fn none(name: &str) -> Error {
    Error::NoSchedule {
        name: name.to_owned(),
    }
}

async fn known(conn: &mut Conn<'_>, name: &str) -> Result<(), Error> {
    match load(conn, &[name.to_owned()]).await?.is_empty() {
        true => Err(none(name)),
        false => Ok(()),
    }
}

fn left_out(out: LeftOut) -> Came {
    Came {
        at: out.last,
        state: TickState::Skipped,
        intent: None,
        error: None,
        count: out.count,
        since: Some(out.first),
    }
}

/// Requests the intents. What conflict rules refuse, and what cannot be made an intent of, is told of its tick, which is
/// decided all the same.
async fn request(conn: &mut Conn<'_>, ticks: Vec<NewTick>) -> Result<Vec<Came>, Error> {
    let mut came = Vec::with_capacity(ticks.len());
    let mut plain = Vec::new();
    for (at, made) in ticks {
        let tick = |state, intent, error| Came {
            at,
            state,
            intent,
            error,
            count: 1,
            since: None,
        };
        let new = match made {
            Ok(new) => new,
            Err(error) => {
                came.push(tick(TickState::Failed, None, Some(error)));
                continue;
            }
        };
        let id = new.id;
        if new.conflicts.is_none() {
            // Nobody answers it: all of these go in together.
            came.push(tick(TickState::Requested, Some(id), None));
            plain.push(new);
            continue;
        }
        // Before what comes after it, which may have to do with it.
        if !plain.is_empty() {
            insert_requests(conn, std::mem::take(&mut plain)).await?;
        }
        came.push(match insert_requests(conn, vec![new]).await {
            Ok(ids) if ids[0] == id => tick(TickState::Requested, Some(id), None),
            Ok(ids) => tick(TickState::Joined, Some(ids[0]), None),
            // Refused before anything was written.
            Err(error @ Error::Rejected { by, .. }) => {
                tick(TickState::Rejected, Some(by), Some(error.to_string()))
            }
            Err(error) => return Err(error),
        });
    }
    if !plain.is_empty() {
        insert_requests(conn, plain).await?;
    }
    Ok(came)
}

/// Says of ticks that nobody decided that they are left out.
async fn record_left_out(
    conn: &mut Conn<'_>,
    args: Args,
    passed_over: Option<LeftOut>,
) -> Result<(), Error> {
    match passed_over {
        Some(out) => record(conn, args, &[left_out(out)]).await,
        None => Ok(()),
    }
}

async fn record(conn: &mut Conn<'_>, args: Args, came: &[Came]) -> Result<(), Error> {
    let count = |came: &Came| i64::try_from(came.count).unwrap_or(i64::MAX);
    let rows = Rows::new()
        .ints(came.iter().map(|came| came.at.0))
        .texts(came.iter().map(|came| came.state.as_str()))
        .opt_uuids(came.iter().map(|came| came.intent.map(|id| id.0)))
        .opt_texts(came.iter().map(|came| came.error.as_deref()))
        .ints(came.iter().map(count))
        .opt_ints(came.iter().map(|came| came.since.map(|at| at.0)));
    conn.execute(&sql::TICK_INSERT, args.rows(rows).now()).await
}
