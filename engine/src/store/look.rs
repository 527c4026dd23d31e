//! Look: what a worker may find that looks around without claiming anything. It locks nothing and writes nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::args::{Args, Rows};
use super::{Conn, Control, Store, queue, rates, sql};
use crate::error::Error;
use crate::id::SessionId;
use crate::rate::{permits, until};

/// What a worker looks for in a queue that it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) queue: Arc<str>,
    /// What it claims.
    pub(crate) kinds: Arc<[Arc<str>]>,
    /// Kinds that back off, one task of which may be tried now.
    pub(crate) tried: Vec<Arc<str>>,
    /// It was denied slots, or waits for a permit for long: whether there are any now.
    pub(crate) budget: bool,
}

/// What it has found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueSeen {
    pub(crate) queue: Arc<str>,
    /// There is something to claim.
    pub(crate) ready: bool,
    /// Something is to be claimed by itself: a suspect, or a task of a kind that is being tried.
    pub(crate) suspects: bool,
    /// There is a slot for who looks, where that was asked and the queue lends any.
    pub(crate) slot: bool,
    /// When the next permit comes, where that was asked and the queue has a rate.
    pub(crate) permit_in: Option<Duration>,
}

/// What a worker sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peek {
    pub(crate) queues: Vec<QueueSeen>,
    pub(crate) next_due: Option<Duration>,
    pub(crate) signals: bool,
    /// Plain SQL has asked for cancels.
    pub(crate) cancels: bool,
    /// What people have said of queues, if that is news.
    pub(crate) control: Option<Control>,
}

impl Store {
    /// What an idle worker may find: costs one look into the hot tables, and one at the rows of queues that it waits for.
    pub(crate) async fn peek(
        &self,
        session: Option<SessionId>,
        looks: Vec<Look>,
        control: i64,
    ) -> Result<Peek, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let mut peek = hot_tables(&mut conn, &looks, control).await?;
                if let Some(session) = session
                    && looks.iter().any(|look| look.budget)
                {
                    budgets(&mut conn, session, &looks, &mut peek.queues).await?;
                }
                Ok(peek)
            })
        })
        .await
    }
}

async fn hot_tables(conn: &mut Conn<'_>, looks: &[Look], control: i64) -> Result<Peek, Error> {
    let claims = |look: &'_ Look| {
        let kinds = look.kinds.iter().map(|kind| (kind.clone(), false));
        let tried = look.tried.iter().map(|kind| (kind.clone(), true));
        let of_queue = |(kind, tried)| (look.queue.clone(), kind, tried);
        kinds.chain(tried).map(of_queue).collect::<Vec<_>>()
    };
    let sorts: Vec<_> = looks.iter().flat_map(claims).collect();
    let rows = Rows::new()
        .texts(sorts.iter().map(|(queue, _, _)| queue.clone()))
        .texts(sorts.iter().map(|(_, kind, _)| kind.clone()))
        .bools(sorts.iter().map(|(_, _, tried)| *tried));
    let row = conn
        .fetch_one(&sql::PEEK, Args::new().rows(rows).now())
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    let (ready, suspects) = (names(&row.text(0)?), names(&row.text(1)?));
    let next_due = row
        .opt_int(2)?
        .map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
    let version = row.int(5)?;
    let said = match version > control {
        true => Some(queue::load(conn, version).await?),
        false => None,
    };
    let seen = |look: &Look| QueueSeen {
        ready: ready.contains(&*look.queue),
        suspects: suspects.contains(&*look.queue),
        queue: look.queue.clone(),
        slot: false,
        permit_in: None,
    };
    Ok(Peek {
        queues: looks.iter().map(seen).collect(),
        control: said,
        next_due,
        signals: row.bool(3)?,
        cancels: row.bool(4)?,
    })
}

/// An array of names that the database has made: always JSON.
fn names(json: &str) -> HashSet<String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// What a session could have now of the queues that it waits for.
async fn budgets(
    conn: &mut Conn<'_>,
    session: SessionId,
    looks: &[Look],
    seen: &mut [QueueSeen],
) -> Result<(), Error> {
    let asked = looks.iter().filter(|look| look.budget);
    let queues: Vec<Arc<str>> = asked.map(|look| look.queue.clone()).collect();
    let args = Args::new().rows(Rows::new().texts(queues.iter().cloned()));
    let rows = conn.fetch(&sql::QUEUE_LOOK, args.now()).await?;
    let mut limited = Vec::new();
    for row in &rows {
        if row.opt_int(1)?.is_some() {
            limited.push(row.name(0)?);
        }
    }
    let lent = queue::budgets(conn, &rows, session, limited.iter()).await?;
    for row in &rows {
        let queue = row.name(0)?;
        let Some(seen) = seen.iter_mut().find(|seen| seen.queue == queue) else {
            continue;
        };
        let mut lent = lent.iter().filter(|(of, _)| *of == queue);
        seen.slot = lent.any(|(_, budget)| budget.to_be_had() > 0);
        if let Some(rate) = rates::read(row, 3)? {
            let (tat, now) = (row.opt_time(6)?, row.time(7)?);
            let next = permits(tat, now, &rate, 0).next_at;
            seen.permit_in = Some(until(now, next));
        }
    }
    Ok(())
}
