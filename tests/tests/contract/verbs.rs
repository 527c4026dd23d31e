//! The operator's verbs for one intent: each from the states that allow it, with an event, and what it keeps.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Error, Handle, Intent, IntentId, IntentState, Node, OnFailure, Plan, Resources, StepResult,
    StepState, Undone, Verb, fail, snooze, value,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Bench, on_both, start};
use crate::undo::{Ledger, begun, hang, make_of, states, unmake};

on_both! {
    an_undo_takes_a_failed_intent_back_and_its_failed_children;
    past_a_point_of_no_return_a_failed_intent_is_not_taken_back;
    what_was_taken_back_when_it_failed_begins_anew_with_a_resume;
    a_retry_tries_one_step_at_once;
    a_skipped_step_has_the_output_that_it_was_given;
    a_skip_is_checked_against_the_type_where_it_is_known;
    an_undo_that_cannot_succeed_is_skipped;
    a_discarded_intent_lets_go_and_nothing_is_taken_back;
    an_amended_input_is_kept_as_a_revision_and_seen_by_what_runs_then;
    two_people_who_amend_different_parts_at_once_lose_nothing;
}

/// What it does is in its input, so that fixed code is another input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) server: u64,
    /// `broken` fails as often as this.
    pub(crate) fails: u64,
}

