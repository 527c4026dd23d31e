//! Two sessions that claim from one queue at the same time (PROTOCOL P1): each task is in the hands of one of them, and none
//! is left behind.

use anyhow::{Result, ensure};
use intendant::testing::turns::{Session, Tick, Ticked, ask};
use intendant::{IntentId, IntentState, StoreKind};
use intendant_tests::scenes::{KIND, Scene, play};

use crate::on_both;
use crate::resources::counts;

on_both! {
    two_that_want_two_of_three_tasks_have_all_of_them;
    of_two_that_want_one_task_one_has_it;
    of_two_that_want_one_suspect_one_has_it;
    two_suspects_go_to_two;
}

/// The fence; then the claim, the lease, and the commit. Which statement claims is up to the database and to what is claimed.
const CLAIM: &[&str] = &[
    "claim_take",
    "claim_take_kind",
    "claim_suspect",
    "lease_insert",
    "commit",
];

const TURNS: usize = 4;

/// What is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tasks {
    Fresh,
    /// A session has been ended that had them in hand.
    Suspects,
}

/// Both claim, in every order: of fresh tasks up to `room`, of suspects one. Returns whose each task was, in the order in
/// which they were asked for.
async fn claims(
    kind: StoreKind,
    (tasks, count): (Tasks, usize),
    room: usize,
) -> Result<Vec<Vec<usize>>> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let wishes = vec![scene.wish("q", &[]); count];
        let asked = ask(&scene.processes[0], wishes).await?;
        if tasks == Tasks::Suspects {
            lose(scene, count).await?;
        }
        let queue = scene.name("q");
        let claim = || match tasks {
            Tasks::Fresh => Tick::default().claim(&queue, KIND, room),
            Tasks::Suspects => Tick::default().claim_suspect(&queue, KIND),
        };
        let ticked = scene.race((claim(), CLAIM), (claim(), CLAIM)).await?;
        carried_out(scene, &asked, &ticked).await
    });
    played.await
}

/// A worker dies with all of them in hand.
async fn lose(scene: &Scene, count: usize) -> Result<()> {
    let mut session = Session::open(&scene.processes[0]).await?;
    let held = session.tick(scene.claim("q")).await?.held;
    ensure!(held.len() == count, "{held:?}");
    session.die().await?;
    Ok(())
}

/// Whoever has a task carries it out; then there is nothing left. Returns whose each was.
async fn carried_out(
    scene: &mut Scene,
    asked: &[IntentId],
    ticked: &[Ticked; 2],
) -> Result<Vec<usize>> {
    let order = scene.order;
    let mut whose = Vec::new();
    for id in asked {
        let has = |ticked: &Ticked| ticked.held.iter().any(|held| held.intent() == *id);
        let [one, other] = [has(&ticked[0]), has(&ticked[1])];
        ensure!(one != other, "{order:b}: {id} in hand: {one}, {other}");
        let state = scene.state(*id).await?;
        ensure!(state == IntentState::Running, "{order:b}: {id} is {state}");
        whose.push(usize::from(other));
    }
    let held: usize = ticked.iter().map(|ticked| ticked.held.len()).sum();
    ensure!(held == asked.len(), "{order:b}: {held} in hand");
    for (which, ticked) in ticked.iter().enumerate() {
        for held in &ticked.held {
            let succeed = Tick::default().succeed(held);
            scene.session(which).tick(succeed).await?;
        }
    }
    let queue = scene.name("q");
    let rest = Tick::default().claim(&queue, KIND, 10);
    let more = scene.session(0).tick(rest).await?.held;
    let suspect = Tick::default().claim_suspect(&queue, KIND);
    let suspects = scene.session(0).tick(suspect).await?.held;
    ensure!(
        more.is_empty() && suspects.is_empty(),
        "{more:?} {suspects:?}"
    );
    scene.all_done(asked).await?;
    Ok(whose)
}

async fn two_that_want_two_of_three_tasks_have_all_of_them(kind: StoreKind) -> Result<()> {
    let played = claims(kind, (Tasks::Fresh, 3), 2).await?;
    let of_first = |whose: Vec<usize>| whose.iter().filter(|which| **which == 0).count();
    // Whoever is second has the one that is left.
    let counts = counts(played.into_iter().map(of_first));
    ensure!(counts.keys().copied().eq([1, 2]), "{counts:?}");
    Ok(())
}

async fn of_two_that_want_one_task_one_has_it(kind: StoreKind) -> Result<()> {
    let counts = counts(claims(kind, (Tasks::Fresh, 1), 10).await?);
    ensure!(counts.keys().eq(&[[0], [1]]), "{counts:?}");
    Ok(())
}

async fn of_two_that_want_one_suspect_one_has_it(kind: StoreKind) -> Result<()> {
    let counts = counts(claims(kind, (Tasks::Suspects, 1), 1).await?);
    ensure!(counts.keys().eq(&[[0], [1]]), "{counts:?}");
    Ok(())
}

async fn two_suspects_go_to_two(kind: StoreKind) -> Result<()> {
    let counts = counts(claims(kind, (Tasks::Suspects, 2), 1).await?);
    ensure!(counts.keys().eq(&[[0, 1], [1, 0]]), "{counts:?}");
    Ok(())
}
