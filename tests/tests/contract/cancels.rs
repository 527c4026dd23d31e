//! Cancel: in each state that an intent can be in, with one definite winner against its finishing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cancelled, Cx, Error, Handle, Intent, IntentFilter, IntentId, IntentState, Node, Plan,
    Resources, StepResult, StepState, StoreKind, fail, snooze, value, why::Reason,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    what_has_not_begun_is_cancelled_at_once_and_frees_its_resources;
    a_step_hears_that_its_intent_was_cancelled_and_its_results_are_kept;
    a_step_that_does_not_listen_is_stopped_after_a_grace_time;
    what_waits_for_a_timer_is_cancelled_and_the_timer_is_over;
    past_a_point_of_no_return_a_cancel_is_refused;
    what_has_finished_is_not_cancelled;
    after_a_resume_a_cancel_is_carried_out;
    whoever_takes_over_from_a_dead_worker_carries_a_cancel_on;
    a_result_of_the_steps_own_transaction_is_kept;
    steps_that_wait_for_a_slot_are_not_begun;
    a_cancel_waits_for_a_worker_and_why_says_so;
    every_cancel_has_one_winner_against_finishing_and_claiming;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) holds: Option<String>,
}

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = String;
    fn account(&self) -> Option<&str> {
        Some("acme")
    }
    fn resources(&self) -> Resources {
        let none = Resources::touched("environment", 7);
        let holds = self.holds.iter();
        holds.fold(none, |all, id| all.and_exclusive("server", id))
    }
}

pub(crate) fn job(name: &str) -> Job {
    Job {
        name: name.to_owned(),
        holds: None,
    }
}

fn holding(name: &str) -> Job {
    Job {
        holds: Some("42".to_owned()),
        ..job(name)
    }
}

/// What steps wait for and count.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    pub(crate) begun: Counter,
    pub(crate) done: Counter,
    pub(crate) open: Arc<Notify>,
}

async fn wait(cx: Cx<Gate>, name: String) -> StepResult<String> {
    cx.state().begun.add();
    tokio::select! {
        () = cx.state().open.notified() => {}
        () = cx.cancelled() => return Err(fail("given up")),
    }
    cx.state().done.add();
    Ok(name)
}

async fn note(cx: Cx<Gate>, name: String) -> StepResult<String> {
    cx.state().done.add();
    Ok(name)
}

/// `first` is done at once, `second` waits, `third` comes after it.
fn three(job: &Job, plan: &mut Plan<Gate>) -> Node<String> {
    let first = plan.step("first", note).input(value(job.name.clone()));
    let second = plan.step("second", wait).input(first);
    plan.step("third", note).input(second)
}

pub(crate) async fn begun(bench: &Bench, gate: &Gate, steps: u64) -> Result<()> {
    bench
        .until(|| async { Ok((gate.begun.get() >= steps).then_some(())) })
        .await
}

pub(crate) async fn cancelled(bench: &Bench, id: IntentId) -> Result<()> {
    let record = bench.rest(id).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    let error = record.error.unwrap_or_default();
    ensure!(error.starts_with("cancelled by ada"), "{error}");
    let events = bench.intendant.events(id).await?;
    let cancels: Vec<_> = events
        .iter()
        .filter(|event| event.verb == "cancel")
        .collect();
    ensure!(
        cancels.len() == 1 && cancels[0].actor == "ada",
        "{events:?}"
    );
    let steps = bench.intendant.steps(id).await?;
    let open = |state| matches!(state, StepState::Running | StepState::Waiting);
    ensure!(!steps.iter().any(|step| open(step.state)), "{steps:?}");
    Ok(())
}

