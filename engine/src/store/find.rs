//! Find: looks back through history, newest first, a bounded number of rows at a time.
//!
//! Each look is driven by one index that has its rows in the order of the page, and goes no further back than a fixed
//! number of rows of it, however few of them match: so its cost grows with neither the history nor the depth of the page.
//! What is found by an index of its own (account, resource, label, an unfinished state, what failed or was cancelled) fills
//! a page with one look; what is only compared on the way (kind, requester, times, text in the error) may need more.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::args::Args;
use super::conn::Row;
use super::history::{records, records_in_part};
use super::reading::{Reading, readable};
use super::sql::Statement;
use super::versions::{Versions, versions};
use super::{Conn, IntentFilter, IntentPage, IntentRecord, Store, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::state::IntentState;

/// Stands for every unfinished state.
const UNFINISHED: &str = "unfinished";

/// What drives a look: what it walks along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drive {
    All,
    Account,
    Resource,
    Label,
    /// What failed, or was cancelled.
    Unsuccessful,
    /// What failed, or was cancelled, of an account.
    Trouble,
    /// The places of what is unfinished, instead of history.
    Live,
}

/// How far a look goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Until the page is full: everything on the way belongs to it.
    Page,
    /// A number of rows: some on the way may not match.
    Rows,
}

/// Why an intent has failed, without what it carries.
pub(crate) struct Failed {
    pub id: IntentId,
    pub kind: String,
    pub reason: String,
    pub step: Option<String>,
    pub error: String,
    pub at: DateTime<Utc>,
}

/// Failed intents, newest first, and where to go on.
pub(crate) struct FailedPage {
    pub failed: Vec<Failed>,
    pub next: Option<IntentId>,
}

/// One look: what drives it, and what is asked.
struct Look {
    drive: Drive,
    reach: Reach,
    filter: IntentFilter,
    state: Option<&'static str>,
    /// Only ids below this one, and not below that one.
    before: Uuid,
    down_to: Uuid,
    limit: u32,
}

impl Store {
    /// One look back through history.
    pub(crate) async fn page(&self, filter: IntentFilter) -> Result<IntentPage, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let (ids, next) = Look::new(filter).ids(&mut conn).await?;
                let (intents, cut) = records_in_part(&mut conn, &ids).await?;
                let next = cut.or(next);
                Ok(IntentPage { intents, next })
            })
        })
        .await
    }

    /// The same look, for where they are without what they carry.
    pub(crate) async fn versions(&self, filter: IntentFilter) -> Result<Versions, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let (ids, next) = Look::new(filter).ids(&mut conn).await?;
                let versions = versions(&mut conn, &ids).await?;
                Ok(Versions { versions, next })
            })
        })
        .await
    }

    /// The same look, for why what it finds has failed.
    pub(crate) async fn failed(&self, filter: IntentFilter) -> Result<FailedPage, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let filter = IntentFilter {
                    state: Some(IntentState::Failed),
                    ..filter
                };
                let (ids, next) = Look::new(filter).ids(&mut conn).await?;
                let args = Args::new().ids(ids);
                let rows = conn.fetch(&sql::FAILURE_LOAD, args).await?;
                let failed = rows.iter().map(failed).collect();
                Ok(FailedPage { failed, next })
            })
        })
        .await
    }

    /// These intents, newest first, as many as go together; and the last of them that was looked at, if that was not all.
    pub(crate) async fn get_many(&self, ids: Vec<IntentId>) -> Result<IntentPage, Error> {
        self.snapshot(move |mut conn| {
            let mut ids = ids.clone();
            Box::pin(async move {
                ids.sort_unstable_by(|one, other| other.cmp(one));
                let (intents, next) = records_in_part(&mut conn, &ids).await?;
                Ok(IntentPage { intents, next })
            })
        })
        .await
    }

    /// Everything unfinished that uses a resource, newest first.
    pub(crate) async fn unfinished_on(&self, resource: String) -> Result<Vec<IntentRecord>, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let filter = IntentFilter {
                    resource: Some(resource),
                    limit: Some(limits::PAGE),
                    ..IntentFilter::default()
                };
                // Through the resource's own history, which is mostly short; else through all that is unfinished.
                let mut look = Look::new(filter);
                look.state = Some(UNFINISHED);
                look.reach = Reach::Rows;
                let (mut ids, next) = look.ids(&mut conn).await?;
                if next.is_some() {
                    look.drive = Drive::Live;
                    look.reach = Reach::Page;
                    ids = look.ids(&mut conn).await?.0;
                }
                records(&mut conn, &ids).await
            })
        })
        .await
    }
}

