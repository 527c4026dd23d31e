//! Why, among families: whom a child waits for, and whom it passes.

use anyhow::Result;
use expect_test::expect;
use intendant::{Cx, Intent, IntentId, IntentState, Resources, StepResult};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};
use crate::why::{Gate, Op, gate, on_server, plan, told};

on_both! {
    a_sibling_uses_what_their_parent_holds;
    who_is_kin_of_a_holder_does_not_wait_for_those_who_are_not;
}

/// Holds a server of its own while its children work.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Clan {
    server: u64,
    children: Vec<Op>,
}

impl Intent for Clan {
    const KIND: &'static str = "clan";
    type Output = ();
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

async fn gather(cx: Cx<Gate>, clan: Clan) -> StepResult<()> {
    for ended in cx.children("op", clan.children).await? {
        ended?;
    }
    Ok(())
}

async fn children(bench: &Bench, clan: IntentId, many: usize) -> Result<Vec<IntentId>> {
    let children = bench.until(|| async {
        let children = bench.intendant.children(clan).await?;
        Ok((children.len() == many).then_some(children))
    });
    Ok(children.await?.iter().map(|child| child.id).collect())
}

async fn a_sibling_uses_what_their_parent_holds(bench: Bench) -> Result<()> {
    let gate = gate();
    let worker = bench.worker(gate.clone()).name("w1").register(plan);
    let worker = start(worker.register_step(gather));
    let clan = Clan {
        server: 42,
        children: vec![on_server("wait"), on_server("wait"), on_server("wait")],
    };
    let clan = bench.intendant.request(clan).await?.id();
    let kids = children(&bench, clan, 3).await?;
    bench.reach(kids[0], IntentState::Running).await?;
    bench.reach(kids[1], IntentState::Blocked).await?;
    bench.reach(kids[2], IntentState::Blocked).await?;
    let outsider = bench.intendant.request(on_server("pass")).await?.id();
    bench.reach(outsider, IntentState::Blocked).await?;
    let names = [
        ("CLAN", clan),
        ("FIRST", kids[0]),
        ("SECOND", kids[1]),
        ("THIRD", kids[2]),
        ("OUTSIDER", outsider),
    ];
    let told = async |id| told(&bench, id, &names).await;
    // Not their parent, which holds it for them.
    expect!["1st in line for server:42; held by op FIRST (running since TIME)"]
        .assert_eq(&told(kids[1]).await?);
    expect!["2nd in line for server:42; held by op FIRST (running since TIME); before it: op SECOND (blocked, requested TIME)"]
        .assert_eq(&told(kids[2]).await?);
    expect!["3rd in line for server:42; held by clan CLAN (waiting, requested TIME), op FIRST (running since TIME); before it: op SECOND (blocked, requested TIME), op THIRD (blocked, requested TIME)"]
        .assert_eq(&told(outsider).await?);
    gate.add_permits(10);
    bench.rest(outsider).await?;
    worker.stop().await?;
    Ok(())
}

async fn who_is_kin_of_a_holder_does_not_wait_for_those_who_are_not(bench: Bench) -> Result<()> {
    let gate = gate();
    let worker = bench.worker(gate.clone()).name("w1").register(plan);
    let worker = start(worker.register_step(gather));
    let holder = bench.intendant.request(on_server("wait")).await?.id();
    bench.reach(holder, IntentState::Running).await?;
    let outsider = bench.intendant.request(on_server("wait")).await?.id();
    bench.reach(outsider, IntentState::Blocked).await?;
    let mut kids = Vec::new();
    for server in [1, 2] {
        let clan = Clan {
            server,
            children: vec![on_server("pass")],
        };
        let clan = bench.intendant.request(clan).await?.id();
        kids.extend(children(&bench, clan, 1).await?);
        bench
            .reach(kids[kids.len() - 1], IntentState::Blocked)
            .await?;
    }
    let names = [
        ("HOLDER", holder),
        ("OUTSIDER", outsider),
        ("FIRST", kids[0]),
    ];
    let told = async |id| told(&bench, id, &names).await;
    expect!["1st in line for server:42; held by op HOLDER (running since TIME)"]
        .assert_eq(&told(outsider).await?);
    // It does not wait for the one that came before, but for kin of another holder.
    expect!["1st in line for server:42; held by op HOLDER (running since TIME)"]
        .assert_eq(&told(kids[0]).await?);
    expect!["2nd in line for server:42; held by op HOLDER (running since TIME); before it: op FIRST (blocked, requested TIME)"]
        .assert_eq(&told(kids[1]).await?);
    gate.add_permits(1);
    for id in kids.into_iter().chain([outsider]) {
        bench.rest(id).await?;
    }
    worker.stop().await?;
    Ok(())
}