async fn what_has_not_begun_is_cancelled_at_once_and_frees_its_resources(
    bench: Bench,
) -> Result<()> {
    let gate = Gate::default();
    // In line for a worker, and not to start before a time.
    let ready = bench.intendant.request(job("ready")).await?;
    let later = bench
        .intendant
        .request(job("later"))
        .start_in(Duration::from_secs(3600));
    let later = later.await?;
    for id in [ready.id(), later.id()] {
        let answer = bench
            .intendant
            .cancel(id, "ada", Some("changed her mind"))
            .await?;
        ensure!(answer == Cancelled::Now, "{answer:?}");
        let record = bench.intendant.get(id).await?;
        ensure!(
            record.started_at.is_none() && record.finished_at.is_some(),
            "{record:?}"
        );
        ensure!(record.error.as_deref() == Some("cancelled by ada: changed her mind"));
        cancelled(&bench, id).await?;
        let answer = bench.intendant.cancel(id, "ada", None).await?;
        ensure!(answer == Cancelled::Before, "{answer:?}");
    }
    ensure!(matches!(ready.output().await, Err(Error::Cancelled { id }) if id == ready.id()));

    // In line behind a holder: who stands behind it moves up.
    let worker = start(bench.worker(gate.clone()).register(three));
    let holder = bench.intendant.request(holding("holder")).await?;
    begun(&bench, &gate, 1).await?;
    let blocked = bench.intendant.request(holding("blocked")).await?;
    bench.reach(blocked.id(), IntentState::Blocked).await?;
    let behind = bench.intendant.request(holding("behind")).await?;
    bench.reach(behind.id(), IntentState::Blocked).await?;
    let answer = bench.intendant.cancel(blocked.id(), "ada", None).await?;
    ensure!(answer == Cancelled::Now, "{answer:?}");
    cancelled(&bench, blocked.id()).await?;
    bench.check().await?;
    gate.open.notify_one();
    ensure!(holder.output().await? == "holder");
    begun(&bench, &gate, 2).await?;
    gate.open.notify_one();
    ensure!(behind.output().await? == "behind");
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn a_step_hears_that_its_intent_was_cancelled_and_its_results_are_kept(
    bench: Bench,
) -> Result<()> {
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register(three));
    let running = bench.intendant.request(holding("a")).await?;
    begun(&bench, &gate, 1).await?;
    let next = bench.intendant.request(holding("b")).await?;
    bench.reach(next.id(), IntentState::Blocked).await?;
    let answer = bench.intendant.cancel(running.id(), "ada", None).await?;
    ensure!(answer == Cancelled::Stopping, "{answer:?}");
    cancelled(&bench, running.id()).await?;
    let steps = bench.intendant.all_steps(running.id()).await?;
    let states: Vec<_> = steps
        .iter()
        .map(|step| (step.name.as_str(), step.state))
        .collect();
    let expected = [
        ("first", StepState::Succeeded),
        ("second", StepState::Failed),
        ("third", StepState::Pending),
    ];
    ensure!(states == expected, "{states:?}");
    // The resource is free, and the next one has it.
    begun(&bench, &gate, 2).await?;
    gate.open.notify_one();
    ensure!(next.output().await? == "b");
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_does_not_listen_is_stopped_after_a_grace_time(bench: Bench) -> Result<()> {
    async fn deaf(cx: Cx<Gate>, job: Job) -> StepResult<String> {
        cx.state().begun.add();
        cx.state().open.notified().await;
        cx.state().done.add();
        Ok(job.name)
    }
    let gate = Gate::default();
    let worker = bench
        .worker(gate.clone())
        .cancel_grace(Duration::from_millis(50));
    let worker = start(worker.register_step(deaf));
    let handle = bench.intendant.request(job("deaf")).await?;
    begun(&bench, &gate, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    cancelled(&bench, handle.id()).await?;
    gate.open.notify_waiters();
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 1 && attempts[0].failure == "cancelled",
        "{attempts:?}"
    );
    let error = &attempts[0].error;
    ensure!(error.contains("what it had done is unknown"), "{error}");
    ensure!(gate.done.get() == 0);
    worker.stop().await?;
    bench.check().await
}

async fn what_waits_for_a_timer_is_cancelled_and_the_timer_is_over(bench: Bench) -> Result<()> {
    async fn sleepy(cx: Cx<Gate>, job: Job) -> StepResult<String> {
        match cx.state().begun.add() {
            1 => Err(snooze(Duration::from_secs(3600))),
            _ => Ok(job.name),
        }
    }
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register_step(sleepy));
    let handle = bench.intendant.request(holding("sleepy")).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let answer = bench.intendant.cancel(handle.id(), "ada", None).await?;
    ensure!(answer == Cancelled::Stopping, "{answer:?}");
    cancelled(&bench, handle.id()).await?;
    ensure!(gate.begun.get() == 1, "it was not begun again");
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn past_a_point_of_no_return_a_cancel_is_refused(bench: Bench) -> Result<()> {
    fn paying(job: &Job, plan: &mut Plan<Gate>) -> Node<String> {
        let first = plan.step("first", wait).input(value(job.name.clone()));
        let pay = plan.step("pay", wait).point_of_no_return().input(first);
        plan.step("after", wait).input(pay)
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Parent;
    impl Intent for Parent {
        const KIND: &'static str = "parent";
        type Output = String;
    }
    async fn ask(cx: Cx<Gate>, _: Parent) -> StepResult<String> {
        cx.child("job", job("paid")).await
    }
    let gate = Gate::default();
    let worker = bench
        .worker(gate.clone())
        .register(paying)
        .register_step(ask);
    let worker = start(worker);
    let parent = bench.intendant.request(Parent).await?;
    begun(&bench, &gate, 1).await?;
    let child = bench.intendant.children(parent.id()).await?[0].id;
    gate.open.notify_one();
    for step in 2..=3 {
        begun(&bench, &gate, step).await?;
        for id in [child, parent.id()] {
            let refused = bench.intendant.cancel(id, "ada", None).await;
            let Err(Error::PastReturn { intent, step, .. }) = &refused else {
                anyhow::bail!("{refused:?}");
            };
            ensure!(*intent == child && step == "pay", "{refused:?}");
            ensure!(refused.is_err_and(|error| error.is_conflict()));
        }
        gate.open.notify_one();
    }
    ensure!(parent.output().await? == "paid");
    for id in [child, parent.id()] {
        ensure!(bench.intendant.events(id).await?.is_empty());
    }
    // Before it, a cancel is as good as any.
    let early = bench.intendant.request(job("early")).await?;
    begun(&bench, &gate, 4).await?;
    bench.intendant.cancel(early.id(), "ada", None).await?;
    cancelled(&bench, early.id()).await?;
    worker.stop().await?;
    bench.check().await
}

async fn what_has_finished_is_not_cancelled(bench: Bench) -> Result<()> {
    async fn run(_: Cx<()>, job: Job) -> StepResult<String> {
        match job.name.as_str() {
            "bad" => Err(fail("broken")),
            _ => Ok(job.name),
        }
    }
    let worker = start(bench.worker(()).register_step(run));
    for (name, state) in [
        ("good", IntentState::Succeeded),
        ("bad", IntentState::Failed),
    ] {
        let handle = bench.intendant.request(job(name)).await?;
        bench.reach(handle.id(), state).await?;
        let refused = bench.intendant.cancel(handle.id(), "ada", None).await;
        let wrong =
            matches!(&refused, Err(Error::WrongState { state: found, .. }) if *found == state);
        ensure!(wrong, "{refused:?}");
        ensure!(bench.intendant.events(handle.id()).await?.is_empty());
    }
    let nobody: IntentId = "00000000-0000-7000-8000-000000000000".parse()?;
    let refused = bench.intendant.cancel(nobody, "ada", None).await;
    ensure!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
    ensure!(bench.intendant.cancel(nobody, "", None).await.is_err());
    worker.stop().await?;
    bench.check().await
}

async fn after_a_resume_a_cancel_is_carried_out(bench: Bench) -> Result<()> {
    async fn run(cx: Cx<Gate>, _: Job) -> StepResult<String> {
        cx.state().begun.add();
        Err(fail("broken"))
    }
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register_step(run));
    let handle = bench.intendant.request(holding("bad")).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    worker.stop().await?;
    bench.intendant.resume(handle.id(), "bob", None).await?;
    let answer = bench.intendant.cancel(handle.id(), "ada", None).await?;
    ensure!(answer == Cancelled::Stopping, "{answer:?}");
    let refused = bench.intendant.resume(handle.id(), "bob", None).await;
    let undoing = IntentState::Undoing;
    ensure!(matches!(refused, Err(Error::WrongState { state, .. }) if state == undoing));
    let worker = start(bench.worker(gate.clone()).register_step(run));
    cancelled(&bench, handle.id()).await?;
    let refused = bench.intendant.resume(handle.id(), "bob", None).await;
    ensure!(
        matches!(refused, Err(Error::WrongState { .. })),
        "{refused:?}"
    );
    ensure!(gate.begun.get() == 1, "nothing ran after the cancel");
    worker.stop().await?;
    bench.check().await
}

async fn whoever_takes_over_from_a_dead_worker_carries_a_cancel_on(bench: Bench) -> Result<()> {
    async fn stuck(cx: Cx<Gate>, job: Job) -> StepResult<String> {
        cx.state().begun.add();
        cx.state().open.notified().await;
        Ok(job.name)
    }
    let gate = Gate::default();
    let doomed = start(bench.worker(gate.clone()).register_step(stuck));
    let handle = bench.intendant.request(holding("stuck")).await?;
    begun(&bench, &gate, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench.reach(handle.id(), IntentState::Undoing).await?;
    doomed.kill().await;
    let worker = start(bench.worker(gate.clone()).register_step(stuck));
    cancelled(&bench, handle.id()).await?;
    ensure!(gate.begun.get() == 1, "it was not begun again");
    worker.stop().await?;
    bench.check().await
}

async fn a_result_of_the_steps_own_transaction_is_kept(bench: Bench) -> Result<()> {
    use intendant::Committed;
    fn plan(job: &Job, plan: &mut Plan<Gate>) -> Node<String> {
        let first = plan.step("first", commit).input(value(job.name.clone()));
        plan.step("second", note).input(first)
    }
    async fn commit(cx: Cx<Gate>, name: String) -> StepResult<Committed<String>> {
        cx.state().begun.add();
        cx.cancelled().await;
        match cx.state().done.get() {
            0 => {
                cx.transaction(async |_: &mut sqlx::SqliteConnection| Ok(name))
                    .await
            }
            _ => {
                cx.transaction(async |_: &mut sqlx::PgConnection| Ok(name))
                    .await
            }
        }
    }
    let gate = Gate::default();
    if bench.database.kind == intendant::StoreKind::Postgres {
        gate.done.add();
    }
    let before = gate.done.get();
    let worker = start(bench.worker(gate.clone()).register(plan));
    let handle = bench.intendant.request(job("kept")).await?;
    begun(&bench, &gate, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    cancelled(&bench, handle.id()).await?;
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(
        steps.len() == 1 && steps[0].state == StepState::Succeeded,
        "{steps:?}"
    );
    ensure!(gate.done.get() == before);
    worker.stop().await?;
    bench.check().await
}

async fn steps_that_wait_for_a_slot_are_not_begun(bench: Bench) -> Result<()> {
    async fn one(cx: Cx<Gate>, job: Job) -> StepResult<String> {
        wait(cx, job.name).await
    }
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).concurrency(1).register_step(one));
    let first = bench.intendant.request(job("first")).await?;
    begun(&bench, &gate, 1).await?;
    let mut others: Vec<Handle<Job>> = Vec::new();
    for _ in 0..3 {
        others.push(bench.intendant.request(job("other")).await?);
    }
    for other in &others {
        bench.intendant.cancel(other.id(), "ada", None).await?;
    }
    for other in &others {
        cancelled(&bench, other.id()).await?;
    }
    gate.open.notify_one();
    ensure!(first.output().await? == "first");
    ensure!(gate.begun.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_waits_for_a_worker_and_why_says_so(bench: Bench) -> Result<()> {
    async fn sleepy(cx: Cx<Gate>, _: Job) -> StepResult<String> {
        cx.state().begun.add();
        Err(snooze(Duration::from_secs(3600)))
    }
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register_step(sleepy));
    let handle = bench.intendant.request(holding("sleepy")).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    worker.stop().await?;
    bench
        .intendant
        .cancel(handle.id(), "ada", Some("wrong size"))
        .await?;
    let again = bench.intendant.cancel(handle.id(), "bob", None).await?;
    ensure!(again == Cancelled::Stopping, "{again:?}");
    for state in [
        handle.state().await?,
        bench.intendant.get(handle.id()).await?.state,
    ] {
        ensure!(state == IntentState::Undoing, "{state}");
    }
    let why = bench.intendant.why(handle.id()).await?;
    ensure!(why.state == IntentState::Undoing);
    ensure!(
        matches!(&why.reasons[1], Reason::NoWorker { .. }),
        "{why:?}"
    );
    let said = why.to_string();
    ensure!(said.starts_with("asked to stop by ada at "), "{said}");
    ensure!(
        said.contains(": wrong size\nno live worker serves queue `default`"),
        "{said}"
    );
    let filter = |state| IntentFilter {
        state: Some(state),
        ..IntentFilter::default()
    };
    ensure!(
        bench
            .intendant
            .list(filter(IntentState::Undoing))
            .await?
            .len()
            == 1
    );
    ensure!(
        bench
            .intendant
            .list(filter(IntentState::Ready))
            .await?
            .is_empty()
    );
    ensure!(bench.intendant.unfinished_on("environment:7").await?.len() == 1);
    let views = bench
        .number("select count(*) from @intents where state = 'undoing'")
        .await?;
    ensure!(views == 1);
    ensure!(bench.number("select count(*) from @intents").await? == 1);
    let worker = start(bench.worker(gate.clone()).register_step(sleepy));
    cancelled(&bench, handle.id()).await?;
    ensure!(bench.number("select count(*) from @cancel").await? == 0);
    worker.stop().await?;
    bench.check().await
}

/// Workers carry short intents out while others cancel them, at all times of their lives. Whatever a cancel is told is
/// what happens.
async fn every_cancel_has_one_winner_against_finishing_and_claiming(bench: Bench) -> Result<()> {
    async fn quick(cx: Cx<Counter>, job: Job) -> StepResult<String> {
        match cx.state().add() % 4 {
            0 if cx.attempt() == 1 => Err(snooze(Duration::from_millis(1))),
            1 => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                Ok(job.name)
            }
            _ => Ok(job.name),
        }
    }
    let workers = [(); 2].map(|()| {
        let worker = bench.worker(Counter::default()).concurrency(8);
        start(worker.register_step(quick))
    });
    let mut tasks = Vec::new();
    for task in 0..4u64 {
        let intendant = bench.intendant.clone();
        tasks.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            // How long an intent takes here, as the answers tell.
            let mut takes = 3_500.0;
            for nth in 0..75u64 {
                let handle = intendant.request(if nth % 3 == 0 { holding("x") } else { job("x") });
                let handle = handle.await?;
                // From at once to after its end.
                let tenths = (nth * 7 + task * 3) % 10;
                tokio::time::sleep(Duration::from_secs_f64(takes * tenths as f64 / 5e6)).await;
                let answer = intendant.cancel(handle.id(), "ada", None).await;
                let change = if answer.is_ok() { 1.15 } else { 0.87 };
                takes = f64::clamp(takes * change, 500.0, 500_000.0);
                answers.push((handle.id(), answer));
            }
            anyhow::Ok(answers)
        }));
    }
    let (mut won, mut lost) = (0, 0);
    for task in tasks {
        for (id, answer) in task.await?? {
            let record = bench.rest(id).await?;
            match answer {
                Ok(Cancelled::Now | Cancelled::Stopping) => {
                    ensure!(record.state == IntentState::Cancelled, "{record:?}");
                    won += 1;
                }
                Err(Error::WrongState { state, .. }) => {
                    ensure!(
                        record.state == state && state == IntentState::Succeeded,
                        "{record:?}"
                    );
                    lost += 1;
                }
                other => anyhow::bail!("{other:?}"),
            }
        }
    }
    ensure!(won > 20 && lost > 5, "{won} won, {lost} lost: no race");
    for worker in workers {
        worker.stop().await?;
    }
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

