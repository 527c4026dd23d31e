//! What is recorded twice, as by a tick whose answer was lost and a step that ran again: the first word stands (I6).

use anyhow::{Result, bail, ensure};
use intendant::StoreKind;
use intendant::testing::turns::{Held, Tick};
use intendant_tests::scenes::{Scene, play};

use crate::on_both;

on_both! {
    a_result_that_is_on_disk_is_not_written_over;
    a_steps_own_transaction_is_refused_where_its_result_is_on_disk;
}

const STEP: &str = "pay";

async fn a_result_that_is_on_disk_is_not_written_over(kind: StoreKind) -> Result<()> {
    let played = play(kind, 1, async |scene: &mut Scene| {
        scene.ask(scene.wish("q", &[])).await?;
        let held = scene.hold(0, "q").await?;
        let record = Tick::default().record(&held, STEP, 1);
        scene.session(0).tick(record).await?;
        let again = Tick::default().record_again(&held, STEP, 2);
        scene.session(0).tick(again).await?;
        scene
            .session(0)
            .tick(Tick::default().succeed(&held))
            .await?;
        by_the_first_attempt(scene, &held).await
    });
    played.await?;
    Ok(())
}

/// Whatever it has written is not written twice.
async fn a_steps_own_transaction_is_refused_where_its_result_is_on_disk(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, 1, async |scene: &mut Scene| {
        scene.ask(scene.wish("q", &[])).await?;
        let held = scene.hold(0, "q").await?;
        let begun = Tick::default().record(&held, "before", 1);
        scene.session(0).tick(begun).await?;
        ensure!(scene.session(0).record_own(&held, STEP, 1).await?);
        ensure!(!scene.session(0).record_own(&held, STEP, 2).await?, "twice");
        scene
            .session(0)
            .tick(Tick::default().succeed(&held))
            .await?;
        by_the_first_attempt(scene, &held).await
    });
    played.await?;
    Ok(())
}

async fn by_the_first_attempt(scene: &Scene, held: &Held) -> Result<()> {
    let steps = scene.processes[0].steps(held.intent()).await?;
    let Some(step) = steps.iter().find(|step| step.name == STEP) else {
        bail!("{steps:?}");
    };
    ensure!(step.attempt == 1, "written over: {step:?}");
    Ok(())
}
