//! Circle: finds out whether somebody who is to wait in line would wait for ever (PROTOCOL P5; what that means is
//! `admit/circle.rs`). Only descendants of somebody who holds something can, so others cost nothing here.
//!
//! Two ticks at the same time may each close one half of a circle, and neither sees the other's. So housekeeping looks
//! again, and lets one of them try once more: whoever tries is judged by what is committed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::admit::{self, holders_of};
use super::args::Args;
use super::conn::Row;
use super::line::{self, Lines};
use super::reading::readable;
use super::{Conn, sharing, sql};
use crate::admit::circle::{self, Turn, Wait, Waits};
use crate::admit::{Holder, Place};
use crate::conflict::Stage;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;

/// What becomes of some who are in line now.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// They would wait for ever, and why.
    pub(super) circular: HashMap<IntentId, String>,
    /// They go before those who stand before them.
    pub(super) passing: HashSet<IntentId>,
    /// They may go now: they are to try again.
    pub(super) again: BTreeSet<IntentId>,
}

/// How far the looks of one worker have come: the next one goes on from there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round(Arc<Mutex<Option<IntentId>>>);

impl Round {
    fn get(&self) -> IntentId {
        let after = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        after.unwrap_or(IntentId(Uuid::nil()))
    }

    fn set(&self, after: Option<IntentId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = after;
    }
}

impl Turns {
    fn add(&mut self, more: Self) {
        self.circular.extend(more.circular);
        self.passing.extend(more.passing);
        self.again.extend(more.again);
    }
}

/// Judges those who have just been put in line.
pub(super) async fn judge(conn: &mut Conn<'_>, blocked: &[IntentId]) -> Result<Turns, Error> {
    if blocked.is_empty() {
        return Ok(Turns::default());
    }
    match load(conn, blocked).await? {
        Reach::Whole(waits) => Ok(turns(waits, blocked)),
        Reach::Cut(waits) if blocked.len() == 1 => Ok(turns(waits, blocked)),
        Reach::Cut(_) => {
            let (mut all, mut work) = (Turns::default(), 0);
            for who in blocked.iter().take(limits::CIRCLE_ALONE) {
                let waits = load(conn, &[*who]).await?.waits();
                work += waits.len();
                all.add(turns(waits, &[*who]));
                if work >= limits::CIRCLE_WAITS {
                    break;
                }
            }
            Ok(all)
        }
    }
}

/// What becomes of these. In a large tangle that is said of some of them; the others try, or are looked at, another time.
fn turns(mut waits: Waits, who: &[IntentId]) -> Turns {
    let mut turns = Turns::default();
    let most = limits::CIRCLE_WORK / waits.len().max(1);
    let most = most.max(limits::CIRCLE_ALONE);
    let tangled = circle::in_circles(&waits, who);
    for who in tangled.iter().take(most) {
        match circle::turn(&waits, *who) {
            Turn::Waits => {}
            Turn::Circular(links) => {
                turns.circular.insert(*who, circle::in_words(&links));
                waits.leave(*who);
            }
            Turn::Passes => {
                turns.passing.insert(*who);
                waits.take(*who);
            }
            Turn::Lets(others) => turns.again.extend(others),
        }
    }
    turns
}

/// Housekeeping: looks for circles among some of those in line, the next ones of the round, and has the youngest of each
/// circle try again, which is told then.
pub(super) async fn look(conn: &mut Conn<'_>, round: &Round) -> Result<(), Error> {
    let args = Args::new().uuid(round.get().0);
    let args = args.int(limits::CIRCLE_LOOK as i64);
    let rows = conn.fetch(&sql::CIRCLE_LOOK, args).await?;
    let mut blocked: Vec<IntentId> = readable(&rows, "blocked", |row| row.uuid(0));
    let mut more = blocked.len() == limits::CIRCLE_LOOK;
    if blocked.is_empty() {
        round.set(None);
        return Ok(());
    }
    let mut found = Turns::default();
    match load(conn, &blocked).await? {
        Reach::Whole(waits) => found.add(youngest_first(waits)),
        Reach::Cut(_) => {
            let (mut looked, mut work) = (0, 0);
            while looked < blocked.len().min(limits::CIRCLE_ALONE) && work < limits::CIRCLE_WAITS {
                let waits = load(conn, &[blocked[looked]]).await?.waits();
                work += waits.len();
                looked += 1;
                found.add(youngest_first(waits));
            }
            more |= blocked.len() > looked;
            blocked.truncate(looked);
        }
    }
    round.set(blocked.last().copied().filter(|_| more));
    let again = found.circular.keys().chain(&found.passing);
    let again: BTreeSet<IntentId> = again.chain(&found.again).copied().collect();
    admit::unblock(conn, again).await?;
    Ok(())
}

fn youngest_first(waits: Waits) -> Turns {
    let mut reached: Vec<IntentId> = waits.waits.keys().copied().collect();
    reached.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    turns(waits, &reached)
}

/// Who waits for whom.
enum Reach {
    /// All that there is.
    Whole(Waits),
    /// There was more than is read at a time.
    Cut(Waits),
}