impl Intent for Work {
    const KIND: &'static str = "work";
    type Output = String;
    fn account(&self) -> Option<&str> {
        Some("acme")
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

pub(crate) fn work(fails: u64) -> Work {
    Work { server: 1, fails }
}

/// Says which time round it is.
pub(crate) async fn make(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
    let key = cx.idempotency_key();
    let generation = key.rsplit('/').next().unwrap_or_default();
    let made = format!("{} {generation}", cx.step_name());
    cx.state().note(format!("made {made}"));
    Ok(made)
}

pub(crate) async fn remake(cx: Cx<Ledger>, _: String) -> StepResult<String> {
    make(cx, 0).await
}

pub(crate) async fn broken(cx: Cx<Ledger>, (from, fails): (String, u64)) -> StepResult<String> {
    match cx.state().tries.add() <= fails {
        true => Err(fail("broken")),
        false => Ok(format!("mended after {from}")),
    }
}

pub(crate) fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan
        .step("first", make)
        .undo(unmake)
        .input(value(work.server));
    let side = plan.step("side", remake).undo(unmake).input(first);
    let second = plan.step("second", remake).undo(unmake).input(first);
    let third = plan.step("third", remake).input(second);
    plan.step("broken", broken)
        .after(side)
        .input((third, value(work.fails)))
}

pub(crate) async fn failed(bench: &Bench, work: Work) -> Result<Handle<Work>> {
    let handle = bench.intendant.request(work).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    Ok(handle)
}

pub(crate) async fn verbs(bench: &Bench, id: IntentId) -> Result<Vec<String>> {
    let events = bench.intendant.events(id).await?;
    let verbs = events
        .into_iter()
        .map(|event| format!("{} by {}", event.verb, event.actor));
    Ok(verbs.collect())
}

async fn an_undo_takes_a_failed_intent_back_and_its_failed_children(bench: Bench) -> Result<()> {
    #[derive(Debug, Serialize, Deserialize)]
    struct Parent;
    impl Intent for Parent {
        const KIND: &'static str = "parent";
        type Output = String;
    }
    async fn ask(cx: Cx<Ledger>, _: ()) -> StepResult<String> {
        cx.child("work", work(9)).await
    }
    fn parent(_: &Parent, plan: &mut Plan<Ledger>) -> Node<String> {
        async fn before(cx: Cx<Ledger>, _: String, made: Option<String>) -> StepResult<()> {
            cx.state().note(format!("parent: {made:?}"));
            Ok(())
        }
        async fn root(cx: Cx<Ledger>, name: String) -> StepResult<String> {
            cx.state().note("parent made");
            Ok(name)
        }
        let root = plan.step("root", root).undo(before).input(value("r"));
        plan.step("ask", ask).after(root).input(value(()))
    }
    let ledger = Ledger::new(&bench);
    let worker = bench.worker(ledger.clone()).register(plan).register(parent);
    let worker = start(worker);
    let handle = bench.intendant.request(Parent).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    let child = bench.intendant.children(handle.id()).await?[0].id;
    let direct = bench.intendant.undo(child, "ada", None).await;
    ensure!(
        matches!(direct, Err(Error::ResumeParent { .. })),
        "{direct:?}"
    );
    ensure!(
        bench
            .intendant
            .undo(handle.id(), "ada", Some("enough"))
            .await?
            == Undone::Itself { intents: 2 }
    );
    let twice = bench.intendant.undo(handle.id(), "ada", None).await;
    ensure!(twice.is_err_and(|error| error.is_conflict()));
    for id in [handle.id(), child] {
        let record = bench.rest(id).await?;
        ensure!(record.state == IntentState::Cancelled, "{record:?}");
        ensure!(verbs(&bench, id).await? == ["undo by ada"]);
    }
    let child = ledger.place("undo(first): first 1");
    ensure!(ledger.place("undo(second): second 1") < child);
    ensure!(
        child < ledger.place("parent: Some(\"r\")"),
        "{:?}",
        ledger.lines()
    );
    ensure!(bench.number("select count(*) from @holder").await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn past_a_point_of_no_return_a_failed_intent_is_not_taken_back(bench: Bench) -> Result<()> {
    fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan.step("pay", make).undo(unmake).point_of_no_return();
        let first = first.input(value(work.server));
        plan.step("broken", broken)
            .input((first, value(work.fails)))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(1)).await?;
    let refused = bench.intendant.undo(handle.id(), "ada", None).await;
    let Err(Error::PastReturn { step, .. }) = &refused else {
        anyhow::bail!("{refused:?}");
    };
    ensure!(step == "pay" && handle.state().await? == IntentState::Failed);
    ensure!(
        bench.intendant.events(handle.id()).await?.is_empty(),
        "nothing was done"
    );
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == "mended after pay 1");
    worker.stop().await?;
    bench.check().await
}

async fn what_was_taken_back_when_it_failed_begins_anew_with_a_resume(bench: Bench) -> Result<()> {
    #[derive(Debug, Serialize, Deserialize)]
    struct Tidy(Work);
    impl Intent for Tidy {
        const KIND: &'static str = "tidy";
        const ON_FAILURE: OnFailure = OnFailure::Undo;
        type Output = String;
        fn resources(&self) -> Resources {
            self.0.resources()
        }
    }
    fn tidy(tidy: &Tidy, plan: &mut Plan<Ledger>) -> Node<String> {
        let plain = plan.step("plain", make).input(value(tidy.0.server));
        let first = plan.step("first", remake).undo(unmake).input(plain);
        let second = plan.step("second", remake).input(first);
        plan.step("broken", broken)
            .input((second, value(tidy.0.fails)))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(tidy));
    let handle = bench.intendant.request(Tidy(work(1))).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    let preview = bench
        .intendant
        .preview(handle.id(), &Verb::Resume)
        .await?
        .to_string();
    ensure!(
        preview == "runs first, second, broken; keeps plain",
        "{preview}"
    );
    bench.intendant.resume(handle.id(), "ada", None).await?;
    // What depends on what was taken back is not taken from before.
    ensure!(handle.output().await? == "mended after second 2");
    ensure!(ledger.place("undo(first): first 1") < ledger.place("made first 2"));
    ledger.place("made plain 1");
    worker.stop().await?;
    bench.check().await
}

async fn a_retry_tries_one_step_at_once(bench: Bench) -> Result<()> {
    async fn slow(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        match cx.state().begun.add() {
            1 => Err(std::io::Error::other("not now").into()),
            2 => Err(snooze(Duration::from_secs(3600))),
            _ => Ok(format!("attempt {}", cx.attempt())),
        }
    }
    fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
        let hour = Duration::from_secs(3600);
        let slow = plan
            .step("slow", slow)
            .attempts(2)
            .backoff(hour * 1000, hour * 1000);
        let slow = slow.input(value(work.server));
        plan.step("broken", broken).input((slow, value(work.fails)))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(work(1)).await?;
    let ready = bench
        .intendant
        .retry(handle.id(), "slow", "ada", None)
        .await;
    ensure!(ready.is_err(), "it does not rest");
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let wrong = bench
        .intendant
        .retry(handle.id(), "broken", "ada", None)
        .await;
    ensure!(matches!(wrong, Err(Error::NoStep { .. })), "{wrong:?}");
    // One waits for its retry, then it snoozes.
    bench
        .intendant
        .retry(handle.id(), "slow", "ada", None)
        .await?;
    begun(&bench, &ledger, 2).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    bench
        .intendant
        .retry(handle.id(), "slow", "ada", None)
        .await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    let done = bench
        .intendant
        .retry(handle.id(), "slow", "ada", None)
        .await;
    ensure!(matches!(done, Err(Error::WrongStep { .. })), "{done:?}");
    ensure!(
        handle.state().await? == IntentState::Failed,
        "and nothing was done"
    );
    bench
        .intendant
        .retry(handle.id(), "broken", "ada", None)
        .await?;
    ensure!(handle.output().await? == "mended after attempt 2");
    ensure!(verbs(&bench, handle.id()).await? == ["retry by ada"; 3]);
    worker.stop().await?;
    bench.check().await
}

async fn a_skipped_step_has_the_output_that_it_was_given(bench: Bench) -> Result<()> {
    fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan.step("first", make).input(value(work.server));
        let broken = plan
            .step("broken", broken)
            .input((first, value(work.fails)));
        plan.step("last", hang).input(broken)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(9)).await?;
    let done = bench
        .intendant
        .skip(handle.id(), "first", "x", "ada", None)
        .await;
    ensure!(matches!(done, Err(Error::WrongStep { .. })), "{done:?}");
    bench
        .intendant
        .skip(handle.id(), "broken", "by hand", "ada", None)
        .await?;
    begun(&bench, &ledger, 1).await?;
    ledger.open.notify_one();
    ensure!(handle.output().await? == "by hand");
    let found = states(&bench, handle.id()).await?;
    ensure!(
        found[0] == ("broken".to_owned(), StepState::Skipped),
        "{found:?}"
    );
    ensure!(verbs(&bench, handle.id()).await? == ["skip by ada"]);
    worker.stop().await?;
    bench.check().await
}

