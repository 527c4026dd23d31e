//! Admit: takes the resources that claimed intents want, or puts them in line (PROTOCOL P5).

use std::collections::{BTreeSet, HashMap, HashSet};

use super::args::{Args, Rows};
use super::conflict::{self, Known};
use super::conn::Row;
use super::line::{self, Lines};
use super::reading::{Reading, readable};
use super::tick_rows::KindRules;
use super::{Conn, circle, sql};
use crate::admit::{Admission, Applicant, Holder, Place, Want};
use crate::conflict::Rule;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Mode;
use crate::limits;

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
    /// How many of those who were in line may go now.
    pub(super) readied: usize,
}

impl Admitted {
    /// What became of some more.
    pub(super) fn add(&mut self, more: Self) {
        self.blocked.extend(more.blocked);
        self.deferred.extend(more.deferred);
        self.circular.extend(more.circular);
        self.losers.extend(more.losers);
        self.superseding |= more.superseding;
        self.readied += more.readied;
    }
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
    let mut known = Known::of(conn, rules, &mut applicants).await?;
    let lines = lines_of(conn, &got, &holders, &mut applicants).await?;
    known
        .load(conn, &applicants, &holders, &lines.places)
        .await?;
    let own = applicants.iter().map(|own| (own.intent, own.clone()));
    let asking: HashMap<IntentId, Applicant> = own.collect();
    let decision = known.admit(applicants, &holders, &lines.places);
    admitted.blocked = decision.blocked.iter().copied().collect();
    admitted.circular = circles(&decision);
    let losers = decision.rejected.iter().chain(&decision.joined);
    admitted.losers = losers.map(|(intent, _)| *intent).collect();
    admitted.superseding = !decision.superseding.is_empty();
    conflict::write(conn, &decision).await?;
    write_taken(conn, &decision.taken).await?;
    let in_line = lines.places.iter().map(|place| place.intent);
    let leaving: BTreeSet<IntentId> = in_line
        .filter(|id| asking.contains_key(id) && !admitted.blocked.contains(id))
        .collect();
    let gone: HashSet<IntentId> = decision.taken.iter().map(|taken| taken.intent).collect();
    let (in_now, given_up) = leaving.into_iter().partition(|id| gone.contains(id));
    leave_lines(conn, in_now).await?;
    let mut freed = leave_lines(conn, given_up).await?;
    write_places(conn, &decision.places).await?;
    let (passed, left) = put_in_line(conn, &decision, asking, &got, &mut admitted).await?;
    freed.extend(left);
    let taken = [decision.taken, passed].concat();
    let moved = moved(conn, &taken, (&holders, &lines.places), tasks).await?;
    admitted.readied += unblock(conn, moved).await?;
    admitted.readied += line::wake(conn, freed).await?;
    Ok(admitted)
}

/// The lines for what is wanted, as far as they decide about these applicants; and whether each of these asks for the first
/// time.
async fn lines_of(
    conn: &mut Conn<'_>,
    resources: &HashSet<String>,
    holders: &[Holder],
    applicants: &mut [Applicant],
) -> Result<Lines, Error> {
    let mut wanting: HashMap<&str, usize> = HashMap::new();
    for want in applicants.iter().flat_map(|applicant| &applicant.wants) {
        *wanting.entry(&want.resource).or_default() += 1;
    }
    let most = wanting.values().max().map_or(0, |most| most + 1);
    let most = most.max(limits::LINE_FRONT);
    let own = applicants.iter().map(|applicant| applicant.intent);
    let mut lines = Lines::front(conn, resources, most, own).await?;
    let in_line: HashSet<IntentId> = lines.places.iter().map(|place| place.intent).collect();
    let holding: HashSet<IntentId> = holders.iter().map(|holder| holder.intent).collect();
    let mut whole = HashSet::new();
    for applicant in applicants {
        let known = |set: &HashSet<IntentId>| set.contains(&applicant.intent);
        applicant.is_new &= !known(&in_line) && !known(&holding);
        // Rules look at everybody.
        let rules = applicant.rules.as_ref();
        if rules.is_some_and(|r| applicant.is_new || r.conflicts.mentions(Rule::Share)) {
            whole.extend(applicant.wants.iter().map(|want| want.resource.clone()));
        }
    }
    lines.deepen(conn, holders, most, &whole).await?;
    lines.name_kin(conn, holders).await?;
    Ok(lines)
}

