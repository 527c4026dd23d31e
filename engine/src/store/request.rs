//! Request: intents, their keys, their resources and their tasks (PROTOCOL P5, P8).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::args::{Args, Rows};
use super::backlog::Caps;
use super::rows::Start;
use super::sql;
use super::{Conn, NewIntent, Requested, Store, StoreKind, TickAnswer, claim, conflict, deadlines};
use crate::clock::{Micros, micros};
use crate::conflict::Verdict;
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId};
use crate::limits;
use crate::payload::{self, Payload};
use crate::secret;

/// A lease that is to be made together with its intents.
pub(crate) type LeaseFor = (LeaseId, SessionId);

impl Store {
    /// Writes intents in a transaction of their own, and leases the new ones to a session or puts them into *ready*, whatever is
    /// in line.
    pub(crate) async fn request(
        &self,
        intents: Vec<NewIntent>,
        lease: Option<LeaseFor>,
    ) -> Result<Requested, Error> {
        self.request_within(intents, lease, Arc::default()).await
    }

    /// Writes intents for somebody who asks: queues that are full refuse them. Returns the ids, as [`Requested`] has them.
    pub(crate) async fn ask(
        &self,
        intents: Vec<NewIntent>,
        caps: Arc<Caps>,
    ) -> Result<Vec<IntentId>, Error> {
        Ok(self.request_within(intents, None, caps).await?.ids)
    }

    async fn request_within(
        &self,
        intents: Vec<NewIntent>,
        lease: Option<LeaseFor>,
        caps: Arc<Caps>,
    ) -> Result<Requested, Error> {
        let is_plain = |intent: &NewIntent| {
            intent.key.is_none()
                && intent.labels.is_empty()
                && intent.conflicts.is_none()
                && intent.deadline.is_none()
        };
        if self.kind() == StoreKind::Postgres && intents.iter().all(is_plain) {
            // One round trip instead of three.
            return self
                .alone(move |mut conn| {
                    Box::pin(async move { request(&mut conn, intents, lease, &caps).await })
                })
                .await;
        }
        self.transact(move |mut conn| {
            let (intents, caps) = (intents.clone(), caps.clone());
            Box::pin(async move { request(&mut conn, intents, lease, &caps).await })
        })
        .await
    }

    /// After a request whose answer was lost: the tasks of its lease, if it was made; otherwise it never will be.
    pub(crate) async fn settle_lease(
        &self,
        (lease, session): LeaseFor,
    ) -> Result<Option<TickAnswer>, Error> {
        self.transact(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(lease.0).uuid(session.0).now();
                if conn.fetch_one(&sql::LEASE_VOID, args).await?.is_some() {
                    return Ok(None);
                }
                let mut answer = TickAnswer::default();
                claim::adopt(&mut conn, lease, true, &mut answer).await?;
                Ok(Some(answer))
            })
        })
        .await
    }
}

/// Writes intents in a transaction that is open already, whatever is in line. Returns the ids: of an intent that was there already,
/// where one has the same key.
pub(crate) async fn insert_requests(
    conn: &mut Conn<'_>,
    intents: Vec<NewIntent>,
) -> Result<Vec<IntentId>, Error> {
    insert_asked(conn, intents, &Caps::default()).await
}

/// The same, for somebody who asks: queues that are full refuse them.
pub(crate) async fn insert_asked(
    conn: &mut Conn<'_>,
    intents: Vec<NewIntent>,
    caps: &Caps,
) -> Result<Vec<IntentId>, Error> {
    Ok(request(conn, intents, None, caps).await?.ids)
}

async fn request(
    conn: &mut Conn<'_>,
    intents: Vec<NewIntent>,
    lease: Option<LeaseFor>,
    caps: &Caps,
) -> Result<Requested, Error> {
    if intents.iter().any(|new| secret::has_plain(new.input.get())) {
        return Err(Error::Setup(
            "a secret was to be stored that is not sealed".to_owned(),
        ));
    }
    let mut ids: Vec<IntentId> = intents.iter().map(|intent| intent.id).collect();
    let known = claim_keys(conn, &intents).await?;
    let joined = match join(conn, &intents, &known).await {
        Ok(joined) => joined,
        Err(error) => {
            // The caller's own transaction may go on, and be committed.
            forget_keys(conn, &intents, &known).await?;
            return Err(error);
        }
    };
    for (index, id) in ids.iter_mut().enumerate() {
        // What has the key of one that joins joins as well.
        *id = *known.get(&index).unwrap_or(id);
        *id = *joined.get(id).unwrap_or(id);
    }
    let new: Vec<&NewIntent> = intents
        .iter()
        .enumerate()
        .filter(|(index, intent)| !known.contains_key(index) && !joined.contains_key(&intent.id))
        .map(|(_, intent)| intent)
        .collect();
    if let Some(full) = caps.refusal(new.iter().copied()) {
        forget_keys(conn, &intents, &known).await?;
        return Err(full);
    }
    let leased = match lease {
        _ if new.is_empty() => None,
        Some(lease) => Some(insert_leased(conn, &new, lease).await?),
        None => {
            insert_ready(conn, &new).await?;
            None
        }
    };
    insert_labels(conn, &new).await?;
    deadlines::of_intents(conn, &new).await?;
    Ok(Requested { ids, leased })
}

