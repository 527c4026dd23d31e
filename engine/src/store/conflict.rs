//! Conflict: what the rules of kinds have to know of others, and what they make of an intent (PROTOCOL P5). The rules
//! themselves are pure (`conflict.rs`, `admit.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::admit::{holders_of, mode};
use super::args::{Args, Rows};
use super::conn::Row;
use super::events::{self, Event};
use super::finish::wake_parents;
use super::line::{self, Lines};
use super::reading::{Reading, readable};
use super::tick_rows::KindRules;
use super::{Conn, NewIntent, Relation, Store, sql};
use crate::admit::{Admission, Among, Applicant, Holder, Place, Rules, Scene, Want, admit};
use crate::conflict::{ACTOR, Conflicts, Rival, Rule, Verdict};
use crate::dry_run::{Concerned, Ruled};
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Mode;
use crate::limits;
use crate::payload::{self, Payload};

/// What the rules make of an intent that is not there yet.
#[derive(Debug)]
pub(crate) struct Foreseen {
    pub(crate) verdict: Verdict,
    kinds: HashMap<IntentId, Arc<str>>,
}

impl Foreseen {
    /// The kind of one whom it has to do with.
    pub(crate) fn kind(&self, intent: IntentId) -> String {
        self.kinds
            .get(&intent)
            .map_or_else(String::new, |kind| kind.to_string())
    }
}

/// One that is to stop, so that another one can go.
#[derive(Debug, Clone)]
pub(crate) struct Superseded {
    pub(crate) intent: IntentId,
    pub(crate) by: IntentId,
    pub(crate) by_kind: String,
    pub(crate) resource: String,
    /// The other one goes even if this one's undo fails.
    pub(crate) anyway: bool,
    /// The other one has not come to its end meanwhile.
    pub(crate) wanted: bool,
}

impl Store {
    /// Who is to be asked to stop and has not been; the first of them.
    pub(crate) async fn superseded(&self) -> Result<Vec<Superseded>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().int(limits::CONFLICT_LOOK as i64);
                let rows = conn.fetch(&sql::LINK_UNASKED, args).await?;
                Ok(readable(&rows, "link", |row| {
                    Ok(Superseded {
                        intent: row.uuid(0)?,
                        by: row.uuid(1)?,
                        by_kind: row.text(2)?,
                        resource: row.text(3)?,
                        anyway: row.bool(4)?,
                        wanted: row.bool(5)?,
                    })
                }))
            })
        })
        .await
    }

    /// One has been asked.
    pub(crate) async fn superseded_asked(&self, superseded: Superseded) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let Superseded { intent, by, .. } = superseded;
            Box::pin(async move {
                let args = Args::new().uuid(intent.0).uuid(by.0).now();
                conn.execute(&sql::LINK_ASKED, args).await
            })
        })
        .await
    }
}

/// What is known of the others. Nothing, unless some applicant's kind does anything but wait.
#[derive(Debug, Default)]
pub(super) struct Known {
    kinds: HashMap<IntentId, Arc<str>>,
    accounts: HashMap<IntentId, Arc<str>>,
    coming: Vec<Place>,
    /// Account and input.
    bodies: HashMap<IntentId, (String, Payload)>,
    /// Up to which position one has waited for too long to be passed by kin.
    passed: i64,
}

impl Known {
    /// Finds the rules of applicants, and whom they do not pass.
    pub(super) async fn of(
        conn: &mut Conn<'_>,
        rules: &KindRules,
        applicants: &mut [Applicant],
    ) -> Result<Self, Error> {
        let mut known = Self::default();
        if applicants.iter().any(|applicant| applicant.kin) {
            known.passed = line::passed(conn).await?;
        }
        if rules.is_empty() {
            return Ok(known);
        }
        let own = applicants.iter().map(|applicant| applicant.intent);
        known.load_kinds(conn, own).await?;
        for applicant in applicants.iter_mut() {
            applicant.rules = known.kinds.get(&applicant.intent).and_then(|kind| {
                Some(Rules {
                    kind: kind.clone(),
                    conflicts: rules.get(kind)?.clone(),
                })
            });
        }
        Ok(known)
    }