/// Those that are blocked are in line now: of their families, who would wait for ever is told, and a place in line that
/// would hold up for ever is given up. Returns what those have taken who go before others, and which lines some have left.
async fn put_in_line(
    conn: &mut Conn<'_>,
    decision: &Admission,
    mut asking: HashMap<IntentId, Applicant>,
    resources: &HashSet<String>,
    admitted: &mut Admitted,
) -> Result<(Vec<Holder>, HashSet<String>), Error> {
    let of = |id: &IntentId| Some((*id, asking.get(id)?.position, asking.get(id)?.kin));
    let blocked: Vec<(IntentId, i64, bool)> = decision.blocked.iter().filter_map(of).collect();
    let kin = blocked.iter().filter(|(.., kin)| *kin);
    let kin: Vec<IntentId> = kin.map(|(id, ..)| *id).collect();
    let turns = circle::judge(conn, &kin).await?;
    let passing = turns.passing.iter();
    let passing = passing.filter_map(|id| asking.remove(id)).collect();
    let passed = pass(conn, passing, resources).await?;
    let gone = passed.iter().map(|taken| taken.intent);
    let leaving: BTreeSet<IntentId> = turns.circular.keys().copied().chain(gone).collect();
    admitted.blocked.retain(|id| !leaving.contains(id));
    let freed = leave_lines(conn, leaving).await?;
    admitted.circular.extend(turns.circular);
    let blocked = blocked.into_iter();
    let blocked = blocked.filter(|(id, ..)| admitted.blocked.contains(id));
    write_blocked(conn, blocked.collect()).await?;
    admitted.readied += unblock(conn, turns.again).await?;
    Ok((passed, freed))
}

/// These may go: they are to try again. Returns how many of them were blocked.
pub(super) async fn unblock(
    conn: &mut Conn<'_>,
    again: BTreeSet<IntentId>,
) -> Result<usize, Error> {
    if again.is_empty() {
        return Ok(0);
    }
    let again = Args::new().ids(again);
    Ok(conn.fetch(&sql::BLOCKED_READY, again).await?.len())
}

/// These go before those who stand before them in line, one after the other. Returns what they have taken.
async fn pass(
    conn: &mut Conn<'_>,
    passing: Vec<Applicant>,
    resources: &HashSet<String>,
) -> Result<Vec<Holder>, Error> {
    if passing.is_empty() {
        return Ok(Vec::new());
    }
    let passing = passing.into_iter().map(|applicant| Applicant {
        is_new: false,
        ..applicant
    });
    let holders = holders_of(conn, resources).await?;
    let decision = Known::default().admit(passing.collect(), &holders, &[]);
    write_taken(conn, &decision.taken).await?;
    Ok(decision.taken)
}

async fn write_taken(conn: &mut Conn<'_>, taken: &[Holder]) -> Result<(), Error> {
    if taken.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .texts(taken.iter().map(|t| t.resource.as_str()))
        .uuids(taken.iter().map(|t| t.intent))
        .texts(taken.iter().map(|t| t.mode.as_str()))
        .bools(taken.iter().map(|t| t.beside))
        .bools(taken.iter().map(|t| t.covered));
    conn.execute(&sql::HOLDER_INSERT, Args::new().rows(rows))
        .await
}

async fn write_places(conn: &mut Conn<'_>, places: &[Place]) -> Result<(), Error> {
    if places.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .texts(places.iter().map(|p| p.resource.as_str()))
        .ints(places.iter().map(|p| p.position))
        .uuids(places.iter().map(|p| p.intent))
        .texts(places.iter().map(|p| p.mode.as_str()))
        .bools(places.iter().map(|p| p.sharing))
        .texts(places.iter().map(|p| p.among.to_string()));
    conn.execute(&sql::LINE_INSERT, Args::new().rows(rows))
        .await
}

/// Returns the lines that they have left.
async fn leave_lines(
    conn: &mut Conn<'_>,
    leaving: BTreeSet<IntentId>,
) -> Result<HashSet<String>, Error> {
    if leaving.is_empty() {
        return Ok(HashSet::new());
    }
    let left = conn.fetch(&sql::LINE_LEAVE, Args::new().ids(leaving));
    let left = readable(&left.await?, "line", |row| row.text(0));
    Ok(left.into_iter().collect())
}

/// With the position of each, and whether an ancestor holds something.
async fn write_blocked(
    conn: &mut Conn<'_>,
    blocked: Vec<(IntentId, i64, bool)>,
) -> Result<(), Error> {
    if blocked.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(blocked.iter().map(|(id, ..)| *id))
        .ints(blocked.iter().map(|(_, position, _)| *position))
        .bools(blocked.iter().map(|(.., kin)| *kin));
    conn.execute(&sql::BLOCKED_INSERT, Args::new().rows(rows))
        .await
}

