//! The kinds that a worker carries out, and how a claimed intent gets its plan.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::undoing;
use crate::about::About;
use crate::by_name::from_json;
use crate::conflict::Conflicts;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::{Intent, OnFailure};
use crate::middleware::Around;
use crate::payload::{Payload, PayloadError};
use crate::plan::{self, BindError, BoundPlan, For, MakePlan, PlanFailure, Shape, undone_of};
use crate::planted::{Slip, is_planted};
use crate::state::{FailureReason, StepState};
use crate::store::{Claimed, NewIntent, RoutedLoad};

/// One kind of intents and the code for it.
pub(super) struct Kind {
    pub(super) name: Arc<str>,
    pub(super) queue: Arc<str>,
    pub(super) on_failure: OnFailure,
    pub(super) conflicts: Arc<Conflicts>,
    pub(super) time_limit: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) about: About,
    /// The intent that an input in JSON is.
    pub(super) describe: fn(IntentId, &Payload) -> Result<NewIntent, Error>,
    /// What runs around its steps.
    pub(super) around: Option<Arc<dyn Around>>,
    make_plan: MakePlan,
    /// The last shape that was seen and found sound; a kind mostly has but one.
    known: Mutex<Option<(Arc<Shape>, Arc<str>)>>,
}

/// An intent's plan, and where it comes from.
pub(super) struct Bound {
    pub(super) plan: BoundPlan,
    pub(super) source: Source,
}

/// Whether the plan of an intent is on disk for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The intent has started by it before.
    Stored,
    /// Made just now.
    Made,
    /// The same, and what is on disk for it is another one, which a reaper has assumed.
    Mended,
}

/// Whether a step can have an output that a person gives it.
#[derive(Debug)]
pub(super) enum Accepts {
    Yes,
    No(PayloadError),
    NoStep,
    NoPlan(String),
}

/// Why an intent cannot be carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: FailureReason,
    pub(super) error: String,
}

impl Refusal {
    /// Its row says another kind than the line in which it was.
    pub(super) fn of_another_kind(kind: &str) -> Self {
        Self {
            reason: FailureReason::Undecodable,
            error: format!(
                "its row in *intent* says that its kind is `{kind}`, which is not that of the line in which it was; mend \
                 that in the database, then resume it"
            ),
        }
    }

    /// The row of a routed step says another queue than the line in which it was.
    pub(super) fn of_another_queue(queue: &str) -> Self {
        Self {
            reason: FailureReason::Undecodable,
            error: format!(
                "its row in *routed* says that its queue is `{queue}`, which is not that of the line in which it was; \
                 resume its intent, and it is sent anew"
            ),
        }
    }
}

impl From<PlanFailure> for Refusal {
    fn from(failure: PlanFailure) -> Self {
        let reason = match &failure {
            PlanFailure::Input(_) | PlanFailure::Account(_) => FailureReason::Undecodable,
            PlanFailure::Function(_) | PlanFailure::Plan(_) => FailureReason::PlanRefused,
        };
        Self {
            reason,
            error: failure.to_string(),
        }
    }
}

impl From<BindError> for Refusal {
    fn from(error: BindError) -> Self {
        Self {
            reason: FailureReason::PlanRefused,
            error: error.to_string(),
        }
    }
}

impl Kind {
    pub(super) fn new<T: Intent>(make_plan: MakePlan) -> Self {
        Self {
            name: Arc::from(T::KIND),
            queue: Arc::from(T::QUEUE),
            on_failure: T::ON_FAILURE,
            conflicts: Arc::new(T::conflicts()),
            time_limit: T::TIME_LIMIT,
            deadline: T::DEADLINE,
            about: T::about(),
            describe: from_json::<T>,
            around: None,
            make_plan,
            known: Mutex::new(None),
        }
    }

    /// Makes the plan of a claimed intent, or binds the code to the plan by which it has started (PROTOCOL P4).
    pub(super) fn bind(&self, claimed: &Claimed, build: &str) -> Result<Bound, Refusal> {
        let account = For::Request(claimed.account.as_deref());
        let (defs, shape) = self.make(&claimed.input, account)?;
        let (shape, hash) = self.recognise(shape).map_err(PlanFailure::Plan)?;
        let stored = claimed
            .started
            .as_ref()
            .and_then(|started| started.plan.clone());
        let Some((stored_hash, stored_shape)) = stored else {
            return Ok(Bound {
                plan: BoundPlan::own(shape, hash, defs),
                source: Source::Made,
            });
        };
        if stored_hash == hash {
            return Ok(Bound {
                plan: BoundPlan::own(shape, hash, defs),
                source: Source::Stored,
            });
        }
        // A reaper wrote down the plan that the dead session's intents of this kind have as a rule. The same build of
        // the program makes another one for this input, so this intent's turn to be an exception had not come: an
        // exception is on disk before its first step.
        let assumed = claimed
            .started
            .as_ref()
            .and_then(|started| started.assumed_build.as_deref());
        if assumed == Some(build) && claimed.steps.is_empty() && claimed.attempts.is_empty() {
            return Ok(Bound {
                plan: BoundPlan::own(shape, hash, defs),
                source: match is_planted(Slip::AssumedPlanKept) {
                    true => Source::Made,
                    false => Source::Mended,
                },
            });
        }
        // One that is to stop begins nothing any more; what it needs for taking back is looked for there.
        let is_done = |name: &str| {
            claimed.cancel.is_some()
                || claimed
                    .steps
                    .iter()
                    .any(|step| step.name == name && step.state == StepState::Succeeded)
        };
        let plan = BoundPlan::stored(stored_shape, stored_hash, defs, is_done)?;
        Ok(Bound {
            plan,
            source: Source::Stored,
        })
    }

