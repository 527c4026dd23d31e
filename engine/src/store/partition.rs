//! Partition: claims from queues whose tasks take turns, and the count of what is in hand of each partition.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::args::{Args, Rows};
use super::claim::{Taken, read_taken};
use super::queue::{known, note};
use super::{Conn, Lane, NewChange, Store, sql};
use crate::error::Error;
use crate::id::{SessionId, TaskId};
use crate::limits;
use crate::partitions::{Hand, after, rest, round};

/// How tasks are claimed from a queue that is partitioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turns {
    /// Whose turn it is: the partitions from this name on.
    pub(crate) from: Arc<str>,
    /// What comes is filed; otherwise the queue was partitioned once, and what is filed is what is left of that.
    pub(crate) files: bool,
    /// How many tasks of one partition may be in hand at once, if there is a limit: by the queue's row, which is locked.
    pub(crate) limit: Option<i64>,
}

/// A task's partition, where that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) queue: Arc<str>,
    pub(super) partition: Arc<str>,
}

/// Claims from a lane whose tasks take turns. Returns what was taken, and whose turn it is then.
pub(super) async fn take(
    conn: &mut Conn<'_>,
    lane: &Lane,
    turns: &Turns,
) -> Result<(Vec<Taken>, Arc<str>), Error> {
    if turns.files {
        let each = limits::FILED_AT_ONCE / lane.kinds.len().max(1);
        let args = of_lane(lane).int(each.max(1) as i64);
        conn.execute(&sql::PARTITION_FILE, args).await?;
    }
    let mut hands = next(conn, lane, turns).await?;
    // If those that were looked at give nothing, the next claim goes on behind them.
    let mut from = match hands.last() {
        Some(last) if hands.len() >= limits::PARTITIONS_AT_ONCE => after(&last.name),
        _ => turns.from.clone(),
    };
    let mut taken: Vec<Taken> = Vec::new();
    for turn in 0.. {
        let room = lane.room - taken.len();
        let asked = round(&hands, room);
        let Some((last, _)) = asked.last() else {
            break;
        };
        if turn == 0 {
            from = after(last);
        }
        let took = give(conn, lane, turns, &asked, &mut taken).await?;
        if taken.len() >= lane.room {
            break;
        }
        hands = rest(hands, &asked, |name| {
            took.get(name).copied().unwrap_or_default()
        });
    }
    Ok((taken, from))
}

/// Takes as many of each as it was asked for, or all that there are. Returns how many that were, by partition.
async fn give(
    conn: &mut Conn<'_>,
    lane: &Lane,
    turns: &Turns,
    asked: &[(Arc<str>, usize)],
    taken: &mut Vec<Taken>,
) -> Result<HashMap<Arc<str>, usize>, Error> {
    let mut took: HashMap<Arc<str>, usize> = HashMap::new();
    // Those of which as many are taken go into one statement: without a limit, all.
    let sizes: BTreeSet<usize> = asked.iter().map(|(_, most)| *most).collect();
    for most in sizes {
        let names = asked.iter().filter(|(_, each)| *each == most);
        let names = Rows::new().texts(names.map(|(name, _)| name.clone()));
        let args = of_lane(lane).rows(names).int(most as i64);
        let rows = conn.fetch(&sql::PARTITION_TAKE, args).await?;
        let mut partitions: HashMap<TaskId, Arc<str>> = HashMap::new();
        for row in &rows {
            let partition = row.name(6)?;
            *took.entry(partition.clone()).or_default() += 1;
            partitions.insert(row.uuid(0)?, partition);
        }
        for mut task in read_taken(rows) {
            let partition = partitions.remove(&task.task);
            let partition = partition.filter(|_| turns.limit.is_some());
            task.counted = partition.map(|partition| Counted {
                queue: lane.queue.clone(),
                partition,
            });
            taken.push(task);
        }
    }
    Ok(took)
}

fn of_lane(lane: &Lane) -> Args {
    let kinds = Rows::new().texts(lane.kinds.iter().cloned());
    Args::new().text(lane.queue.clone()).rows(kinds)
}

