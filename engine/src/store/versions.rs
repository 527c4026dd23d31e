//! Versions: whether anything of an intent has changed, without what it carries.

use super::args::Args;
use super::history::steps_by;
use super::{Conn, Store, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::state::IntentState;

/// Where an intent is, as a text that is another one when anything of its record has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// The intent.
    pub id: IntentId,
    /// It is nobody's child.
    pub is_root: bool,
    /// Where it is.
    pub state: IntentState,
    /// All that can change of it. Nothing is promised of how it reads.
    pub text: String,
}

/// A page of intents as versions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Versions {
    /// The intents.
    pub versions: Vec<Version>,
    /// Where to go on ([`IntentFilter::before`](crate::IntentFilter::before)); none at the end of the history.
    pub next: Option<IntentId>,
}

impl Versions {
    /// All of it, as a text that is another one when anything of the page has changed.
    pub fn text(&self) -> String {
        let lines = self.versions.iter();
        let mut lines: Vec<String> = lines.map(|it| format!("{} {}", it.id, it.text)).collect();
        lines.push(format!("{:?}", self.next));
        lines.join("\n")
    }
}

impl Store {
    /// The version of an intent together with its steps.
    pub(crate) async fn version(&self, id: IntentId) -> Result<Version, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let found = versions(&mut conn, &[id]).await?.pop();
                let mut version = found.ok_or(Error::NotFound { id })?;
                for step in steps_by(&mut conn, &sql::BRIEF_STEPS, id).await? {
                    version.text.push_str(&format!("\n{step:?}"));
                }
                Ok(version)
            })
        })
        .await
    }
}

/// Versions of these intents, newest first; those that are not there are left out.
pub(super) async fn versions(conn: &mut Conn<'_>, ids: &[IntentId]) -> Result<Vec<Version>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let args = Args::new().ids(ids.iter().copied());
    let rows = conn.fetch(&sql::WATCH_RECORDS, args).await?;
    rows.iter()
        .map(|row| {
            let state = row.word(2)?;
            let times = (row.opt_time(3)?, row.opt_time(4)?, row.opt_time(6)?);
            let (reason, plan, events) = (row.opt_text(5)?, row.opt_text(7)?, row.int(8)?);
            Ok(Version {
                id: row.uuid(0)?,
                is_root: row.bool(1)?,
                state,
                text: format!("{state} {times:?} {reason:?} {plan:?} {events}"),
            })
        })
        .collect()
}