    /// The code for a routed step: a plan of that one step, with the input that its driver has put together. None where the
    /// code has no such step; another worker's may.
    pub(super) fn bind_step(
        &self,
        claimed: &Claimed,
        routed: &RoutedLoad,
    ) -> Result<Option<Bound>, Refusal> {
        let account = For::Request(claimed.account.as_deref());
        let (defs, _) = self.make(&claimed.input, account)?;
        let undone = undone_of(&routed.step);
        let of = undone.unwrap_or(&routed.step);
        // An element of a map runs by the map's code: `resize[17]` by that of `resize`.
        let map = of.rsplit_once('[').map(|(map, _)| map);
        let def = defs.iter().find(|def| match def.each {
            None => *def.name == *of,
            Some(_) => Some(&*def.name) == map,
        });
        let Some(def) = def else { return Ok(None) };
        let (run, input) = match undone {
            None => (def.run.clone(), routed.input.clone()),
            Some(_) => {
                let Some(undo) = def.undo.clone() else {
                    return Ok(None);
                };
                let (input, output) = undoing::of_one(&routed.input)?;
                (undoing::run(undo, output), input)
            }
        };
        Ok(Some(Bound {
            plan: BoundPlan::alone(routed.step.clone(), def, run, input),
            source: Source::Stored,
        }))
    }

    /// The shape of the plan for an input, if there is a sound one.
    pub(super) fn shape(&self, input: &Payload) -> Result<Arc<Shape>, PlanFailure> {
        let (_, shape) = self.make(input, For::Nobody)?;
        Ok(self.recognise(shape)?.0)
    }

    /// Whether an output is one that a step of the plan for this input can have; an undo has none.
    pub(super) fn accepts(&self, input: &Payload, step: &str, output: &Payload) -> Accepts {
        let defs = match self.make(input, For::Nobody) {
            Ok((defs, _)) => defs,
            Err(failure) => return Accepts::NoPlan(failure.to_string()),
        };
        let undone = undone_of(step);
        let of = undone.unwrap_or(step);
        let map = of.split_once('[').map_or(of, |(map, _)| map);
        let def = defs.iter().find(|def| *def.name == *of);
        let map = || {
            defs.iter()
                .find(|def| *def.name == *map && def.each.is_some())
        };
        let checked = match (def, undone) {
            (Some(def), None) if def.each.is_none() => (def.accepts)(output),
            (None, None) => match map() {
                Some(map) => (map.accepts)(output),
                None => return Accepts::NoStep,
            },
            // What a map has come to follows from its elements.
            (Some(_), None) => return Accepts::NoStep,
            (def, Some(_)) => match def.or_else(map) {
                Some(_) => crate::payload::decode::<()>(output),
                None => return Accepts::NoStep,
            },
        };
        match checked {
            Ok(()) => Accepts::Yes,
            Err(error) => Accepts::No(error),
        }
    }

    fn make(
        &self,
        input: &Payload,
        for_whom: For<'_>,
    ) -> Result<(Vec<plan::StepDef>, Shape), PlanFailure> {
        let make = || (self.make_plan)(input, for_whom);
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make));
        made.unwrap_or_else(|panic| {
            Err(PlanFailure::Function(super::runner::panic_message(&*panic)))
        })
    }

    /// The shape as it is known already, or checked and hashed if it is new.
    fn recognise(&self, shape: Shape) -> Result<(Arc<Shape>, Arc<str>), plan::PlanError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, hash)) = known.as_ref().filter(|(known, _)| **known == shape) {
            return Ok((same.clone(), hash.clone()));
        }
        plan::check(&shape)?;
        let hash: Arc<str> = Arc::from(shape.hash());
        let shape = Arc::new(shape);
        *known = Some((shape.clone(), hash.clone()));
        Ok((shape, hash))
    }
}
