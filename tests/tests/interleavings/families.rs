//! Families at resources (PROTOCOL P5), two ticks: children who share what their parent holds for itself; a failed child
//! whose place another one takes, while somebody else is let in; the two halves of a circle, made by two commits; and who
//! passes a place in line that would hold up for ever.

use anyhow::{Context as _, Result, ensure};
use intendant::testing::turns::{Held, Tick, Wish};
use intendant::{IntentId, StoreKind};
use intendant_tests::scenes::{Scene, play};

use crate::on_both;
use crate::resources::{Became, became, both_ways, counts, one_is_in};

on_both! {
    of_two_children_that_want_what_their_parent_holds_one_goes_first;
    a_child_that_finishes_makes_room_for_its_sibling;
    a_child_that_fails_makes_room_for_its_sibling;
    nobody_gets_between_a_failed_child_and_the_one_in_its_place;
    what_the_one_in_its_place_does_not_want_is_free;
    a_circle_that_two_commits_close_is_told_to_one_of_them;
    of_two_siblings_that_pass_a_place_in_line_one_goes_first;
    who_passes_a_place_in_line_excludes_one_with_a_better_place;
}

const TURNS: usize = 4;

/// The lock and what is there, what comes of it, and the commit. Under the lock nobody changes what is read, so that is one
/// turn here (`resources.rs` has two).
const ADMISSION: &[&str] = &[
    "resource_try",
    "holder_insert",
    "line_insert",
    "ready_insert",
    "commit",
];

/// A parent that holds the server, and two children that want it as well.
async fn covered(scene: &mut Scene) -> Result<[IntentId; 3]> {
    let parent = scene.ask(scene.wish("parent", &["server"])).await?;
    let held = scene.hold(0, "parent").await?;
    let children = ["one", "other"].map(|who| scene.wish(who, &["server"]));
    let children = scene
        .has_children(0, &held, children.into(), Some(2))
        .await?;
    Ok([parent, children[0], children[1]])
}

async fn of_two_children_that_want_what_their_parent_holds_one_goes_first(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let [parent, one, other] = covered(scene).await?;
        let queues = ["one", "other"];
        let became = one_is_in(scene, queues, [one, other], ADMISSION, &["parent"]).await?;
        scene.all_done(&[parent, one, other]).await?;
        Ok(became)
    });
    both_ways(kind, played.await?)
}

async fn a_child_ends(kind: StoreKind, ends: impl Fn(&Held) -> Tick) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let [parent, _, other] = covered(scene).await?;
        let held = scene.hold(0, "one").await?;
        let end = (ends(&held), END);
        let admit = (scene.claim("other"), ADMISSION);
        let [ended, admitted] = scene.race(end, admit).await?;
        let became = became(scene, other, &admitted, &ended).await?;
        ensure!(became != Became::Waits, "{:b}: {became:?}", scene.order);
        for held in &admitted.held {
            scene.session(1).tick(Tick::default().succeed(held)).await?;
        }
        scene.drain(&["other", "parent"]).await?;
        scene.all_done(&[parent, other]).await?;
        Ok(became)
    });
    let counts = counts(played.await?);
    ensure!(counts.contains_key(&Became::In), "{counts:?}");
    ensure!(counts.contains_key(&Became::Woken), "{counts:?}");
    println!("{}: {counts:?}", kind.as_str());
    Ok(())
}

/// The lock; then what is let go of, with the lock of an ancestor by a failure too, and the commit.
const END: &[&str] = &["resource_lock", "holder_free", "holder_uncover", "commit"];

async fn a_child_that_finishes_makes_room_for_its_sibling(kind: StoreKind) -> Result<()> {
    a_child_ends(kind, |held| Tick::default().succeed(held)).await
}

async fn a_child_that_fails_makes_room_for_its_sibling(kind: StoreKind) -> Result<()> {
    a_child_ends(kind, |held| Tick::default().fail(held)).await
}

