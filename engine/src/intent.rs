//! What a user declares about an operation: its kind, queue, account and resources.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::about::About;
use crate::conflict::Conflicts;
use crate::limits;

/// The input of a kind of operation, and what the engine has to know about it.
///
/// The side that asks (a web front end) needs only this type; the side that works registers a plan or a step for it.
///
/// ```
/// use intendant::{Intent, Resources};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize { account: String, server: u64, cores: u32 }
///
/// impl Intent for Resize {
///     const KIND: &'static str = "server.resize";
///     type Output = u32;
///     fn account(&self) -> Option<&str> { Some(&self.account) }
///     fn resources(&self) -> Resources {
///         Resources::exclusive("server", self.server).and_touched("environment", 7)
///     }
/// }
/// ```
pub trait Intent: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind's name, as it stands in the history: `replica.add`.
    const KIND: &'static str;

    /// The queue whose workers carry it out.
    const QUEUE: &'static str = "default";

    /// What happens when it fails, and to its shared and exclusive resources: see [`OnFailure`].
    const ON_FAILURE: OnFailure = OnFailure::Hold;

    /// Longest time that its intents may take from their start, with all waiting. When it is over, what runs is stopped,
    /// children that it waits for are cancelled, steps that wait in other queues are taken back, and it fails as
    /// `intent limit`, with what [`ON_FAILURE`](Self::ON_FAILURE) says; a resume begins anew. No limit unless said.
    const TIME_LIMIT: Option<Duration> = None;

    /// By when its intents are to be done, counted from the request, or from when they may start, unless the request says
    /// otherwise ([`Request::deadline_in`](crate::Request::deadline_in)). One that is late is not stopped: an alert says so,
    /// until it is done after all.
    const DEADLINE: Option<Duration> = None;

    /// What it comes to.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// The customer that it is for.
    ///
    /// A request that says an account of its own beside the input, as one by HTTP or plain SQL does, has to say this one:
    /// where the two differ, the intent fails before any of its code runs but this. One that says none is the house's own,
    /// and goes; it is not found by this account.
    fn account(&self) -> Option<&str> {
        None
    }

    /// What it touches.
    fn resources(&self) -> Resources {
        Resources::none()
    }

    /// What it is, for people and for programs that have only its name: see [`About`].
    fn about() -> About {
        About::default()
    }

    /// What its intents do when a resource that they want is busy: they wait in line, unless said.
    fn conflicts() -> Conflicts {
        Conflicts::default()
    }
}

/// An input of one account in a request of another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the input is of the account `{of_input}`, and the request of `{requested}`")]
pub(crate) struct OtherAccount {
    of_input: String,
    requested: String,
}

/// Compares what an input says with what its request has said, who may have known nothing but the kind's name. So an input
/// that is amended cannot become another customer's, either.
pub(crate) fn check_account<T: Intent>(
    intent: &T,
    requested: Option<&str>,
) -> Result<(), OtherAccount> {
    match (intent.account(), requested) {
        (Some(of_input), Some(requested)) if of_input != requested => Err(OtherAccount {
            of_input: of_input.to_owned(),
            requested: requested.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What becomes of a failed intent, and of the resources that it holds.
///
/// A cancelled intent is taken back whatever its kind says here, as far as its steps declare an
/// [`undo`](crate::StepBuilder::undo).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Keeps them until a person resumes it: a half-built server must not be resized.
    Hold,
    /// Lets go of them. When it is cancelled after a resume, and others have them by then, it is taken back without them.
    Release,
    /// Takes back what its steps did, as far as they declare an [`undo`](crate::StepBuilder::undo), then lets go of them. It
    /// is failed all the same, with the error of the step that failed; a resume begins the steps that were taken back anew.
    /// After a [`point_of_no_return`](crate::StepBuilder::point_of_no_return) nothing is taken back: it keeps them.
    Undo,
}

/// How an intent uses a resource.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Recorded and searchable; takes no lock.
    Touched,
    /// Side by side with other shared users.
    Shared,
    /// By itself.
    Exclusive,
}

impl Mode {
    /// The word used in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Touched => "touched",
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        }
    }

    /// Whether two intents may hold one resource in these modes at the same time (I4).
    pub(crate) fn is_compatible(self, other: Self) -> bool {
        match (self, other) {
            (Self::Touched, _) | (_, Self::Touched) | (Self::Shared, Self::Shared) => true,
            (Self::Exclusive, Self::Shared | Self::Exclusive) | (Self::Shared, Self::Exclusive) => {
                false
            }
        }
    }
}

