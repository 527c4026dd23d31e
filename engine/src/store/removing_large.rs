//! Removing large: trees that do not fit in one transaction, in intents or in their rows.
//!
//! Such a tree is written down (`add`), so that whoever comes after a crash meets it again, whatever the rules say by then. It is
//! looked through first, page by page, which changes nothing: whoever runs something of it again meanwhile takes the look away
//! (`retention_disturb`), and it begins anew at another time. When all of it may go, its root is marked, after which no verb takes
//! anything of it; and it goes, children before parents, the root last.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::args::Args;
use super::removing::{Removal, Remover, Root, Target, forget, go, keep, lock, stays, weigh};
use super::{Conn, Store, retention, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::retention::What;

/// A tree that does not fit in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LargeTree {
    pub(crate) root: IntentId,
    pub(crate) what: What,
}

/// A large tree, and what is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LargeNext {
    /// Nothing, and with those before it: they are not old enough any more, or the rules say something else.
    Stay(LargeTree),
    /// It is to be looked through under this number.
    Look(LargeTree, Uuid),
    /// It goes.
    Goes(LargeTree),
}

/// What has come of a page of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It may go, as far as it was looked at.
    May,
    /// Something has to stay, and so the tree does; or somebody has run something of it again.
    Ends,
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

/// Writes down that a tree is too large. Its root is not in *retention_kept* any more, if it was.
pub(super) async fn add(conn: &mut Conn<'_>, root: IntentId, target: &Target) -> Result<(), Error> {
    forget(conn, target.what, root).await?;
    let args = Args::new()
        .uuid(root.0)
        .text(target.what.as_str())
        .text(target.kind.as_str())
        .text(target.state.as_str());
    conn.execute(&sql::RETENTION_LARGE_ADD, args).await
}

pub(super) async fn is_any(conn: &mut Conn<'_>) -> Result<bool, Error> {
    let first = Args::new().uuid(None).opt_text(None::<&str>);
    let row = conn.fetch_one(&sql::RETENTION_LARGE_NEXT, first).await?;
    Ok(row.is_some())
}

impl Store {
    /// The large tree behind this one, if there is any. Outer none, here and below: it is somebody else's turn.
    pub(crate) async fn next_large(
        &self,
        by: Remover,
        after: Option<LargeTree>,
    ) -> Result<Option<Option<LargeNext>>, Error> {
        let look = self.clock().ordered_id();
        self.in_turn(by, move |mut conn| {
            Box::pin(async move { next_large(&mut conn, after, look).await })
        })
        .await
    }

    /// Looks through the next page of a tree.
    pub(crate) async fn look_large(
        &self,
        by: Remover,
        tree: LargeTree,
        look: Uuid,
        walk: Walk,
    ) -> Result<Option<(Walk, Looked)>, Error> {
        self.in_turn(by, move |mut conn| {
            let mut walk = walk.clone();
            Box::pin(async move {
                if !held(&mut conn, tree, look).await?.is_looked_at {
                    return Ok((walk, Looked::Ends));
                }
                let page = next_page(&mut conn, &mut walk).await?;
                let looked = match stay(&mut conn, tree, &page).await? {
                    true => Looked::Ends,
                    false => Looked::May,
                };
                Ok((walk, looked))
            })
        })
        .await
    }

    /// All of a tree has been looked through: from now on it goes, if its root may go, too, and the rules still say so. False: it
    /// stays.
    pub(crate) async fn release_large(
        &self,
        by: Remover,
        tree: LargeTree,
        look: Uuid,
    ) -> Result<Option<bool>, Error> {
        self.in_turn(by, move |mut conn| {
            Box::pin(async move { release_large(&mut conn, tree, look).await })
        })
        .await
    }

    /// Removes some more of a tree that goes; its root last.
    pub(crate) async fn remove_large(
        &self,
        by: Remover,
        tree: LargeTree,
        walk: Walk,
    ) -> Result<Option<(Walk, Removal)>, Error> {
        self.in_turn(by, move |mut conn| {
            let walk = walk.clone();
            Box::pin(async move {
                if !held(&mut conn, tree, Uuid::nil()).await?.goes {
                    // Somebody else has removed the last of it.
                    return Ok((Walk::default(), Removal::Nothing));
                }
                remove_large(&mut conn, tree, walk).await
            })
        })
        .await
    }
}

impl LargeTree {
    /// The cursor is past it.
    fn root(self) -> Root {
        Root {
            id: self.root,
            finished: None,
        }
    }

    fn args(self) -> Args {
        Args::new().uuid(self.root.0).text(self.what.as_str())
    }
}

