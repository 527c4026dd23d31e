//! Watching: for those who look often, or at many intents, what is cheap to look at.

use std::collections::{HashMap, HashSet};

use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::store::{IntentFilter, IntentPage, StepRecord, Version, Versions};

impl Intendant {
    /// [`all_steps`](Self::all_steps) without their outputs, for those who look often.
    pub async fn steps_in_brief(&self, id: IntentId) -> Result<Vec<StepRecord>, Error> {
        self.store().steps_in_brief(id).await
    }

    /// Whether anything of an intent and its steps has changed since somebody looked: [`Version::text`] is another one then.
    pub async fn version(&self, id: IntentId) -> Result<Version, Error> {
        self.store().version(id).await
    }

    /// A [`page`](Self::page) of intents without what they carry, for those who look often whether anything has changed.
    pub async fn versions(&self, filter: IntentFilter) -> Result<Versions, Error> {
        self.store().versions(filter).await
    }

    /// The records of these intents, newest first; those that are not there are left out. As many as go together
    /// ([`limits::PAGE_BYTES`]): [`IntentPage::next`] is the last that was looked at, if that was not all.
    pub async fn get_many(&self, ids: &[IntentId]) -> Result<IntentPage, Error> {
        let ids = ids.iter().take(limits::PAGE as usize).copied().collect();
        self.store().get_many(ids).await
    }

    /// The accounts of those of these ids that are intents'.
    ///
    /// ```
    /// # use std::collections::HashSet;
    /// # use intendant::Intendant;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// let nobodys = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    /// assert!(intendant.accounts_of(HashSet::from([nobodys])).await?.is_empty());
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn accounts_of(
        &self,
        ids: HashSet<IntentId>,
    ) -> Result<HashMap<IntentId, Option<String>>, Error> {
        self.store().accounts_of(ids).await
    }
}
