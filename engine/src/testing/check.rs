//! Whether it is true that running anything twice does no more than running it once: the workflow is carried out with a
//! crash at every write, each step twice, and cancelled at every step, and must come to the same each time.

use serde::Serialize;
use serde_json::Value;

use super::outcome::Outcome;
use super::report::{self, Report};
use super::script::{Commit, Ran};
use super::stage::{CancelAt, Stage};
use super::{Kit, TestError};
use crate::id::IntentId;
use crate::intent::Intent;
use crate::seam::{What, When};
use crate::state::IntentState;

const BOTH: [When; 2] = [When::Before, When::After];

/// A run that has been played to its end.
pub(super) struct Played {
    pub(super) id: IntentId,
    pub(super) outcome: Outcome,
    /// The world before it.
    pub(super) before: Value,
    pub(super) ran: Vec<Ran>,
    commits: Vec<Commit>,
    crashes: usize,
}

impl Played {
    /// Something was taken back.
    pub(super) fn has_undone(&self) -> bool {
        self.ran.iter().any(|ran| ran.step.starts_with("undo("))
    }

    /// A person is asked, as it should be after a crash in a step that is run at most once.
    fn asks(&self, clean: &Self) -> bool {
        self.outcome.asks && clean.ran.iter().any(|ran| ran.at_most_once)
    }
}

/// What happens in a run.
#[derive(Debug, Clone, Copy, Default)]
struct Mishap {
    crash: Option<(usize, When)>,
    repeat: Option<usize>,
    cancel: Option<(usize, When)>,
}

/// The workflow that is checked, and how its world is looked at.
pub(super) struct Subject<'k, S, I, L> {
    pub(super) kit: &'k Kit<S>,
    pub(super) intent: I,
    pub(super) look: L,
}

impl<S: Send + Sync + 'static> Kit<S> {
    /// Checks that an intent comes to the same whatever happens to its workers. It is carried out once cleanly, then again
    ///
    /// - with a crash before and after every commit of a worker (the worker is gone with no goodbye, and another one takes
    ///   over when its lease is over),
    /// - with each step run twice,
    /// - cancelled at every step, when that has done nothing yet and when it has done all and nobody knows; and where steps
    ///   have an undo, with crashes and repetitions while that is done.
    ///
    /// What is compared is the intent's state, the outputs of its steps, and the world: anything that goes to JSON, as
    /// `look` sees it in the state of a run. A cancelled run must leave the world as it was before. What cannot be taken
    /// back is for a [`point_of_no_return`](crate::StepBuilder::point_of_no_return), after which a run that was cancelled
    /// comes to what it comes to anyway; or say [`without_undo`](Self::without_undo).
    ///
    /// Every run has a fresh world and a database of its own, and ids, times and the order of steps are the same in all of
    /// them. `intent` is called for each run.
    ///
    /// ```
    /// # use std::collections::BTreeSet;
    /// # use std::sync::Mutex;
    /// # use intendant::testing::Kit;
    /// # use intendant::{Cx, Intent, Node, Plan, StepResult, value};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Provision { server: u32 }
    /// # impl Intent for Provision { const KIND: &'static str = "provision"; type Output = u32; }
    /// #[derive(Default)]
    /// struct Cloud { volumes: Mutex<BTreeSet<u32>> }
    ///
    /// # fn provision(intent: &Provision, plan: &mut Plan<Cloud>) -> Node<u32> {
    /// #     plan.step("volume", create_volume).undo(delete_volume).input(value(intent.server))
    /// # }
    /// async fn create_volume(cx: Cx<Cloud>, server: u32) -> StepResult<u32> {
    ///     cx.state().volumes.lock().unwrap().insert(server); // a set: twice is once
    ///     Ok(server)
    /// }
    ///
    /// async fn delete_volume(cx: Cx<Cloud>, server: u32, _: Option<u32>) -> StepResult<()> {
    ///     cx.state().volumes.lock().unwrap().remove(&server); // and it need not be there
    ///     Ok(())
    /// }
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let kit = Kit::new(Cloud::default, |worker| worker.register(provision));
    /// let world = async |cloud: &Cloud| cloud.volumes.lock().unwrap().clone();
    /// kit.check_idempotent(|| Provision { server: 7 }, world).await?.assert_clean();
    /// # Ok::<(), intendant::testing::TestError>(()) }).unwrap();
    /// ```
    pub async fn check_idempotent<T: Intent, W: Serialize>(
        &self,
        intent: impl Fn() -> T,
        look: impl AsyncFn(&S) -> W,
    ) -> Result<Report, TestError> {
        let subject = Subject {
            kit: self,
            intent,
            look,
        };
        subject.check().await
    }
}