    /// Finds what applicants with rules have to know of the others.
    pub(super) async fn load(
        &mut self,
        conn: &mut Conn<'_>,
        applicants: &[Applicant],
        holders: &[Holder],
        line: &[Place],
    ) -> Result<(), Error> {
        let ruled = applicants
            .iter()
            .filter(|applicant| applicant.rules.is_some());
        let wants = ruled.flat_map(|applicant| &applicant.wants);
        let wanted: HashSet<&str> = wants.map(|want| want.resource.as_str()).collect();
        let holding = holders.iter().map(|h| (h.intent, h.resource.as_str()));
        let waiting = line.iter().map(|p| (p.intent, p.resource.as_str()));
        let others = holding.chain(waiting);
        let others = others.filter(|(_, resource)| wanted.contains(resource));
        self.load_kinds(conn, others.map(|(intent, _)| intent))
            .await?;
        self.look(conn, applicants).await
    }

    async fn load_kinds(
        &mut self,
        conn: &mut Conn<'_>,
        of: impl Iterator<Item = IntentId>,
    ) -> Result<(), Error> {
        let unknown = of.filter(|id| !self.kinds.contains_key(id));
        let unknown: HashSet<IntentId> = unknown.collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let args = Args::new().ids(unknown);
        for row in conn.fetch(&sql::KIND_LOAD, args).await? {
            let mut row = Reading::of(&row, "intent");
            let intent = row.uuid(0);
            self.kinds.insert(intent, row.name(1));
            self.accounts.insert(intent, row.name(2));
        }
        Ok(())
    }

    /// What those with rules have to know besides holders and lines: who is on the way, and whether anybody is the same.
    async fn look(&mut self, conn: &mut Conn<'_>, applicants: &[Applicant]) -> Result<(), Error> {
        let ruled = applicants.iter().filter(|applicant| applicant.is_new);
        let ruled: Vec<(&Applicant, &Rules)> = ruled
            .filter_map(|applicant| Some((applicant, applicant.rules.as_ref()?)))
            .collect();
        let wants = ruled.iter().flat_map(|(applicant, _)| &applicant.wants);
        let resources: HashSet<&str> = wants.map(|want| want.resource.as_str()).collect();
        if resources.is_empty() {
            return Ok(());
        }
        let args = Args::new().rows(Rows::new().texts(resources));
        let args = args.int(limits::CONFLICT_LOOK as i64);
        let rows = conn.fetch(&sql::COMING_LOAD, args).await?;
        let coming = readable(&rows, "intent", |row| {
            let place = Place {
                intent: row.uuid(1)?,
                resource: row.text(0)?,
                mode: mode(&row.text(2)?),
                position: row.int(3)?,
                among: Among::All,
                ancestors: Vec::new(),
                sharing: false,
            };
            Ok((place, row.name(4)?, row.name(5)?))
        });
        for (place, kind, account) in coming {
            self.kinds.insert(place.intent, kind);
            self.accounts.insert(place.intent, account);
            self.coming.push(place);
        }
        let joining = ruled
            .iter()
            .filter(|(_, rules)| rules.conflicts.mentions(Rule::Join));
        let joining: HashSet<&str> = joining.map(|(_, rules)| &*rules.kind).collect();
        let alike = self.kinds.iter().filter(|(intent, kind)| {
            joining.contains(&***kind) && !self.bodies.contains_key(*intent)
        });
        let alike: Vec<IntentId> = alike.map(|(intent, _)| *intent).collect();
        if alike.is_empty() {
            return Ok(());
        }
        let rows = conn.fetch(&sql::BODY_LOAD, Args::new().ids(alike)).await?;
        let body = |row: &Row| Ok((row.uuid(0)?, row.text(1)?, row.opt_json(2)?));
        for (intent, account, input) in readable(&rows, "intent", body) {
            if let Some(input) = input {
                self.bodies.insert(intent, (account, input));
            }
        }
        Ok(())
    }

