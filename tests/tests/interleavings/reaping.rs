//! A session that has been silent for too long is ended by another process, while its tick records a result and its heart
//! beats (PROTOCOL P2, P6, P7): three transactions. Whoever is first at the session's row decides what the others come to.

use anyhow::{Context as _, Result, bail, ensure};
use intendant::testing::turns::{Heart, Held, Seen, Session, Tick, Ticked};
use intendant::{IntentId, StepState, StoreKind};
use intendant_tests::scenes::{KIND, Scene, play};

use crate::on_both;
use crate::resources::counts;

on_both! {
    a_result_is_on_disk_before_its_session_is_ended_or_its_step_runs_again;
}

/// The fence; then the result, and the commit.
const RECORD: &[&str] = &["result_insert", "commit"];

/// The lock; then what is taken from the session, and the commit.
const REAP: &[&str] = &["session_leases", "commit"];

const TURNS: usize = 3;

const STEP: &str = "pay";

/// What all three have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Its heart has beaten in time: it is not ended, and goes on.
    Lives,
    /// The result is on disk, and the successor knows it.
    Recorded,
    /// The tick was refused: the step is the successor's.
    Again,
}

impl End {
    fn of(ticked: Option<Ticked>, reaped: Option<usize>) -> Result<Self> {
        Ok(match (ticked.is_some(), reaped) {
            (true, None) => Self::Lives,
            (true, Some(1)) => Self::Recorded,
            (false, Some(1)) => Self::Again,
            (false, None) => bail!("it lives, and its tick was refused"),
            (_, Some(suspects)) => bail!("{suspects} suspects of one task"),
        })
    }
}

async fn a_result_is_on_disk_before_its_session_is_ended_or_its_step_runs_again(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let mut ends = Vec::new();
        for place in 0..=2 * TURNS {
            let end = one_order(scene, place).await;
            ends.push(end.with_context(|| format!("the heart beats at {place}"))?);
        }
        Ok(ends)
    });
    let counts = counts(played.await?.into_iter().flatten());
    let sees = [End::Lives, End::Recorded, End::Again];
    ensure!(counts.keys().copied().eq(sees), "{counts:?}");
    println!("{}: {counts:?}", kind.as_str());
    Ok(())
}

/// A worker that has one task in hand, as it was when the reaper last heard its heart.
struct Silent {
    worker: Session,
    heart: Heart,
    seen: Seen,
    held: Held,
}

impl Silent {
    async fn new(scene: &Scene) -> Result<Self> {
        let [reaper, process] = &scene.processes;
        scene.ask(scene.wish("q", &[])).await?;
        let mut worker = Session::open(process).await?;
        let held = worker.tick(scene.claim("q")).await?.held;
        let heart = worker.heart();
        ensure!(heart.beat().await?, "it is ended before anybody ends it");
        Ok(Self {
            seen: worker.seen_by(reaper).await?,
            held: held.into_iter().next().context("nobody was let in")?,
            worker,
            heart,
        })
    }
}

/// The heart beats at this place among the turns of the two others.
async fn one_order(scene: &mut Scene, place: usize) -> Result<End> {
    let silent = Silent::new(scene).await?;
    let id = silent.held.intent();
    let (end, silent) = race(scene, silent, place).await?;
    if end == End::Lives {
        goes_on(scene, silent).await?;
    } else {
        is_taken_over(scene, silent, end).await?;
    }
    scene.all_done(&[id]).await?;
    has_one_result(scene, id, end).await?;
    Ok(end)
}

async fn race(scene: &Scene, silent: Silent, place: usize) -> Result<(End, Silent)> {
    let Silent {
        mut worker,
        heart,
        seen,
        held,
    } = silent;
    let record = Tick::default().record(&held, STEP, 1);
    let records = async move {
        let ticked = worker.try_tick(record).await?;
        Ok((worker, ticked))
    };
    let reaper = scene.processes[0].clone();
    let reaps = async move { Ok(seen.reap(&reaper).await?) };
    let own = heart.clone();
    let beats = async move { Ok(own.beat().await?) };
    let raced = scene.race_of_three((records, RECORD), (reaps, REAP), (beats, place));
    let ((worker, ticked), reaped, lives) = raced.await?;
    let end = End::of(ticked, reaped)?;
    ensure!(lives == (end == End::Lives), "{end:?}, its heart: {lives}");
    let silent = Silent {
        worker,
        heart,
        seen,
        held,
    };
    Ok((end, silent))
}

/// What is in line again, as far as the other process is let in.
async fn suspects(scene: &mut Scene) -> Result<Vec<Held>> {
    let claim = Tick::default().claim_suspect(&scene.name("q"), KIND);
    Ok(scene.session(0).tick(claim).await?.held)
}

/// Nobody else has its task, and it can end it.
async fn goes_on(scene: &mut Scene, silent: Silent) -> Result<()> {
    let Silent {
        mut worker, held, ..
    } = silent;
    let others = suspects(scene).await?;
    ensure!(others.is_empty(), "taken from one that lives: {others:?}");
    worker.tick(Tick::default().succeed(&held)).await?;
    worker.die().await?;
    Ok(())
}

/// It is ended for good, and can write nothing any more; its successor goes on from what is on disk.
async fn is_taken_over(scene: &mut Scene, silent: Silent, end: End) -> Result<()> {
    let Silent {
        mut worker,
        heart,
        seen,
        held,
    } = silent;
    let stale = Tick::default().record(&held, STEP, 1);
    ensure!(worker.try_tick(stale).await?.is_none(), "a stale tick");
    ensure!(!heart.beat().await?, "it beats after its end");
    let twice = seen.reap(&scene.processes[1]).await?;
    ensure!(twice.is_none(), "ended twice: {twice:?}");
    let mut taken = suspects(scene).await?;
    let next = taken.pop().context("nobody has its task")?;
    ensure!(taken.is_empty() && next.intent() == held.intent());
    if end == End::Recorded {
        ensure!(next.results() == [STEP], "{:?}", next.results());
    } else {
        ensure!(next.results().is_empty(), "{:?}", next.results());
        let again = Tick::default().record(&next, STEP, 2);
        scene.session(0).tick(again).await?;
    }
    scene
        .session(0)
        .tick(Tick::default().succeed(&next))
        .await?;
    Ok(())
}

/// One result, of whoever's tick was accepted; and who reads of the intent sees whether it was taken over.
async fn has_one_result(scene: &Scene, id: IntentId, end: End) -> Result<()> {
    let reader = &scene.processes[0];
    let steps = reader.steps(id).await?;
    let attempt = if end == End::Again { 2 } else { 1 };
    let [step] = steps.as_slice() else {
        bail!("{end:?}: {steps:?}");
    };
    ensure!(
        step.state == StepState::Succeeded && step.attempt == attempt,
        "{end:?}: {step:?}"
    );
    let events = reader.events(id).await?;
    let verbs: Vec<&str> = events.iter().map(|event| event.verb.as_str()).collect();
    let expected: &[&str] = match end {
        End::Lives => &[],
        End::Recorded | End::Again => &["take over"],
    };
    ensure!(verbs == expected, "{end:?}: {verbs:?}");
    Ok(())
}
