//! Why: loads what is known of one intent at one moment (the domain's `why` says what it means).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::admit::{Ancestry, mode};
use super::args::Args;
use super::conn::Row;
use super::reading::Reading;
use super::why_ready::{self, Stand};
use super::{Conn, Goal, NewIntent, Store, conflict, line, load, sql};
use crate::admit::Among;
use crate::conflict::{Conflicts, Rule, Stage};
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Mode;
use crate::limits;
use crate::state::IntentState;
use crate::waits::Sort;
use crate::why::{
    AskedFacts, AwaitedFacts, CancelFacts, ChildFacts, Facts, Foresight, LeaseFacts, LineFacts,
    Other, Place, QueueFacts, Rival, StepFacts, Tally, Then, WorkerFacts,
};

/// One more than is told, to know that there are more.
pub(super) const COUNT: i64 = limits::WHY_COUNT as i64 + 1;

impl Store {
    /// What is known of an intent, and of the first of the children that it waits for: one snapshot.
    pub(crate) async fn why(&self, id: IntentId) -> Result<Facts, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let mut facts = load(&mut conn, id).await?;
                for child in facts.children.iter_mut().take(limits::WHY_CHILDREN) {
                    let known = load(&mut conn, child.other.id).await?;
                    child.facts = Some(Box::new(known));
                }
                Ok(facts)
            })
        })
        .await
    }

    /// What an intent would meet now that nobody has asked for: one snapshot, nothing written.
    pub(crate) async fn foresee(
        &self,
        new: &NewIntent,
        conflicts: Arc<Conflicts>,
    ) -> Result<Foresight, Error> {
        let (new, now) = (new.clone(), self.now());
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let ruled = conflict::ruled(&mut conn, &new, conflicts.clone()).await?;
                let waiting = Waiting {
                    intent: new.id,
                    kind: new.kind.clone(),
                    conflicts,
                    ancestors: Vec::new(),
                    kin: false,
                    passed: 0,
                };
                let mut seen = Vec::new();
                for want in new.resources {
                    if want.1 != Mode::Touched {
                        seen.push(seen_of(&mut conn, want, now.0, &waiting).await?);
                    }
                }
                Ok(Foresight {
                    ruled,
                    lines: name(&mut conn, seen, &waiting).await?,
                    workers: workers(&mut conn, &new.queue, &new.kind).await?,
                })
            })
        })
        .await
    }
}

async fn load(conn: &mut Conn<'_>, id: IntentId) -> Result<Facts, Error> {
    let row = conn
        .fetch_one(&sql::WHY_PLACE, Args::new().uuid(id.0).now())
        .await?
        .ok_or(Error::NotFound { id })?;
    let mut facts = Facts {
        now: row.time(22)?.to_utc(),
        intent: id,
        kind: row.text(1)?,
        queue: row.text(2)?,
        account: row.opt_text(3)?,
        requested_by: row.opt_text(4)?,
        requested_at: row.time(5)?.to_utc(),
        place: place(conn, id, &row).await?,
        backs_off: match (row.opt_int(27)?, row.opt_time(28)?) {
            (Some(intents), Some(until)) => {
                Some((u64::try_from(intents).unwrap_or_default(), until.to_utc()))
            }
            _ => None,
        },
        said: QueueFacts::default(),
        cancel: match row.opt_text(23)? {
            Some(actor) => Some(CancelFacts {
                actor,
                reason: row.opt_text(24)?,
                at: row.time(25)?.to_utc(),
                then: match load::goal(&mut Reading::of(&row, "cancel"), 26) {
                    Goal::Cancel => Then::Cancelled,
                    Goal::Fail(_) => Then::Failed,
                    Goal::Rerun { .. } => Then::Rerun,
                },
            }),
            None => None,
        },
        asked: match row.opt_text(29)? {
            Some(actor) => Some(AskedFacts {
                actor,
                reason: row.opt_text(30)?,
                at: row.time(31)?.to_utc(),
            }),
            None => None,
        },
        workers: Vec::new(),
        steps: Vec::new(),
        children: Vec::new(),
        routed: Vec::new(),
        awaited: Vec::new(),
        unfinished: Tally {
            count: 0,
            more: false,
        },
    };
    match facts.place {
        Place::Finished(..) | Place::Failed { .. } => return Ok(facts),
        Place::Blocked { .. } | Place::Ready { .. } => {}
        Place::Parked { .. } | Place::Leased(_) => {
            facts.steps = steps(conn, id).await?;
            (facts.children, facts.unfinished) = children(conn, id).await?;
            facts.awaited = awaited(conn, id).await?;
            facts.routed = super::why_routed::load(conn, &facts).await?;
        }
    }
    facts.workers = workers(conn, &facts.queue, &facts.kind).await?;
    facts.said = super::queue::facts(conn, &facts.queue).await?;
    Ok(facts)
}

