//! Kinds as the database knows them: what the code of the workers has said of them.

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::Intendant;
use crate::error::Error;
use crate::limits;
use crate::payload::{self, Payload, PayloadError};
use crate::secret;

/// A kind of intents, as the workers that carry it out have described it. It is kept when they end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KindRecord {
    /// Its name.
    pub kind: String,
    /// The queue whose workers carry it out.
    pub queue: String,
    /// What its operations do, in one line.
    pub description: Option<String>,
    /// Which JSON its input is: a JSON schema.
    pub input_schema: Option<Box<RawValue>>,
    /// A failed intent lets go of its resources.
    pub release_on_failure: bool,
    /// What its intents do about others on the same resource; none: they wait in line.
    pub conflicts: Option<Box<RawValue>>,
    /// By when its intents are to be done, counted from the request or from when they may start.
    #[serde(rename = "deadline_seconds", with = "seconds", default)]
    #[schemars(with = "Option<f64>")]
    pub deadline: Option<TimeDelta>,
    /// Sessions alive now that know it.
    pub sessions: i64,
}

/// Spans of time as seconds.
mod seconds {
    use chrono::TimeDelta;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<TimeDelta>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(TimeDelta::as_seconds_f64).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<TimeDelta>, D::Error> {
        let seconds = Option::<f64>::deserialize(from)?;
        // A number that no span has becomes the longest that there is.
        Ok(seconds.map(|seconds| TimeDelta::microseconds((seconds * 1e6) as i64)))
    }
}

impl KindRecord {
    /// An input of this kind, with what its schema calls secret marked.
    pub(crate) fn marked(&self, input: &Payload) -> Result<Payload, PayloadError> {
        let schema = self.input_schema.as_ref();
        let schema = schema.and_then(|schema| serde_json::from_str(schema.get()).ok());
        match schema {
            Some(schema) => payload::parse(&secret::mark(&schema, input.get())),
            None => Ok(input.clone()),
        }
    }
}

impl Intendant {
    /// The kinds that workers have registered with this database, in the order of their names: at most a page
    /// ([`limits::PAGE`]), beginning after the one that is named.
    ///
    /// ```
    /// # use intendant::Intendant;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// for kind in intendant.kinds(None).await? {
    ///     println!("{}: {}", kind.kind, kind.description.unwrap_or_default());
    /// }
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn kinds(&self, after: Option<&str>) -> Result<Vec<KindRecord>, Error> {
        let after = after.map(str::to_owned);
        self.store().kinds(None, after, limits::PAGE).await
    }

    /// One kind; [`Error::UnknownKind`] where no worker has ever registered it.
    pub async fn kind(&self, kind: &str) -> Result<KindRecord, Error> {
        let found = self.store().kinds(Some(kind.to_owned()), None, 1).await?;
        found.into_iter().next().ok_or_else(|| Error::UnknownKind {
            kind: kind.to_owned(),
        })
    }
}