async fn next_large(
    conn: &mut Conn<'_>,
    mut after: Option<LargeTree>,
    look: Uuid,
) -> Result<Option<LargeNext>, Error> {
    let rules = retention::rules(conn).await?;
    for _ in 0..limits::RETENTION_BATCH {
        let args = Args::new()
            .uuid(after.map(|after| after.root.0))
            .opt_text(after.map(|after| after.what.as_str()));
        let Some(row) = conn.fetch_one(&sql::RETENTION_LARGE_NEXT, args).await? else {
            return Ok(None);
        };
        let tree = LargeTree {
            root: row.uuid(0)?,
            what: row.word(1)?,
        };
        if row.bool(4)? {
            return Ok(Some(LargeNext::Goes(tree)));
        }
        let target = Target {
            kind: row.text(2)?,
            state: row.word(3)?,
            what: tree.what,
        };
        if !lock(conn, &rules, &target, &[tree.root()])
            .await?
            .is_empty()
        {
            let args = tree.args().uuid(look);
            conn.execute(&sql::RETENTION_LARGE_LOOK, args).await?;
            return Ok(Some(LargeNext::Look(tree, look)));
        }
        // It is not old enough any more, or the rules say something else by now.
        after = Some(tree);
    }
    Ok(after.map(LargeNext::Stay))
}

async fn release_large(conn: &mut Conn<'_>, tree: LargeTree, look: Uuid) -> Result<bool, Error> {
    let Some(row) = conn
        .fetch_one(&sql::RETENTION_LARGE_OF, tree.args())
        .await?
    else {
        return Ok(false);
    };
    let target = Target {
        kind: row.text(0)?,
        state: row.word(1)?,
        what: tree.what,
    };
    let rules = retention::rules(conn).await?;
    // The root's outcome before the look: in the order of those who would run something of it again.
    if lock(conn, &rules, &target, &[tree.root()])
        .await?
        .is_empty()
        || !held(conn, tree, look).await?.is_looked_at
        || stay(conn, tree, &[tree.root]).await?
    {
        return Ok(false);
    }
    conn.execute(&sql::RETENTION_LARGE_GOES, tree.args().now())
        .await?;
    Ok(true)
}

/// How it stands with a large tree, until the transaction ends.
#[derive(Default)]
struct Held {
    is_looked_at: bool,
    goes: bool,
}

async fn held(conn: &mut Conn<'_>, tree: LargeTree, look: Uuid) -> Result<Held, Error> {
    let args = tree.args().uuid(look);
    let Some(row) = conn.fetch_one(&sql::RETENTION_LARGE_HOLD, args).await? else {
        return Ok(Held::default());
    };
    Ok(Held {
        is_looked_at: row.bool(0)?,
        goes: row.bool(1)?,
    })
}

/// Whether one of these has to stay, and so the tree does, which is written down.
async fn stay(conn: &mut Conn<'_>, tree: LargeTree, members: &[IntentId]) -> Result<bool, Error> {
    let stay = stays(conn, members).await?;
    let Some(reason) = stay.into_values().next() else {
        return Ok(false);
    };
    conn.execute(&sql::RETENTION_LARGE_FORGET, tree.args())
        .await?;
    keep(conn, tree.what, &HashMap::from([(tree.root, reason)])).await?;
    Ok(true)
}

async fn remove_large(
    conn: &mut Conn<'_>,
    tree: LargeTree,
    mut walk: Walk,
) -> Result<(Walk, Removal), Error> {
    let before = walk.clone();
    let mut page = match tree.what {
        What::Payloads => next_page(conn, &mut walk).await?,
        What::Rows => leaves(conn, tree.root).await?,
    };
    let is_last = match tree.what {
        What::Payloads => page.is_empty() && walk.is_over(),
        What::Rows => page == [tree.root],
    };
    if is_last {
        page = vec![tree.root];
    }
    if weigh(conn, tree.what, &page).await? > limits::RETENTION_ROWS {
        let trim = match tree.what {
            What::Rows => &sql::RETENTION_TRIM_ROWS,
            What::Payloads => &sql::RETENTION_TRIM_PAYLOADS,
        };
        let args = Args::new().ids(page.iter().copied());
        conn.execute(trim, args.int(limits::RETENTION_ROWS / 4))
            .await?;
        return Ok((before, Removal::Some(0)));
    }
    let gone = go(conn, tree.what, page).await?;
    if is_last {
        conn.execute(&sql::RETENTION_LARGE_FORGET, tree.args())
            .await?;
    }
    Ok((walk, Removal::Some(gone)))
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