async fn place(conn: &mut Conn<'_>, id: IntentId, row: &Row) -> Result<Place, Error> {
    if row.opt_text(7)?.is_some() {
        let (state, at): (IntentState, _) = (row.word(7)?, row.time(8)?.to_utc());
        if state != IntentState::Failed {
            return Ok(Place::Finished(state, at));
        }
        let held = conn.fetch(&sql::WHY_HELD, Args::new().uuid(id.0)).await?;
        return Ok(Place::Failed {
            why: row.opt_text(9)?.unwrap_or_default(),
            step: row.opt_text(11)?,
            error: row.opt_text(10)?.unwrap_or_default(),
            at,
            holds: held
                .iter()
                .map(|row| row.text(0))
                .collect::<Result<_, _>>()?,
        });
    }
    if let Some(reason) = row.opt_text(12)? {
        let due_at = row.opt_time(13)?.map(|time| time.to_utc());
        return Ok(Place::Parked { reason, due_at });
    }
    if row.bool(14)? {
        return blocked(conn, id, row.text(1)?).await;
    }
    if let Some(claimed) = row.opt_time(16)? {
        return Ok(Place::Leased(LeaseFacts {
            worker: row.text(17)?,
            host: row.text(18)?,
            since: claimed.max(row.time(5)?).to_utc(),
            beat_at: row.time(19)?.to_utc(),
            lease_ms: row.small(20)?,
            free: row.small(21)?,
        }));
    }
    let stand = Stand {
        queue: row.text(2)?,
        kind: row.text(1)?,
        position: row.int(6)?,
        task: id.0,
        crashes: row.small(15)?,
    };
    why_ready::place(conn, stand).await
}

/// Who is before it, on each of the resources in whose lines it stands.
async fn blocked(conn: &mut Conn<'_>, id: IntentId, kind: String) -> Result<Place, Error> {
    let (ancestors, kin) = Ancestry::load(conn, [id]).await?.get(id);
    let waiting = Waiting {
        intent: id,
        conflicts: conflict::declared(conn, &kind).await?,
        kind,
        ancestors,
        kin,
        passed: line::passed(conn).await?,
    };
    let mut seen = Vec::new();
    for row in conn.fetch(&sql::WHY_WANTS, Args::new().uuid(id.0)).await? {
        let want = (row.text(0)?, mode(&row.text(1)?));
        seen.push(seen_of(conn, want, row.int(2)?, &waiting).await?);
    }
    let lines = name(conn, seen, &waiting).await?;
    Ok(Place::Blocked { lines })
}

/// Who stands in lines, and whom it waits for there.
struct Waiting {
    intent: IntentId,
    kind: String,
    conflicts: Arc<Conflicts>,
    ancestors: Vec<IntentId>,
    /// Whether one of them holds something.
    kin: bool,
    /// Up to which position one has waited for too long to be passed by kin.
    passed: i64,
}

impl Waiting {
    /// It goes side by side with somebody.
    fn shares(&self, other: &Other, stage: Stage) -> bool {
        self.conflicts.rule(&self.kind, &other.kind, stage) == Rule::Share
    }
}