/// Asks the conflict rules of kinds that can answer at once. Returns which requests are the same as an intent that is there
/// already; a request that is refused is an error.
async fn join(
    conn: &mut Conn<'_>,
    intents: &[NewIntent],
    known: &HashMap<usize, IntentId>,
) -> Result<HashMap<IntentId, IntentId>, Error> {
    let mut joined = HashMap::new();
    let mut keys: Vec<(&NewIntent, &str, IntentId)> = Vec::new();
    for (index, intent) in intents.iter().enumerate() {
        if known.contains_key(&index) {
            continue;
        }
        // A child is asked for in a tick, which refuses nobody, and what is there now says nothing of one that is to start
        // later: their rules are looked at when they are claimed.
        let asks = intent.locks() && intent.parent.is_none() && intent.start == Start::Now;
        let rules = intent.conflicts.clone().filter(|_| asks);
        let Some(rules) = rules else { continue };
        let Some(foreseen) = conflict::foresee(conn, intent, rules).await? else {
            continue;
        };
        let rival = match foreseen.verdict {
            Verdict::Join(rival) => rival,
            Verdict::Wait | Verdict::Supersede(_) => continue,
            Verdict::Reject(ref rival) => {
                return Err(Error::Rejected {
                    kind: intent.kind.clone(),
                    resource: rival.resource.clone(),
                    by: rival.intent,
                    by_kind: foreseen.kind(rival.intent),
                });
            }
        };
        joined.insert(intent.id, rival.intent);
        if let Some((key, _)) = &intent.key {
            keys.push((intent, key, rival.intent));
        }
    }
    if !keys.is_empty() {
        let rows = Rows::new()
            .texts(keys.iter().map(|(intent, ..)| account(intent)))
            .texts(keys.iter().map(|(_, key, _)| *key))
            .uuids(keys.iter().map(|(_, _, to)| *to));
        conn.execute(&sql::KEY_JOIN, Args::new().rows(rows)).await?;
    }
    Ok(joined)
}

/// Takes the keys of the requests that have one. Returns, by index, those that were asked for before.
async fn claim_keys(
    conn: &mut Conn<'_>,
    intents: &[NewIntent],
) -> Result<HashMap<usize, IntentId>, Error> {
    // The first of several requests with one key in one batch takes it; the others are compared with it afterwards.
    let mut first: HashMap<(&str, &str), usize> = HashMap::new();
    for (index, intent) in intents.iter().enumerate() {
        if let Some((key, _)) = &intent.key {
            first.entry((account(intent), key)).or_insert(index);
        }
    }
    if first.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = || {
        first
            .iter()
            .map(|((account, key), index)| (*account, *key, &intents[*index]))
    };
    let args = Args::new()
        .rows(
            Rows::new()
                .texts(rows().map(|(account, _, _)| account))
                .texts(rows().map(|(_, key, _)| key))
                .uuids(rows().map(|(_, _, intent)| intent.id))
                .bytes(rows().map(|(_, _, intent)| hash(intent))),
        )
        .int(micros(limits::KEY_RETENTION))
        .now();
    let mut taken = HashSet::new();
    for row in conn.fetch(&sql::KEY_CLAIM, args).await? {
        taken.insert((row.text(0)?, row.text(1)?));
    }
    let with_key = intents
        .iter()
        .enumerate()
        .filter_map(|(index, intent)| Some((index, intent, intent.key.as_ref()?)));
    let losers: Vec<_> = with_key
        .filter(|(index, intent, (key, _))| {
            first.get(&(account(intent), key)) != Some(index)
                || !taken.contains(&(account(intent).to_owned(), key.clone()))
        })
        .collect();
    if losers.is_empty() {
        return Ok(HashMap::new());
    }
    let args = Args::new().rows(
        Rows::new()
            .texts(losers.iter().map(|(_, intent, _)| account(intent)))
            .texts(losers.iter().map(|(_, _, (key, _))| key.as_str())),
    );
    let mut winners = HashMap::new();
    for row in conn.fetch(&sql::KEY_READ, args).await? {
        let body = match row.bytes(3)? {
            hash if hash.is_empty() && row.bool(6)? => Body::Removed(row.opt_text(4)?),
            hash if hash.is_empty() => Body::Row(row.opt_text(4)?, row.opt_json(5)?),
            hash => Body::Hash(hash),
        };
        winners.insert(
            (row.text(0)?, row.text(1)?),
            (row.uuid::<IntentId>(2)?, body),
        );
    }
    losers
        .into_iter()
        .map(|(index, intent, (key, body))| {
            match winners.get(&(account(intent).to_owned(), key.clone())) {
                Some((existing, theirs)) if theirs.is_of(intent, body) => Ok((index, *existing)),
                Some((existing, _)) => Err(Error::KeyConflict {
                    key: key.clone(),
                    intent: *existing,
                }),
                // The unique index saw a row that this transaction's snapshot does not.
                None => Err(Error::KeyRace { key: key.clone() }),
            }
        })
        .collect()
}

