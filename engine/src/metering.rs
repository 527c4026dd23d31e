//! Metering: a middleware that tells the `metrics` facade what becomes of attempts.

use crate::cx::Cx;
use crate::middleware::{Done, Middleware, Next};
use crate::state::AttemptFailure;
use crate::step::StepResult;

/// A [`Middleware`] that reports to the recorder of the `metrics` crate that the program has installed:
///
/// | name | sort | labels beside `kind` and `step` |
/// |---|---|---|
/// | `intendant_step_seconds` | histogram: how long an attempt took | `ended`: `well`, `badly`, `not yet` |
/// | `intendant_step_attempts_total` | counter: attempts that have begun, those after a snooze or a wait among them | |
/// | `intendant_step_retries_total` | counter: those of them that are not the first | |
/// | `intendant_step_failures_total` | counter: failed attempts | `failure`: `error`, `gave up`, `time-out`, `panic`, `output refused`, `cancelled` |
/// | `intendant_step_measurement` | histogram: what [`Cx::measure`] was told | `name` |
///
/// The elements of a map are one step here, so that the number of series is bounded by the code. Add it first, so that it
/// sees what the others take and make of an attempt.
///
/// ```
/// # use intendant::{Cx, Intent, Intendant, StepResult, Worker};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
/// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
/// # async fn greet(_: Cx<()>, intent: Greet) -> StepResult<String> { Ok(intent.name) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let intendant = Intendant::open("sqlite::memory:").await?;
/// let worker = Worker::new(&intendant, ()).middleware(intendant::Metrics).register_step(greet);
/// assert_eq!(worker.middleware_table(), "greet: Metrics → step\n");
/// # Ok::<(), intendant::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Metrics;

impl<S: Send + Sync + 'static> Middleware<S> for Metrics {
    async fn around(&self, cx: &Cx<S>, next: Next<'_, S>) -> StepResult<Done> {
        let (kind, step) = (cx.kind().to_owned(), series(cx.step_name()).to_owned());
        metrics::counter!("intendant_step_attempts_total", "kind" => kind.clone(), "step" => step.clone()).increment(1);
        if cx.attempt() > 1 {
            metrics::counter!("intendant_step_retries_total", "kind" => kind.clone(), "step" => step.clone()).increment(1);
        }
        let clock = cx.intendant().store().clock().clone();
        let began = clock.monotonic();
        let ended = next.run().await;
        let seconds = clock.monotonic().saturating_duration_since(began);
        let failure = ended
            .as_ref()
            .err()
            .and_then(|error| error.failure())
            .map(|(failure, _)| failure);
        let word = match (&ended, failure) {
            (Ok(_), _) => "well",
            (Err(_), Some(_)) => "badly",
            (Err(_), None) => "not yet",
        };
        if let Some(failure) = failure {
            let failure = AttemptFailure::as_str(failure);
            metrics::counter!("intendant_step_failures_total", "kind" => kind.clone(), "step" => step.clone(), "failure" => failure)
                .increment(1);
        }
        for (name, value) in cx.step().notes.measures() {
            metrics::histogram!("intendant_step_measurement", "kind" => kind.clone(), "step" => step.clone(), "name" => name.to_string())
                .record(value);
        }
        metrics::histogram!("intendant_step_seconds", "kind" => kind, "step" => step, "ended" => word)
            .record(seconds);
        ended
    }
}

/// A step's name without the number of a map's element.
pub(crate) fn series(step: &str) -> &str {
    step.split_once('[').map_or(step, |(map, _)| map)
}
