//! Whether a workflow can be brought to its end, or be taken back, whatever goes wrong in it: each attempt fails in every
//! way, and then an operator does what operators do.

use serde::Serialize;

use super::check::{Played, Subject, conclude, play, seen, taken_back};
use super::report::{self, Report};
use super::script::Ran;
use super::stage::Stage;
use super::{Fault, Kit, TestError};
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Intent;
use crate::seam::When;
use crate::state::IntentState;
use crate::verbs::Undone;

/// After which the workflow goes on by itself, as long as the step has attempts left.
const PASSING: [Fault; 4] = [Fault::Error, Fault::Panic, Fault::TimeOut, Fault::Crash];

/// After which a step has failed, and with it its intent: at once, or when it has met with it as often as it may.
const FINAL: [(Fault, When); 5] = [
    (Fault::Fail, When::Before),
    (Fault::Fail, When::After),
    (Fault::Panic, When::Before),
    (Fault::TimeOut, When::Before),
    (Fault::Crash, When::Before),
];

/// More attempts than a step has, as a rule. One that has more succeeds after all.
const ALL_ATTEMPTS: usize = 1_000;

/// What an operator does about a failed intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Resume,
    Undo,
    Rerun,
    Skip,
}

const VERBS: [Verb; 4] = [Verb::Resume, Verb::Undo, Verb::Rerun, Verb::Skip];

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resumed",
            Self::Undo => "undone",
            Self::Rerun => "rerun from its first step",
            Self::Skip => "its step skipped, with the output that it has otherwise",
        }
    }
}

