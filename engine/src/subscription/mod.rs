//! Subscriptions: what becomes of intents, told as it occurs.

mod window;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::client::Intendant;
use crate::clock::Micros;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::state::IntentState;
use crate::store::{EventRecord, IntentFilter, IntentRecord};

use self::window::Window;
pub(crate) use self::window::{Occurrence, Reading, Writers};

/// Where a subscription goes on: whatever was told up to there is not told again. Kept as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position(Occurrence);

impl Position {
    /// Before everything that occurred at this time, by the database's clock.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self(Occurrence::before(Micros(time.timestamp_micros())))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Occurrence { at, intent, seq } = self.0;
        write!(f, "{}.{}.{seq}", at.0, intent.0.simple())
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no position of a subscription")]
pub struct UnknownPosition(String);

impl FromStr for Position {
    type Err = UnknownPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (at, rest) = text.split_once('.')?;
            let (intent, seq) = rest.split_once('.')?;
            Some(Occurrence {
                at: Micros(at.parse().ok()?),
                intent: IntentId(intent.parse().ok()?),
                seq: seq.parse().ok()?,
            })
        };
        let known = parse().map(Self);
        known.ok_or_else(|| UnknownPosition(text.to_owned()))
    }
}

impl TryFrom<String> for Position {
    type Error = UnknownPosition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// What occurred to an intent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Occurred {
    /// It came to its end. One that has failed can be resumed, and comes to its end once more.
    Ended {
        /// It succeeded, failed or was cancelled.
        state: IntentState,
        /// Of one that failed: why, in a line; of one that was cancelled: by whom.
        error: Option<String>,
    },
    /// Somebody did something to it, or the engine noted something: it was cancelled or resumed, a step was skipped, it was taken
    /// over from a dead worker. What was there before is in the event.
    Event(EventRecord),
}

/// Something that occurred to an intent, told to who has subscribed to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IntentEvent {
    /// The intent as it is now, which may be later: one that has failed may have been resumed since.
    pub intent: IntentRecord,
    /// What occurred.
    pub occurred: Occurred,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Where to go on after this one.
    pub position: Position,
}

/// A subscription that is being put together; awaiting it begins it.
#[must_use = "a subscription does nothing until it is awaited"]
#[derive(Debug)]
pub struct Subscribe<'i> {
    intendant: &'i Intendant,
    filter: IntentFilter,
    from: Option<Position>,
    pause: Duration,
}

impl<'i> Subscribe<'i> {
    pub(crate) fn new(intendant: &'i Intendant, filter: IntentFilter) -> Self {
        Self {
            intendant,
            filter,
            from: None,
            pause: limits::SUBSCRIPTION_PAUSE,
        }
    }

    /// What occurred after this: after what was told last, before the process ended, say. Without it, what occurs from now on.
    pub fn after(mut self, position: Position) -> Self {
        self.from = Some(position);
        self
    }

    /// How long to wait until it is looked again, when everything has been told, or after an error: from a millisecond to an hour,
    /// and half a second unless said. Looks that take long are followed by a longer pause.
    pub fn every(mut self, pause: Duration) -> Self {
        self.pause = pause.clamp(Duration::from_millis(1), Duration::from_secs(3_600));
        self
    }
}

impl<'i> IntoFuture for Subscribe<'i> {
    type Output = Result<Subscription, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'i>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let reading = self.intendant.store().occurrence_clock().await?;
            let from = self.from.map(|Position(from)| from);
            let mut subscription = Subscription {
                intendant: self.intendant.clone(),
                filter: self.filter,
                pause: self.pause,
                window: Window::new(from, reading),
                is_at_it: true,
                due: Instant::now(),
                took: Duration::ZERO,
                ready: VecDeque::new(),
            };
            if from.is_none() {
                // What has occurred until now is seen, and not told.
                while subscription.is_at_it {
                    subscription.look(Tells::Nothing).await?;
                }
            }
            Ok(subscription)
        })
    }
}

/// What becomes of intents, one after the other, for ever: see [`Intendant::subscribe`].
#[derive(Debug)]
pub struct Subscription {
    intendant: Intendant,
    filter: IntentFilter,
    pause: Duration,
    window: Window,
    /// A pass has begun.
    is_at_it: bool,
    /// When to look next.
    due: Instant,
    /// For how long this pass has looked.
    took: Duration,
    ready: VecDeque<IntentEvent>,
}

