//! Cancel: intents and their descendants are cancelled, or asked to stop, in one transaction with one definite winner
//! against whatever else happens to them (PROTOCOL, "What each operator verb does").
//!
//! What could change the facts is locked in the order of ARCHITECTURE.md before anything is written: the sessions that
//! hold some of them (whose ticks wait, and see from their first statement's answer that they were told), resources, wait
//! rows, tokens. If a look under the locks shows that something has moved meanwhile, nothing is written, and it begins
//! anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::json;

use super::args::{Args, Rows};
use super::conn::Row;
use super::events::{self, Event};
use super::{Conn, RoutedEnd, Store, finish, routed, sql};
use crate::cancel::{self, Away, CancelAnswer, Decision, Member, Token, decide};
use crate::error::Error;
use crate::id::{IntentId, SessionId, TaskId};
use crate::limits;
use crate::planted::{Slip, is_planted};

/// Who wants it, and why.
#[derive(Debug, Clone)]
pub(crate) struct CancelBy {
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
}

/// What a cancel did.
#[derive(Debug)]
pub(crate) struct CancelDone {
    /// For each that was asked for, once.
    pub(crate) answers: Vec<(IntentId, CancelAnswer)>,
    /// Something was finished or put in line.
    pub(crate) moved: bool,
    /// Sessions were told to stop something.
    pub(crate) told: bool,
}

impl Store {
    /// Cancels intents, with all their unfinished descendants: those of which nothing has begun are cancelled when this
    /// returns, the others are asked to stop. One answer for each. All in one transaction; repeating it changes nothing.
    pub(crate) async fn cancel(
        &self,
        ids: Vec<IntentId>,
        by: CancelBy,
    ) -> Result<CancelDone, Error> {
        for _ in 0..limits::CANCEL_TRIES {
            let (ids, by) = (ids.clone(), by.clone());
            let done = self
                .transact(move |mut conn| {
                    let (ids, by) = (ids.clone(), by.clone());
                    Box::pin(async move { cancel(&mut conn, &ids, &by).await })
                })
                .await?;
            if let Some(done) = done {
                return Ok(done);
            }
        }
        Err(Error::Unreachable(
            "what is to be cancelled moves too fast; try again".to_owned(),
        ))
    }
}

/// Nothing: something has moved since it was looked at, and nothing was written but that sessions were told to look.
pub(super) async fn cancel(
    conn: &mut Conn<'_>,
    ids: &[IntentId],
    by: &CancelBy,
) -> Result<Option<CancelDone>, Error> {
    let first = decide(ids, look(conn, ids).await?);
    let sessions = first.sessions();
    let decision = if sessions.is_empty() {
        first
    } else {
        let args = Args::new().ids(sessions.iter().copied());
        let there = conn.fetch(&sql::CANCEL_SESSION, args).await?;
        // A look of its own after the locks: what a tick committed until then is seen.
        let decision = decide(ids, look(conn, ids).await?);
        if there.len() < sessions.len() || !decision.sessions().is_subset(&sessions) {
            return Ok(None);
        }
        decision
    };
    let is_held = hold(conn, &decision).await?;
    if !is_held && !is_planted(Slip::CancelUncompared) {
        return Ok(None);
    }
    // A token that is where it was may have been away meanwhile, and have left something behind: a step in another queue, a
    // child, a start after which there is no way back. Now that nothing of it moves any more, the facts are definite.
    let has_begun = at_rest(&decision).any(|member| member.token.has_begun());
    let looks_again = conn.is_pg() && has_begun && !is_planted(Slip::CancelUncompared);
    if looks_again && decide(ids, look(conn, ids).await?) != decision {
        return Ok(None);
    }
    note(conn, &decision, by).await?;
    let moved = carry_out(conn, &decision, by).await?;
    Ok(Some(CancelDone {
        answers: decision.answers,
        moved,
        told: !sessions.is_empty(),
    }))
}

async fn look(conn: &mut Conn<'_>, ids: &[IntentId]) -> Result<Vec<Member>, Error> {
    let asked: BTreeSet<IntentId> = ids.iter().copied().collect();
    let rows = conn
        .fetch(&sql::CANCEL_LOOK, Args::new().ids(asked))
        .await?;
    let mut members = rows.iter().map(member).collect::<Result<Vec<_>, _>>()?;
    let begun = members.iter().filter(|member| {
        !matches!(member.token, Token::Finished(_)) && member.token.has_begun() && !member.stopping
    });
    let begun: BTreeSet<IntentId> = begun.map(|member| member.id).collect();
    if begun.is_empty() {
        return Ok(members);
    }
    let mut away: HashMap<IntentId, Vec<Away>> = HashMap::new();
    let args = Args::new().ids(begun);
    for row in conn.fetch(&sql::CANCEL_ROUTED, args).await? {
        let (task, session) = (row.uuid(1)?, row.opt_uuid(2)?);
        let steps = away.entry(row.uuid(0)?).or_default();
        steps.push(Away { task, session });
    }
    for member in &mut members {
        // Also where it is there twice, by itself and below an ancestor.
        member.away = away.get(&member.id).cloned().unwrap_or_default();
        member.away.sort_by_key(|away| away.task);
    }
    Ok(members)
}