/// The resources of an intent, each written `type:id`.
///
/// Naming one twice keeps the stronger use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    list: Vec<(String, Mode)>,
}

impl Resources {
    /// Touches nothing that is worth a record.
    pub fn none() -> Self {
        Self::default()
    }

    /// One resource, held by this intent alone while it runs.
    pub fn exclusive(kind: &str, id: impl ToString) -> Self {
        Self::none().and(kind, id, Mode::Exclusive)
    }

    /// One resource, held side by side with others that share it.
    pub fn shared(kind: &str, id: impl ToString) -> Self {
        Self::none().and(kind, id, Mode::Shared)
    }

    /// One resource, recorded and searchable.
    pub fn touched(kind: &str, id: impl ToString) -> Self {
        Self::none().and(kind, id, Mode::Touched)
    }

    /// And another one, exclusively.
    #[must_use]
    pub fn and_exclusive(self, kind: &str, id: impl ToString) -> Self {
        self.and(kind, id, Mode::Exclusive)
    }

    /// And another one, shared.
    #[must_use]
    pub fn and_shared(self, kind: &str, id: impl ToString) -> Self {
        self.and(kind, id, Mode::Shared)
    }

    /// And another one, touched.
    #[must_use]
    pub fn and_touched(self, kind: &str, id: impl ToString) -> Self {
        self.and(kind, id, Mode::Touched)
    }

    fn and(mut self, kind: &str, id: impl ToString, mode: Mode) -> Self {
        self.add(format!("{kind}:{}", id.to_string()), mode);
        self
    }

    /// One by its whole name, `type:id`, however it is used; whether it is such a name is checked with the request.
    pub fn add(&mut self, name: impl Into<String>, mode: Mode) {
        let name = name.into();
        match self.list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) if *known == Mode::Exclusive || mode == Mode::Touched => {}
            Some((_, known)) => *known = mode,
            None => self.list.push((name, mode)),
        }
    }

    /// Name and use of each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Mode)> {
        self.list.iter().map(|(name, mode)| (name.as_str(), *mode))
    }
}

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Empty.
    #[error("the name of the {what} is empty")]
    Empty {
        /// What it should name.
        what: &'static str,
    },
    /// Too long.
    #[error("the name of the {what} has {chars} characters, the limit is {limit}: `{start}…`")]
    TooLong {
        /// What it should name.
        what: &'static str,
        /// Its length.
        chars: usize,
        /// The limit.
        limit: usize,
        /// How it starts.
        start: String,
    },
    /// A control character, U+0000 among them.
    #[error("the name of the {what} has a control character: {name:?}")]
    Control {
        /// What it should name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A resource that is not `type:id`.
    #[error("the resource {name:?} is not of the form `type:id`")]
    NotTypeId {
        /// The name.
        name: String,
    },
}

/// Checks a name that will stand in an index and on a screen.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    check_length(what, name, limits::NAME_CHARS)
}

/// Checks a resource's name.
pub(crate) fn check_resource(name: &str) -> Result<(), NameError> {
    check_length("resource", name, limits::RESOURCE_CHARS)?;
    match name.split_once(':') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok(()),
        _ => Err(NameError::NotTypeId {
            name: name.to_owned(),
        }),
    }
}

fn check_length(what: &'static str, name: &str, limit: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    let chars = name.chars().count();
    if chars > limit {
        let start = name.chars().take(20).collect();
        return Err(NameError::TooLong {
            what,
            chars,
            limit,
            start,
        });
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::Control {
            what,
            name: name.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_a_resource_twice_keeps_the_stronger_use() {
        let resources = Resources::touched("server", 1)
            .and_exclusive("server", 1)
            .and_shared("server", 1);
        assert_eq!(
            resources.iter().collect::<Vec<_>>(),
            [("server:1", Mode::Exclusive)]
        );
    }

    #[test]
    fn names_are_checked_for_length_and_characters() {
        assert!(check_name("kind", "").is_err());
        assert!(check_name("kind", &"é".repeat(200)).is_ok());
        assert!(check_name("kind", &"é".repeat(201)).is_err());
        assert!(check_name("kind", "a\0b").is_err());
        assert!(check_resource("server:42").is_ok());
        assert!(check_resource("server").is_err());
        assert!(check_resource(":42").is_err());
    }
}
