//! Line: who stands in line for resources, read as far as it matters, and those whose turn it is when something has become
//! free. However long a line is, what is read of it follows from how many ask at once.

use std::collections::{BTreeSet, HashSet};

use super::admit::{Ancestry, holders_of, mode, unblock};
use super::args::{Args, Rows};
use super::conn::Row;
use super::reading::readable;
use super::{Conn, sharing, sql};
use crate::admit::{Among, Holder, Place, next_in_line};
use crate::clock::micros;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Mode;
use crate::limits;

/// The lines for some resources.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) places: Vec<Place>,
    /// The lines of which there is more than has been read.
    pub(super) long: HashSet<String>,
    /// Of whom it is not known yet among whom they wait: an older version has written it.
    unknown: HashSet<IntentId>,
}

impl Lines {
    /// The first of each line, and all places of some intents.
    ///
    /// For `n` who want something, the first `n + 1` of a line decide: one of these is somebody else, who stays, and who is
    /// behind that one waits, if it excludes them. Where lines have sorts of people in them, the same is true of each
    /// sort ([`Lines::deepen`]).
    pub(super) async fn front(
        conn: &mut Conn<'_>,
        resources: &HashSet<String>,
        most: usize,
        own: impl IntoIterator<Item = IntentId>,
    ) -> Result<Self, Error> {
        let names = Rows::new().texts(resources.iter().map(String::as_str));
        let args = Args::new().rows(names).int(most as i64).ids(own);
        let rows = conn.fetch(&sql::LINE_FRONT, args).await?;
        let mut lines = Self::default();
        lines.add(&rows);
        for resource in resources {
            let own = |row: &Row| Ok((row.text(0)?, row.bool(6)?));
            let read = readable(&rows, "line", own).into_iter();
            let read = read.filter(|(name, own)| name == resource && !own);
            if read.count() >= most {
                lines.long.insert(resource.clone());
            }
        }
        Ok(lines)
    }

    /// Everybody in lines.
    pub(super) async fn whole(
        conn: &mut Conn<'_>,
        resources: &HashSet<String>,
    ) -> Result<Self, Error> {
        let mut lines = Self::default();
        let names = Rows::new().texts(resources.iter().map(String::as_str));
        lines.add(&conn.fetch(&sql::LINE_OF, Args::new().rows(names)).await?);
        Ok(lines)
    }

    /// Of the long lines, reads all of those for `whole`; of the others the first of each sort, which is among whom one
    /// waits and in which mode, and whoever goes side by side with some, with the first of each mode who does not.
    pub(super) async fn deepen(
        &mut self,
        conn: &mut Conn<'_>,
        holders: &[Holder],
        most: usize,
        whole: &HashSet<String>,
    ) -> Result<(), Error> {
        let (all, first): (HashSet<String>, HashSet<String>) =
            self.long.drain().partition(|name| whole.contains(name));
        if !all.is_empty() {
            let names = Rows::new().texts(all.iter().map(String::as_str));
            let rows = conn.fetch(&sql::LINE_OF, Args::new().rows(names));
            self.add(&rows.await?);
        }
        if !first.is_empty() {
            let owners = holders.iter().filter(|h| h.mode == Mode::Exclusive);
            let owners = owners.filter(|h| first.contains(&h.resource));
            let families = owners.map(|h| (h.resource.as_str(), h.intent.0.to_string()));
            let sorts = first.iter().flat_map(|name| {
                ["all", "kin", "?"].map(|among| (name.as_str(), among.to_owned()))
            });
            let sorts: Vec<(&str, String)> = sorts.chain(families).collect();
            let sorts = |most: i64| {
                let rows = Rows::new()
                    .texts(sorts.iter().map(|(name, _)| *name))
                    .texts(sorts.iter().map(|(_, among)| among.as_str()));
                Args::new().rows(rows).int(most)
            };
            self.add(&conn.fetch(&sql::LINE_AMONG, sorts(most as i64)).await?);
            let names = Rows::new().texts(first.iter().map(String::as_str));
            let rows = conn.fetch(&sql::LINE_SHARING, Args::new().rows(names));
            let rows = rows.await?;
            if !rows.is_empty() {
                // Behind whom those have to stay who do not go side by side with that one.
                let plain = sorts(limits::LINE_PLAIN);
                self.add(&conn.fetch(&sql::LINE_PLAIN, plain).await?);
            }
            self.add(&rows);
            self.long = first;
        }
        Ok(())
    }

