//! Undo of what succeeded: it stays as it is, and a new intent takes it back.

use anyhow::{Result, ensure};
use intendant::{
    Cx, Error, IntentFilter, IntentId, IntentState, Node, Plan, StepResult, StepState, Undone,
    Verb, fail, value,
};

use crate::support::{Bench, on_both, start};
use crate::undo::{Build, Ledger, begun, hang, make, make_of, states, unmake};

on_both! {
    what_succeeded_is_taken_back_by_a_new_intent_and_stays_as_it_is;
    however_often_it_is_asked_for_it_is_taken_back_once;
    it_waits_for_its_turn_on_the_resources;
    it_goes_by_the_plan_of_the_one_that_it_takes_back;
    an_undo_of_what_succeeded_that_fails_is_resumed;
    past_a_point_of_no_return_what_succeeded_is_not_taken_back;
    all_that_succeeded_and_match_are_taken_back;
}

fn chain(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
    let volume = plan
        .step("volume", make)
        .undo(unmake)
        .input(value(build.server));
    let plain = plan.step("plain", make_of).input(volume);
    plan.step("server", make_of).undo(unmake).input(plain)
}

async fn built(bench: &Bench, server: u64) -> Result<IntentId> {
    let build = bench.intendant.request(Build { server });
    let handle = build.label("team", "billing").await?;
    ensure!(bench.rest(handle.id()).await?.state == IntentState::Succeeded);
    Ok(handle.id())
}

async fn undo(bench: &Bench, id: IntentId) -> Result<IntentId> {
    match bench.intendant.undo(id, "ada", Some("moved")).await? {
        Undone::By(new) => Ok(new),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn detail(bench: &Bench, id: IntentId) -> Result<Vec<String>> {
    let events = bench.intendant.events(id).await?;
    let lines = events.iter().map(|event| {
        let detail = event.detail.as_ref().map(|detail| detail.get().to_owned());
        format!(
            "{} {} {:?} {}",
            event.actor,
            event.verb,
            event.reason,
            detail.unwrap_or_default()
        )
    });
    Ok(lines.collect())
}

async fn what_succeeded_is_taken_back_by_a_new_intent_and_stays_as_it_is(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(chain));
    let id = built(&bench, 1).await?;
    let before = (bench.intendant.get(id).await?, states(&bench, id).await?);
    let preview = bench.intendant.preview(id, &Verb::Undo).await?.to_string();
    ensure!(
        preview.starts_with("takes back server, volume;"),
        "{preview}"
    );
    let new = undo(&bench, id).await?;
    let record = bench.rest(new).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    let lines = ["made volume", "made plain", "made server"];
    let undone = ["undo(server): server", "undo(volume): volume"];
    ensure!(ledger.lines() == [&lines[..], &undone[..]].concat());
    let found = states(&bench, new).await?;
    let expected = [
        ("plain", StepState::Succeeded),
        ("server", StepState::Undone),
        ("undo(server)", StepState::Succeeded),
        ("undo(volume)", StepState::Succeeded),
        ("volume", StepState::Undone),
    ];
    let expected = expected.map(|(name, state)| (name.to_owned(), state));
    ensure!(found == expected, "{found:?}");
    let after = (bench.intendant.get(id).await?, states(&bench, id).await?);
    ensure!(format!("{after:?}") == format!("{before:?}"));
    let old = before.0;
    ensure!(record.input.get() == old.input.get() && record.labels == old.labels);
    ensure!(record.resources == old.resources && record.account == old.account);
    ensure!(record.requested_by.as_deref() == Some("ada") && record.parent_id.is_none());
    let told = detail(&bench, id).await?;
    ensure!(
        told == [format!("ada undo Some(\"moved\") {{\"by\":\"{new}\"}}")],
        "{told:?}"
    );
    let told = detail(&bench, new).await?;
    ensure!(
        told == [format!("ada undo Some(\"moved\") {{\"of\":\"{id}\"}}")],
        "{told:?}"
    );
    worker.stop().await?;
    ensure!(bench.number("select count(*) from @cancel").await? == 0);
    bench.check().await
}

async fn however_often_it_is_asked_for_it_is_taken_back_once(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(chain));
    let id = built(&bench, 1).await?;
    let (one, other) = tokio::join!(undo(&bench, id), undo(&bench, id));
    let (one, other) = (one?, other?);
    ensure!(one == other, "{one} {other}");
    ensure!(bench.rest(one).await?.state == IntentState::Cancelled);
    ensure!(undo(&bench, id).await? == one);
    // What takes back has nothing of its own to take back.
    let twice = bench.intendant.undo(one, "ada", None).await;
    ensure!(matches!(twice, Err(Error::WrongState { .. })), "{twice:?}");
    ensure!(ledger.lines().len() == 5, "{:?}", ledger.lines());
    worker.stop().await?;
    bench.check().await
}