impl Look {
    fn new(filter: IntentFilter) -> Self {
        // Only what failed has an error.
        let failed = filter.error.is_some().then_some(IntentState::Failed);
        let state = filter.state.or(failed);
        let skew = limits::CLOCK_SKEW.as_millis() as i64;
        let since = filter
            .requested_since
            .map(|since| id_at(since.timestamp_millis().saturating_sub(skew)));
        let until = filter
            .requested_until
            .map(|until| id_at(until.timestamp_millis().saturating_add(skew)));
        let after = filter.after.map(|id| next_id(id.0));
        let before = filter.before.map(|id| id.0);
        let mut look = Self {
            drive: Drive::All,
            reach: Reach::Page,
            state: state.map(IntentState::as_str),
            before: before.into_iter().chain(until).min().unwrap_or(Uuid::max()),
            down_to: after.into_iter().chain(since).max().unwrap_or_default(),
            limit: filter.limit.unwrap_or(50).clamp(1, limits::PAGE),
            filter,
        };
        look.choose(state);
        look
    }

    /// Chooses what drives the look, the narrowest first, and whether there is anything left to compare.
    fn choose(&mut self, state: Option<IntentState>) {
        let filter = &self.filter;
        let unsuccessful = matches!(state, Some(IntentState::Failed | IntentState::Cancelled));
        let (account, resource) = (filter.account.is_some(), filter.resource.is_some());
        let label = filter.label.is_some();
        self.drive = match state {
            Some(state) if !state.is_finished() => Drive::Live,
            _ if resource => Drive::Resource,
            _ if account && unsuccessful => Drive::Trouble,
            _ if account => Drive::Account,
            _ if unsuccessful => Drive::Unsuccessful,
            _ if label => Drive::Label,
            _ => Drive::All,
        };
        let by_state = matches!(self.drive, Drive::Trouble | Drive::Unsuccessful);
        let compared = [
            filter.kind.is_some(),
            filter.requested_by.is_some(),
            filter.correlation_id.is_some(),
            filter.requested_since.is_some() || filter.requested_until.is_some(),
            filter.finished_since.is_some(),
            filter.error.is_some(),
            account && !matches!(self.drive, Drive::Account | Drive::Trouble),
            label && self.drive != Drive::Label,
            state.is_some() && !by_state,
        ];
        if self.drive != Drive::Live && compared.contains(&true) {
            self.reach = Reach::Rows;
        }
    }

    /// How far back the look goes, with what drives it.
    fn floor(&self) -> (&'static Statement, Vec<String>) {
        let filter = &self.filter;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let state = self.state.unwrap_or_default().to_owned();
        match self.drive {
            Drive::All | Drive::Live => (&sql::FLOOR_ALL, Vec::new()),
            Drive::Account => (&sql::FLOOR_ACCOUNT, vec![text(&filter.account)]),
            Drive::Resource => (&sql::FLOOR_RESOURCE, vec![text(&filter.resource)]),
            Drive::Label => {
                let (name, value) = filter.label.clone().unwrap_or_default();
                (&sql::FLOOR_LABEL, vec![name, value])
            }
            Drive::Unsuccessful => (&sql::FLOOR_UNSUCCESSFUL, vec![state]),
            Drive::Trouble => (&sql::FLOOR_TROUBLE, vec![text(&filter.account), state]),
        }
    }

