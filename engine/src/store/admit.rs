//! Admit: takes the resources that claimed intents want, or puts them in line (PROTOCOL P5).

use std::collections::{BTreeSet, HashMap, HashSet};

use super::args::{Args, Rows};
use super::conflict::{self, Known};
use super::rows::KindRules;
use super::{Conn, sql};
use crate::admit::{Admission, Applicant, Holder, Place, Want};
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Mode;

/// What became of claimed tasks that want resources.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// These wait in line: they are in *blocked* now.
    pub(super) blocked: HashSet<IntentId>,
    /// Somebody is at one of their resources just now: try again with the next claim.
    pub(super) deferred: HashSet<IntentId>,
    /// These can never be let in, and why.
    pub(super) circular: HashMap<IntentId, String>,
    /// A conflict rule has refused these, or made them the same as others: they have finished.
    pub(super) losers: HashSet<IntentId>,
    /// Some wait for others that are to be stopped.
    pub(super) superseding: bool,
}

/// A claimed task that wants resources.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) intent: IntentId,
    pub(super) position: i64,
    /// It has been in hand before.
    pub(super) started: bool,
}

/// Admits claimed tasks.
pub(super) async fn admit_claimed(
    conn: &mut Conn<'_>,
    tasks: &[Asking],
    rules: &KindRules,
) -> Result<Admitted, Error> {
    let mut admitted = Admitted::default();
    if tasks.is_empty() {
        return Ok(admitted);
    }
    let mut applicants = load_applicants(conn, tasks).await?;
    let resources: BTreeSet<String> = applicants
        .iter()
        .flat_map(|applicant| applicant.wants.iter().map(|want| want.resource.clone()))
        .collect();
    let got = try_lock(conn, resources).await?;
    applicants.retain(|applicant| {
        let all = applicant
            .wants
            .iter()
            .all(|want| got.contains(&want.resource));
        if !all {
            admitted.deferred.insert(applicant.intent);
        }
        all
    });
    if applicants.is_empty() {
        return Ok(admitted);
    }
    // Statements of their own after the locks: what an earlier holder of a lock committed is seen.
    let holders = holders_of(conn, &got).await?;
    let mut line = line_of(conn, &got).await?;
    if applicants.iter().any(|applicant| applicant.kin) {
        mark_kin(conn, &mut line).await?;
    }
    let positions: HashMap<IntentId, i64> = tasks
        .iter()
        .map(|task| (task.intent, task.position))
        .collect();
    let in_line: HashSet<IntentId> = line.iter().map(|place| place.intent).collect();
    let holding: HashSet<IntentId> = holders.iter().map(|holder| holder.intent).collect();
    for applicant in &mut applicants {
        let known = |set: &HashSet<IntentId>| set.contains(&applicant.intent);
        applicant.is_new &= !known(&in_line) && !known(&holding);
    }
    let intents: Vec<IntentId> = applicants
        .iter()
        .map(|applicant| applicant.intent)
        .collect();
    let known = Known::load(conn, rules, &mut applicants, &holders, &line).await?;
    let decision = known.admit(applicants, &holders, &line);
    admitted.blocked = decision.blocked.iter().copied().collect();
    admitted.circular = circles(&decision);
    let losers = decision.rejected.iter().chain(&decision.joined);
    admitted.losers = losers.map(|(intent, _)| *intent).collect();
    admitted.superseding = !decision.superseding.is_empty();
    conflict::write(conn, &decision).await?;

    if !decision.taken.is_empty() {
        let rows = Rows::new()
            .texts(decision.taken.iter().map(|t| t.resource.as_str()))
            .uuids(decision.taken.iter().map(|t| t.intent))
            .texts(decision.taken.iter().map(|t| t.mode.as_str()))
            .bools(decision.taken.iter().map(|t| t.beside));
        conn.execute(&sql::HOLDER_INSERT, Args::new().rows(rows))
            .await?;
    }
    wake_covered(conn, &decision.taken, &line).await?;
    let leaving: Vec<IntentId> = intents
        .into_iter()
        .filter(|id| in_line.contains(id) && !admitted.blocked.contains(id))
        .collect();
    if !leaving.is_empty() {
        conn.execute(&sql::LINE_LEAVE, Args::new().ids(leaving))
            .await?;
    }
    if !decision.places.is_empty() {
        let rows = Rows::new()
            .texts(decision.places.iter().map(|p| p.resource.as_str()))
            .ints(decision.places.iter().map(|p| p.position))
            .uuids(decision.places.iter().map(|p| p.intent))
            .texts(decision.places.iter().map(|p| p.mode.as_str()))
            .bools(decision.places.iter().map(|p| p.sharing));
        conn.execute(&sql::LINE_INSERT, Args::new().rows(rows))
            .await?;
    }
    if !decision.blocked.is_empty() {
        let rows = Rows::new().uuids(decision.blocked.iter().copied()).ints(
            decision
                .blocked
                .iter()
                .map(|id| positions.get(id).copied().unwrap_or_default()),
        );
        conn.execute(&sql::BLOCKED_INSERT, Args::new().rows(rows))
            .await?;
    }
    Ok(admitted)
}