    /// Decides about applicants.
    pub(super) fn admit(
        &self,
        applicants: Vec<Applicant>,
        holders: &[Holder],
        line: &[Place],
    ) -> Admission {
        let is_same =
            |one: IntentId, other: IntentId| match (self.bodies.get(&one), self.bodies.get(&other))
            {
                (Some((account, input)), Some((other_account, other_input))) => {
                    account == other_account && payload::is_same(input, other_input)
                }
                _ => false,
            };
        let scene = Scene {
            holders,
            line,
            coming: &self.coming,
            passed: self.passed,
            kinds: &self.kinds,
            accounts: &self.accounts,
            is_same: &is_same,
        };
        admit(applicants, &scene)
    }
}

/// The rules of a kind, as its workers have written them down; what this version cannot read says nothing.
pub(super) async fn declared(conn: &mut Conn<'_>, kind: &str) -> Result<Arc<Conflicts>, Error> {
    let row = conn.fetch_one(&sql::WHY_RULES, Args::new().text(kind));
    let rules = row.await?.map_or(Ok(None), |row| row.opt_text(0))?;
    let rules = rules.and_then(|rules| serde_json::from_str(&rules).ok());
    Ok(Arc::new(rules.unwrap_or_default()))
}

/// What the rules of its kind make of an intent that is not there yet, as things stand; nothing if it could go. At a claim
/// the same may come out differently, since what is not committed yet cannot be seen.
pub(super) async fn foresee(
    conn: &mut Conn<'_>,
    new: &NewIntent,
    conflicts: Arc<Conflicts>,
) -> Result<Option<Foreseen>, Error> {
    let wants = new
        .resources
        .iter()
        .filter(|(_, mode)| *mode != Mode::Touched);
    let wants = wants.map(|(resource, mode)| Want {
        intent: new.id,
        resource: resource.clone(),
        mode: *mode,
    });
    let kind: Arc<str> = Arc::from(new.kind.as_str());
    let now = conn.fetch_one(&sql::CLOCK_READ, Args::new().now()).await?;
    let now = now.map_or(Ok(i64::MAX), |row| row.int(0))?;
    let applicant = Applicant {
        intent: new.id,
        position: now.saturating_sub(new.ahead_us()),
        ancestors: Vec::new(),
        kin: false,
        wants: wants.collect(),
        rules: Some(Rules {
            kind: kind.clone(),
            conflicts,
        }),
        is_new: true,
    };
    let resources = applicant
        .wants
        .iter()
        .map(|want| want.resource.clone())
        .collect();
    let holders = holders_of(conn, &resources).await?;
    let line = Lines::whole(conn, &resources).await?.places;
    let mut known = Known::default();
    let holding = holders.iter().map(|holder| holder.intent);
    let others = holding.chain(line.iter().map(|place| place.intent));
    known.load_kinds(conn, others).await?;
    let account = new.account.clone().unwrap_or_default();
    known.accounts.insert(new.id, Arc::from(account.as_str()));
    known.bodies.insert(new.id, (account, new.input.clone()));
    known.kinds.insert(new.id, kind);
    let applicants = vec![applicant];
    known.look(conn, &applicants).await?;
    let admission = known.admit(applicants, &holders, &line);
    Ok(verdict(admission).map(|verdict| Foreseen {
        verdict,
        kinds: known.kinds,
    }))
}

/// What the rules of its kind would make of an intent, if that is anything but to wait.
pub(super) async fn ruled(
    conn: &mut Conn<'_>,
    new: &NewIntent,
    conflicts: Arc<Conflicts>,
) -> Result<Option<Ruled>, Error> {
    if conflicts.is_default() || !new.locks() {
        return Ok(None);
    }
    let Some(foreseen) = foresee(conn, new, conflicts).await? else {
        return Ok(None);
    };
    let (rule, rivals) = match &foreseen.verdict {
        Verdict::Wait => return Ok(None),
        Verdict::Reject(rival) => (Rule::Reject, std::slice::from_ref(rival)),
        Verdict::Join(rival) => (Rule::Join, std::slice::from_ref(rival)),
        Verdict::Supersede(rivals) => (Rule::Supersede, rivals.as_slice()),
    };
    let other = |rival: &Rival| Concerned {
        intent: rival.intent,
        kind: foreseen.kind(rival.intent),
        resource: rival.resource.clone(),
    };
    let others = rivals.iter().map(other).collect();
    Ok(Some(Ruled { rule, others }))
}