async fn it_waits_for_its_turn_on_the_resources(bench: Bench) -> Result<()> {
    fn hanging(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let volume = plan.step("volume", make).undo(unmake);
        let volume = volume.input(value(build.server));
        plan.step("wait", hang).input(volume)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(hanging));
    ledger.open.notify_one();
    let id = built(&bench, 1).await?;
    let other = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 2).await?;
    let new = undo(&bench, id).await?;
    bench
        .until(|| async {
            let why = bench.intendant.why(new).await?.to_string();
            Ok(why.contains(&other.id().to_string()).then_some(()))
        })
        .await?;
    // It is asked to stop from its beginning: another cancel changes nothing, and it still takes back.
    bench.intendant.cancel(new, "bob", None).await?;
    ensure!(!ledger.lines().iter().any(|line| line.starts_with("undo")));
    ledger.open.notify_one();
    ensure!(bench.rest(new).await?.state == IntentState::Cancelled);
    ensure!(other.state().await? == IntentState::Succeeded);
    ledger.place("undo(volume): volume");
    worker.stop().await?;
    bench.check().await
}

async fn it_goes_by_the_plan_of_the_one_that_it_takes_back(bench: Bench) -> Result<()> {
    fn other(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let server = plan.step("server", make).undo(unmake);
        let server = server.input(value(build.server));
        let volume = plan.step("volume", make_of).undo(unmake).input(server);
        let plain = plan.step("plain", make_of).input(volume);
        plan.step("more", make_of).undo(unmake).input(plain)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(chain));
    let id = built(&bench, 1).await?;
    worker.stop().await?;
    let new = undo(&bench, id).await?;
    let worker = start(bench.worker(ledger.clone()).register(other));
    ensure!(bench.rest(new).await?.state == IntentState::Cancelled);
    let lines = ledger.lines();
    ensure!(
        lines[3..] == ["undo(server): server", "undo(volume): volume"],
        "{lines:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn an_undo_of_what_succeeded_that_fails_is_resumed(bench: Bench) -> Result<()> {
    async fn hard(cx: Cx<Ledger>, _: u64, made: Option<String>) -> StepResult<()> {
        match cx.state().tries.add() {
            1 => Err(fail("the cloud says no")),
            _ => {
                cx.state().note(format!("gone: {made:?}"));
                Ok(())
            }
        }
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let volume = plan.step("volume", make).undo(hard);
        volume.input(value(build.server))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let id = built(&bench, 1).await?;
    let new = undo(&bench, id).await?;
    bench.reach(new, IntentState::Failed).await?;
    let record = bench.intendant.get(new).await?;
    ensure!(
        record.reason.as_deref() == Some("undo failed"),
        "{record:?}"
    );
    // It still holds the server.
    let next = bench.intendant.request(Build { server: 1 }).await?;
    bench.reach(next.id(), IntentState::Blocked).await?;
    ensure!(undo(&bench, id).await? == new);
    bench.intendant.resume(new, "ada", None).await?;
    ensure!(bench.rest(new).await?.state == IntentState::Cancelled);
    ledger.place("gone: Some(\"volume\")");
    next.output().await?;
    worker.stop().await?;
    bench.check().await
}

async fn past_a_point_of_no_return_what_succeeded_is_not_taken_back(bench: Bench) -> Result<()> {
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let volume = plan.step("volume", make).undo(unmake);
        let volume = volume.input(value(build.server));
        plan.step("paid", make_of)
            .point_of_no_return()
            .input(volume)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let id = built(&bench, 1).await?;
    let refused = bench.intendant.undo(id, "ada", None).await;
    ensure!(
        matches!(&refused, Err(Error::PastReturn { step, .. }) if step == "paid"),
        "{refused:?}"
    );
    ensure!(bench.number("select count(*) from @intent").await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn all_that_succeeded_and_match_are_taken_back(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(chain));
    for server in 1..=3 {
        built(&bench, server).await?;
    }
    let all = IntentFilter {
        kind: Some("build".to_owned()),
        ..IntentFilter::default()
    };
    // Only where the filter says so.
    let failed = bench.intendant.count_all(all.clone(), &Verb::Undo).await?;
    ensure!(failed.matched == 0, "{failed:?}");
    let succeeded = IntentFilter {
        state: Some(IntentState::Succeeded),
        ..all
    };
    let batch = bench
        .intendant
        .act_on_all(succeeded, &Verb::Undo, "ada", None)
        .await?;
    ensure!((batch.matched, batch.done) == (3, 3), "{batch:?}");
    bench
        .until(|| async {
            let undone = "select count(*) from @outcome where state = 'cancelled'";
            Ok((bench.number(undone).await? == 3).then_some(()))
        })
        .await?;
    let undos = ledger.lines();
    let undos = undos.iter().filter(|line| line.starts_with("undo("));
    ensure!(undos.count() == 6, "{:?}", ledger.lines());
    worker.stop().await?;
    bench.check().await
}