    /// Finds out whose descendants stand in line, as far as it matters, and among whom they wait where that is not known.
    pub(super) async fn name_kin(
        &mut self,
        conn: &mut Conn<'_>,
        holders: &[Holder],
    ) -> Result<(), Error> {
        let unknown = std::mem::take(&mut self.unknown);
        let is_asked =
            |place: &&Place| !matches!(place.among, Among::All) || unknown.contains(&place.intent);
        let asked = self.places.iter().filter(is_asked).map(|p| p.intent);
        let asked: BTreeSet<IntentId> = asked.collect();
        if asked.is_empty() {
            return Ok(());
        }
        let ancestry = Ancestry::load(conn, asked).await?;
        for place in &mut self.places {
            let (ancestors, kin) = ancestry.get(place.intent);
            if unknown.contains(&place.intent) {
                place.among = Among::of(&ancestors, kin, |ancestor| {
                    holders.iter().any(|holder| {
                        holder.intent == ancestor
                            && holder.mode == Mode::Exclusive
                            && holder.resource == place.resource
                    })
                });
            }
            place.ancestors = ancestors;
        }
        Ok(())
    }

    fn add(&mut self, rows: &[Row]) {
        let known = self.places.iter();
        let known = known.map(|place| (place.intent, place.resource.clone()));
        let mut known: HashSet<(IntentId, String)> = known.collect();
        // A place that is nobody's would hold up everybody behind it.
        for (place, is_known) in readable(rows, "line", place) {
            if known.insert((place.intent, place.resource.clone())) {
                if !is_known {
                    self.unknown.insert(place.intent);
                }
                self.places.push(place);
            }
        }
    }
}

fn place(row: &Row) -> Result<(Place, bool), Error> {
    let among = Among::from_word(&row.text(5)?);
    let place = Place {
        resource: row.text(0)?,
        intent: row.uuid(1)?,
        mode: mode(&row.text(2)?),
        position: row.int(3)?,
        sharing: row.bool(4)?,
        among: among.unwrap_or(Among::All),
        ancestors: Vec::new(),
    };
    Ok((place, among.is_some()))
}

/// Who stands in line among all with no greater position has waited for long, and kin do not pass it any more.
pub(super) async fn passed(conn: &mut Conn<'_>) -> Result<i64, Error> {
    let now = conn.fetch_one(&sql::CLOCK_READ, Args::new().now()).await?;
    let now = now.map_or(Ok(0), |row| row.int(0))?;
    Ok(now.saturating_sub(micros(limits::PASSED)))
}

/// Readies who is next in the lines for resources that have become freer.
pub(super) async fn wake(conn: &mut Conn<'_>, freed: HashSet<String>) -> Result<usize, Error> {
    if freed.is_empty() {
        return Ok(0);
    }
    let (mut most, mut holders) = (limits::LINE_FRONT, None);
    loop {
        let mut lines = Lines::front(conn, &freed, most, []).await?;
        if lines.places.is_empty() {
            return Ok(0);
        }
        let holders = match &mut holders {
            Some(holders) => holders,
            none => none.insert(holders_of(conn, &freed).await?),
        };
        lines.deepen(conn, holders, most, &HashSet::new()).await?;
        lines.name_kin(conn, holders).await?;
        let sharing = sharing::of_line(&lines.places);
        let sharing = sharing::load(conn, &sharing, holders, &lines.places).await?;
        let next = next_in_line(&freed, holders, &lines.places, &sharing);
        // Where all that was read of a sort may go, so may perhaps those behind them.
        let more = lines.long.iter().any(|name| {
            let of_it = lines.places.iter().filter(|place| place.resource == *name);
            let going = of_it.filter(|place| !place.sharing && next.contains(&place.intent));
            going.count() >= most
        });
        if !more {
            return unblock(conn, next.into_iter().collect()).await;
        }
        most *= 8;
    }
}

/// Of those in line who go side by side with some: who may go now that these have been taken.
pub(super) async fn beside(
    conn: &mut Conn<'_>,
    taken: &[Holder],
    holders: &[Holder],
    line: &[Place],
) -> Result<HashSet<IntentId>, Error> {
    let resources: HashSet<String> = taken.iter().map(|h| h.resource.clone()).collect();
    let is_here = |place: &&Place| resources.contains(&place.resource);
    let gone: HashSet<IntentId> = taken.iter().map(|holder| holder.intent).collect();
    let line = line.iter().filter(is_here).cloned();
    let line: Vec<Place> = line.filter(|place| !gone.contains(&place.intent)).collect();
    let asked = sharing::of_line(&line);
    if asked.is_empty() {
        return Ok(asked);
    }
    let holders = [holders, taken].concat();
    let sharing = sharing::load(conn, &asked, &holders, &line).await?;
    let mut next = next_in_line(&resources, &holders, &line, &sharing);
    next.retain(|intent| asked.contains(intent));
    Ok(next)
}