/// After a lost answer: which of a lease's tasks were claimed only to be refused, and why. The others hold what they want,
/// or an ancestor does.
pub(super) async fn circular(
    conn: &mut Conn<'_>,
    tasks: &[IntentId],
) -> Result<HashMap<IntentId, String>, Error> {
    let asking = |task: &IntentId| Asking {
        intent: *task,
        position: 0,
        started: true,
    };
    let tasks: Vec<Asking> = tasks.iter().map(asking).collect();
    let applicants = load_applicants(conn, &tasks).await?;
    let wants = applicants.iter().flat_map(|applicant| &applicant.wants);
    let resources: HashSet<String> = wants.map(|want| want.resource.clone()).collect();
    if resources.is_empty() {
        return Ok(HashMap::new());
    }
    let holders = holders_of(conn, &resources).await?;
    let known = Known::default();
    Ok(circles(&known.admit(applicants, &holders, &[])))
}

fn circles(decision: &Admission) -> HashMap<IntentId, String> {
    let error = |resource: &str| {
        format!(
            "it wants {resource} for itself, which an intent that waits for it shares; neither could ever go on"
        )
    };
    let circular = decision.circular.iter();
    circular
        .map(|(intent, resource)| (*intent, error(resource)))
        .collect()
}

/// Descendants in line whose ancestor has just taken what they wait for are covered by its lock, and can go.
async fn wake_covered(conn: &mut Conn<'_>, taken: &[Holder], line: &[Place]) -> Result<(), Error> {
    let owners: HashSet<IntentId> = taken
        .iter()
        .filter(|holder| holder.mode == Mode::Exclusive)
        .map(|holder| holder.intent)
        .collect();
    if owners.is_empty() || line.is_empty() {
        return Ok(());
    }
    let waiting: BTreeSet<IntentId> = line.iter().map(|place| place.intent).collect();
    let mut covered = BTreeSet::new();
    for row in conn
        .fetch(&sql::ANCESTOR_LOAD, Args::new().ids(waiting))
        .await?
    {
        if owners.contains(&row.uuid::<IntentId>(1)?) {
            covered.insert(row.uuid::<IntentId>(0)?);
        }
    }
    if !covered.is_empty() {
        conn.fetch(&sql::BLOCKED_READY, Args::new().ids(covered))
            .await?;
    }
    Ok(())
}