fn member(row: &Row) -> Result<Member, Error> {
    let token = if row.opt_text(3)?.is_some() {
        Token::Finished(row.word(3)?)
    } else if let Some(session) = row.opt_uuid::<SessionId>(4)? {
        Token::Leased(session)
    } else if let Some(reason) = row.opt_text(5)? {
        Token::Parked {
            begun: reason != "start time",
        }
    } else if row.bool(6)? {
        Token::Blocked {
            begun: row.bool(8)?,
        }
    } else {
        Token::Ready {
            begun: row.opt_bool(7)?.unwrap_or(true),
        }
    };
    Ok(Member {
        asked: row.uuid(0)?,
        id: row.uuid(1)?,
        parent: row.opt_uuid(2)?,
        token,
        stopping: row.bool(9)?,
        past: row.opt_text(10)?,
        locks: row.bool(11)?,
        away: Vec::new(),
    })
}

fn at_rest(decision: &Decision) -> impl Iterator<Item = &Member> {
    let members = decision.now.values().chain(decision.stop.values());
    members.filter(|member| !matches!(member.token, Token::Leased(_)))
}

/// Locks resources, wait rows and tokens. False: a token is not where it was.
async fn hold(conn: &mut Conn<'_>, decision: &Decision) -> Result<bool, Error> {
    if !conn.is_pg() {
        return Ok(true);
    }
    let taken_back = decision.taken_back();
    let resting = at_rest(decision).map(|member| TaskId::from(member.id));
    let resting: Vec<TaskId> = resting.chain(taken_back.keys().copied()).collect();
    if resting.is_empty() {
        return Ok(true);
    }
    let locking: Vec<IntentId> = at_rest(decision)
        .filter(|member| member.locks)
        .map(|member| member.id)
        .collect();
    if !locking.is_empty() {
        conn.fetch(&sql::CANCEL_RESOURCE, Args::new().ids(locking))
            .await?;
    }
    let parents = decision.now.values().filter_map(|m| m.parent);
    let waits: BTreeSet<IntentId> = parents.chain(taken_back.values().copied()).collect();
    if !waits.is_empty() {
        conn.fetch(&sql::WAIT_LOCK, Args::new().ids(waits)).await?;
    }
    let mut held: HashMap<TaskId, Token> = HashMap::new();
    for row in conn
        .fetch(&sql::CANCEL_HOLD, Args::new().ids(resting))
        .await?
    {
        let begun = row.bool(2)?;
        let token = match row.text(1)?.as_str() {
            "parked" => Token::Parked { begun },
            "blocked" => Token::Blocked { begun },
            _ => Token::Ready { begun },
        };
        held.insert(row.uuid(0)?, token);
    }
    let is_there = |member: &Member| held.get(&member.id.into()) == Some(&member.token);
    Ok(at_rest(decision).all(is_there) && taken_back.keys().all(|task| held.contains_key(task)))
}

/// The events, and the rows that ask to stop.
async fn note(conn: &mut Conn<'_>, decision: &Decision, by: &CancelBy) -> Result<(), Error> {
    let members = decision.now.values().chain(decision.stop.values());
    let noted = members.map(|member| Event {
        intent: member.id,
        reason: reason_of(member, by),
        detail: Some(match ancestor_of(member) {
            Some(ancestor) => json!({ "ancestor": ancestor }).to_string(),
            None => json!({}).to_string(),
        }),
    });
    events::write(conn, &by.actor, "cancel", noted.collect()).await?;
    if !decision.stop.is_empty() {
        let stop = decision.stop.values();
        let rows = Rows::new()
            .uuids(decision.stop.keys().copied())
            .opt_texts(stop.map(|member| reason_of(member, by)));
        let args = Args::new().text(by.actor.as_str()).rows(rows).now();
        conn.execute(&sql::CANCEL_INSERT, args).await?;
    }
    Ok(())
}

fn reason_of(member: &Member, by: &CancelBy) -> Option<String> {
    match ancestor_of(member) {
        Some(ancestor) => Some(cancel::with_ancestor(ancestor, by.reason.as_deref())),
        None => by.reason.clone(),
    }
}

/// The one that was asked for, if it is not this one.
fn ancestor_of(member: &Member) -> Option<IntentId> {
    (member.asked != member.id).then_some(member.asked)
}