/// The partitions that have something in line, from the one whose turn it is, and round to it again.
async fn next(conn: &mut Conn<'_>, lane: &Lane, turns: &Turns) -> Result<Vec<Hand>, Error> {
    let mut hands: Vec<Hand> = Vec::new();
    let most = limits::PARTITIONS_AT_ONCE;
    for from in [turns.from.clone(), Arc::from("")] {
        let args = of_lane(lane).text(from.clone()).int(most as i64);
        for row in conn.fetch(&sql::PARTITION_NEXT, args).await? {
            let name = row.name(0)?;
            if hands.len() < most && hands.iter().all(|hand| hand.name != name) {
                hands.push(Hand::new(name, row.int(1)?, turns.limit));
            }
        }
        if from.is_empty() || hands.len() >= most {
            break;
        }
    }
    Ok(hands)
}

/// What was taken is in hand now.
pub(super) async fn lend(
    conn: &mut Conn<'_>,
    session: SessionId,
    taken: &[Taken],
) -> Result<(), Error> {
    let counted = || {
        let counted = taken.iter();
        counted.filter_map(|task| Some((task.task, task.counted.as_ref()?)))
    };
    if counted().next().is_none() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(counted().map(|(task, _)| task))
        .texts(counted().map(|(_, counted)| counted.queue.clone()))
        .texts(counted().map(|(_, counted)| counted.partition.clone()));
    let args = Args::new().uuid(session.0).rows(rows);
    conn.execute(&sql::PARTITION_LEND, args).await
}

/// These tasks are in nobody's hands any more, as far as they were counted; the queues are locked. Returns whether a
/// partition had nothing left to lend, by the limits of these queues.
pub(super) async fn give_back(
    conn: &mut Conn<'_>,
    tasks: impl Iterator<Item = TaskId>,
    limits: &HashMap<Arc<str>, i64>,
) -> Result<bool, Error> {
    let tasks: Vec<TaskId> = tasks.collect();
    if tasks.is_empty() {
        return Ok(false);
    }
    let ids = || Args::new().ids(tasks.iter().copied());
    let mut held: Vec<(Arc<str>, Arc<str>, i64)> = Vec::new();
    for row in conn.fetch(&sql::PARTITION_HELD, ids()).await? {
        held.push((row.name(0)?, row.name(1)?, row.int(2)?));
    }
    if held.is_empty() {
        return Ok(false);
    }
    let names = || {
        Rows::new()
            .texts(held.iter().map(|(queue, _, _)| queue.clone()))
            .texts(held.iter().map(|(_, partition, _)| partition.clone()))
    };
    let back = names().ints(held.iter().map(|(_, _, back)| *back));
    let (mut was_full, mut is_empty) = (false, false);
    for row in conn.fetch(&sql::PARTITION_RETURN, ids().rows(back)).await? {
        let (queue, name, lent) = (row.name(0)?, row.name(1)?, row.int(2)?);
        let of = |held: &&(Arc<str>, Arc<str>, i64)| held.0 == queue && held.1 == name;
        let back = held.iter().find(of).map_or(0, |(_, _, back)| *back);
        let limit = limits.get(&queue).filter(|_| !name.is_empty());
        was_full |= limit.is_some_and(|limit| lent + back >= *limit);
        is_empty |= lent == 0;
    }
    if is_empty {
        conn.execute(&sql::PARTITION_FORGET, Args::new().rows(names()))
            .await?;
    }
    Ok(was_full)
}

/// What a session has in hand is nobody's any more; the queues are locked.
pub(super) async fn give_back_all(conn: &mut Conn<'_>, session: SessionId) -> Result<(), Error> {
    let args = Args::new().uuid(session.0);
    let rows = conn.fetch(&sql::PARTITION_OF_SESSION, args).await?;
    let tasks: Result<Vec<TaskId>, Error> = rows.iter().map(|row| row.uuid(0)).collect();
    give_back(conn, tasks?.into_iter(), &HashMap::new()).await?;
    Ok(())
}

impl Store {
    /// Says by what the tasks of a queue are told apart, and how many of one partition may be in hand; `none`: they take no
    /// turns. Returns false if it is so already.
    pub(crate) async fn partition_queue(
        &self,
        change: NewChange,
        by: Arc<str>,
        limit: Option<i64>,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let (change, by) = (change.clone(), by.clone());
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let name = || Args::new().text(change.name.as_str());
                let args = name().text(by).int(limit);
                let row = conn.fetch_one(&sql::QUEUE_PARTITION, args).await?;
                if row.is_none() {
                    return Ok(false);
                }
                if limit.is_none() {
                    conn.execute(&sql::PARTITION_CLEAR, name()).await?;
                }
                note(&mut conn, &change).await?;
                Ok(true)
            })
        })
        .await
    }
}