/// What has become of a single applicant, unless it was let in.
fn verdict(admission: Admission) -> Option<Verdict> {
    let Admission {
        blocked,
        rejected,
        joined,
        superseding,
        ..
    } = admission;
    let rivals = |pairs: Vec<(IntentId, Rival)>| pairs.into_iter().map(|(_, rival)| rival);
    let rejected = rivals(rejected).map(Verdict::Reject);
    let mut decided = rejected.chain(rivals(joined).map(Verdict::Join));
    if let Some(verdict) = decided.next() {
        return Some(verdict);
    }
    match rivals(superseding).collect::<Vec<_>>() {
        stopped if !stopped.is_empty() => Some(Verdict::Supersede(stopped)),
        _ => (!blocked.is_empty()).then_some(Verdict::Wait),
    }
}

/// Writes down what the rules have made of applicants: ends those that are refused or the same as others, and keeps who
/// superseded whom.
pub(super) async fn write(conn: &mut Conn<'_>, admission: &Admission) -> Result<(), Error> {
    let rejected = admission.rejected.iter();
    let rejected = rejected.map(|(loser, by)| (*loser, Relation::RejectedBy, by.intent, by));
    let joined = admission.joined.iter();
    let joined = joined.map(|(loser, to)| (*loser, Relation::Joined, to.intent, to));
    let superseded = admission.superseding.iter();
    let superseded = superseded.map(|(next, old)| (old.intent, Relation::SupersededBy, *next, old));
    let links: Vec<_> = rejected.chain(joined).chain(superseded).collect();
    if links.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(links.iter().map(|(intent, ..)| *intent))
        .texts(links.iter().map(|(_, relation, ..)| relation.as_str()))
        .uuids(links.iter().map(|(_, _, other, _)| *other))
        .texts(links.iter().map(|(_, _, _, rival)| rival.resource.as_str()))
        .bools(
            links
                .iter()
                .map(|(_, _, _, rival)| rival.rule == Rule::SupersedeAnyway),
        );
    conn.execute(&sql::LINK_INSERT, Args::new().rows(rows).now())
        .await?;
    end_losers(conn, admission).await
}

async fn end_losers(conn: &mut Conn<'_>, admission: &Admission) -> Result<(), Error> {
    let rejected = admission.rejected.iter().map(|(loser, by)| {
        let error = format!(
            "rejected: {} is in use by intent {}",
            by.resource, by.intent
        );
        (*loser, "reject", by, error)
    });
    let joined = admission.joined.iter().map(|(loser, to)| {
        let error = format!(
            "joined: intent {} is the same, and was there before",
            to.intent
        );
        (*loser, "join", to, error)
    });
    let losers: Vec<_> = rejected.chain(joined).collect();
    if losers.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(losers.iter().map(|(loser, ..)| *loser))
        .texts(losers.iter().map(|(.., error)| error.as_str()));
    let mut parents: BTreeMap<IntentId, i64> = BTreeMap::new();
    for row in conn
        .fetch(&sql::LOSER_INSERT, Args::new().rows(rows).now())
        .await?
    {
        if let Some(parent) = Reading::of(&row, "intent").opt_uuid(1) {
            *parents.entry(parent).or_default() += 1;
        }
    }
    for verb in ["reject", "join"] {
        let detail = |rival: &Rival| {
            serde_json::json!({"resource": rival.resource, "other": rival.intent}).to_string()
        };
        let of_verb = losers.iter().filter(|(_, of, ..)| *of == verb);
        let noted = of_verb.map(|(loser, _, rival, _)| Event {
            intent: *loser,
            reason: None,
            detail: Some(detail(rival)),
        });
        events::write(conn, ACTOR, verb, noted.collect()).await?;
    }
    wake_parents(conn, parents).await?;
    Ok(())
}
