//! What a program does with its kinds by their names: a dry run, a request, with the input as JSON.

use serde_json::value::RawValue;

use super::Worker;
use super::parts::Parts;
use super::registry::Kind;
use crate::about::About;
use crate::by_name::{RequestByName, with};
use crate::dry_run::DryRun;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Resources;
use crate::payload;
use crate::secret::{self, Given};
use crate::store::NewIntent;

impl<S: Send + Sync + 'static> Worker<S> {
    /// The kinds that this worker knows, in the order of their names.
    pub fn kinds(&self) -> Vec<&str> {
        self.parts.kinds()
    }

    /// What a kind says of itself, if this worker knows it.
    pub fn about(&self, kind: &str) -> Option<&About> {
        self.parts.kinds.get(kind).map(|kind| &kind.about)
    }

    /// [`plan`](Self::plan), by the kind's name and with the input as JSON: what would become of this intent if it were
    /// asked for now. Writes nothing, and runs no step. An account and resources are those of a request that says them
    /// beside the input.
    pub async fn plan_by_name(
        &self,
        kind: &str,
        input: &RawValue,
        account: Option<String>,
        resources: &Resources,
    ) -> Result<DryRun, Error> {
        let (kind, new) = self.parts.described(kind, input)?;
        self.parts
            .dry_run(kind, with(new, account, resources)?)
            .await
    }

    /// Asks for an intent by its kind's name, with its input as JSON, which the kind's code reads here: so it knows the
    /// account and the resources, and an input that it cannot read is refused. The worker need not run.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, Intendant, StepResult, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # async fn greet(_: Cx<()>, intent: Greet) -> StepResult<String> { Ok(intent.name) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// let worker = Worker::new(&intendant, ()).register_step(greet);
    /// let input = serde_json::value::to_raw_value(&serde_json::json!({"name": "Ada"})).unwrap();
    /// let asked = worker.request_by_name("greet", &input)?.by("web").await?;
    /// # let wrong = serde_json::value::to_raw_value(&7).unwrap();
    /// # assert!(worker.request_by_name("greet", &wrong).unwrap_err().is_usage());
    /// println!("{}", asked.id());
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub fn request_by_name(
        &self,
        kind: &str,
        input: &RawValue,
    ) -> Result<RequestByName<'_>, Error> {
        let (_, new) = self.parts.described(kind, input)?;
        Ok(self.parts.intendant.request_described(new))
    }
}

impl Parts {
    fn described(&self, kind: &str, input: &RawValue) -> Result<(&Kind, NewIntent), Error> {
        let kind = self.known(kind)?;
        let what = "the input";
        let input = payload::parse_given(input.get(), Given::New).map_err(Error::payload(what))?;
        let id = IntentId(self.intendant.store().clock().ordered_id());
        let mut new = (kind.describe)(id, &input)?;
        // What its type calls secret is marked; its schema may say more.
        if let Some(schema) = kind.about.input_schema() {
            let marked = secret::mark(schema, new.input.get());
            new.input = payload::parse(&marked).map_err(Error::payload(what))?;
        }
        Ok((kind, new))
    }
}
