//! What is recorded twice, as by a tick whose answer was lost and a step that ran again: the first word stands (I6).

use anyhow::{Result, bail, ensure};
use intendant::StoreKind;
use intendant::testing::turns::Tick;
use intendant_tests::scenes::{Scene, play};

use crate::on_both;

on_both! {
    a_result_that_is_on_disk_is_not_written_over;
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
        let steps = scene.processes[0].steps(held.intent()).await?;
        let [step] = steps.as_slice() else {
            bail!("{steps:?}");
        };
        ensure!(step.attempt == 1, "written over: {step:?}");
        Ok(())
    });
    played.await?;
    Ok(())
}