impl Reach {
    fn waits(self) -> Waits {
        match self {
            Self::Whole(waits) | Self::Cut(waits) => waits,
        }
    }
}

/// Who waits for whom, as far as it can be reached from these.
async fn load(conn: &mut Conn<'_>, from: &[IntentId]) -> Result<Reach, Error> {
    let mut waits = Waits::default();
    let mut known: HashSet<IntentId> = HashSet::new();
    let mut next: HashSet<IntentId> = from.iter().copied().collect();
    let passed = line::passed(conn).await?;
    while !next.is_empty() {
        if known.len() >= limits::CIRCLE_REACH || waits.len() >= limits::CIRCLE_WAITS {
            return Ok(Reach::Cut(waits));
        }
        known.extend(&next);
        let others = load_waits(conn, &mut waits, &next, passed).await?;
        let mut reached: HashSet<IntentId> = others.clone();
        if !others.is_empty() {
            let args = Args::new().ids(others.iter().copied());
            let args = args.int(limits::CIRCLE_REACH as i64);
            let rows = conn.fetch(&sql::CIRCLE_FAMILY, args).await?;
            let member = |row: &Row| Ok((row.uuid(0)?, row.uuid(1)?));
            for (root, member) in readable(&rows, "child", member) {
                waits.families.entry(root).or_default().push(member);
                reached.insert(member);
            }
        }
        next = reached.difference(&known).copied().collect();
    }
    Ok(Reach::Whole(waits))
}

/// Who holds a resource, and who stands in line for it.
struct At<'a> {
    resource: Arc<str>,
    holders: Vec<&'a Holder>,
    line: Vec<&'a Place>,
}

impl At<'_> {
    fn of(resource: &str) -> Self {
        Self {
            resource: resource.into(),
            holders: Vec::new(),
            line: Vec::new(),
        }
    }
}

/// What some wait for, if they are in line. Returns for whom.
async fn load_waits(
    conn: &mut Conn<'_>,
    waits: &mut Waits,
    of: &HashSet<IntentId>,
    passed: i64,
) -> Result<HashSet<IntentId>, Error> {
    let own = Lines::front(conn, &HashSet::new(), 0, of.iter().copied()).await?;
    let mut others = HashSet::new();
    if own.places.is_empty() {
        return Ok(others);
    }
    let resources: HashSet<String> = own.places.iter().map(|p| p.resource.clone()).collect();
    let holders = holders_of(conn, &resources).await?;
    let holding = Args::new().ids(holders.iter().map(|holder| holder.intent));
    let stopping = conn.fetch(&sql::CIRCLE_STOPPING, holding).await?;
    let stopping: HashSet<IntentId> = readable(&stopping, "cancel", |row| row.uuid(0))
        .into_iter()
        .collect();
    let most = limits::CIRCLE_LINE;
    let mut lines = Lines::front(conn, &resources, most, of.iter().copied()).await?;
    lines.deepen(conn, &holders, most, &HashSet::new()).await?;
    lines.name_kin(conn, &holders).await?;
    let own: HashSet<IntentId> = sharing::of_line(&lines.places)
        .intersection(of)
        .copied()
        .collect();
    let shares = sharing::load(conn, &own, &holders, &lines.places).await?;
    let mut at: HashMap<&str, At<'_>> = HashMap::new();
    for resource in &resources {
        at.insert(resource, At::of(resource));
    }
    for holder in holders.iter().filter(|h| !stopping.contains(&h.intent)) {
        if let Some(at) = at.get_mut(holder.resource.as_str()) {
            at.holders.push(holder);
        }
    }
    for place in &lines.places {
        if let Some(at) = at.get_mut(place.resource.as_str()) {
            at.line.push(place);
        }
    }
    for place in lines.places.iter().filter(|p| of.contains(&p.intent)) {
        let Some(at) = at.get(place.resource.as_str()) else {
            continue;
        };
        let excludes = |other, mode| {
            other != place.intent
                && !place.mode.is_compatible(mode)
                && !place.ancestors.contains(&other)
        };
        let beside = |other, stage| place.sharing && shares.between(place.intent, other, stage);
        let wait = |other, held| Wait {
            other,
            resource: at.resource.clone(),
            held,
        };
        let holding = at.holders.iter().filter(|holder| {
            excludes(holder.intent, holder.mode) && !beside(holder.intent, Stage::Started)
        });
        let mut its: Vec<Wait> = holding.map(|holder| wait(holder.intent, true)).collect();
        let ahead = at.line.iter().filter(|other| {
            excludes(other.intent, other.mode)
                && (other.position, other.intent) < (place.position, place.intent)
                && place
                    .among
                    .waits_behind(other.among, other.position <= passed)
                && !beside(other.intent, Stage::Waiting)
        });
        its.extend(ahead.map(|other| wait(other.intent, false)));
        others.extend(its.iter().map(|wait| wait.other));
        waits.waits.entry(place.intent).or_default().extend(its);
        let ancestors = place.ancestors.clone();
        waits.ancestors.insert(place.intent, ancestors);
    }
    Ok(others)
}
