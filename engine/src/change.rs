//! Change: what a person does to something that is no intent, a schedule or a queue, with who and why (I9).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::Intendant;
use crate::error::Error;
use crate::id::ChangeId;
use crate::intent::check_name;
use crate::store::{Actor, NewChange};

/// What a person did to something that is no intent: who, what, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ChangeRecord {
    /// Its id.
    pub id: ChangeId,
    /// When.
    pub at: DateTime<Utc>,
    /// What sort of thing: `schedule`, `queue`.
    pub subject: String,
    /// Which one.
    pub name: String,
    /// What was done: `pause`, `resume`, `run`, `remove`, `limit`.
    pub verb: String,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

impl Intendant {
    /// A change that is to be made, checked.
    pub(crate) fn change(
        &self,
        subject: &'static str,
        name: &str,
        verb: &'static str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<NewChange, Error> {
        check_name(subject, name)?;
        check_name("actor", actor)?;
        Ok(NewChange {
            id: ChangeId(self.store().clock().ordered_id()),
            subject,
            name: name.to_owned(),
            verb,
            by: Actor {
                name: actor.to_owned(),
                reason: reason.map(str::to_owned),
            },
        })
    }
}
