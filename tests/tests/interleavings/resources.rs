//! One resource, two ticks (PROTOCOL P5): one intent is let in while another one that holds the resource finishes, or while
//! another one is let in.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use intendant::testing::turns::{Tick, Ticked};
use intendant::{Conflicts, IntentState, Rule, StoreKind};
use intendant_tests::scenes::{KIND, Scene, play};

use crate::on_both;

on_both! {
    whoever_is_let_in_while_the_holder_finishes_sees_it_gone_or_is_put_back_in_line;
    whoever_supersedes_one_that_finishes_just_then_goes_all_the_same;
    of_two_that_are_let_in_at_the_same_time_one_holds_the_resource;
}

/// Claimed; then the locks, what is there, what comes of it, and the commit.
pub(crate) const ADMISSION: &[&str] = &[
    "resource_try",
    "holder_of",
    "holder_insert",
    "line_insert",
    "ready_insert",
    "commit",
];

/// The lock; then what is let go of, who is next, and the commit.
const FINISH: &[&str] = &["resource_lock", "holder_free", "line_front", "commit"];

const TURNS: usize = 5;

/// What became of one that was claimed while a holder finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Became {
    /// It was let in.
    In,
    /// It waited, and whoever finished has put it back in line for a worker.
    Woken,
    /// Somebody was at the resource: it is where it was.
    Later,
    /// It waits.
    Waits,
}

/// What became of whoever was claimed in `admits` while something else happened in `other`.
pub(crate) async fn became(
    scene: &Scene,
    who: intendant::IntentId,
    admits: &Ticked,
    other: &Ticked,
) -> Result<Became> {
    let order = scene.order;
    let state = scene.state(who).await?;
    if admits.held.iter().any(|held| held.intent() == who) {
        ensure!(state == IntentState::Running, "{order:b}: let in, {state}");
        return Ok(Became::In);
    }
    match state {
        IntentState::Blocked => Ok(Became::Waits),
        IntentState::Ready if other.readied > 0 => Ok(Became::Woken),
        IntentState::Ready => Ok(Became::Later),
        state => anyhow::bail!("{order:b}: {state}"),
    }
}

/// How often what came of it.
pub(crate) fn counts<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    all.into_iter().fold(BTreeMap::new(), |mut counts, one| {
        *counts.entry(one).or_default() += 1;
        counts
    })
}

async fn finish_against_admission(kind: StoreKind, supersedes: bool) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let holder = scene.ask(scene.wish("holder", &["server"])).await?;
        let held = scene.hold(0, "holder").await?;
        let next = scene.ask(scene.wish("next", &["server"])).await?;
        let mut claim = scene.claim("next");
        if supersedes {
            claim = claim.rules(KIND, Conflicts::otherwise(Rule::Supersede));
        }
        let finish = Tick::default().succeed(&held);
        let [finished, admitted] = scene.race((finish, FINISH), (claim, ADMISSION)).await?;
        let became = became(scene, next, &admitted, &finished).await?;
        // In, or in line for a worker: never blocked by somebody who is gone.
        ensure!(became != Became::Waits, "{:b}: {became:?}", scene.order);
        for held in &admitted.held {
            scene.session(1).tick(Tick::default().succeed(held)).await?;
        }
        scene.drain(&["next"]).await?;
        scene.all_done(&[holder, next]).await?;
        Ok(became)
    });
    let counts = counts(played.await?);
    let sees = match kind {
        StoreKind::Postgres => vec![Became::In, Became::Woken, Became::Later],
        // Nobody is at anything while somebody else has the writer.
        StoreKind::Sqlite => vec![Became::In, Became::Woken],
    };
    ensure!(counts.keys().copied().eq(sees), "{counts:?}");
    println!("{}: {counts:?}", kind.as_str());
    Ok(())
}

async fn whoever_is_let_in_while_the_holder_finishes_sees_it_gone_or_is_put_back_in_line(
    kind: StoreKind,
) -> Result<()> {
    finish_against_admission(kind, false).await
}

async fn whoever_supersedes_one_that_finishes_just_then_goes_all_the_same(
    kind: StoreKind,
) -> Result<()> {
    finish_against_admission(kind, true).await
}

/// One of the two is in; returns what became of the other one, after all have had their turn.
pub(crate) async fn one_is_in(
    scene: &mut Scene,
    queues: [&str; 2],
    who: [intendant::IntentId; 2],
    before: &'static [&'static str],
    others: &[&str],
) -> Result<Became> {
    let claims = queues.map(|queue| (scene.claim(queue), before));
    let [first, second] = claims;
    let ticked = scene.race(first, second).await?;
    let [one, other] = &ticked;
    let both = [
        became(scene, who[0], one, other).await?,
        became(scene, who[1], other, one).await?,
    ];
    let order = scene.order;
    let inside = both.iter().filter(|became| **became == Became::In).count();
    ensure!(inside == 1, "{order:b}: {both:?}");
    for (which, ticked) in ticked.iter().enumerate() {
        for held in &ticked.held {
            let succeed = Tick::default().succeed(held);
            scene.session(which).tick(succeed).await?;
        }
    }
    scene.drain(&[&queues, others].concat()).await?;
    let [one, other] = both;
    Ok(if one == Became::In { other } else { one })
}

async fn of_two_that_are_let_in_at_the_same_time_one_holds_the_resource(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let one = scene.ask(scene.wish("one", &["server"])).await?;
        let other = scene.ask(scene.wish("other", &["server"])).await?;
        let queues = ["one", "other"];
        let became = one_is_in(scene, queues, [one, other], ADMISSION, &[]).await?;
        scene.all_done(&[one, other]).await?;
        Ok(became)
    });
    both_ways(kind, played.await?)
}

/// Who is not let in waits, or, on PostgreSQL, has found somebody at the resource.
pub(crate) fn both_ways(kind: StoreKind, played: Vec<Became>) -> Result<()> {
    let counts = counts(played);
    let sees = match kind {
        StoreKind::Postgres => vec![Became::Later, Became::Waits],
        StoreKind::Sqlite => vec![Became::Waits],
    };
    ensure!(counts.keys().copied().eq(sees), "{counts:?}");
    println!("{}: {counts:?}", kind.as_str());
    Ok(())
}