    fn find(&self) -> &'static Statement {
        match self.drive {
            Drive::All => &sql::FIND_ALL,
            Drive::Account => &sql::FIND_ACCOUNT,
            Drive::Resource => &sql::FIND_RESOURCE,
            Drive::Label => &sql::FIND_LABEL,
            Drive::Unsuccessful => &sql::FIND_UNSUCCESSFUL,
            Drive::Trouble => &sql::FIND_TROUBLE,
            Drive::Live => &sql::FIND_LIVE,
        }
    }

    /// What is found, newest first, and where to go on.
    async fn ids(&self, conn: &mut Conn<'_>) -> Result<(Vec<IntentId>, Option<IntentId>), Error> {
        let mut floor = None;
        if self.reach == Reach::Rows {
            let (statement, driven_by) = self.floor();
            let args = Args::new()
                .uuid(self.before)
                .int(i64::from(limits::LOOK_BACK));
            let args = driven_by
                .iter()
                .fold(args, |args, text| args.text(text.as_str()));
            if let Some(row) = conn.fetch_one(statement, args).await? {
                floor = Reading::of(&row, "intent")
                    .opt_uuid::<IntentId>(0)
                    .filter(|floor| floor.0 > self.down_to);
            }
        }
        let down_to = floor.map_or(self.down_to, |floor| floor.0);
        let rows = conn.fetch(self.find(), self.args(down_to)).await?;
        // One whose id is none cannot be asked about either.
        let ids: Vec<IntentId> = readable(&rows, "intent", |row| row.uuid(0));
        let next = match ids.last() {
            Some(last) if rows.len() == self.limit as usize => Some(*last),
            Some(_) | None => floor,
        };
        Ok((ids, next))
    }

    fn args(&self, down_to: Uuid) -> Args {
        let filter = &self.filter;
        let label = filter.label.as_ref();
        let us = |time: Option<chrono::DateTime<chrono::Utc>>| time.map(|at| at.timestamp_micros());
        Args::new()
            .int(i64::from(self.limit))
            .uuid(self.before)
            .uuid(down_to)
            .opt_text(filter.kind.as_deref())
            .opt_text(self.state)
            .opt_text(filter.requested_by.as_deref())
            .int(us(filter.requested_since))
            .int(us(filter.requested_until))
            .int(us(filter.finished_since))
            .opt_text(filter.error.as_deref())
            .opt_text(label.map(|(name, _)| name.as_str()))
            .opt_text(label.map(|(_, value)| value.as_str()))
            .opt_text(filter.account.as_deref())
            .opt_text(filter.resource.as_deref())
            .opt_text(filter.correlation_id.as_deref())
    }
}

/// What cannot be read of a failed intent stays empty: it is counted with the others.
fn failed(row: &Row) -> Failed {
    let mut row = Reading::of(row, "outcome");
    let at = row.opt_time(5).or_else(|| row.opt_time(6));
    Failed {
        id: row.uuid(0),
        kind: row.text(1),
        reason: row.text(2),
        step: row.opt_text(3),
        error: row.text(4),
        at: at.unwrap_or_default().to_utc(),
    }
}

/// The smallest id that can be made at a time: a UUIDv7 begins with the milliseconds since 1970.
fn id_at(ms: i64) -> Uuid {
    let ms = u128::try_from(ms).unwrap_or_default().min((1 << 48) - 1);
    Uuid::from_u128(ms << 80)
}

fn next_id(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lies_between_the_times_around_it() {
        let id = Uuid::parse_str("01890000-0000-7000-8000-000000000000").unwrap();
        let ms = (id.as_u128() >> 80) as i64;
        assert!(id_at(ms) < id && id < id_at(ms + 1));
        assert!(id_at(-5) == Uuid::nil() && id_at(i64::MAX) < Uuid::max());
        assert!(next_id(Uuid::max()) == Uuid::max());
    }

    #[test]
    fn the_narrowest_index_drives_the_look() {
        let drives = |change: fn(&mut IntentFilter)| {
            let mut filter = IntentFilter::default();
            change(&mut filter);
            let look = Look::new(filter);
            (look.drive, look.reach)
        };
        assert_eq!(drives(|_| {}), (Drive::All, Reach::Page));
        let kind = drives(|filter| filter.kind = Some("op".into()));
        assert_eq!(kind, (Drive::All, Reach::Rows));
        let account = drives(|filter| filter.account = Some("acme".into()));
        assert_eq!(account, (Drive::Account, Reach::Page));
        let failed = drives(|filter| filter.state = Some(IntentState::Failed));
        assert_eq!(failed, (Drive::Unsuccessful, Reach::Page));
        let running = drives(|filter| filter.state = Some(IntentState::Running));
        assert_eq!(running, (Drive::Live, Reach::Page));
        let label = drives(|filter| filter.label = Some(("team".into(), "billing".into())));
        assert_eq!(label, (Drive::Label, Reach::Page));
        let refused = drives(|filter| {
            filter.account = Some("acme".into());
            filter.error = Some("refused".into());
        });
        assert_eq!(refused, (Drive::Trouble, Reach::Rows));
        let both = drives(|filter| {
            filter.resource = Some("server:1".into());
            filter.account = Some("acme".into());
        });
        assert_eq!(both, (Drive::Resource, Reach::Rows));
    }
}
