//! Conflict rules: what has failed and keeps its server is taken back for the one that supersedes it; when that fails too,
//! a person is waited for, or not, as the rule says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Conflicts, Cx, Intent, IntentState, Node, Plan, Resources, Rule, StepResult, fail, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    what_has_failed_is_taken_back_and_then_the_other_one_goes;
    after_a_failed_undo_the_other_one_waits_for_a_person;
    a_rule_can_say_that_it_goes_anyway;
    what_fails_while_it_is_taken_back_for_another_one_is_given_up_if_the_rule_says_so;
    what_cannot_be_taken_back_any_more_is_waited_for_unless_the_rule_says_otherwise;
}

macro_rules! on_the_server {
    ($name:ident, $kind:literal, $conflicts:expr) => {
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        struct $name {
            final_step: bool,
            fails: bool,
        }

        impl Intent for $name {
            const KIND: &'static str = $kind;
            type Output = ();
            fn resources(&self) -> Resources {
                Resources::exclusive("server", 1)
            }
            fn conflicts() -> Conflicts {
                $conflicts
            }
        }
    };
}

on_the_server!(Provision, "provision", Conflicts::default());
on_the_server!(
    Terminate,
    "terminate",
    Conflicts::default().with("provision", Rule::Supersede)
);
on_the_server!(
    Seize,
    "seize",
    Conflicts::default().with("provision", Rule::SupersedeAnyway)
);

/// The volume can be deleted only while this is set.
#[derive(Default)]
struct Cloud {
    deletes: AtomicBool,
    volume: AtomicBool,
}

fn provision(intent: &Provision, plan: &mut Plan<Arc<Cloud>>) -> Node<()> {
    let volume = plan.step("volume", make).attempts(1).undo(delete).input(());
    if intent.final_step {
        let sold = plan.step("sell", sell).point_of_no_return().input(volume);
        return plan
            .step("boot", boot)
            .attempts(1)
            .input((sold, value(intent.fails)));
    }
    plan.step("boot", boot)
        .attempts(1)
        .input((volume, value(intent.fails)))
}

async fn make(cx: Cx<Arc<Cloud>>, (): ()) -> StepResult<()> {
    cx.state().volume.store(true, Ordering::SeqCst);
    Ok(())
}

async fn delete(cx: Cx<Arc<Cloud>>, (): (), _: Option<()>) -> StepResult<()> {
    if !cx.state().deletes.load(Ordering::SeqCst) {
        return Err(fail("the volume is in use"));
    }
    cx.state().volume.store(false, Ordering::SeqCst);
    Ok(())
}

async fn sell(_: Cx<Arc<Cloud>>, (): ()) -> StepResult<()> {
    Ok(())
}

async fn boot(cx: Cx<Arc<Cloud>>, ((), fails): ((), bool)) -> StepResult<()> {
    if fails {
        return Err(fail("no capacity"));
    }
    cx.cancelled().await;
    Ok(())
}

async fn terminate(_: Cx<Arc<Cloud>>, _: Terminate) -> StepResult<()> {
    Ok(())
}

async fn seize(_: Cx<Arc<Cloud>>, _: Seize) -> StepResult<()> {
    Ok(())
}

fn worker(bench: &Bench, cloud: &Arc<Cloud>) -> intendant::Worker<Arc<Cloud>> {
    bench
        .worker(cloud.clone())
        .cancel_grace(Duration::from_millis(20))
        .register(provision)
        .register_step(terminate)
        .register_step(seize)
}

fn failing() -> Provision {
    Provision {
        fails: true,
        ..Provision::default()
    }
}

/// Nobody has been told to stop who has not been asked.
async fn all_asked(bench: &Bench) -> Result<()> {
    bench
        .until(|| async {
            let open = "select count(*) from @link where asked_at is null";
            let links = "select count(*) from @link";
            let (open, links) = (bench.number(open).await?, bench.number(links).await?);
            Ok((open == 0 && links > 0).then_some(()))
        })
        .await
}

