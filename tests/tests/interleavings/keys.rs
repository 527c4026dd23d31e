//! Two requests with one key, of two processes: one intent, whoever is faster.

use anyhow::{Context as _, Result, ensure};
use intendant::testing::turns::ask;
use intendant::{Error, Intendant, IntentId, StoreKind};
use intendant_tests::scenes::{Scene, play};

use crate::on_both;

on_both! {
    two_requests_with_one_key_are_one_intent;
    of_two_requests_with_one_key_and_different_bodies_one_is_refused;
}

const REQUEST: &[&str] = &["key_claim", "key_read", "request_insert", "commit"];
const TURNS: usize = 4;

type Answer = Result<Vec<IntentId>, Error>;

async fn both(scene: &Scene, bodies: [u8; 2]) -> Result<(Answer, Answer)> {
    let does = bodies.map(|body| {
        let mut wish = scene.wish("q", &[]);
        wish.key = Some((scene.name("key"), body));
        async move |process: Intendant| Ok(ask(&process, vec![wish]).await)
    });
    scene.race_of(does, REQUEST).await
}

async fn two_requests_with_one_key_are_one_intent(kind: StoreKind) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let (one, other) = both(scene, [1, 1]).await?;
        let (one, other) = (one?, other?);
        ensure!(one == other && one.len() == 1, "{one:?} {other:?}");
        let there = scene.hold(0, "q").await?;
        ensure!(there.intent() == one[0], "another one is in line");
        let claim = scene.claim("q");
        let more = scene.session(0).tick(claim).await?.held;
        ensure!(more.is_empty(), "one too many: {more:?}");
        Ok(())
    });
    ensure!(played.await?.len() >= 2 * TURNS);
    Ok(())
}

async fn of_two_requests_with_one_key_and_different_bodies_one_is_refused(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let (one, other) = both(scene, [1, 2]).await?;
        let first = one.is_ok();
        let (won, lost) = if first { (one, other) } else { (other, one) };
        let won = won?[0];
        let error = lost.err().context("both went")?;
        let says = error.to_string();
        ensure!(
            error.is_conflict() && says.contains(&won.to_string()),
            "{says}"
        );
        Ok(first)
    });
    let played = played.await?;
    let first = played.iter().filter(|first| **first).count();
    ensure!(
        first > 0 && first < played.len(),
        "{first} of {}",
        played.len()
    );
    Ok(())
}