impl<S, T, W, I, L> Subject<'_, S, I, L>
where
    S: Send + Sync + 'static,
    T: Intent,
    W: Serialize,
    I: Fn() -> T,
    L: AsyncFn(&S) -> W,
{
    async fn check(&self) -> Result<Report, TestError> {
        let mut report = Report::default();
        let clean = self.play(Mishap::default(), &mut report).await?;
        let again = self.play(Mishap::default(), &mut report).await?;
        let what = "carried out twice, with nothing going wrong";
        report.find(what, again.outcome.differs(&clean.outcome));
        if clean.outcome.state != IntentState::Succeeded {
            let state = clean.outcome.in_words(IntentState::Succeeded);
            report.find("carried out with nothing going wrong", vec![state]);
        }
        if report.is_clean() && clean.ran != again.ran {
            let what = "carried out twice, with nothing going wrong";
            report.find(what, vec!["other steps were run".to_owned()]);
        }
        if !report.is_clean() {
            // Everything else would differ as well, and say nothing.
            return Ok(report);
        }
        self.crash(&clean, &mut report).await?;
        self.repeat(&clean, &mut report).await?;
        if self.kit.undo {
            self.cancel(&clean, &mut report).await?;
        }
        Ok(report)
    }

    async fn crash(&self, clean: &Played, report: &mut Report) -> Result<(), TestError> {
        for (nth, commit) in clean.commits.iter().enumerate() {
            for when in BOTH {
                let crash = Some((nth, when));
                let mishap = Mishap {
                    crash,
                    ..Mishap::default()
                };
                let played = self.play(mishap, report).await?;
                let what = report::crash(*commit, when, &clean.ran, T::KIND);
                met(played.crashes == 1, &what)?;
                if played.asks(clean) {
                    report.asked += 1;
                } else {
                    report.find(what, played.outcome.differs(&clean.outcome));
                }
            }
        }
        Ok(())
    }

    async fn repeat(&self, clean: &Played, report: &mut Report) -> Result<(), TestError> {
        for (nth, ran) in clean.ran.iter().enumerate() {
            if ran.at_most_once {
                continue;
            }
            let repeat = Some(nth);
            let mishap = Mishap {
                repeat,
                ..Mishap::default()
            };
            let played = self.play(mishap, report).await?;
            report.repeats += 1;
            let what = format!("{} run twice", report::step(ran, T::KIND));
            report.find(what, played.outcome.differs(&clean.outcome));
        }
        Ok(())
    }

    async fn cancel(&self, clean: &Played, report: &mut Report) -> Result<(), TestError> {
        let mut found = Report::default();
        let mut has_undone = false;
        let mut deepest = None;
        for (nth, ran) in clean.ran.iter().enumerate() {
            for when in BOTH {
                let cancel = Some((nth, when));
                let mishap = Mishap {
                    cancel,
                    ..Mishap::default()
                };
                let played = self.play(mishap, &mut found).await?;
                has_undone |= played.has_undone();
                let what = cancelled(ran, when, T::KIND);
                found.cancels += 1;
                found.find(what.clone(), taken_back(&played, clean));
                if played.outcome.state == IntentState::Cancelled && played.has_undone() {
                    deepest = Some((nth, mishap, what, played));
                }
            }
        }
        report.runs += found.runs;
        report.crashes += found.crashes;
        if !has_undone {
            // Nobody has promised that anything is taken back.
            return Ok(());
        }
        report.cancels += found.cancels;
        report.findings.extend(found.findings);
        if let Some((nth, mishap, what, base)) = deepest {
            self.undo(nth, mishap, &what, (&base, clean), report)
                .await?;
        }
        Ok(())
    }

    /// The undo itself, from where there is most to take back: with a crash at every write of it, and each step of it twice.
    async fn undo(
        &self,
        nth: usize,
        cancel: Mishap,
        cancelled: &str,
        (base, clean): (&Played, &Played),
        report: &mut Report,
    ) -> Result<(), TestError> {
        let since = clean.commits.iter().filter(|commit| commit.ran <= nth);
        for (at, commit) in base.commits.iter().enumerate().skip(since.count()) {
            for when in BOTH {
                let mishap = Mishap {
                    crash: Some((at, when)),
                    ..cancel
                };
                let played = self.play(mishap, report).await?;
                let what = report::crash(*commit, when, &base.ran, T::KIND);
                let what = format!("{cancelled}; then {what}");
                met(played.crashes == 1, &what)?;
                report.cancels += 1;
                report.find(what, taken_back(&played, clean));
            }
        }
        for (at, ran) in base.ran.iter().enumerate().skip(nth + 1) {
            let mishap = Mishap {
                repeat: Some(at),
                ..cancel
            };
            let played = self.play(mishap, report).await?;
            report.repeats += 1;
            report.cancels += 1;
            let what = format!("{cancelled}; then {} run twice", report::step(ran, T::KIND));
            report.find(what, taken_back(&played, clean));
        }
        Ok(())
    }

    async fn play(&self, mishap: Mishap, report: &mut Report) -> Result<Played, TestError> {
        let prepare = |stage: &mut Stage<S>, intent: IntentId| {
            if let Some((commit, when)) = mishap.crash {
                stage.script().die_at(commit, when);
            }
            if let Some(nth) = mishap.repeat {
                stage.script().inject_at(nth, What::Repeat, When::Before);
            }
            if let Some((nth, when)) = mishap.cancel {
                stage.cancel_at = Some(CancelAt { nth, when, intent });
            }
        };
        let played = play(self.kit, (self.intent)(), &self.look, prepare).await?;
        report.runs += 1;
        report.crashes += played.crashes;
        Ok(played)
    }
}