impl<S: Send + Sync + 'static> Kit<S> {
    /// Checks that an intent can be brought to its end, or be taken back, whatever goes wrong in it. Each attempt of a clean
    /// run meets, before it has done anything and when it has done all, with an error, a panic, its time limit and a crash:
    /// the intent comes to the same in the end, by itself or, where a step is out of attempts, when it is resumed. Each
    /// fails for good, by saying so, or by a panic, its time limit or a crash as often as it takes: the intent comes to the same when it is resumed, or rerun from its first step, succeeds when the step
    /// is skipped, which is then not run any more, and leaves the world as it was when it is undone; so it does when it is
    /// undone after all went well.
    ///
    /// The worlds after an undo and a rerun are compared where steps have an undo. See
    /// [`check_idempotent`](Self::check_idempotent) for the rest.
    pub async fn check_recovery<T: Intent, W: Serialize>(
        &self,
        intent: impl Fn() -> T,
        look: impl AsyncFn(&S) -> W,
    ) -> Result<Report, TestError> {
        let subject = Subject {
            kit: self,
            intent,
            look,
        };
        subject.check_recovery().await
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
    async fn check_recovery(&self) -> Result<Report, TestError> {
        let mut report = Report::default();
        let clean = play(self.kit, (self.intent)(), &self.look, |_, _| {}).await?;
        report.runs += 1;
        if clean.outcome.state != IntentState::Succeeded {
            let state = clean.outcome.in_words(IntentState::Succeeded);
            report.find("carried out with nothing going wrong", vec![state]);
            return Ok(report);
        }
        for (nth, ran) in clean.ran.iter().enumerate() {
            for when in [When::Before, When::After] {
                for fault in PASSING {
                    self.passing(&clean, nth, (fault, when), &mut report)
                        .await?;
                }
            }
            for fault in FINAL {
                for verb in VERBS {
                    // What a child comes to is its parent's business.
                    if ran.intent == clean.id || (verb, fault.0) == (Verb::Resume, Fault::Fail) {
                        self.for_good(&clean, nth, (verb, fault), &mut report)
                            .await?;
                    }
                }
            }
        }
        self.after_success(&clean, &mut report).await?;
        Ok(report)
    }

    /// Nothing goes wrong, and then it is not wanted any more.
    async fn after_success(&self, clean: &Played, report: &mut Report) -> Result<(), TestError> {
        let mut stage = self.kit.stage().await?;
        let before = seen(&stage, &self.look).await?;
        let id = stage.intendant().request((self.intent)()).await?.id();
        conclude(&mut stage, id, before.clone(), &self.look).await?;
        report.runs += 1;
        let by = match stage.intendant().undo(id, "the test", None).await {
            Ok(Undone::By(by)) => by,
            Ok(Undone::Itself { .. }) => id,
            // There is no way back any more.
            Err(error) if error.is_conflict() => {
                report.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let played = conclude(&mut stage, by, before, &self.look).await?;
        report.find(
            "carried out with nothing going wrong; then undone",
            undone(&played, clean, self.kit.undo),
        );
        Ok(())
    }

    /// Something goes wrong once.
    async fn passing(
        &self,
        clean: &Played,
        nth: usize,
        (fault, when): (Fault, When),
        report: &mut Report,
    ) -> Result<(), TestError> {
        let ran = &clean.ran[nth];
        if ran.at_most_once && fault == Fault::Crash {
            // It stops, and asks.
            report.asked += 1;
            return Ok(());
        }
        let (mut stage, id, before) = self.begin(nth, (fault, when)).await?;
        if stage.rest(id).await?.state() == IntentState::Failed {
            stage.intendant().resume(id, "the test", None).await?;
        }
        let played = conclude(&mut stage, id, before, &self.look).await?;
        report.runs += 1;
        report.crashes += usize::from(fault == Fault::Crash);
        report.find(
            met_with(ran, (fault, when), T::KIND),
            played.outcome.differs(&clean.outcome),
        );
        Ok(())
    }

    /// A step fails for good, and an operator does something about it.
    async fn for_good(
        &self,
        clean: &Played,
        nth: usize,
        (verb, (fault, when)): (Verb, (Fault, When)),
        report: &mut Report,
    ) -> Result<(), TestError> {
        let ran = &clean.ran[nth];
        if ran.at_most_once && fault == Fault::Crash {
            report.asked += 1;
            return Ok(());
        }
        let (mut stage, id, before) = self.begin(nth, (fault, when)).await?;
        if fault != Fault::Fail {
            stage.fault_times(&ran.step, fault, ALL_ATTEMPTS);
        }
        report.runs += 1;
        let state = stage.rest(id).await?.state();
        report.crashes += stage.crashes();
        if state != IntentState::Failed {
            // Its parent can do without it, or its own transaction had recorded what it came to.
            return Ok(());
        }
        stage.forget_faults();
        let failed_after = stage.ran().len();
        match self.act(&stage, id, verb, (ran, clean)).await {
            Ok(()) => {}
            // There is nothing to take back any more, for one.
            Err(error) if error.is_conflict() => {
                report.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let played = conclude(&mut stage, id, before, &self.look).await?;
        let what = met_with(ran, (fault, when), T::KIND);
        let often = match fault {
            Fault::Fail => "",
            _ => " until it had failed",
        };
        let what = format!("{what}{often}; then {}", verb.as_str());
        report.find(
            what,
            judge(&played, clean, verb, (ran, failed_after), self.kit.undo),
        );
        Ok(())
    }

    async fn begin(
        &self,
        nth: usize,
        (fault, when): (Fault, When),
    ) -> Result<(Stage<S>, IntentId, serde_json::Value), TestError> {
        let stage = self.kit.stage().await?;
        let before = seen(&stage, &self.look).await?;
        let id = stage.intendant().request((self.intent)()).await?.id();
        let what = fault.at(when).what;
        stage.script().inject_at(nth, what, when);
        Ok((stage, id, before))
    }

    async fn act(
        &self,
        stage: &Stage<S>,
        id: IntentId,
        verb: Verb,
        (ran, clean): (&Ran, &Played),
    ) -> Result<(), Error> {
        let (intendant, actor) = (stage.intendant(), "the test");
        match verb {
            Verb::Resume => intendant.resume(id, actor, None).await.map(drop),
            Verb::Undo => intendant.undo(id, actor, None).await.map(drop),
            Verb::Rerun => {
                let first = clean.ran.iter().find(|ran| ran.intent == id);
                let first = first.map_or(&ran.step, |first| &first.step);
                let rerun = intendant.rerun_from(id, first, actor, None);
                rerun.await.map(drop)
            }
            Verb::Skip => {
                let output = &clean.outcome.outputs[&format!("output of `{}`", ran.step)];
                intendant.skip(id, &ran.step, output, actor, None).await
            }
        }
    }
}

fn judge(
    played: &Played,
    clean: &Played,
    verb: Verb,
    (ran, failed_after): (&Ran, usize),
    undo: bool,
) -> Vec<String> {
    let outcome = &played.outcome;
    let wrong = |expected| vec![outcome.in_words(expected)];
    let succeeded = outcome.state == IntentState::Succeeded;
    match verb {
        Verb::Resume => outcome.differs(&clean.outcome),
        Verb::Undo => undone(played, clean, undo),
        Verb::Rerun | Verb::Skip if !succeeded => wrong(IntentState::Succeeded),
        Verb::Rerun if undo && played.has_undone() => outcome.world_differs(&clean.outcome.world),
        Verb::Rerun => Vec::new(),
        Verb::Skip => {
            let later = played.ran.iter().skip(failed_after);
            let again = later.filter(|later| later.intent == ran.intent && later.step == ran.step);
            let again = again.map(|_| "the step that was skipped was run again".to_owned());
            let output = (outcome.outputs["output"] != clean.outcome.outputs["output"])
                .then(|| "the intent's output is another one".to_owned());
            again.chain(output).collect()
        }
    }
}

/// The world is compared where something says how it is taken back.
fn undone(played: &Played, clean: &Played, undo: bool) -> Vec<String> {
    let outcome = &played.outcome;
    match outcome.state {
        _ if undo && played.has_undone() => taken_back(played, clean),
        IntentState::Cancelled => Vec::new(),
        _ => vec![outcome.in_words(IntentState::Cancelled)],
    }
}

fn met_with(ran: &Ran, (fault, when): (Fault, When), kind: &str) -> String {
    let fault = match fault {
        Fault::Error => "an error",
        Fault::Fail => "a failure for good",
        Fault::Panic => "a panic",
        Fault::TimeOut => "its time limit",
        Fault::Crash => "a crash",
        Fault::Repeat => "a repetition",
    };
    let when = match when {
        When::Before => "before it had done anything",
        When::After => "when it had done all it does",
    };
    format!("{} met with {fault} {when}", report::step(ran, kind))
}
