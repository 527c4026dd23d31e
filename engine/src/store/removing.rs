//! Removing: what retention takes away, in transactions that are over soon.
//!
//! Nearly every tree is small, and goes in one transaction with others: it begins by locking their roots' outcomes, for which whoever
//! would run something of them again waits (`outcome_keep`), and has gone through them when it ends. A tree that is too large for
//! that is marked first, in a transaction of its own; then nothing of it runs again, it is looked through page by page, and goes
//! page by page, children before parents. Whoever is interrupted in that leaves a root that is met again.
//!
//! Each transaction has the row of the turn locked, so there is one at a time, whoever removes; and reads the rules, so that what a
//! person says counts from the next batch on.

use std::collections::{HashMap, HashSet};

use super::args::{Args, Rows};
use super::{Conn, Store, retention, sql};
use crate::clock::{Micros, micros};
use crate::error::Error;
use crate::id::{IntentId, SessionId};
use crate::limits;
use crate::retention::{Rules, What};
use crate::state::IntentState;

/// Who removes.
#[derive(Debug, Clone)]
pub(crate) struct Remover {
    /// None: a person, by hand.
    pub(crate) session: Option<SessionId>,
    pub(crate) worker: String,
}

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: String,
    pub(crate) state: IntentState,
    pub(crate) what: What,
}

/// A root, and when it finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) id: IntentId,
    /// None: it had to stay before, so that the cursor is past it.
    pub(crate) finished: Option<Micros>,
}

/// What a transaction has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Somebody else removes.
    NotOurs,
    /// There is nothing more.
    Nothing,
    /// This many intents.
    Some(usize),
    /// This tree is too large for one transaction.
    Large(Root),
}

/// What has come of those that had to stay before.
#[derive(Debug, Clone, Default)]
pub(crate) struct LookedAgain {
    pub(crate) removed: Vec<(What, usize)>,
    /// Trees that are too large for one transaction.
    pub(crate) large: Vec<(Target, Root)>,
}

/// What of a large tree comes next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walk(Vec<(IntentId, Option<IntentId>)>);