/// Carries out an intent in a fresh world, to its end. One that never comes to rest is an outcome as well.
pub(super) async fn play<S: Send + Sync + 'static, T: Intent, W: Serialize>(
    kit: &Kit<S>,
    intent: T,
    look: &impl AsyncFn(&S) -> W,
    prepare: impl FnOnce(&mut Stage<S>, IntentId),
) -> Result<Played, TestError> {
    let mut stage = kit.stage().await?;
    let before = seen(&stage, look).await?;
    let id = stage.intendant().request(intent).await?.id();
    prepare(&mut stage, id);
    conclude(&mut stage, id, before, look).await
}

/// Carries on until nothing is left to happen, and looks at what there is then.
pub(super) async fn conclude<S: Send + Sync + 'static, W: Serialize>(
    stage: &mut Stage<S>,
    id: IntentId,
    before: Value,
    look: &impl AsyncFn(&S) -> W,
) -> Result<Played, TestError> {
    let stuck = match stage.rest(id).await {
        Ok(_) => stage.settle().await.err(),
        Err(error) => Some(error),
    };
    let stuck = match stuck {
        None => None,
        Some(error @ (TestError::Stuck { .. } | TestError::Hangs { .. })) => {
            Some(error.to_string())
        }
        Some(error) => return Err(error),
    };
    let breaches = stage.intendant().invariant_breaches().await?;
    if !breaches.is_empty() {
        return Err(TestError::Breaches(breaches));
    }
    let ended = super::Ended::read(stage.intendant(), id).await?;
    let world = seen(stage, look).await?;
    let mut outcome = Outcome::of(stage.intendant(), &ended, world).await?;
    if stuck.is_some() {
        outcome.error = stuck;
    }
    let script = stage.script();
    Ok(Played {
        id,
        outcome,
        before,
        ran: script.ran.clone(),
        commits: script.commits.clone(),
        crashes: script.crashes,
    })
}