/// Who holds a resource and who stands in line for it, by their ids.
struct Seen {
    resource: String,
    mode: Mode,
    holders: Vec<(IntentId, Mode)>,
    /// Those before it that it waits for, if they exclude it.
    ahead: Vec<(IntentId, Mode)>,
    more: bool,
}

impl Seen {
    /// The first of these that exclude it.
    fn excluding(&self, users: &[(IntentId, Mode)], most: usize) -> Vec<IntentId> {
        let users = users
            .iter()
            .filter(|(_, other)| !self.mode.is_compatible(*other));
        users.map(|(id, _)| *id).take(most).collect()
    }
}

/// The line for a resource, as far as it is before a position.
async fn seen_of(
    conn: &mut Conn<'_>,
    (resource, mode): (String, Mode),
    position: i64,
    waiting: &Waiting,
) -> Result<Seen, Error> {
    let args = Args::new().text(resource.as_str()).int(COUNT);
    let holders = users(&conn.fetch(&sql::WHY_HOLDERS, args).await?)?;
    let is_own = |(holder, _): &(IntentId, Mode)| waiting.ancestors.contains(holder);
    let (own, mut holders): (Vec<_>, Vec<_>) = holders.into_iter().partition(is_own);
    holders.retain(|(holder, _)| *holder != waiting.intent);
    let among = Among::of(&waiting.ancestors, waiting.kin, |ancestor| {
        own.contains(&(ancestor, Mode::Exclusive))
    });
    let args = Args::new().text(resource.as_str()).int(position);
    let args = args.uuid(waiting.intent.0).int(COUNT);
    let rows = conn.fetch(&sql::WHY_LINE, args).await?;
    let counts = |row: &Row| {
        let theirs = Among::from_word(&row.text(2)?).unwrap_or(Among::All);
        Ok(among.waits_behind(theirs, row.int(3)? <= waiting.passed))
    };
    let counts: Vec<bool> = rows.iter().map(counts).collect::<Result<_, Error>>()?;
    let ahead = users(&rows)?.into_iter().zip(counts);
    let ahead = ahead.filter_map(|(user, counts)| counts.then_some(user));
    Ok(Seen {
        resource,
        mode,
        holders,
        ahead: ahead.take(limits::WHY_COUNT as usize).collect(),
        more: rows.len() as i64 == COUNT,
    })
}

/// Loads what is told of those in the lines.
async fn name(
    conn: &mut Conn<'_>,
    seen: Vec<Seen>,
    waiting: &Waiting,
) -> Result<Vec<LineFacts>, Error> {
    let mut named: HashSet<IntentId> = HashSet::new();
    for line in &seen {
        named.extend(line.excluding(&line.holders, limits::WHY_OTHERS));
        named.extend(line.excluding(&line.ahead, limits::WHY_OTHERS));
    }
    let known = others(conn, named).await?;
    let shares = |id: &IntentId, stage| {
        let other = known.get(id);
        other.is_some_and(|other| waiting.shares(other, stage))
    };
    let lines = seen.into_iter().map(|line| {
        let rival = |(id, mode): &(IntentId, Mode)| {
            let other = known.get(id)?.clone();
            let waits = !shares(id, Stage::Started);
            waits.then_some(Rival { mode: *mode, other })
        };
        let ahead = line.ahead.iter();
        let ahead = ahead.filter(|(id, _)| !shares(id, Stage::Waiting));
        let ahead = ahead.map(|(id, mode)| (*mode, known.get(id).cloned()));
        LineFacts {
            holders: line.holders.iter().filter_map(rival).collect(),
            ahead: ahead.collect(),
            resource: line.resource,
            mode: line.mode,
            more: line.more,
        }
    });
    Ok(lines.collect())
}

fn users(rows: &[Row]) -> Result<Vec<(IntentId, Mode)>, Error> {
    rows.iter()
        .map(|row| Ok((row.uuid(0)?, mode(&row.text(1)?))))
        .collect()
}