/// What a key was used for.
enum Body {
    Hash(Vec<u8>),
    /// Kind and input: plain SQL took the key, which can make no hash.
    Row(Option<String>, Option<Payload>),
    /// The same, and retention has removed the input; if it has removed the intent, there is no kind either. The key holds as long as
    /// it was to: nothing is made twice for having been removed.
    Removed(Option<String>),
}

impl Body {
    fn is_of(&self, intent: &NewIntent, hash: &[u8]) -> bool {
        match self {
            Self::Hash(theirs) => theirs == hash,
            Self::Row(Some(kind), Some(input)) => {
                *kind == intent.kind && payload::is_same(input, &intent.input)
            }
            Self::Row(..) => false,
            Self::Removed(kind) => kind.as_ref().is_none_or(|kind| *kind == intent.kind),
        }
    }
}

/// The keys that these requests have taken are free again.
async fn forget_keys(
    conn: &mut Conn<'_>,
    intents: &[NewIntent],
    known: &HashMap<usize, IntentId>,
) -> Result<(), Error> {
    let taken = intents.iter().enumerate();
    let taken = taken.filter(|(index, _)| !known.contains_key(index));
    let taken = taken.filter_map(|(_, intent)| Some((intent, &intent.key.as_ref()?.0)));
    let taken: Vec<(&NewIntent, &String)> = taken.collect();
    if taken.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .texts(taken.iter().map(|(intent, _)| account(intent)))
        .texts(taken.iter().map(|(_, key)| key.as_str()))
        .uuids(taken.iter().map(|(intent, _)| intent.id));
    conn.execute(&sql::KEY_FORGET, Args::new().rows(rows)).await
}

async fn insert_ready(conn: &mut Conn<'_>, new: &[&NewIntent]) -> Result<(), Error> {
    if conn.is_pg() {
        // One round trip: a request by itself is mostly waiting for the network and the disk.
        let args = Args::new().rows(intents(new)).rows(resources(new)).now();
        return conn.execute(&sql::REQUEST_INSERT, args).await;
    }
    insert_intents(conn, new).await?;
    conn.execute(&sql::REQUEST_READY, Args::new().now().rows(tasks(new)))
        .await?;
    let later = new.iter().filter(|intent| intent.start != Start::Now);
    let later: Vec<IntentId> = later.map(|intent| intent.id).collect();
    if !later.is_empty() {
        conn.execute(&sql::REQUEST_PARKED, Args::new().ids(later))
            .await?;
    }
    Ok(())
}

/// The intents go into a lease. Returns when it was made, and when each of them was requested.
async fn insert_leased(
    conn: &mut Conn<'_>,
    new: &[&NewIntent],
    (lease, session): LeaseFor,
) -> Result<(Micros, HashMap<IntentId, Micros>), Error> {
    let mut claimed_at = Micros::default();
    let mut requested = HashMap::new();
    if conn.is_pg() {
        let args = Args::new().rows(intents(new)).rows(resources(new));
        let args = args.uuid(lease.0).uuid(session.0);
        for row in conn.fetch(&sql::REQUEST_LEASE, args).await? {
            requested.insert(row.uuid(0)?, row.time(1)?);
            claimed_at = row.time(2)?;
        }
        return Ok((claimed_at, requested));
    }
    insert_intents(conn, new).await?;
    let args = Args::new().uuid(lease.0).uuid(session.0).int(0).bool(false);
    let args = args.ids(new.iter().map(|intent| intent.id)).now();
    if let Some(row) = conn.fetch_one(&sql::LEASE_INSERT, args).await? {
        claimed_at = row.time(0)?;
    }
    // The time of the transaction is the time of everything in it.
    requested.extend(new.iter().map(|intent| (intent.id, claimed_at)));
    Ok((claimed_at, requested))
}

