//! A parent and its children (PROTOCOL P3): the last two finish at the same time; one finishes while the parent parks. One
//! wait row decides.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant::testing::turns::Tick;
use intendant_tests::scenes::{Scene, play};

use crate::on_both;
use crate::resources::counts;

on_both! {
    when_the_last_two_children_finish_together_one_of_them_puts_the_parent_back_in_line;
    when_a_child_finishes_while_its_parent_parks_the_second_of_them_sees_the_other;
}

const FINISH: &[&str] = &[
    "wait_lock",
    "success_insert",
    "wait_arrive",
    "parked_ready",
    "commit",
];
const PARK: &[&str] = &["wait_lock", "wait_set", "parked_insert", "commit"];
const TURNS: usize = 5;

async fn when_the_last_two_children_finish_together_one_of_them_puts_the_parent_back_in_line(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let parent = scene.ask(scene.wish("parent", &[])).await?;
        let held = scene.hold(0, "parent").await?;
        let children = ["one", "other"].map(|who| scene.wish(who, &[]));
        let children = scene
            .has_children(0, &held, children.into(), Some(2))
            .await?;
        let one = scene.hold(0, "one").await?;
        let other = scene.hold(1, "other").await?;
        let finish = |held| (Tick::default().succeed(held), FINISH);
        let [first, second] = scene.race(finish(&one), finish(&other)).await?;
        let readied = [first.readied, second.readied];
        let order = scene.order;
        ensure!(readied.iter().sum::<usize>() == 1, "{order:b}: {readied:?}");
        scene.drain(&["parent"]).await?;
        scene.all_done(&[parent, children[0], children[1]]).await?;
        Ok(readied)
    });
    let counts = counts(played.await?);
    ensure!(counts.len() == 2, "{counts:?}");
    Ok(())
}

async fn when_a_child_finishes_while_its_parent_parks_the_second_of_them_sees_the_other(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let parent = scene.ask(scene.wish("parent", &[])).await?;
        let held = scene.hold(0, "parent").await?;
        let child = scene.wish("child", &[]);
        let children = scene.has_children(0, &held, vec![child], None).await?;
        let child = scene.hold(1, "child").await?;
        let park = (Tick::default().park(&held, 1), PARK);
        let finish = (Tick::default().succeed(&child), FINISH);
        let [parked, finished] = scene.race(park, finish).await?;
        // It was parked, and the child has put it back in line; or the child had finished, and its worker goes on with it.
        let order = scene.order;
        let (stays, readied) = (parked.stays, finished.readied);
        ensure!(stays == (readied == 0), "{order:b}: {stays}, {readied}");
        if stays {
            scene
                .session(0)
                .tick(Tick::default().succeed(&held))
                .await?;
        }
        scene.drain(&["parent"]).await?;
        scene.all_done(&[parent, children[0]]).await?;
        Ok(stays)
    });
    let counts = counts(played.await?);
    ensure!(counts.len() == 2, "{counts:?}");
    Ok(())
}
