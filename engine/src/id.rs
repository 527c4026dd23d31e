//! Ids, one type each, so that the compiler keeps a session's from an intent's.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $vis:vis $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        $vis struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id! {
    /// An intent's id: a UUIDv7, so ids sort by the time of the request.
    pub IntentId
}

id! {
    /// A message's id: a UUIDv7, so ids sort by the time at which they were sent.
    pub SignalId
}

id! {
    /// One life of a worker. Random, so that no stale or foreign writer can name it by chance.
    pub(crate) SessionId
}

id! {
    /// A batch of tasks held by a session.
    pub(crate) LeaseId
}

id! {
    /// An alert's id.
    pub AlertId
}

id! {
    /// The id of a token of the HTTP API; no secret.
    pub TokenId
}

id! {
    /// The id of what a person did to something that is no intent.
    pub ChangeId
}

id! {
    /// A task's id: what stands in *ready*, in *parked* and in leases. Of a driver it is its intent's id; a routed step has
    /// one of its own.
    pub(crate) TaskId
}

impl From<IntentId> for TaskId {
    fn from(intent: IntentId) -> Self {
        Self(intent.0)
    }
}

impl FromStr for IntentId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}
