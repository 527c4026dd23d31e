//! Sharing, as the tables have it: kinds of intents, and the rules that workers have written down.

use std::collections::{BTreeSet, HashSet};

use super::args::Args;
use super::conflict::declared;
use super::reading::readable;
use super::{Conn, sql};
use crate::admit::{Holder, Place, Sharing};
use crate::error::Error;
use crate::id::IntentId;

/// Who of `sharing` goes side by side with whom of these. Nothing is read where there is nobody of whom it could be asked.
pub(super) async fn load(
    conn: &mut Conn<'_>,
    sharing: &HashSet<IntentId>,
    holders: &[Holder],
    line: &[Place],
) -> Result<Sharing, Error> {
    let mut known = Sharing::default();
    if sharing.is_empty() {
        return Ok(known);
    }
    let all = holders.iter().map(|holder| holder.intent);
    let all: BTreeSet<IntentId> = all.chain(line.iter().map(|place| place.intent)).collect();
    let rows = conn.fetch(&sql::KIND_LOAD, Args::new().ids(all)).await?;
    let kinds = readable(&rows, "intent", |row| Ok((row.uuid(0)?, row.name(1)?)));
    known.kinds = kinds.into_iter().collect();
    for kind in sharing.iter().filter_map(|id| known.kinds.get(id)) {
        if !known.rules.contains_key(kind) {
            let rules = declared(conn, kind).await?;
            known.rules.insert(kind.clone(), rules);
        }
    }
    Ok(known)
}

/// Those in line whose kinds go side by side with some.
pub(super) fn of_line(line: &[Place]) -> HashSet<IntentId> {
    let sharing = line.iter().filter(|place| place.sharing);
    sharing.map(|place| place.intent).collect()
}