/// The tick that asks for another child in the place of one that has failed, holding the server; and somebody who is let
/// in at the same time, whom it returns with what became of it.
async fn replaced(scene: &mut Scene, next: Wish) -> Result<([IntentId; 3], Became)> {
    let parent = scene.ask(scene.wish("parent", &[])).await?;
    let held = scene.hold(0, "parent").await?;
    let child = scene.wish("child", &["server"]);
    let failed = scene.has_children(0, &held, vec![child], Some(1)).await?[0];
    let child = scene.hold(0, "child").await?;
    scene.session(0).tick(Tick::default().fail(&child)).await?;
    let held = scene.hold(0, "parent").await?;
    let outsider = scene.ask(scene.wish("outsider", &["server"])).await?;
    let id = scene.session(0).child_id();
    let asks = Tick::default().child(&held, id, next, Some(failed));
    let asks = (asks.park(&held, 2), HAND_OVER);
    let admit = (scene.claim("outsider"), ADMISSION);
    let [asked, admitted] = scene.race(asks, admit).await?;
    // The child that it asks for is put in line, too.
    let others = asked.readied.checked_sub(1).context("no child")?;
    let asked = intendant::testing::turns::Ticked {
        readied: others,
        ..asked
    };
    let became = became(scene, outsider, &admitted, &asked).await?;
    for held in &admitted.held {
        scene.session(1).tick(Tick::default().succeed(held)).await?;
    }
    Ok(([parent, id, outsider], became))
}

const HAND_OVER: &[&str] = &["resource_lock", "holder_hand_over", "commit"];

async fn nobody_gets_between_a_failed_child_and_the_one_in_its_place(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let next = scene.wish("child", &["server"]);
        let (all, became) = replaced(scene, next).await?;
        ensure!(
            matches!(became, Became::Waits | Became::Later),
            "{:b}: {became:?}",
            scene.order
        );
        // It has what the failed one held, without another turn.
        scene.drain(&["child"]).await?;
        scene.all_done(&[all[1]]).await?;
        scene.drain(&["parent", "outsider"]).await?;
        scene.all_done(&all).await?;
        Ok(became)
    });
    both_ways(kind, played.await?)
}

async fn what_the_one_in_its_place_does_not_want_is_free(kind: StoreKind) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let next = scene.wish("child", &["other server"]);
        let (all, became) = replaced(scene, next).await?;
        ensure!(became != Became::Waits, "{:b}: {became:?}", scene.order);
        scene.drain(&["child", "parent", "outsider"]).await?;
        scene.all_done(&all).await?;
        Ok(became)
    });
    let counts = counts(played.await?);
    ensure!(counts.contains_key(&Became::In), "{counts:?}");
    ensure!(counts.contains_key(&Became::Woken), "{counts:?}");
    println!("{}: {counts:?}", kind.as_str());
    Ok(())
}

/// A family whose parent holds one thing and whose child wants another one.
async fn family(
    scene: &mut Scene,
    which: usize,
    [parent, child]: [&str; 2],
    [holds, wants]: [&str; 2],
) -> Result<[IntentId; 2]> {
    let id = scene.ask(scene.wish(parent, &[holds])).await?;
    let held = scene.hold(which, parent).await?;
    let wish = Wish {
        releases: true,
        ..scene.wish(child, &[wants])
    };
    let children = scene.has_children(which, &held, vec![wish], Some(1));
    Ok([id, children.await?[0]])
}

/// The place in line, the look whether that closes a circle, and the commit. Their locks are of two resources.
const INTO_LINE: &[&str] = &["line_insert", "circle_places", "commit"];

