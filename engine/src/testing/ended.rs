//! What has become of an intent in a test.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;

use super::TestError;
use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::payload;
use crate::state::{IntentState, StepState};
use crate::store::{AttemptRecord, IntentRecord, StepRecord};

/// An intent at rest, and what its steps have come to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ended {
    /// The intent.
    pub record: IntentRecord,
    /// Its steps, those that have not begun too, in the order of the plan; then elements of maps, and undos.
    pub steps: Vec<StepRecord>,
    /// Its failed attempts.
    pub attempts: Vec<AttemptRecord>,
}

impl Ended {
    pub(super) async fn read(intendant: &Intendant, id: IntentId) -> Result<Self, TestError> {
        let mut steps = intendant.all_steps(id).await?;
        let graph = intendant.graph(id).await?;
        let order = graph.map(|graph| graph.steps).unwrap_or_default();
        let place = |name: &str| order.iter().position(|step| step.name == name);
        steps.sort_by_key(|step| place(&step.name).unwrap_or(usize::MAX));
        Ok(Self {
            record: intendant.get(id).await?,
            steps,
            attempts: intendant.attempts(id).await?,
        })
    }

    /// Its id.
    pub fn id(&self) -> IntentId {
        self.record.id
    }

    /// Where it is.
    pub fn state(&self) -> IntentState {
        self.record.state
    }

    /// Why it failed or was cancelled, in a line; empty if it did not.
    pub fn error(&self) -> &str {
        self.record.error.as_deref().unwrap_or_default()
    }

    /// What it came to. Fails if it has not succeeded, and if that is not what was expected.
    pub fn output<O: DeserializeOwned>(&self) -> Result<O, TestError> {
        self.decode("the intent", self.record.output.as_deref())
    }

    /// A step's result, of the last time round.
    pub fn output_of<O: DeserializeOwned>(&self, step: &str) -> Result<O, TestError> {
        let found = self.step(step);
        self.decode(step, found.and_then(|found| found.output.as_deref()))
    }

    fn decode<O: DeserializeOwned>(
        &self,
        what: &str,
        output: Option<&serde_json::value::RawValue>,
    ) -> Result<O, TestError> {
        let output = output.ok_or_else(|| TestError::NoOutput {
            what: what.to_owned(),
            found: self.to_string(),
        })?;
        let output = payload::decode(&payload::trusted(output.get()));
        Ok(output.map_err(Error::payload("an output"))?)
    }

    /// A step, of the last time round.
    pub fn step(&self, name: &str) -> Option<&StepRecord> {
        let named = self.steps.iter().filter(|step| step.name == name);
        named.max_by_key(|step| step.generation)
    }

    /// The failures of a step, in their order.
    pub fn failures(&self, step: &str) -> Vec<&AttemptRecord> {
        let of = self.attempts.iter();
        of.filter(|attempt| attempt.step == step).collect()
    }

    /// The steps of which what they did was taken back.
    pub fn undone(&self) -> Vec<&str> {
        let undone = self.steps.iter();
        let undone = undone.filter(|step| step.state == StepState::Undone);
        undone.map(|step| step.name.as_str()).collect()
    }
}

/// For people: the intent, its steps and their outputs, the failed attempts.
impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = format!("{} {}", self.record.kind, self.record.state);
        if let Some(error) = &self.record.error {
            write!(text, ": {error}")?;
        }
        for step in &self.steps {
            write!(text, "\n  {} {}", step.name, step.state)?;
            if let Some(output) = &step.output {
                write!(text, " {output}")?;
            }
        }
        for failed in &self.attempts {
            let (step, nth) = (&failed.step, failed.attempt);
            write!(text, "\n  {step}, attempt {nth}: {}", failed.error)?;
        }
        f.write_str(&text)
    }
}
