//! Lines that are longer than what is read of them, and who is passed in them.

use anyhow::{Result, ensure};

use crate::circles::{World, blocked, member, one_by_one, worker};
use crate::support::{Bench, on_both, start};

on_both! {
    each_of_a_long_line_has_its_turn_in_order;
    many_readers_go_when_the_writer_before_them_is_done;
    kin_do_not_pass_who_has_waited_for_long;
    who_has_waited_for_long_is_passed_by_those_it_waits_for;
}

/// Far more than are read of a line at a time.
const MANY: i64 = 60;

async fn each_of_a_long_line_has_its_turn_in_order(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let mut handles = Vec::new();
    for at in 0..MANY {
        let next = member(&format!("{at}"), &["a"]);
        handles.push(bench.intendant.request(next).await?);
    }
    for handle in handles {
        handle.output().await?;
    }
    let said = world.said();
    one_by_one(&said)?;
    let entered = said.iter().step_by(2).cloned();
    let asked = (0..MANY).map(|at| format!("{at} in"));
    ensure!(entered.eq(asked), "{said:?}");
    worker.stop().await?;
    bench.check().await
}

/// Behind them stands another writer, whose turn comes when all of them are done.
async fn many_readers_go_when_the_writer_before_them_is_done(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let writer = bench.intendant.request(member("writer", &["a"]).gated());
    let writer = writer.await?;
    world.heard(&bench, "writer waits").await?;
    let mut readers = Vec::new();
    for at in 0..MANY {
        let reader = member(&format!("reader {at}"), &[]).reading("a");
        readers.push(bench.intendant.request(reader).await?);
    }
    blocked(&bench, MANY).await?;
    let last = bench.intendant.request(member("last", &["a"])).await?;
    blocked(&bench, MANY + 1).await?;
    world.gate.open();
    writer.output().await?;
    for reader in readers {
        reader.output().await?;
    }
    last.output().await?;
    let said = world.said();
    let end = said.iter().rev().take(2).collect::<Vec<_>>();
    ensure!(end == ["last out", "last in"], "{said:?}");
    worker.stop().await?;
    bench.check().await
}

/// It stands in two lines, and one of them is free: families that came later would use it one after the other.
async fn kin_do_not_pass_who_has_waited_for_long(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let holder = bench.intendant.request(member("holder", &["q"]).gated());
    let holder = holder.await?;
    world.heard(&bench, "holder waits").await?;
    // Its priority is worth more than the time for which it may be passed.
    let plain = bench.intendant.request(member("plain", &["q", "r"]));
    let plain = plain.priority(5).await?;
    blocked(&bench, 1).await?;
    let family = member("parent", &["p"]).with([member("child", &["r"])]);
    let family = bench.intendant.request(family).await?;
    blocked(&bench, 2).await?;
    world.gate.open();
    holder.output().await?;
    plain.output().await?;
    family.output().await?;
    let said = world.said();
    let at = |what: &str| said.iter().position(|said| said == what);
    ensure!(at("plain out") < at("child in"), "{said:?}");
    worker.stop().await?;
    bench.check().await
}

async fn who_has_waited_for_long_is_passed_by_those_it_waits_for(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let family = member("parent", &["p"]).gated();
    let family = family.with(["one", "two"].map(|name| member(name, &["r"])));
    let family = bench.intendant.request(family).await?;
    world.heard(&bench, "parent waits").await?;
    let plain = bench.intendant.request(member("plain", &["p", "r"]));
    let plain = plain.priority(5).await?;
    blocked(&bench, 1).await?;
    world.gate.open();
    family.output().await?;
    plain.output().await?;
    let said = world.said();
    ensure!(
        said.last().is_some_and(|said| said == "plain out"),
        "{said:?}"
    );
    worker.stop().await?;
    bench.check().await
}
