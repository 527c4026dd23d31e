//! Signals: messages from outside to an intent, an approval or a webhook.

use std::fmt;
use std::future::IntoFuture;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::client::Intendant;
use crate::error::Error;
use crate::id::{IntentId, SignalId};
use crate::intent::check_name;
use crate::payload::{self, Payload, PayloadError};
use crate::store::{NewSignal, SignalRecord};

/// What came of sending a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on disk.
    Now(SignalId),
    /// One with the same key was sent before; it counts once.
    Before(SignalId),
}

/// A message that is about to be sent; awaiting it sends it. See [`Intendant::signal`].
#[must_use = "nothing is sent before this is awaited"]
pub struct Signal<'i> {
    intendant: &'i Intendant,
    intent: IntentId,
    name: String,
    payload: Result<Payload, PayloadError>,
    key: Option<String>,
    sent_by: Option<String>,
}

impl fmt::Debug for Signal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal")
            .field("intent", &self.intent)
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Intendant {
    /// Sends a message to an unfinished intent, for a step that waits for one of this name
    /// ([`Cx::signal`](crate::Cx::signal), [`Plan::signal`](crate::Plan::signal)), now or later: one that comes before
    /// anybody waits is kept.
    ///
    /// `Ok` means that it is on disk. An intent that is not there or has finished is an error.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, Intendant, Node, Plan, Sent, StepResult};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Approval { granted: bool }
    /// # #[derive(Serialize, Deserialize)] struct Invoice;
    /// # impl Intent for Invoice { const KIND: &'static str = "invoice"; type Output = Approval; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// # let id = intendant.request(Invoice).await?.id();
    /// let approval = Approval { granted: true };
    /// // A click that is sent again counts once.
    /// let sent = intendant.signal(id, "approve", &approval).key("click-17").by("ada").await?;
    /// let again = intendant.signal(id, "approve", &approval).key("click-17").by("ada").await?;
    /// assert!(matches!((sent, again), (Sent::Now(one), Sent::Before(other)) if one == other));
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub fn signal(
        &self,
        id: IntentId,
        name: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> Signal<'_> {
        Signal {
            intendant: self,
            intent: id,
            name: name.into(),
            payload: payload::encode(payload),
            key: None,
            sent_by: None,
        }
    }

    /// The messages to an intent, in the order in which they were sent.
    pub async fn signals(&self, id: IntentId) -> Result<Vec<SignalRecord>, Error> {
        self.store().signals(id).await
    }
}

impl Signal<'_> {
    /// Sent again with the same key, for the same intent and under the same name, it counts once; the first one is kept.
    pub fn key(mut self, key: impl ToString) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// Who sends it.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.sent_by = Some(who.into());
        self
    }
}

impl<'i> IntoFuture for Signal<'i> {
    type Output = Result<Sent, Error>;
    type IntoFuture = BoxFuture<'i, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            check_name("signal", &self.name)?;
            if let Some(key) = &self.key {
                check_name("key", key)?;
            }
            if let Some(who) = &self.sent_by {
                check_name("sender", who)?;
            }
            let payload = self.payload.map_err(|error| Error::Payload {
                what: "the signal",
                error,
            })?;
            let store = self.intendant.store();
            let sent = store
                .signal(NewSignal {
                    id: SignalId(store.clock().ordered_id()),
                    intent: self.intent,
                    name: self.name,
                    key: self.key,
                    payload,
                    sent_by: self.sent_by,
                })
                .await?;
            self.intendant.wake_for_signal();
            Ok(sent)
        })
    }
}