/// After a lost answer: which of a lease's tasks were claimed only to be refused, and why. The others hold what they want.
pub(super) async fn circular(
    conn: &mut Conn<'_>,
    tasks: &[IntentId],
) -> Result<HashMap<IntentId, String>, Error> {
    let args = Args::new().ids(tasks.iter().copied());
    let rows = conn.fetch(&sql::WANT_MISSING, args).await?;
    let error = |resource: String| {
        format!(
            "it wants {resource}, which somebody holds who waits for it; neither could ever go on"
        )
    };
    rows.iter()
        .map(|row| Ok((row.uuid(0)?, error(row.text(1)?))))
        .collect()
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

/// Of those in line, who may go since others have taken something: those whose kind goes side by side with some others once
/// these have started, and descendants for whom an ancestor holds it now. Only who has been in hand before has any.
async fn moved(
    conn: &mut Conn<'_>,
    taken: &[Holder],
    (holders, line): (&[Holder], &[Place]),
    tasks: &[Asking],
) -> Result<BTreeSet<IntentId>, Error> {
    let beside = line::beside(conn, taken, holders, line).await?;
    let mut moved: BTreeSet<IntentId> = beside.into_iter().collect();
    let started = tasks.iter().filter(|task| task.started);
    let started: HashSet<IntentId> = started.map(|task| task.intent).collect();
    let owners = taken.iter().filter(|h| h.mode == Mode::Exclusive);
    let owners = owners.map(|holder| holder.intent);
    let owners: BTreeSet<IntentId> = owners.filter(|id| started.contains(id)).collect();
    if !owners.is_empty() {
        let args = Args::new().ids(owners).int(i64::MAX);
        let rows = conn.fetch(&sql::CIRCLE_FAMILY, args).await?;
        moved.extend(readable(&rows, "child", |row| row.uuid::<IntentId>(1)));
    }
    Ok(moved)
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
    let ancestry = Ancestry::load(conn, ids()).await?;
    let applicant = |task: &Asking| {
        let (ancestors, kin) = ancestry.get(task.intent);
        Applicant {
            intent: task.intent,
            position: task.position,
            ancestors,
            kin,
            wants: wants.remove(&task.intent).unwrap_or_default(),
            rules: None,
            is_new: !task.started,
        }
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
    let holder = |row: &Row| {
        let mut row = Reading::of(row, "holder");
        let holder = Holder {
            resource: row.text(0),
            intent: row.uuid(1),
            mode: mode(&row.text(2)),
            beside: row.bool(3),
            covered: row.bool(4),
        };
        if let Some(unreadable) = row.unreadable() {
            // Somebody holds it all the same.
            let resource = &holder.resource;
            tracing::error!(
                resource,
                unreadable,
                "it cannot be read who holds something"
            );
        }
        holder
    };
    Ok(rows.iter().map(holder).collect())
}

/// Parents, their parents, and so on.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    ancestors: HashMap<IntentId, Vec<IntentId>>,
    kin: HashSet<IntentId>,
}

impl Ancestry {
    pub(super) async fn load(
        conn: &mut Conn<'_>,
        of: impl IntoIterator<Item = IntentId>,
    ) -> Result<Self, Error> {
        let mut ancestry = Self::default();
        let rows = conn.fetch(&sql::ANCESTOR_LOAD, Args::new().ids(of)).await?;
        let above = |row: &Row| Ok((row.uuid(0)?, row.uuid(1)?, row.bool(2)?));
        for (intent, ancestor, holds) in readable(&rows, "intent", above) {
            let ancestors = ancestry.ancestors.entry(intent).or_default();
            ancestors.push(ancestor);
            if holds {
                ancestry.kin.insert(intent);
            }
        }
        Ok(ancestry)
    }

    /// The ancestors of one, and whether one of them holds something.
    pub(super) fn get(&self, intent: IntentId) -> (Vec<IntentId>, bool) {
        let ancestors = self.ancestors.get(&intent);
        let ancestors = ancestors.cloned().unwrap_or_default();
        (ancestors, self.kin.contains(&intent))
    }
}

/// The CHECK of the column allows three words; what is not shared or touched is treated as exclusive.
pub(super) fn mode(word: &str) -> Mode {
    match word {
        "touched" => Mode::Touched,
        "shared" => Mode::Shared,
        _ => Mode::Exclusive,
    }
}