pub(super) async fn seen<S: Send + Sync + 'static, W: Serialize>(
    stage: &Stage<S>,
    look: &impl AsyncFn(&S) -> W,
) -> Result<Value, TestError> {
    serde_json::to_value(look(stage.state()).await).map_err(TestError::World)
}

/// How a run that was cancelled differs from one that has not been, or, where it came too late, from one that was not
/// cancelled.
pub(super) fn taken_back(played: &Played, clean: &Played) -> Vec<String> {
    match played.outcome.state {
        IntentState::Cancelled => played.outcome.world_differs(&clean.before),
        IntentState::Succeeded => played.outcome.differs(&clean.outcome),
        IntentState::Failed
        | IntentState::Blocked
        | IntentState::Ready
        | IntentState::Running
        | IntentState::Waiting
        | IntentState::Undoing => vec![played.outcome.in_words(IntentState::Cancelled)],
    }
}

fn cancelled(ran: &Ran, when: When, kind: &str) -> String {
    let step = report::step(ran, kind);
    match when {
        When::Before => format!("cancelled when {step} had begun, and had done nothing"),
        When::After => format!("cancelled when {step} had done all it does, unknown to anybody"),
    }
}

fn met(met: bool, what: &str) -> Result<(), TestError> {
    if met {
        return Ok(());
    }
    Err(TestError::NotMet {
        what: what.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::Cx;
    use crate::plan::{Node, Plan, value};
    use crate::step::StepResult;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    struct Build;

    impl Intent for Build {
        const KIND: &'static str = "build";
        type Output = u32;
    }

    #[derive(Serialize, Deserialize)]
    struct Part(u32);

    impl Intent for Part {
        const KIND: &'static str = "part";
        type Output = u32;
    }

    fn build(_: &Build, plan: &mut Plan<()>) -> Node<u32> {
        let left = plan.step("left", ask).undo(nothing).input(value(1u32));
        let right = plan.step("right", ask).undo(nothing).input(value(2u32));
        plan.step("sum", sum).undo(nothing).input((left, right))
    }

    async fn ask(cx: Cx<()>, part: u32) -> StepResult<u32> {
        cx.child("part", Part(part)).await
    }

    async fn nothing<I>(_: Cx<()>, _: I, _: Option<u32>) -> StepResult<()> {
        Ok(())
    }

    async fn sum(_: Cx<()>, (left, right): (u32, u32)) -> StepResult<u32> {
        Ok(left + right)
    }

    #[tokio::test]
    async fn every_run_makes_the_same_commits_around_the_same_attempts() {
        let kit = Kit::new(
            || (),
            |worker| {
                let part = |_, part: Part| async move { Ok(part.0) };
                worker.register(build).register_step(part)
            },
        );
        let subject = Subject {
            kit: &kit,
            intent: || Build,
            look: async |_: &()| (),
        };
        for cancel in [None, Some((3, When::After))] {
            let mishap = Mishap {
                cancel,
                ..Mishap::default()
            };
            let mut report = Report::default();
            let first = subject.play(mishap, &mut report).await.unwrap();
            for _ in 0..20 {
                let again = subject.play(mishap, &mut report).await.unwrap();
                assert_eq!(again.ran, first.ran);
                assert_eq!(again.commits, first.commits);
                assert_eq!(again.outcome, first.outcome);
            }
        }
    }
}