impl Walk {
    pub(crate) fn below(root: IntentId) -> Self {
        Self(vec![(root, None)])
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

impl Store {
    /// What there is to remove, if anything has been said of it; and purges keys whose time is over. None: it is somebody else's turn.
    pub(crate) async fn removal_targets(&self, by: Remover) -> Result<Option<Vec<Target>>, Error> {
        self.transact(move |mut conn| {
            let by = by.clone();
            Box::pin(async move {
                if !turn(&mut conn, &by).await? {
                    return Ok(None);
                }
                let args = Args::new().int(limits::KEY_PURGE as i64).now();
                conn.fetch(&sql::KEY_PURGE, args).await?;
                let rules = retention::rules(&mut conn).await?;
                if rules.is_empty() {
                    return Ok(Some(Vec::new()));
                }
                let args = Args::new().int(limits::LANES as i64);
                let rows = conn.fetch(&sql::RETENTION_KINDS, args).await?;
                let kinds = rows.iter().map(|row| row.text(0));
                let kinds: Vec<String> = kinds.collect::<Result<_, _>>()?;
                let targets = rules.targets(&kinds).into_iter();
                let targets = targets.map(|(kind, state, what)| Target { kind, state, what });
                Ok(Some(targets.collect()))
            })
        })
        .await
    }

    /// Removes the next few of a target.
    pub(crate) async fn remove_some(
        &self,
        by: Remover,
        target: Target,
        size: usize,
    ) -> Result<Removal, Error> {
        self.transact(move |mut conn| {
            let (by, target) = (by.clone(), target.clone());
            Box::pin(async move {
                if !turn(&mut conn, &by).await? {
                    return Ok(Removal::NotOurs);
                }
                remove_some(&mut conn, &target, size).await
            })
        })
        .await
    }

    /// Looks again at some of what had to stay, and removes what does not have to any more. None: there is nothing more of it, or it
    /// is somebody else's turn.
    pub(crate) async fn remove_kept(
        &self,
        by: Remover,
        size: usize,
    ) -> Result<Option<LookedAgain>, Error> {
        self.transact(move |mut conn| {
            let by = by.clone();
            Box::pin(async move {
                if !turn(&mut conn, &by).await? {
                    return Ok(None);
                }
                remove_kept(&mut conn, size).await
            })
        })
        .await
    }

    /// Begins with a tree that is too large for one transaction: nothing of it runs again. False: its root has to stay, or is not
    /// there as it was, or it is somebody else's turn.
    pub(crate) async fn begin_large(
        &self,
        by: Remover,
        target: Target,
        root: Root,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let (by, target) = (by.clone(), target.clone());
            Box::pin(async move {
                if !turn(&mut conn, &by).await? {
                    return Ok(false);
                }
                let rules = retention::rules(&mut conn).await?;
                let still = lock(&mut conn, &rules, &target, &[root]).await?;
                let stay = stays(&mut conn, &still).await?;
                if still.is_empty() || !stay.is_empty() {
                    keep(&mut conn, target.what, &stay).await?;
                    advance(&mut conn, &target, Some(root)).await?;
                    return Ok(false);
                }
                let args = Args::new().ids([root.id]).now();
                conn.execute(&sql::RETENTION_MARK, args).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Looks through the next page of a tree that is marked. True: something of it has to stay, and so the tree does; or it is somebody
    /// else's turn.
    pub(crate) async fn check_large(
        &self,
        by: Remover,
        target: Target,
        root: Root,
        walk: Walk,
    ) -> Result<(Walk, bool), Error> {
        self.transact(move |mut conn| {
            let (by, target, mut walk) = (by.clone(), target.clone(), walk.clone());
            Box::pin(async move {
                if !turn(&mut conn, &by).await? {
                    return Ok((walk, true));
                }
                let page = next_page(&mut conn, &mut walk).await?;
                let stay = stays(&mut conn, &page).await?;
                if stay.is_empty() {
                    return Ok((walk, false));
                }
                let reason = stay.into_values().next().unwrap_or_default();
                let args = Args::new().ids([root.id]);
                conn.execute(&sql::RETENTION_UNMARK, args).await?;
                let stay = HashMap::from([(root.id, reason)]);
                keep(&mut conn, target.what, &stay).await?;
                advance(&mut conn, &target, Some(root)).await?;
                Ok((walk, true))
            })
        })
        .await
    }

    /// Removes some more of a tree that is marked and looked through; its root last.
    pub(crate) async fn remove_large(
        &self,
        by: Remover,
        target: Target,
        root: Root,
        walk: Walk,
    ) -> Result<(Walk, Removal), Error> {
        self.transact(move |mut conn| {
            let (by, target, mut walk) = (by.clone(), target.clone(), walk.clone());
            Box::pin(async move {
                if !turn(&mut conn, &by).await? {
                    return Ok((walk, Removal::NotOurs));
                }
                // Somebody else may have found meanwhile that it has to stay, or have removed it.
                if !is_marked(&mut conn, &target, root).await? {
                    return Ok((walk, Removal::NotOurs));
                }
                let page = match target.what {
                    What::Payloads => next_page(&mut conn, &mut walk).await?,
                    What::Rows => leaves(&mut conn, root.id).await?,
                };
                let last = match target.what {
                    What::Payloads => page.is_empty() && walk.is_over(),
                    What::Rows => page == [root.id],
                };
                let page = if last { vec![root.id] } else { page };
                go(&mut conn, target.what, &page).await?;
                if last {
                    walk = Walk::default();
                    advance(&mut conn, &target, Some(root)).await?;
                    return Ok((walk, Removal::Nothing));
                }
                Ok((walk, Removal::Some(page.len())))
            })
        })
        .await
    }
}

/// Nobody else removes anything until this transaction has ended.
async fn turn(conn: &mut Conn<'_>, by: &Remover) -> Result<bool, Error> {
    let args = Args::new()
        .uuid(by.session.map(|session| session.0))
        .text(by.worker.as_str())
        .int(micros(limits::RETENTION_TURN))
        .now();
    Ok(conn.fetch_one(&sql::RETENTION_TURN, args).await?.is_some())
}

async fn remove_some(conn: &mut Conn<'_>, target: &Target, size: usize) -> Result<Removal, Error> {
    let rules = retention::rules(conn).await?;
    let keep = rules.keep(&target.kind, target.state);
    let Some(time) = keep.time(target.what) else {
        return Ok(Removal::Nothing);
    };
    let args = Args::new()
        .text(target.kind.as_str())
        .text(target.state.as_str())
        .text(target.what.as_str())
        .int(micros(time))
        .int((4 * size).min(limits::RETENTION_LOOK) as i64)
        .now();
    let mut roots = Vec::new();
    let mut last = None;
    for row in conn.fetch(&sql::RETENTION_ROOTS, args).await? {
        if roots.len() == size {
            break;
        }
        let root = Root {
            id: row.uuid(0)?,
            finished: Some(row.time(1)?),
        };
        if row.bool(2)? {
            roots.push(root);
        }
        last = Some(root);
    }
    if last.is_none() {
        return Ok(Removal::Nothing);
    }
    remove(conn, &rules, target, (roots, last)).await
}

/// Removes the first of these roots, as many as fit in one transaction; the cursor goes to the last that was looked at.
async fn remove(
    conn: &mut Conn<'_>,
    rules: &Rules,
    target: &Target,
    (mut roots, mut last): (Vec<Root>, Option<Root>),
) -> Result<Removal, Error> {
    let locked = lock(conn, rules, target, &roots).await?;
    let family = loop {
        let still = roots.iter().map(|root| root.id);
        let still: Vec<IntentId> = still.filter(|id| locked.contains(id)).collect();
        if let Some(family) = family(conn, &still).await? {
            break family;
        }
        if let [root] = roots[..] {
            return Ok(Removal::Large(root));
        }
        roots.truncate(roots.len() / 2);
        last = roots.last().copied();
    };
    let members: Vec<IntentId> = family.iter().map(|(member, _)| *member).collect();
    let stay = stays(conn, &members).await?;
    let root_of: HashMap<IntentId, IntentId> = family.iter().copied().collect();
    let mut reasons = HashMap::new();
    for (member, reason) in stay {
        let root = root_of.get(&member).copied().unwrap_or(member);
        reasons.entry(root).or_insert(reason);
    }
    keep(conn, target.what, &reasons).await?;
    let goes = family
        .iter()
        .filter(|(_, root)| !reasons.contains_key(root));
    let goes: Vec<IntentId> = goes.map(|(member, _)| *member).collect();
    go(conn, target.what, &goes).await?;
    advance(conn, target, last.filter(|last| last.finished.is_some())).await?;
    Ok(Removal::Some(goes.len()))
}

/// Those that had to stay and are looked at again; some of them may not have to any more.
async fn remove_kept(conn: &mut Conn<'_>, size: usize) -> Result<Option<LookedAgain>, Error> {
    let rules = retention::rules(conn).await?;
    let args = Args::new().int(micros(limits::RETENTION_AGAIN));
    let args = args.int(size as i64).now();
    let rows = conn.fetch(&sql::RETENTION_AGAIN, args).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut again = LookedAgain::default();
    for row in &rows {
        let id: IntentId = row.uuid(0)?;
        let what = match row.text(1)?.as_str() {
            "rows" => What::Rows,
            _ => What::Payloads,
        };
        let Some(kind) = row.opt_text(2)? else {
            // It runs again, and comes anew when it finishes.
            let args = Args::new().ids([id]).text(what.as_str());
            conn.execute(&sql::RETENTION_FORGET, args).await?;
            continue;
        };
        let state = row.word(3)?;
        let target = Target { kind, state, what };
        let root = Root { id, finished: None };
        match remove(conn, &rules, &target, (vec![root], None)).await? {
            Removal::Some(count) => again.removed.push((what, count)),
            Removal::Large(root) => again.large.push((target, root)),
            Removal::Nothing | Removal::NotOurs => {}
        }
    }
    Ok(Some(again))
}

/// Locks the roots' outcomes. Returns those that are still old enough, in the state in which they were found.
async fn lock(
    conn: &mut Conn<'_>,
    rules: &Rules,
    target: &Target,
    roots: &[Root],
) -> Result<Vec<IntentId>, Error> {
    let keep = rules.keep(&target.kind, target.state);
    let Some(time) = keep.time(target.what) else {
        return Ok(Vec::new());
    };
    let args = Args::new()
        .ids(roots.iter().map(|root| root.id))
        .text(target.state.as_str())
        .int(micros(time))
        .now();
    let rows = conn.fetch(&sql::RETENTION_LOCK, args).await?;
    rows.iter().map(|row| row.uuid(0)).collect()
}

/// Whether a tree is being removed; its root's outcome is locked then. What has been begun with is ended, whatever the rules say by now.
async fn is_marked(conn: &mut Conn<'_>, target: &Target, root: Root) -> Result<bool, Error> {
    let args = Args::new().ids([root.id]).text(target.state.as_str());
    let row = conn
        .fetch_one(&sql::RETENTION_LOCK, args.int(0).now())
        .await?;
    Ok(row.map(|row| row.bool(1)).transpose()?.unwrap_or(false))
}

/// These roots and all their descendants, each with its root; none if they are more than fit in one transaction.
async fn family(
    conn: &mut Conn<'_>,
    roots: &[IntentId],
) -> Result<Option<Vec<(IntentId, IntentId)>>, Error> {
    let mut all: Vec<(IntentId, IntentId)> = roots.iter().map(|root| (*root, *root)).collect();
    let mut level = roots.to_vec();
    while !level.is_empty() {
        let room = limits::RETENTION_BATCH.saturating_sub(all.len());
        let args = Args::new().ids(level.drain(..)).int(room as i64 + 1);
        for row in conn.fetch(&sql::RETENTION_BELOW, args).await? {
            let (id, root) = (row.uuid(0)?, row.uuid(1)?);
            all.push((id, root));
            level.push(id);
        }
        if all.len() > limits::RETENTION_BATCH {
            return Ok(None);
        }
    }
    Ok(Some(all))
}

/// Which of these have to stay, and why.
async fn stays(
    conn: &mut Conn<'_>,
    members: &[IntentId],
) -> Result<HashMap<IntentId, String>, Error> {
    if members.is_empty() {
        return Ok(HashMap::new());
    }
    let args = Args::new().ids(members.iter().copied());
    let mut stay = HashMap::new();
    for row in conn.fetch(&sql::RETENTION_STAYS, args).await? {
        let id: IntentId = row.uuid(0)?;
        let reason = match (row.opt_text(2)?, row.bool(3)?) {
            (_, true) => format!("intent {id} is unfinished"),
            (Some(held), false) => format!("intent {id} holds {held}: resume, undo or discard it"),
            (None, false) => format!("intent {id} was claimed together with others that still run"),
        };
        stay.insert(id, reason);
    }
    Ok(stay)
}

async fn keep(
    conn: &mut Conn<'_>,
    what: What,
    roots: &HashMap<IntentId, String>,
) -> Result<(), Error> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(roots.keys().copied())
        .texts(roots.values().map(String::as_str));
    let args = Args::new().text(what.as_str()).rows(rows).now();
    conn.execute(&sql::RETENTION_KEEP, args).await
}

/// These go, or what they were about; how many is counted in the same commit.
async fn go(conn: &mut Conn<'_>, what: What, intents: &[IntentId]) -> Result<(), Error> {
    if intents.is_empty() {
        return Ok(());
    }
    let ids = || Args::new().ids(intents.iter().copied());
    conn.execute(&sql::REMOVAL_COUNT, ids().text(what.as_str()).now())
        .await?;
    match what {
        What::Rows => conn.execute(&sql::RETENTION_REMOVE, ids()).await,
        What::Payloads => {
            conn.execute(&sql::RETENTION_BLANK, ids().now()).await?;
            let args = ids().text(what.as_str());
            conn.execute(&sql::RETENTION_FORGET, args).await
        }
    }
}

async fn advance(conn: &mut Conn<'_>, target: &Target, to: Option<Root>) -> Result<(), Error> {
    let Some((id, Some(finished))) = to.map(|root| (root.id, root.finished)) else {
        return Ok(());
    };
    let args = Args::new()
        .text(target.kind.as_str())
        .text(target.state.as_str())
        .text(target.what.as_str())
        .int(finished.0)
        .uuid(id.0);
    conn.execute(&sql::RETENTION_ADVANCE, args).await
}

/// The next members of a tree below its root; none when there are no more.
async fn next_page(conn: &mut Conn<'_>, walk: &mut Walk) -> Result<Vec<IntentId>, Error> {
    let mut page = Vec::new();
    while page.len() < limits::RETENTION_BATCH
        && let Some((parent, after)) = walk.0.pop()
    {
        let most = limits::RETENTION_BATCH - page.len();
        let args = Args::new().uuid(parent.0).uuid(after.map(|after| after.0));
        let rows = conn
            .fetch(&sql::RETENTION_BEHIND, args.int(most as i64))
            .await?;
        let mut inner = Vec::new();
        for row in &rows {
            let id: IntentId = row.uuid(0)?;
            page.push(id);
            if row.bool(1)? {
                inner.push((id, None));
            }
        }
        if let (true, Some(last)) = (rows.len() == most, page.last()) {
            walk.0.push((parent, Some(*last)));
        }
        walk.0.extend(inner);
    }
    Ok(page)
}

/// Some members of a tree that have no children any more; the root when it is the last one.
async fn leaves(conn: &mut Conn<'_>, root: IntentId) -> Result<Vec<IntentId>, Error> {
    let mut level = vec![root];
    loop {
        let args = Args::new().ids(level.iter().copied());
        let args = args.int(limits::RETENTION_BATCH as i64);
        let rows = conn.fetch(&sql::RETENTION_BELOW, args).await?;
        if rows.is_empty() {
            return Ok(level);
        }
        let below = rows.iter().map(|row| row.uuid(0));
        let below: HashSet<IntentId> = below.collect::<Result<_, _>>()?;
        level = below.into_iter().collect();
    }
}