async fn a_skip_is_checked_against_the_type_where_it_is_known(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(9)).await?;
    let knowing = bench.worker(ledger.clone()).register(plan);
    let wrong = knowing.skip(handle.id(), "broken", &7, "ada", None).await;
    ensure!(matches!(wrong, Err(Error::Payload { .. })), "{wrong:?}");
    let nobody = knowing.skip(handle.id(), "nobody", "x", "ada", None).await;
    ensure!(matches!(nobody, Err(Error::NoStep { .. })), "{nobody:?}");
    let stranger = bench
        .worker(())
        .skip(handle.id(), "broken", "x", "ada", None)
        .await;
    ensure!(matches!(stranger, Err(Error::Setup(_))), "{stranger:?}");
    ensure!(handle.state().await? == IntentState::Failed);
    knowing
        .skip(handle.id(), "broken", "by hand", "ada", None)
        .await?;
    ensure!(handle.output().await? == "by hand");
    // Unchecked, a wrong one makes the intent fail, and says so.
    let handle = failed(&bench, work(99)).await?;
    bench
        .intendant
        .skip(handle.id(), "broken", &7, "ada", None)
        .await?;
    let error = handle.output().await;
    ensure!(error.is_err(), "{error:?}");
    worker.stop().await?;
    bench.check().await
}