async fn load_applicants(conn: &mut Conn<'_>, tasks: &[Asking]) -> Result<Vec<Applicant>, Error> {
    let ids = || tasks.iter().map(|task| task.intent);
    let mut wants: HashMap<IntentId, Vec<Want>> = HashMap::new();
    for row in conn.fetch(&sql::WANT_LOAD, Args::new().ids(ids())).await? {
        let intent = row.uuid(0)?;
        let mode = mode(&row.text(2)?);
        wants.entry(intent).or_default().push(Want {
            intent,
            resource: row.text(1)?,
            mode,
        });
    }
    let mut ancestors: HashMap<IntentId, Vec<IntentId>> = HashMap::new();
    let mut kin: HashSet<IntentId> = HashSet::new();
    for row in conn
        .fetch(&sql::ANCESTOR_LOAD, Args::new().ids(ids()))
        .await?
    {
        ancestors
            .entry(row.uuid(0)?)
            .or_default()
            .push(row.uuid(1)?);
        if row.bool(2)? {
            kin.insert(row.uuid(0)?);
        }
    }
    let applicant = |task: &Asking| Applicant {
        intent: task.intent,
        position: task.position,
        ancestors: ancestors.remove(&task.intent).unwrap_or_default(),
        kin: kin.contains(&task.intent),
        wants: wants.remove(&task.intent).unwrap_or_default(),
        rules: None,
        is_new: !task.started,
    };
    Ok(tasks.iter().map(applicant).collect())
}

/// Locks resources against other admissions and finishes until the commit; never waits.
async fn try_lock(
    conn: &mut Conn<'_>,
    resources: BTreeSet<String>,
) -> Result<HashSet<String>, Error> {
    if !conn.is_pg() {
        return Ok(resources.into_iter().collect());
    }
    let rows = conn
        .fetch(
            &sql::RESOURCE_TRY,
            Args::new().rows(Rows::new().texts(resources)),
        )
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

pub(super) async fn holders_of(
    conn: &mut Conn<'_>,
    resources: &HashSet<String>,
) -> Result<Vec<Holder>, Error> {
    let args = Args::new().rows(Rows::new().texts(resources.iter().map(String::as_str)));
    let rows = conn.fetch(&sql::HOLDER_OF, args).await?;
    rows.iter()
        .map(|row| {
            Ok(Holder {
                resource: row.text(0)?,
                intent: row.uuid(1)?,
                mode: mode(&row.text(2)?),
                beside: row.bool(3)?,
            })
        })
        .collect()
}

/// The places in some lines; whose kin they are is not looked up.
pub(super) async fn line_of(
    conn: &mut Conn<'_>,
    resources: &HashSet<String>,
) -> Result<Vec<Place>, Error> {
    let args = Args::new().rows(Rows::new().texts(resources.iter().map(String::as_str)));
    let rows = conn.fetch(&sql::LINE_OF, args).await?;
    rows.iter()
        .map(|row| {
            Ok(Place {
                resource: row.text(0)?,
                intent: row.uuid(1)?,
                mode: mode(&row.text(2)?),
                position: row.int(3)?,
                kin: false,
                sharing: row.bool(4)?,
            })
        })
        .collect()
}

/// Finds out who in line has an ancestor that holds something.
pub(super) async fn mark_kin(conn: &mut Conn<'_>, line: &mut [Place]) -> Result<(), Error> {
    let waiting: BTreeSet<IntentId> = line.iter().map(|place| place.intent).collect();
    let mut kin: HashSet<IntentId> = HashSet::new();
    for row in conn
        .fetch(&sql::ANCESTOR_LOAD, Args::new().ids(waiting))
        .await?
    {
        if row.bool(2)? {
            kin.insert(row.uuid(0)?);
        }
    }
    for place in line {
        place.kin = kin.contains(&place.intent);
    }
    Ok(())
}

/// The CHECK of the column allows three words; what is not shared or touched is treated as exclusive.
pub(super) fn mode(word: &str) -> Mode {
    match word {
        "touched" => Mode::Touched,
        "shared" => Mode::Shared,
        _ => Mode::Exclusive,
    }
}
