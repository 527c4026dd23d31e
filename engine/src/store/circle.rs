//! Circle: finds out whether somebody who is to wait in line would wait for ever (PROTOCOL P5; what that means is
//! `admit/circle.rs`). Only descendants of somebody who holds something can, so others cost nothing here.
//!
//! Two ticks at the same time may each close one half of a circle, and neither sees the other's. So housekeeping looks
//! again, and lets one of them try once more: whoever tries is judged by what is committed.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::admit::{self, Ancestry, holders_of, mode};
use super::args::{Args, Rows};
use super::{Conn, sql};
use crate::admit::circle::{self, Turn, Wait, Waits};
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Mode;
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

/// Judges those who have just been put in line.
pub(super) async fn judge(conn: &mut Conn<'_>, blocked: &[IntentId]) -> Result<Turns, Error> {
    if blocked.is_empty() {
        return Ok(Turns::default());
    }
    Ok(turns(load(conn, blocked).await?, blocked))
}

fn turns(mut waits: Waits, who: &[IntentId]) -> Turns {
    let mut turns = Turns::default();
    for who in who {
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

/// Housekeeping: looks for circles among those in line, and has the youngest of each try again, which is told then.
pub(super) async fn look(conn: &mut Conn<'_>) -> Result<(), Error> {
    let args = Args::new().int(limits::CIRCLE_LOOK as i64);
    let rows = conn.fetch(&sql::CIRCLE_LOOK, args).await?;
    let blocked = rows.iter().map(|row| row.uuid(0));
    let blocked: Vec<IntentId> = blocked.collect::<Result<_, _>>()?;
    if blocked.is_empty() {
        return Ok(());
    }
    let waits = load(conn, &blocked).await?;
    let mut reached: Vec<IntentId> = waits.waits.keys().copied().collect();
    reached.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    let turns = turns(waits, &reached);
    let again = turns.circular.keys().chain(&turns.passing);
    let again: BTreeSet<IntentId> = again.chain(&turns.again).copied().collect();
    admit::unblock(conn, again).await?;
    Ok(())
}

/// Who waits for whom, as far as it can be reached from these.
async fn load(conn: &mut Conn<'_>, from: &[IntentId]) -> Result<Waits, Error> {
    let mut waits = Waits::default();
    let mut known: HashSet<IntentId> = HashSet::new();
    let mut next: HashSet<IntentId> = from.iter().copied().collect();
    while !next.is_empty() && known.len() < limits::CIRCLE_LOOK {
        known.extend(&next);
        let others = load_waits(conn, &mut waits, &next).await?;
        let mut reached: HashSet<IntentId> = others.clone();
        if !others.is_empty() {
            let args = Args::new().ids(others.iter().copied());
            let args = args.int(limits::CIRCLE_LOOK as i64);
            for row in conn.fetch(&sql::CIRCLE_FAMILY, args).await? {
                let member = row.uuid(1)?;
                let family = waits.families.entry(row.uuid(0)?).or_default();
                family.push(member);
                reached.insert(member);
            }
        }
        next = reached.difference(&known).copied().collect();
    }
    Ok(waits)
}

/// What some wait for, if they are in line. Returns for whom.
async fn load_waits(
    conn: &mut Conn<'_>,
    waits: &mut Waits,
    of: &HashSet<IntentId>,
) -> Result<HashSet<IntentId>, Error> {
    let mut places: Vec<(IntentId, String, Mode, i64)> = Vec::new();
    let args = Args::new().ids(of.iter().copied());
    for row in conn.fetch(&sql::CIRCLE_PLACES, args).await? {
        places.push((row.uuid(0)?, row.text(1)?, mode(&row.text(2)?), row.int(3)?));
    }
    let mut others = HashSet::new();
    if places.is_empty() {
        return Ok(others);
    }
    let resources: HashSet<String> = places.iter().map(|(_, name, ..)| name.clone()).collect();
    let holders = holders_of(conn, &resources).await?;
    let holding = Args::new().ids(holders.iter().map(|holder| holder.intent));
    let stopping = conn.fetch(&sql::CIRCLE_STOPPING, holding).await?;
    let stopping = stopping.iter().map(|row| row.uuid(0));
    let stopping: HashSet<IntentId> = stopping.collect::<Result<_, _>>()?;
    let names = Rows::new().texts(resources.iter().map(String::as_str));
    let args = Args::new().rows(names).int(limits::CIRCLE_LINE as i64);
    let mut line: Vec<(IntentId, String, Mode, i64)> = Vec::new();
    for row in conn.fetch(&sql::CIRCLE_LINE, args).await? {
        line.push((row.uuid(0)?, row.text(1)?, mode(&row.text(2)?), row.int(3)?));
    }
    let waiting = places.iter().chain(&line).map(|(who, ..)| *who);
    let ancestry = Ancestry::load(conn, waiting.collect::<BTreeSet<_>>()).await?;
    for (who, resource, wanted, position) in places {
        let (ancestors, is_kin) = ancestry.get(who);
        let excludes = |other, mode| {
            other != who && !wanted.is_compatible(mode) && !ancestors.contains(&other)
        };
        let of_it = || holders.iter().filter(|holder| holder.resource == resource);
        let holding = of_it().filter(|holder| {
            excludes(holder.intent, holder.mode) && !stopping.contains(&holder.intent)
        });
        let owners = of_it().filter(|holder| holder.mode == Mode::Exclusive);
        let cover = owners.filter(|holder| ancestors.contains(&holder.intent));
        let cover: Vec<IntentId> = cover.map(|holder| holder.intent).collect();
        let wait = |other, held| Wait {
            other,
            resource: resource.clone(),
            held,
        };
        let mut its: Vec<Wait> = holding.map(|holder| wait(holder.intent, true)).collect();
        // Kin of a holder wait for the places of their like only, and who is covered for those of its family.
        let counts = |other| {
            let (theirs, kin) = ancestry.get(other);
            match cover.is_empty() {
                true => !is_kin || kin,
                false => cover.iter().all(|owner| theirs.contains(owner)),
            }
        };
        let ahead = line.iter().filter(|(other, name, mode, place)| {
            *name == resource
                && excludes(*other, *mode)
                && (*place, *other) < (position, who)
                && counts(*other)
        });
        its.extend(ahead.map(|(other, ..)| wait(*other, false)));
        others.extend(its.iter().map(|wait| wait.other));
        waits.waits.entry(who).or_default().extend(its);
        waits.ancestors.insert(who, ancestors);
    }
    Ok(others)
}