async fn insert_intents(conn: &mut Conn<'_>, new: &[&NewIntent]) -> Result<(), Error> {
    conn.execute(&sql::REQUEST_INSERT, Args::new().now().rows(intents(new)))
        .await?;
    if new.iter().any(|intent| !intent.resources.is_empty()) {
        conn.execute(&sql::REQUEST_RESOURCE, Args::new().rows(resources(new)))
            .await?;
    }
    Ok(())
}

async fn insert_labels(conn: &mut Conn<'_>, new: &[&NewIntent]) -> Result<(), Error> {
    let all = || {
        new.iter().flat_map(|intent| {
            let labels = intent.labels.iter();
            labels.map(|(name, value)| (intent.id, name.as_str(), value.as_str()))
        })
    };
    if all().next().is_none() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(all().map(|(id, _, _)| id))
        .texts(all().map(|(_, name, _)| name))
        .texts(all().map(|(_, _, value)| value));
    conn.execute(&sql::LABEL_INSERT, Args::new().rows(rows))
        .await
}

fn intents(new: &[&NewIntent]) -> Rows {
    let all = || new.iter();
    Rows::new()
        .uuids(all().map(|i| i.id))
        .texts(all().map(|i| i.kind.as_str()))
        .texts(all().map(|i| i.queue.as_str()))
        .opt_texts(all().map(|i| i.account.as_deref()))
        .jsons(all().map(|i| Some(i.input.clone())))
        .ints(all().map(|i| i64::from(i.priority)))
        .ints(all().map(|i| i.ahead_us()))
        .bools(all().map(|i| i.locks()))
        .bools(all().map(|i| i.release_on_failure))
        .opt_ints(all().map(|i| start_at(i)))
        .opt_ints(all().map(|i| start_in(i)))
        .opt_texts(all().map(|i| i.requested_by.as_deref()))
        .opt_uuids(all().map(|i| i.parent.as_ref().map(|(id, _)| id.0)))
        .opt_texts(all().map(|i| i.parent.as_ref().map(|(_, step)| step.as_str())))
        .uuids(all().map(|i| i.root))
        .ints(all().map(|i| i.depth as i64))
        .opt_texts(all().map(|i| i.correlation_id.as_deref()))
        .opt_texts(all().map(|i| i.traceparent.map(|trace| trace.to_string())))
}

fn resources(new: &[&NewIntent]) -> Rows {
    let all = || {
        new.iter().flat_map(|intent| {
            let named = intent.resources.iter();
            named.map(|(name, mode)| (intent.id, name, *mode))
        })
    };
    Rows::new()
        .uuids(all().map(|(id, _, _)| id))
        .texts(all().map(|(_, name, _)| name.as_str()))
        .texts(all().map(|(_, _, mode)| mode.as_str()))
}

fn tasks(new: &[&NewIntent]) -> Rows {
    let all = || new.iter();
    Rows::new()
        .uuids(all().map(|i| i.id))
        .texts(all().map(|i| i.kind.as_str()))
        .texts(all().map(|i| i.queue.as_str()))
        .ints(all().map(|i| i.ahead_us()))
        .bools(all().map(|i| i.locks()))
        .opt_ints(all().map(|i| start_at(i)))
        .opt_ints(all().map(|i| start_in(i)))
}

fn start_at(intent: &NewIntent) -> Option<i64> {
    match intent.start {
        Start::At(Micros(at)) => Some(at),
        Start::Now | Start::In(_) => None,
    }
}

fn start_in(intent: &NewIntent) -> Option<i64> {
    match intent.start {
        Start::In(time) => Some(micros(time)),
        Start::Now | Start::At(_) => None,
    }
}

fn account(intent: &NewIntent) -> &str {
    intent.account.as_deref().unwrap_or_default()
}

fn hash(intent: &NewIntent) -> Vec<u8> {
    intent
        .key
        .as_ref()
        .map(|(_, hash)| hash.clone())
        .unwrap_or_default()
}