/// Two who note something of one intent at once have one number each: whoever comes second waits, and takes the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_written_meanwhile_has_a_number_of_its_own_on_postgres() -> Result<()> {
    let bench = Bench::open(StoreKind::Postgres).await?;
    let job = bench.intendant.request(Job {
        name: "a".to_owned(),
        holds: None,
    });
    let id = job.await?.id();
    let pool = sqlx::PgPool::connect(&bench.database.url).await?;
    let mut other = pool.begin().await?;
    let note = "insert into intendant.event (intent_id, seq, at, actor, verb)
                select id, 1, now(), 'ada', 'request' from intendant.intent";
    sqlx::query(note).execute(&mut *other).await?;
    let intendant = bench.intendant.clone();
    let cancel = tokio::spawn(async move { intendant.cancel(id, "bob", None).await });
    bench
        .until(|| async {
            let waiting = bench.number("select count(*) from pg_locks where not granted");
            Ok((waiting.await? > 0).then_some(()))
        })
        .await?;
    other.commit().await?;
    ensure!(cancel.await?? == Cancelled::Now);
    let events = bench.intendant.events(id).await?;
    let told: Vec<_> = events
        .iter()
        .map(|it| (it.seq, it.actor.as_str()))
        .collect();
    ensure!(told == [(1, "ada"), (2, "bob")], "{told:?}");
    pool.close().await;
    bench.check().await
}
