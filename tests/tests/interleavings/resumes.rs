//! Two people do something to one intent at the same time (PROTOCOL P7, "What each operator verb does"): they resume it,
//! cancel it or discard it. Both are told what is so by then, its events say who has won, and it has one token or an outcome.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use intendant::testing::turns::Tick;
use intendant::{Error, Intendant, IntentId, StoreKind};
use intendant_tests::scenes::{Scene, play};

use crate::on_both;
use crate::resources::counts;

on_both! {
    one_that_is_resumed_before_it_is_cancelled_is_asked_to_stop;
    of_two_who_resume_it_one_does;
    it_is_resumed_or_discarded;
    of_two_who_cancel_it_in_line_one_does;
    of_two_who_cancel_it_when_it_was_resumed_both_are_told_that_it_stops;
}

/// Of a resume: the outcome is held, then it is taken, then the token comes, and the commit. Of a cancel: the look, then the
/// locks, then what comes of it, and the commit. Of a discard: the look, then the locks, the outcome, and the commit.
const BEFORE: &[&str] = &[
    "outcome_withdraw",
    "started_again",
    "cancel_resource",
    "cancel_insert",
    "outcome_cancel",
    "resource_lock",
    "commit",
];

const TURNS: usize = 4;

/// Where the intent is before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In line, and nothing of it has begun.
    InLine,
    Failed,
    /// In line again.
    Resumed,
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Resume,
    Cancel,
    Discard,
}

impl Verb {
    /// Returns what whoever does it is told.
    async fn on(self, process: &Intendant, id: IntentId) -> Result<String> {
        let done = match self {
            Self::Resume => {
                let resumed = process.resume(id, "ada", None).await;
                resumed.map(|intents| format!("resumed {intents}"))
            }
            Self::Cancel => {
                let cancelled = process.cancel(id, "ada", None).await;
                cancelled.map(|how| format!("cancelled {how:?}"))
            }
            Self::Discard => {
                let discarded = process.discard(id, "ada", None).await;
                discarded.map(|intents| format!("discarded {intents}"))
            }
        };
        match done {
            Ok(done) => Ok(done),
            Err(Error::WrongState { verb, state, .. }) => Ok(format!("not {verb}: it is {state}")),
            Err(error) => Err(error.into()),
        }
    }
}

/// Both do so, in every order. Each order comes to one of these ends, and all of them are seen: what both are told; where it
/// is then, after which events; how many have claimed it, and what it comes to.
async fn check(kind: StoreKind, place: Place, verbs: [Verb; 2], ends: &[&str]) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let id = scene.ask(scene.wish("q", &["server"])).await?;
        bring(scene, id, place).await?;
        let on =
            move |verb: Verb| move |process: Intendant| async move { verb.on(&process, id).await };
        let (one, other) = scene.race_of(verbs.map(on), BEFORE).await?;
        let state = scene.state(id).await?;
        let events = scene.processes[0].events(id).await?;
        let events: Vec<String> = events.into_iter().map(|event| event.verb).collect();
        let events = events.join(", ");
        let end = carry_out(scene, id).await?;
        Ok(format!("{one}; {other}; {state} after {events}; {end}"))
    });
    let counts = counts(played.await?);
    let seen: BTreeSet<&str> = counts.keys().map(String::as_str).collect();
    let ends: BTreeSet<&str> = ends.iter().copied().collect();
    ensure!(seen == ends, "{counts:#?}");
    Ok(())
}

/// Brings it there; when it has failed it holds what it wants.
async fn bring(scene: &mut Scene, id: IntentId, place: Place) -> Result<()> {
    if place == Place::InLine {
        return Ok(());
    }
    let held = scene.hold(0, "q").await?;
    scene.session(0).tick(Tick::default().fail(&held)).await?;
    if place == Place::Resumed {
        scene.processes[0].resume(id, "ada", None).await?;
    }
    Ok(())
}

/// Whoever is let in carries it out, or the order to stop; then it holds nothing any more. Returns how many that were, and what
/// it has come to.
async fn carry_out(scene: &mut Scene, id: IntentId) -> Result<String> {
    let claim = scene.claim("q");
    let claimed = scene.session(0).tick(claim).await?.held;
    for held in &claimed {
        ensure!(held.unfit().is_none(), "{:?}", held.unfit());
        let end = match held.stops() {
            true => Tick::default().cancelled(held),
            false => Tick::default().succeed(held),
        };
        scene.session(0).tick(end).await?;
    }
    let next = scene.ask(scene.wish("next", &["server"])).await?;
    scene.drain(&["q", "next"]).await?;
    scene.all_done(&[next]).await?;
    let state = scene.state(id).await?;
    Ok(format!("{} claimed, {state}", claimed.len()))
}

async fn one_that_is_resumed_before_it_is_cancelled_is_asked_to_stop(
    kind: StoreKind,
) -> Result<()> {
    let verbs = [Verb::Resume, Verb::Cancel];
    let ends = [
        // What has failed is not cancelled, so that this one has come in vain.
        "resumed 1; not cancelling: it is failed; ready after resume; 1 claimed, succeeded",
        "resumed 1; cancelled Stopping; undoing after resume, cancel; 1 claimed, cancelled",
    ];
    check(kind, Place::Failed, verbs, &ends).await
}

async fn of_two_who_resume_it_one_does(kind: StoreKind) -> Result<()> {
    let verbs = [Verb::Resume, Verb::Resume];
    let ends = [
        "resumed 1; not resuming: it is ready; ready after resume; 1 claimed, succeeded",
        "not resuming: it is ready; resumed 1; ready after resume; 1 claimed, succeeded",
    ];
    check(kind, Place::Failed, verbs, &ends).await
}

async fn it_is_resumed_or_discarded(kind: StoreKind) -> Result<()> {
    let verbs = [Verb::Resume, Verb::Discard];
    let ends = [
        "resumed 1; not discarding: it is ready; ready after resume; 1 claimed, succeeded",
        "not resuming: it is cancelled; discarded 1; cancelled after discard; 0 claimed, cancelled",
    ];
    check(kind, Place::Failed, verbs, &ends).await
}

async fn of_two_who_cancel_it_in_line_one_does(kind: StoreKind) -> Result<()> {
    let verbs = [Verb::Cancel, Verb::Cancel];
    let ends = [
        "cancelled Now; cancelled Before; cancelled after cancel; 0 claimed, cancelled",
        "cancelled Before; cancelled Now; cancelled after cancel; 0 claimed, cancelled",
    ];
    check(kind, Place::InLine, verbs, &ends).await
}

async fn of_two_who_cancel_it_when_it_was_resumed_both_are_told_that_it_stops(
    kind: StoreKind,
) -> Result<()> {
    let verbs = [Verb::Cancel, Verb::Cancel];
    let stops = "cancelled Stopping; cancelled Stopping";
    // One order and one event, whoever was first.
    let end = format!("{stops}; undoing after resume, cancel; 1 claimed, cancelled");
    check(kind, Place::Resumed, verbs, &[end.as_str()]).await
}