/// Cancels what has not begun, and puts what has begun and is at rest in line. Returns whether there was any.
async fn carry_out(conn: &mut Conn<'_>, decision: &Decision, by: &CancelBy) -> Result<bool, Error> {
    let of = |wanted: fn(&Token) -> bool| -> Vec<TaskId> {
        let members = at_rest(decision).filter(|member| wanted(&member.token));
        members.map(|member| member.id.into()).collect()
    };
    let taken_back = decision.taken_back();
    // One that is in line for its locks again goes without them: it only has to end.
    let ready = at_rest(decision)
        .filter(|member| member.locks || !member.token.has_begun())
        .filter(|member| matches!(member.token, Token::Ready { .. }));
    // A step in another queue is in one of the two.
    let mut ready: Vec<TaskId> = ready.map(|member| member.id.into()).collect();
    ready.extend(taken_back.keys());
    let mut parked = of(|token| matches!(token, Token::Parked { .. }));
    parked.extend(taken_back.keys());
    let blocked = of(|token| matches!(token, Token::Blocked { .. }));
    let mut freed = HashSet::new();
    let mut crashes: HashMap<IntentId, i64> = HashMap::new();
    if !ready.is_empty() {
        for row in conn.fetch(&sql::READY_TAKE, Args::new().ids(ready)).await? {
            crashes.insert(row.uuid(0)?, row.int(1)?);
        }
    }
    if !parked.is_empty() {
        conn.fetch(&sql::PARKED_TAKE, Args::new().ids(parked))
            .await?;
    }
    if !blocked.is_empty() {
        conn.fetch(&sql::BLOCKED_TAKE, Args::new().ids(blocked.iter().copied()))
            .await?;
    }
    // Also those in *ready*, whose turn may have come before they were claimed.
    let locking: Vec<IntentId> = at_rest(decision)
        .filter(|member| member.locks)
        .map(|member| member.id)
        .collect();
    if !locking.is_empty() {
        for row in conn
            .fetch(&sql::LINE_LEAVE, Args::new().ids(locking))
            .await?
        {
            freed.insert(row.text(0)?);
        }
    }
    let taken_back = take_back(conn, taken_back).await?;
    let moved = at_rest(decision).next().is_some() || !taken_back.is_empty();
    finish_now(conn, decision, by, freed, taken_back).await?;
    let is_taken = |member: &&Member| match member.token {
        Token::Parked { .. } | Token::Blocked { .. } => true,
        Token::Ready { .. } => crashes.contains_key(&member.id),
        Token::Leased(_) | Token::Finished(_) => false,
    };
    let in_line = decision.stop.values().filter(is_taken);
    let in_line: Vec<IntentId> = in_line.map(|member| member.id).collect();
    if !in_line.is_empty() {
        let rows = Rows::new()
            .uuids(in_line.iter().copied())
            .ints(
                in_line
                    .iter()
                    .map(|id| crashes.get(id).copied().unwrap_or_default()),
            )
            .bools(in_line.iter().map(|_| true))
            .bools(in_line.iter().map(|_| false));
        conn.execute(&sql::READY_INSERT, Args::new().rows(rows))
            .await?;
    }
    Ok(moved)
}

/// Nobody carries these steps out any more: they count as ended, each once. What is known of them stays with their rows.
async fn take_back(
    conn: &mut Conn<'_>,
    steps: BTreeMap<TaskId, IntentId>,
) -> Result<BTreeMap<IntentId, i64>, Error> {
    let end = |(task, intent)| RoutedEnd {
        task,
        intent,
        lease: None,
    };
    let ends: Vec<RoutedEnd> = steps.into_iter().map(end).collect();
    routed::end(conn, &ends).await
}

async fn finish_now(
    conn: &mut Conn<'_>,
    decision: &Decision,
    by: &CancelBy,
    freed: HashSet<String>,
    mut arrived: BTreeMap<IntentId, i64>,
) -> Result<(), Error> {
    let ids = || decision.now.keys().copied();
    if !decision.now.is_empty() {
        let errors = decision.now.values().map(|member| {
            let reason = reason_of(member, by);
            cancel::in_words(&by.actor, reason.as_deref())
        });
        let rows = Rows::new().uuids(ids()).texts(errors);
        conn.execute(&sql::OUTCOME_CANCEL, Args::new().rows(rows).now())
            .await?;
    }
    let locking = decision.now.values().filter(|member| member.locks);
    for parent in decision.now.values().filter_map(|member| member.parent) {
        *arrived.entry(parent).or_default() += 1;
    }
    let freeing = locking.map(|member| member.id).collect();
    finish::release(conn, freeing, freed, arrived).await?;
    Ok(())
}
