//! The check on plans with maps, children, their own transactions, steps that run at most once, and points of no return.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use intendant::testing::{Kit, Report};
use intendant::{Committed, Cx, Intent, Node, Plan, Resources, StepResult, value};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;

/// What there is, and how often it was made.
#[derive(Clone, Default)]
struct World(Arc<Mutex<BTreeMap<String, u32>>>);

impl World {
    fn make(&self, thing: impl Into<String>) {
        self.0.lock().unwrap().insert(thing.into(), 1);
    }

    fn count(&self, thing: impl Into<String>) {
        *self.0.lock().unwrap().entry(thing.into()).or_default() += 1;
    }

    fn delete(&self, thing: &str) {
        self.0.lock().unwrap().remove(thing);
    }

    async fn seen(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Serialize, Deserialize)]
struct Fleet {
    servers: u32,
    flawed: bool,
}

impl Intent for Fleet {
    const KIND: &'static str = "fleet";
    type Output = Vec<String>;
    fn resources(&self) -> Resources {
        Resources::exclusive("fleet", 1)
    }
}

/// ```text
/// list ── rack[0], rack[1] … ── network (a child) ── count (in its own transaction)
/// ```
fn fleet(fleet: &Fleet, plan: &mut Plan<World>) -> Node<Vec<String>> {
    let list = plan.step("list", list).input(value(fleet.servers));
    let racked = plan.map("rack", rack).undo(unrack).input(list);
    let network = plan
        .step("network", network)
        .undo(no_network)
        .input((racked, value(fleet.flawed)));
    plan.step("count", count).input(network)
}

async fn list(_: Cx<World>, servers: u32) -> StepResult<Vec<String>> {
    Ok((0..servers).map(|nth| format!("s{nth}")).collect())
}

async fn rack(cx: Cx<World>, server: String) -> StepResult<String> {
    cx.state().make(&server);
    Ok(server)
}

async fn unrack(cx: Cx<World>, server: String, _: Option<String>) -> StepResult<()> {
    cx.state().delete(&server);
    Ok(())
}

/// With the flaw, something is done before the child is waited for: it is done again when the step is taken up again.
async fn network(cx: Cx<World>, (servers, flawed): (Vec<String>, bool)) -> StepResult<Vec<String>> {
    if flawed {
        cx.state().count("cable");
    }
    cx.child("net", Network(servers.len())).await?;
    Ok(servers)
}

async fn no_network(
    cx: Cx<World>,
    _: (Vec<String>, bool),
    _: Option<Vec<String>>,
) -> StepResult<()> {
    cx.state().delete("network");
    cx.state().delete("cable");
    Ok(())
}

async fn count(cx: Cx<World>, servers: Vec<String>) -> StepResult<Committed<Vec<String>>> {
    cx.transaction(async |db: &mut SqliteConnection| {
        sqlx::query("create table if not exists fleet_size (servers integer)")
            .execute(&mut *db)
            .await?;
        let size = i64::try_from(servers.len())?;
        sqlx::query("insert into fleet_size values (?1)")
            .bind(size)
            .execute(&mut *db)
            .await?;
        let rows: i64 = sqlx::query_scalar("select count(*) from fleet_size")
            .fetch_one(&mut *db)
            .await?;
        // What is seen of the table from within is part of the output: written twice, it would be another one.
        Ok(servers.into_iter().chain([rows.to_string()]).collect())
    })
    .await
}

#[derive(Serialize, Deserialize)]
struct Network(usize);

impl Intent for Network {
    const KIND: &'static str = "network";
    type Output = ();
}

async fn lay(cx: Cx<World>, _: Network) -> StepResult<()> {
    cx.state().make("network");
    Ok(())
}

async fn check(flawed: bool) -> Result<Report> {
    let kit = Kit::new(World::default, |worker| {
        worker.register(fleet).register_step(lay)
    });
    let order = || Fleet { servers: 2, flawed };
    let report = kit.check_idempotent(order, async |world: &World| world.seen().await);
    Ok(report.await?)
}

#[tokio::test]
async fn maps_children_and_transactions_are_checked_as_well() -> Result<()> {
    let report = check(false).await?;
    report.assert_clean();
    ensure!(report.cancels > 0 && report.repeats > 6, "{report}");
    Ok(())
}

#[tokio::test]
async fn an_effect_before_a_child_is_waited_for_is_found() -> Result<()> {
    let report = check(true).await?;
    ensure!(!report.is_clean());
    ensure!(report.to_string().contains("world.cable is"), "{report}");
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Sell;

impl Intent for Sell {
    const KIND: &'static str = "sell";
    type Output = ();
}

/// The parcel can be taken back; the money is asked for once, and from then on there is no way back.
fn sell(_: &Sell, plan: &mut Plan<World>) -> Node<()> {
    let packed = plan.step("pack", pack).undo(unpack).input(());
    let charged = plan
        .step("charge", charge)
        .at_most_once()
        .point_of_no_return()
        .input(packed);
    plan.step("send", send).input(charged)
}

async fn pack(cx: Cx<World>, (): ()) -> StepResult<()> {
    cx.state().make("parcel");
    Ok(())
}

async fn unpack(cx: Cx<World>, (): (), _: Option<()>) -> StepResult<()> {
    cx.state().delete("parcel");
    Ok(())
}

async fn charge(cx: Cx<World>, (): ()) -> StepResult<()> {
    cx.state().count("charged");
    Ok(())
}

async fn send(cx: Cx<World>, (): ()) -> StepResult<()> {
    cx.state().make("sent");
    Ok(())
}

#[tokio::test]
async fn what_runs_at_most_once_asks_after_a_crash_and_what_has_no_way_back_goes_on() -> Result<()>
{
    let kit = Kit::new(World::default, |worker| worker.register(sell));
    let report = kit.check_idempotent(|| Sell, async |world: &World| world.seen().await);
    let report = report.await?;
    report.assert_clean();
    ensure!(
        report.asked > 0 && report.crashes > report.asked,
        "{report:?}"
    );
    Ok(())
}
