//! Accounts: the intents of one never stop those of another, and no input is carried out for another account than its own.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Conflicts, Cx, FailureReason, Handle, Intent, IntentId, IntentState, Node, Plan, Relation,
    Resources, Rule, StepResult, value,
};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use crate::support::{Bench, Counter, Gate, Running, on_both, start};

on_both! {
    what_is_of_another_account_is_waited_for_and_not_stopped;
    what_waits_or_has_failed_for_another_account_is_left_alone;
    the_house_may_stop_what_any_account_does;
    an_input_of_another_account_than_its_request_is_not_carried_out;
    an_input_that_is_amended_does_not_become_that_of_another_account;
    a_request_without_account_is_the_house_s_own_and_goes;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Provision {
    account: Option<String>,
    server: u32,
    #[serde(default)]
    fails: bool,
}

impl Intent for Provision {
    const KIND: &'static str = "account.provision";
    type Output = u32;
    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Terminate {
    account: Option<String>,
    server: u32,
}

impl Intent for Terminate {
    const KIND: &'static str = "account.terminate";
    type Output = u32;
    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
    fn conflicts() -> Conflicts {
        Conflicts::default().with(Provision::KIND, Rule::SupersedeAnyway)
    }
}

#[derive(Debug, Clone, Default)]
struct Park {
    gate: Gate,
    terminated: Counter,
}

async fn provision(cx: Cx<Park>, intent: Provision) -> StepResult<u32> {
    cx.state().gate.pass().await;
    if intent.fails {
        return Err(intendant::fail("no such image"));
    }
    Ok(intent.server)
}

fn provision_plan(intent: &Provision, plan: &mut Plan<Park>) -> Node<u32> {
    plan.step("create", provision).input(value(intent.clone()))
}

async fn terminate(cx: Cx<Park>, intent: Terminate) -> StepResult<u32> {
    cx.state().terminated.add();
    Ok(intent.server)
}

fn running(bench: &Bench, park: &Park) -> Running {
    let worker = bench
        .worker(park.clone())
        .cancel_grace(Duration::from_millis(20));
    start(worker.register(provision_plan).register_step(terminate))
}

fn of(account: &str) -> Option<String> {
    (!account.is_empty()).then(|| account.to_owned())
}

fn provisioned(account: &str, server: u32) -> Provision {
    Provision {
        account: of(account),
        server,
        fails: false,
    }
}

async fn terminated(bench: &Bench, account: &str, server: u32) -> Result<Handle<Terminate>> {
    let account = of(account);
    Ok(bench
        .intendant
        .request(Terminate { account, server })
        .await?)
}

async fn nobody_has_asked_it_to_stop(bench: &Bench, id: IntentId) -> Result<()> {
    let events = bench.intendant.events(id).await?;
    ensure!(events.iter().all(|e| e.verb != "cancel"), "{events:?}");
    let links = bench.intendant.links(id).await?;
    let stopped = |relation| relation == Relation::SupersededBy;
    ensure!(links.iter().all(|l| !stopped(l.relation)), "{links:?}");
    Ok(())
}

async fn what_is_of_another_account_is_waited_for_and_not_stopped(bench: Bench) -> Result<()> {
    let park = Park::default();
    let worker = running(&bench, &park);
    let others = bench.intendant.request(provisioned("other", 42)).await?;
    bench.reach(others.id(), IntentState::Running).await?;
    let own = terminated(&bench, "acme", 42).await?;
    bench.reach(own.id(), IntentState::Blocked).await?;
    nobody_has_asked_it_to_stop(&bench, others.id()).await?;
    park.gate.open();
    ensure!(others.output().await? == 42);
    ensure!(own.output().await? == 42);
    nobody_has_asked_it_to_stop(&bench, others.id()).await?;
    worker.stop().await?;
    bench.check().await
}

async fn what_waits_or_has_failed_for_another_account_is_left_alone(bench: Bench) -> Result<()> {
    let park = Park::default();
    let worker = running(&bench, &park);
    // In line behind one of acme's, which acme may stop.
    let first = bench.intendant.request(provisioned("acme", 7)).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let failing = Provision {
        fails: true,
        ..provisioned("other", 7)
    };
    let others = bench.intendant.request(failing).await?;
    bench.reach(others.id(), IntentState::Blocked).await?;
    let own = terminated(&bench, "acme", 7).await?;
    ensure!(bench.rest(first.id()).await?.state == IntentState::Cancelled);
    bench.reach(others.id(), IntentState::Running).await?;
    park.gate.open();
    // It holds what it has when it has failed, and is not discarded either.
    ensure!(bench.rest(others.id()).await?.state == IntentState::Failed);
    bench.reach(own.id(), IntentState::Blocked).await?;
    let late = terminated(&bench, "acme", 7).await?;
    bench.reach(late.id(), IntentState::Blocked).await?;
    nobody_has_asked_it_to_stop(&bench, others.id()).await?;
    ensure!(bench.intendant.state(others.id()).await? == IntentState::Failed);
    bench.intendant.discard(others.id(), "ada", None).await?;
    own.output().await?;
    late.output().await?;
    worker.stop().await?;
    bench.check().await
}

async fn the_house_may_stop_what_any_account_does(bench: Bench) -> Result<()> {
    let park = Park::default();
    let worker = running(&bench, &park);
    let others = bench.intendant.request(provisioned("other", 42)).await?;
    bench.reach(others.id(), IntentState::Running).await?;
    let house = terminated(&bench, "", 42).await?;
    ensure!(house.output().await? == 42);
    ensure!(bench.rest(others.id()).await?.state == IntentState::Cancelled);
    // An account does not stop what is the house's.
    let of_the_house = bench.intendant.request(provisioned("", 42)).await?;
    bench.reach(of_the_house.id(), IntentState::Running).await?;
    let own = terminated(&bench, "acme", 42).await?;
    bench.reach(own.id(), IntentState::Blocked).await?;
    park.gate.open();
    ensure!(of_the_house.output().await? == 42);
    own.output().await?;
    worker.stop().await?;
    bench.check().await
}

async fn an_input_of_another_account_than_its_request_is_not_carried_out(
    bench: Bench,
) -> Result<()> {
    let park = Park::default();
    park.gate.open();
    let worker = running(&bench, &park);
    bench
        .until(|| async { Ok(bench.intendant.kind(Provision::KIND).await.ok()) })
        .await?;
    let input = to_raw_value(&provisioned("other", 1))?;
    // A plan, and a single step, each asked for through HTTP as it were.
    for kind in [Provision::KIND, Terminate::KIND] {
        let asked = bench.intendant.request_by_name(kind, &input);
        let asked = asked.account("acme").await?;
        let record = bench.rest(asked.id()).await?;
        ensure!(record.state == IntentState::Failed, "{record:?}");
        ensure!(
            record.reason.as_deref() == Some(FailureReason::Undecodable.as_str()),
            "{record:?}"
        );
        let said = record.error.unwrap_or_default();
        let expected = "the input is of the account `other`, and the request of `acme`";
        ensure!(said.contains(expected), "{said}");
        let asked = bench.intendant.request_by_name(kind, &input);
        let asked = asked.account("other").await?;
        let record = bench.rest(asked.id()).await?;
        ensure!(record.state == IntentState::Succeeded, "{record:?}");
    }
    ensure!(park.terminated.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn an_input_that_is_amended_does_not_become_that_of_another_account(
    bench: Bench,
) -> Result<()> {
    let park = Park::default();
    park.gate.open();
    let worker = running(&bench, &park);
    let failing = Provision {
        fails: true,
        ..provisioned("acme", 1)
    };
    let handle = bench.intendant.request(failing).await?;
    bench.rest(handle.id()).await?;
    for (account, state) in [
        ("other", IntentState::Failed),
        ("acme", IntentState::Succeeded),
    ] {
        let input = to_raw_value(&provisioned(account, 1))?;
        let amended = bench.intendant.amend_json(handle.id(), &input, "eve", None);
        amended.await?;
        bench.intendant.resume(handle.id(), "eve", None).await?;
        let record = bench.rest(handle.id()).await?;
        ensure!(record.state == state, "{record:?}");
        if state == IntentState::Failed {
            let said = record.error.unwrap_or_default();
            ensure!(said.contains("of the account `other`"), "{said}");
        }
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_request_without_account_is_the_house_s_own_and_goes(bench: Bench) -> Result<()> {
    let park = Park::default();
    park.gate.open();
    let worker = running(&bench, &park);
    bench
        .until(|| async { Ok(bench.intendant.kind(Provision::KIND).await.ok()) })
        .await?;
    let input = to_raw_value(&provisioned("acme", 1))?;
    let asked = bench.intendant.request_by_name(Provision::KIND, &input);
    let record = bench.rest(asked.await?.id()).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    ensure!(record.account.is_none());
    worker.stop().await?;
    bench.check().await
}