async fn what_has_failed_is_taken_back_and_then_the_other_one_goes(bench: Bench) -> Result<()> {
    let cloud = Arc::new(Cloud::default());
    cloud.deletes.store(true, Ordering::SeqCst);
    let running = start(worker(&bench, &cloud));
    let old = bench.intendant.request(failing()).await?;
    ensure!(bench.rest(old.id()).await?.state == IntentState::Failed);
    let new = bench.intendant.request(Terminate::default()).await?;
    ensure!(bench.rest(new.id()).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(old.id()).await?.state == IntentState::Cancelled);
    ensure!(
        !cloud.volume.load(Ordering::SeqCst),
        "the volume is left over"
    );
    let events = bench.intendant.events(old.id()).await?;
    ensure!(
        events
            .iter()
            .any(|event| event.actor == "rule" && event.verb == "undo"),
        "{events:?}"
    );
    running.stop().await?;
    bench.check().await
}

async fn after_a_failed_undo_the_other_one_waits_for_a_person(bench: Bench) -> Result<()> {
    let cloud = Arc::new(Cloud::default());
    let running = start(worker(&bench, &cloud));
    let old = bench.intendant.request(failing()).await?;
    ensure!(bench.rest(old.id()).await?.state == IntentState::Failed);
    let new = bench.intendant.request(Terminate::default()).await?;
    bench
        .until(|| async {
            let record = bench.intendant.get(old.id()).await?;
            Ok((record.reason.as_deref() == Some("undo failed")).then_some(()))
        })
        .await?;
    all_asked(&bench).await?;
    ensure!(bench.intendant.state(new.id()).await? == IntentState::Blocked);
    let why = bench.intendant.why(new.id()).await?.to_string();
    ensure!(
        why.contains(&old.id().to_string()) && why.contains("failed"),
        "{why}"
    );
    // A person sees to the volume, and has it taken back.
    cloud.deletes.store(true, Ordering::SeqCst);
    bench
        .intendant
        .resume(old.id(), "ada", Some("it is detached"))
        .await?;
    ensure!(bench.rest(new.id()).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(old.id()).await?.state == IntentState::Cancelled);
    running.stop().await?;
    bench.check().await
}

async fn a_rule_can_say_that_it_goes_anyway(bench: Bench) -> Result<()> {
    let cloud = Arc::new(Cloud::default());
    let running = start(worker(&bench, &cloud));
    let old = bench.intendant.request(failing()).await?;
    ensure!(bench.rest(old.id()).await?.state == IntentState::Failed);
    let new = bench.intendant.request(Seize::default()).await?;
    ensure!(bench.rest(new.id()).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(old.id()).await?.state == IntentState::Cancelled);
    ensure!(
        cloud.volume.load(Ordering::SeqCst),
        "nothing has taken the volume back"
    );
    let verbs: Vec<String> = bench
        .intendant
        .events(old.id())
        .await?
        .into_iter()
        .map(|event| event.verb)
        .collect();
    ensure!(verbs.iter().any(|verb| verb == "discard"), "{verbs:?}");
    running.stop().await?;
    bench.check().await
}

async fn what_fails_while_it_is_taken_back_for_another_one_is_given_up_if_the_rule_says_so(
    bench: Bench,
) -> Result<()> {
    let cloud = Arc::new(Cloud::default());
    let running = start(worker(&bench, &cloud));
    let old = bench.intendant.request(Provision::default()).await?;
    bench
        .until(|| async { Ok(cloud.volume.load(Ordering::SeqCst).then_some(())) })
        .await?;
    let new = bench.intendant.request(Seize::default()).await?;
    ensure!(bench.rest(new.id()).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(old.id()).await?.state == IntentState::Cancelled);
    running.stop().await?;
    bench.check().await
}

async fn what_cannot_be_taken_back_any_more_is_waited_for_unless_the_rule_says_otherwise(
    bench: Bench,
) -> Result<()> {
    let cloud = Arc::new(Cloud::default());
    cloud.deletes.store(true, Ordering::SeqCst);
    let running = start(worker(&bench, &cloud));
    let sold = Provision {
        final_step: true,
        fails: true,
    };
    let old = bench.intendant.request(sold).await?;
    ensure!(bench.rest(old.id()).await?.state == IntentState::Failed);
    let patient = bench.intendant.request(Terminate::default()).await?;
    bench.reach(patient.id(), IntentState::Blocked).await?;
    all_asked(&bench).await?;
    ensure!(bench.intendant.state(old.id()).await? == IntentState::Failed);
    let impatient = bench.intendant.request(Seize::default()).await?;
    // It takes over what the failed one held, and those who stand in line before it go before it.
    ensure!(bench.rest(patient.id()).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(impatient.id()).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(old.id()).await?.state == IntentState::Cancelled);
    running.stop().await?;
    bench.check().await
}