impl Subscription {
    /// The next that occurred; waits until there is one. After an error of the database it goes on where it was, and nothing is lost
    /// if the future is dropped.
    pub async fn next(&mut self) -> Result<IntentEvent, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            tokio::time::sleep_until(self.due).await;
            let looked = self.look(Tells::All).await;
            if let Err(error) = looked {
                self.due = Instant::now() + self.pause;
                return Err(error);
            }
        }
    }

    /// The same, as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<IntentEvent, Error>> + Send {
        futures_util::stream::unfold(self, |mut subscription| async move {
            let next = subscription.next().await;
            Some((next, subscription))
        })
    }

    /// Reads one page of a pass.
    async fn look(&mut self, tells: Tells) -> Result<(), Error> {
        if !self.is_at_it {
            let reading = self.intendant.store().occurrence_clock().await?;
            self.window.begin(reading);
            self.is_at_it = true;
        }
        let begun = Instant::now();
        let asked = Asked {
            filter: self.filter.clone(),
            after: self.window.cursor(),
            from: self.window.from(),
            until: self.window.until(),
            seen: self.window.seen(),
            tells,
        };
        let page = self.intendant.store().occurrences(asked).await?;
        for (occurrence, told) in page.found {
            self.window.pass(occurrence);
            let position = Position(self.window.position(occurrence));
            for Told {
                intent,
                occurred,
                at,
            } in told
            {
                if is_told_of(&self.filter, &intent, &occurred) {
                    self.ready.push_back(IntentEvent {
                        intent,
                        occurred,
                        at: at.to_utc(),
                        position,
                    });
                }
            }
        }
        if let Some(to) = page.to {
            self.window.pass(to);
        }
        self.took += begun.elapsed();
        if page.is_last {
            self.window.end();
            self.is_at_it = false;
            let pause = std::mem::take(&mut self.took) * limits::SUBSCRIPTION_SHARE;
            self.due = Instant::now() + pause.clamp(self.pause, self.pause * 10);
        }
        Ok(())
    }
}

/// Which occurrences are asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) filter: IntentFilter,
    pub(crate) after: Occurrence,
    /// Up to where everything was told before this pass.
    pub(crate) from: Occurrence,
    pub(crate) until: Micros,
    /// But for these.
    pub(crate) seen: Arc<BTreeSet<Occurrence>>,
    pub(crate) tells: Tells,
}

/// What is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    All,
    /// That they are there.
    Nothing,
}

/// Something that is told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) intent: IntentRecord,
    pub(crate) occurred: Occurred,
    pub(crate) at: Micros,
}

/// In which state ends are asked for. Only what has failed has an error.
pub(crate) fn state_of(filter: &IntentFilter) -> Option<IntentState> {
    let failed = filter.error.is_some().then_some(IntentState::Failed);
    filter.state.or(failed)
}

/// Whether a subscription to this is told of it. An end is in a state; what else occurs is in none.
fn is_told_of(filter: &IntentFilter, intent: &IntentRecord, occurred: &Occurred) -> bool {
    let (ended, why) = match occurred {
        Occurred::Ended { state, error } => (Some(*state), error.as_deref()),
        Occurred::Event(_) => (None, None),
    };
    let same = |wanted: &Option<String>, has: Option<&String>| {
        wanted.as_ref().is_none_or(|wanted| has == Some(wanted))
    };
    let resource = |wanted: &String| intent.resources.iter().any(|has| has.resource == *wanted);
    let label = |(name, value): &(String, String)| intent.labels.get(name) == Some(value);
    let error = |wanted: &String| {
        why.unwrap_or_default()
            .to_ascii_lowercase()
            .contains(&wanted.to_ascii_lowercase())
    };
    state_of(filter).is_none_or(|state| ended == Some(state))
        && same(&filter.account, intent.account.as_ref())
        && same(&filter.kind, Some(&intent.kind))
        && same(&filter.requested_by, intent.requested_by.as_ref())
        && same(&filter.correlation_id, intent.correlation_id.as_ref())
        && filter.resource.as_ref().is_none_or(resource)
        && filter.label.as_ref().is_none_or(label)
        && filter.error.as_ref().is_none_or(error)
        && filter
            .requested_since
            .is_none_or(|since| intent.requested_at >= since)
        && filter
            .requested_until
            .is_none_or(|until| intent.requested_at < until)
        && filter
            .finished_since
            .is_none_or(|since| intent.finished_at >= Some(since))
        && filter.before.is_none_or(|before| intent.id < before)
        && filter.after.is_none_or(|after| intent.id > after)
}