async fn an_undo_that_cannot_succeed_is_skipped(bench: Bench) -> Result<()> {
    async fn never(_: Cx<Ledger>, _: String, _: Option<String>) -> StepResult<()> {
        Err(fail("it is gone already"))
    }
    fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(unmake)
            .input(value(work.server));
        let second = plan.step("second", make_of).undo(never).input(first);
        plan.step("hang", hang).input(second)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(work(0)).await?;
    begun(&bench, &ledger, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    bench
        .intendant
        .skip(handle.id(), "undo(second)", &(), "ada", None)
        .await?;
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    ledger.place("undo(first): first 1");
    let found = states(&bench, handle.id()).await?;
    let second = found.iter().find(|(name, _)| name == "second");
    ensure!(
        second.is_some_and(|(_, state)| *state == StepState::Undone),
        "{found:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_discarded_intent_lets_go_and_nothing_is_taken_back(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(1)).await?;
    let next = bench.intendant.request(work(0)).await?;
    bench.reach(next.id(), IntentState::Blocked).await?;
    let lines = ledger.lines().len();
    let discarded = bench
        .intendant
        .discard(handle.id(), "ada", Some("by hand"))
        .await?;
    ensure!(discarded == 1);
    let record = bench.intendant.get(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled && record.started_at.is_some());
    ensure!(
        record.error.as_deref() == Some("discarded by ada: by hand"),
        "{record:?}"
    );
    ensure!(next.output().await?.starts_with("mended"));
    ensure!(
        !ledger.lines()[lines..]
            .iter()
            .any(|line| line.starts_with("undo"))
    );
    let found = states(&bench, handle.id()).await?;
    ensure!(
        found
            .iter()
            .any(|(_, state)| *state == StepState::Succeeded),
        "{found:?}"
    );
    let twice = bench.intendant.discard(handle.id(), "ada", None).await;
    ensure!(matches!(twice, Err(Error::WrongState { .. })), "{twice:?}");
    let event = &bench.intendant.events(handle.id()).await?[0];
    let detail = event
        .detail
        .as_ref()
        .map(|detail| detail.get())
        .unwrap_or_default();
    ensure!(
        event.verb == "discard" && detail.contains("\"error\":\"broken\""),
        "{detail}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn two_people_who_amend_different_parts_at_once_lose_nothing(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(work(9)).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    let intendant = &bench.intendant;
    let (ada, bob) = (json!({"server": 7}), json!({"fails": 0}));
    let both = tokio::join!(
        intendant.amend_part(handle.id(), &ada, "ada", None),
        intendant.amend_part(handle.id(), &bob, "bob", None),
    );
    both.0?;
    both.1?;
    let input = intendant.get(handle.id()).await?.input;
    let input: Work = serde_json::from_str(input.get())?;
    ensure!((input.server, input.fails) == (7, 0), "{input:?}");
    ensure!(bench.number("select count(*) from @revisions").await? == 2);
    worker.stop().await?;
    bench.check().await
}

async fn an_amended_input_is_kept_as_a_revision_and_seen_by_what_runs_then(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(work(9)).key("one").await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    let other = Work {
        server: 2,
        ..work(0)
    };
    let refused = bench
        .intendant
        .amend(handle.id(), &other, "ada", None)
        .await;
    ensure!(matches!(refused, Err(Error::Amended { .. })), "{refused:?}");
    bench
        .intendant
        .amend(handle.id(), &work(0), "ada", Some("too many"))
        .await?;
    let record = bench.intendant.get(handle.id()).await?;
    ensure!(
        record.input.get().contains("\"fails\":0"),
        "{}",
        record.input
    );
    ensure!(
        bench
            .number("select count(*) from @revisions where actor = 'ada' and seq = 1")
            .await?
            == 1
    );
    // Its key goes with the request as it was.
    ensure!(bench.intendant.request(work(9)).key("one").await?.id() == handle.id());
    ensure!(bench.intendant.request(work(0)).key("one").await.is_err());
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == "mended after third 1");
    let late = bench
        .intendant
        .amend(handle.id(), &work(1), "ada", None)
        .await;
    ensure!(matches!(late, Err(Error::WrongState { .. })), "{late:?}");
    ensure!(verbs(&bench, handle.id()).await? == ["amend by ada", "resume by ada"]);
    worker.stop().await?;
    bench.check().await
}