async fn others(
    conn: &mut Conn<'_>,
    ids: impl IntoIterator<Item = IntentId>,
) -> Result<HashMap<IntentId, Other>, Error> {
    let mut others = HashMap::new();
    for row in conn.fetch(&sql::WHY_OTHERS, Args::new().ids(ids)).await? {
        let id = row.uuid(0)?;
        let other = Other {
            id,
            kind: row.text(1)?,
            account: row.opt_text(2)?,
            requested_by: row.opt_text(3)?,
            requested_at: row.time(4)?.to_utc(),
            state: row.word(5)?,
            since: row.opt_time(6)?.map(|time| time.to_utc()),
        };
        others.insert(id, other);
    }
    Ok(others)
}

async fn steps(conn: &mut Conn<'_>, id: IntentId) -> Result<Vec<StepFacts>, Error> {
    let args = Args::new().uuid(id.0).int(limits::WHY_OTHERS as i64);
    let rows = conn.fetch(&sql::WHY_STEPS, args).await?;
    rows.iter()
        .map(|row| {
            Ok(StepFacts {
                name: row.text(0)?,
                runs: row.text(1)? == "running",
                attempt: row.small(2)?,
                error: row.opt_text(3)?,
                due_at: row.opt_time(4)?.map(|time| time.to_utc()),
                started_at: row.opt_time(5)?.map(|time| time.to_utc()),
                progress: row
                    .opt_json(7)?
                    .map(|progress| crate::progress::words(progress.get())),
            })
        })
        .collect()
}

/// The first of the sleeps and signals that the steps of an intent wait for.
async fn awaited(conn: &mut Conn<'_>, id: IntentId) -> Result<Vec<AwaitedFacts>, Error> {
    let args = Args::new().uuid(id.0).int(limits::WHY_OTHERS as i64);
    let rows = conn.fetch(&sql::WHY_AWAITED, args).await?;
    rows.iter()
        .map(|row| {
            Ok(AwaitedFacts {
                step: row.text(0)?,
                name: row.text(1)?,
                sort: Sort::from_word(&row.text(2)?),
                due_at: row.opt_time(3)?.map(|time| time.to_utc()),
            })
        })
        .collect()
}

/// The first of the unfinished children, and how many there are.
async fn children(conn: &mut Conn<'_>, id: IntentId) -> Result<(Vec<ChildFacts>, Tally), Error> {
    let args = Args::new().uuid(id.0).int(COUNT);
    let rows = conn.fetch(&sql::WHY_CHILDREN, args).await?;
    let unfinished = tally(rows.len() as i64);
    let mut first = Vec::new();
    for row in rows.iter().take(limits::WHY_OTHERS) {
        first.push((row.text(0)?, row.text(1)?, row.uuid::<IntentId>(2)?));
    }
    let mut known = HashMap::new();
    if !first.is_empty() {
        known = others(conn, first.iter().map(|(_, _, id)| *id)).await?;
    }
    let child = |(step, name, id): (String, String, IntentId)| {
        Some(ChildFacts {
            step,
            name,
            other: known.remove(&id)?,
            facts: None,
        })
    };
    Ok((first.into_iter().filter_map(child).collect(), unfinished))
}

pub(super) async fn workers(
    conn: &mut Conn<'_>,
    queue: &str,
    kind: &str,
) -> Result<Vec<WorkerFacts>, Error> {
    let args = Args::new().text(queue).text(kind);
    let args = args.int(limits::WHY_WORKERS as i64).now();
    let rows = conn.fetch(&sql::WHY_WORKERS, args).await?;
    rows.iter()
        .map(|row| {
            Ok(WorkerFacts {
                worker: row.text(0)?,
                silent_ms: row.small(1)?,
                lease_ms: row.small(2)?,
                free: row.small(3)?,
                leaving: row.bool(4)?,
                serves: row.bool(5)?,
                knows: row.bool(6)?,
            })
        })
        .collect()
}

/// A count that went no further than one beyond what is told.
pub(super) fn tally(found: i64) -> Tally {
    let found = u64::try_from(found).unwrap_or_default();
    Tally {
        count: found.min(limits::WHY_COUNT),
        more: found > limits::WHY_COUNT,
    }
}