async fn a_circle_that_two_commits_close_is_told_to_one_of_them(kind: StoreKind) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let one = family(scene, 0, ["parent", "one"], ["a", "b"]).await?;
        let other = family(scene, 1, ["other parent", "other"], ["b", "a"]).await?;
        let first = (scene.claim("one"), INTO_LINE);
        let second = (scene.claim("other"), INTO_LINE);
        let [first, second] = scene.race(first, second).await?;
        let told: Vec<&Held> = [&first, &second]
            .into_iter()
            .flat_map(|t| &t.held)
            .collect();
        let order = scene.order;
        ensure!(told.len() < 2, "{order:b}: both are told: {told:?}");
        ensure!(told.iter().all(|held| held.unfit().is_some()), "{told:?}");
        let seen = told.len();
        for (which, ticked) in [&first, &second].into_iter().enumerate() {
            for held in &ticked.held {
                scene
                    .session(which)
                    .tick(Tick::default().fail(held))
                    .await?;
            }
        }
        // If neither has seen the other one, whoever looks next has one of them try once more.
        while seen == 0 && !scene.session(0).look().await? {
            tokio::task::yield_now().await;
        }
        let all = ["one", "other", "parent", "other parent"];
        let refused = scene.drain(&all).await?;
        ensure!(refused.len() + seen == 1, "{order:b}: {refused:?}, {seen}");
        scene.all_done(&[one[0], other[0]]).await?;
        Ok(seen)
    });
    let counts = counts(played.await?);
    let sees = match kind {
        StoreKind::Postgres => vec![0, 1],
        // Whoever has the writer second sees what the first has written.
        StoreKind::Sqlite => vec![1],
    };
    ensure!(counts.keys().copied().eq(sees), "{counts:?}");
    println!("{}: seen at once: {counts:?}", kind.as_str());
    Ok(())
}

/// The lock; then the place in line, of which it is found that it would hold up for ever, and the commit.
const PASSING: &[&str] = &["resource_try", "line_insert", "ready_insert", "commit"];

const OTHERS: [&str; 3] = ["parent", "in the way", "other parent"];

/// The child of another family stands in line for r, and waits for what the parent of these holds. Returns parents, and
/// that child.
async fn stands_in_the_way(scene: &mut Scene, children: &[&str]) -> Result<[Vec<IntentId>; 2]> {
    let parent = scene.ask(scene.wish("parent", &["a"])).await?;
    let held = scene.hold(0, "parent").await?;
    let other = scene.ask(scene.wish("other parent", &["q"])).await?;
    let other_held = scene.hold(0, "other parent").await?;
    let wish = scene.wish("in the way", &["a", "r"]);
    let ids = scene.has_children(0, &other_held, vec![wish], Some(1));
    let in_the_way = ids.await?[0];
    let claim = scene.claim("in the way");
    let nobody = scene.session(0).tick(claim).await?.held;
    ensure!(nobody.is_empty(), "{nobody:?} went");
    let wishes = children.iter().map(|who| scene.wish(who, &["r"])).collect();
    let wake_at = i64::try_from(children.len())?;
    let children = scene.has_children(0, &held, wishes, Some(wake_at)).await?;
    Ok([vec![parent, other, in_the_way], children])
}

async fn of_two_siblings_that_pass_a_place_in_line_one_goes_first(kind: StoreKind) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let [others, children] = stands_in_the_way(scene, &["one", "other"]).await?;
        let who = [children[0], children[1]];
        let became = one_is_in(scene, ["one", "other"], who, PASSING, &OTHERS).await?;
        scene.all_done(&children).await?;
        scene.all_done(&others).await?;
        Ok(became)
    });
    both_ways(kind, played.await?)
}

async fn who_passes_a_place_in_line_excludes_one_with_a_better_place(
    kind: StoreKind,
) -> Result<()> {
    let played = play(kind, TURNS, async |scene: &mut Scene| {
        let [others, children] = stands_in_the_way(scene, &["child"]).await?;
        let better = Wish {
            priority: 100,
            ..scene.wish("better", &["r"])
        };
        let better = scene.ask(better).await?;
        let who = [children[0], better];
        let became = one_is_in(scene, ["child", "better"], who, PASSING, &OTHERS).await?;
        scene.all_done(&who).await?;
        scene.all_done(&others).await?;
        Ok(became)
    });
    both_ways(kind, played.await?)
}
