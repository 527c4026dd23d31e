//! Durable timers: a step sleeps without a worker, and goes on when its time has come, whatever has died meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{
    Cx, Intent, IntentState, Node, Plan, StepResult, StepState, StoreKind, fail, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_step_sleeps_without_a_slot_and_goes_on_when_its_time_has_come;
    a_sleep_of_the_plan_hands_on_what_it_was_given;
    several_sleeps_are_slept_one_after_the_other;
    sleeps_that_are_waited_for_together_end_with_the_longest;
    when_a_sleep_is_over_is_fixed_the_first_time;
    a_sleep_survives_workers_that_die_and_may_take_ten_years;
    a_sleep_that_is_over_stays_over_in_later_attempts;
    other_branches_run_while_one_sleeps;
    a_sleeping_branch_keeps_no_failure_waiting_and_sleeps_on_after_a_resume;
    elements_of_a_map_can_sleep;
    sleeps_and_children_are_waited_for_together;
    a_name_cannot_be_a_sleep_and_a_signal;
    more_names_than_a_step_may_wait_by_are_a_clear_error;
}

const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(3_600);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Trial(u64);

impl Intent for Trial {
    const KIND: &'static str = "trial";
    type Output = u64;
}

async fn nap(cx: Cx<Counter>, trial: Trial) -> StepResult<u64> {
    cx.state().add();
    cx.sleep("a while", SHORT).await?;
    Ok(trial.0)
}

async fn same(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
    cx.state().add();
    Ok(number)
}

/// Brings the end of every sleep nearer, in rows.
async fn let_pass(bench: &Bench, time: Duration) -> Result<()> {
    let earlier = match bench.database.kind {
        StoreKind::Sqlite => format!("due_at - {}", time.as_micros()),
        StoreKind::Postgres => format!("due_at - interval '{} seconds'", time.as_secs()),
    };
    for table in ["@awaited", "@parked", "@step"] {
        let sql = format!("update {table} set due_at = {earlier} where due_at is not null");
        bench.run_sql(&sql).await?;
    }
    Ok(())
}

async fn a_step_sleeps_without_a_slot_and_goes_on_when_its_time_has_come(
    bench: Bench,
) -> Result<()> {
    let runs = Counter::default();
    let worker = bench.worker(runs.clone()).concurrency(1);
    let worker = start(worker.register_step(nap));
    let began = Instant::now();
    let mut handles = Vec::new();
    for number in 0..20 {
        handles.push(bench.intendant.request(Trial(number)).await?);
    }
    for (handle, number) in handles.into_iter().zip(0..) {
        ensure!(handle.output().await? == number);
        let steps = bench.intendant.steps(handle.id()).await?;
        ensure!(steps[0].attempt == 1 && steps[0].state == StepState::Succeeded);
        ensure!(bench.intendant.attempts(handle.id()).await?.is_empty());
    }
    ensure!(began.elapsed() >= SHORT, "it did not sleep");
    ensure!(
        runs.get() == 40,
        "{} runs; each runs again from the top, once",
        runs.get()
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_sleep_of_the_plan_hands_on_what_it_was_given(bench: Bench) -> Result<()> {
    let plan = |trial: &Trial, plan: &mut Plan<Counter>| -> Node<u64> {
        let begun = plan.step("begin", same).input(value(trial.0));
        let pause = plan.sleep("pause", SHORT).after(begun).input(());
        let over = plan.sleep("trial", LONG).after(pause).input(begun);
        plan.step("bill", same).input(over)
    };
    let runs = Counter::default();
    let worker = bench.worker(runs.clone()).register::<Trial, _>(plan);
    let worker = start(worker);
    let handle = bench.intendant.request(Trial(7)).await?;
    let why = bench
        .until(|| async {
            let why = bench.intendant.why(handle.id()).await?.to_string();
            Ok(why.starts_with("`trial` sleeps until ").then_some(why))
        })
        .await?;
    ensure!(why.lines().count() == 1, "{why}");
    bench.reach(handle.id(), IntentState::Waiting).await?;
    bench.check().await?;
    let_pass(&bench, LONG).await?;
    ensure!(handle.output().await? == 7 && runs.get() == 2);
    worker.stop().await?;
    bench.check().await
}

async fn several_sleeps_are_slept_one_after_the_other(bench: Bench) -> Result<()> {
    let thrice = async |cx: Cx<Counter>, trial: Trial| -> StepResult<u64> {
        cx.state().add();
        for name in ["first", "second", "third"] {
            cx.sleep(name, SHORT).await?;
        }
        Ok(trial.0)
    };
    let runs = Counter::default();
    let worker = bench.worker(runs.clone());
    let worker = start(worker.register_step::<Trial, u64, _>(thrice));
    let began = Instant::now();
    let handle = bench.intendant.request(Trial(7)).await?;
    ensure!(handle.output().await? == 7 && runs.get() == 4);
    ensure!(began.elapsed() >= 3 * SHORT);
    worker.stop().await?;
    bench.check().await
}

async fn sleeps_that_are_waited_for_together_end_with_the_longest(bench: Bench) -> Result<()> {
    let both = async |cx: Cx<Counter>, trial: Trial| -> StepResult<u64> {
        cx.state().add();
        let (short, long) = tokio::join!(cx.sleep("short", SHORT), cx.sleep("long", 3 * SHORT));
        short?;
        long?;
        Ok(trial.0)
    };
    let runs = Counter::default();
    let worker = bench.worker(runs.clone());
    let worker = start(worker.register_step::<Trial, u64, _>(both));
    let began = Instant::now();
    let handle = bench.intendant.request(Trial(7)).await?;
    ensure!(handle.output().await? == 7);
    let took = began.elapsed();
    ensure!(took >= 3 * SHORT && runs.get() <= 3, "{took:?}, {runs:?}");
    worker.stop().await?;
    bench.check().await
}

async fn when_a_sleep_is_over_is_fixed_the_first_time(bench: Bench) -> Result<()> {
    // The code that runs later says another time; what the name meant first holds.
    let first = async |cx: Cx<Counter>, trial: Trial| -> StepResult<u64> {
        cx.sleep("a while", LONG).await?;
        Ok(trial.0)
    };
    let later = async |cx: Cx<Counter>, trial: Trial| -> StepResult<u64> {
        cx.state().add();
        cx.sleep("a while", LONG * 1_000).await?;
        Ok(trial.0)
    };
    let runs = Counter::default();
    let worker = bench.worker(runs.clone());
    let worker = start(worker.register_step::<Trial, u64, _>(first));
    let handle = bench.intendant.request(Trial(7)).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    worker.stop().await?;
    let worker = bench.worker(runs.clone());
    let worker = start(worker.register_step::<Trial, u64, _>(later));
    let_pass(&bench, LONG).await?;
    ensure!(handle.output().await? == 7 && runs.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_sleep_survives_workers_that_die_and_may_take_ten_years(bench: Bench) -> Result<()> {
    let years = Duration::from_secs(10 * 365 * 24 * 3600);
    let plan = move |trial: &Trial, plan: &mut Plan<Counter>| -> Node<u64> {
        let begun = plan.step("begin", same).input(value(trial.0));
        // More than that is cut.
        let over = plan.sleep("ten years", years * 5).input(begun);
        plan.step("end", same).input(over)
    };
    let runs = Counter::default();
    let begin = || start(bench.worker(runs.clone()).register::<Trial, _>(plan));
    let handle = bench.intendant.request(Trial(7)).await?;
    for _ in 0..3 {
        let worker = begin();
        bench.reach(handle.id(), IntentState::Waiting).await?;
        worker.kill().await;
    }
    let due = bench.intendant.get(handle.id()).await?.due_at;
    let days = due.map(|due| (due - chrono::Utc::now()).num_days());
    ensure!(
        days.is_some_and(|days| (3_648..=3_650).contains(&days)),
        "{days:?} days"
    );
    bench.check().await?;
    let worker = begin();
    let_pass(&bench, years).await?;
    ensure!(handle.output().await? == 7 && runs.get() == 2);
    worker.stop().await?;
    bench.check().await
}

async fn a_sleep_that_is_over_stays_over_in_later_attempts(bench: Bench) -> Result<()> {
    async fn fickle(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
        cx.sleep("a while", SHORT).await?;
        if cx.state().add() < 3 {
            return Err(std::io::Error::other("a cold start").into());
        }
        Ok(number)
    }
    let plan = |trial: &Trial, plan: &mut Plan<Counter>| -> Node<u64> {
        let soon = Duration::from_millis(2);
        plan.step("fickle", fickle)
            .backoff(soon, soon)
            .input(value(trial.0))
    };
    let runs = Counter::default();
    let worker = bench.worker(runs.clone()).register::<Trial, _>(plan);
    let worker = start(worker);
    let handle = bench.intendant.request(Trial(7)).await?;
    ensure!(handle.output().await? == 7 && runs.get() == 3);
    ensure!(bench.intendant.attempts(handle.id()).await?.len() == 2);
    ensure!(bench.number("select count(*) from @awaited").await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn other_branches_run_while_one_sleeps(bench: Bench) -> Result<()> {
    async fn until_stopped(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
        // Longer than the other branch sleeps: its driver has the intent in hand all the while.
        if cx.state().add() == 1 {
            tokio::time::sleep(SHORT * 4).await;
        }
        Ok(number)
    }
    async fn sum(_: Cx<Counter>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    let plan = |trial: &Trial, plan: &mut Plan<Counter>| -> Node<u64> {
        let busy = plan.step("busy", until_stopped).input(value(trial.0));
        let slept = plan.sleep("nap", SHORT).input(value(100u64));
        plan.step("sum", sum).input((busy, slept))
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Trial, _>(plan));
    let handle = bench.intendant.request(Trial(7)).await?;
    ensure!(handle.output().await? == 107);
    let steps = bench.intendant.steps(handle.id()).await?;
    let finished = |name: &str| {
        let step = steps.iter().find(|step| step.name == name);
        step.and_then(|step| step.finished_at)
    };
    ensure!(finished("nap") < finished("busy"), "{steps:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_sleeping_branch_keeps_no_failure_waiting_and_sleeps_on_after_a_resume(
    bench: Bench,
) -> Result<()> {
    async fn broken_once(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
        match cx.state().add() {
            1 => Err(fail("out of order")),
            _ => Ok(number),
        }
    }
    async fn sum(_: Cx<Counter>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    let plan = |trial: &Trial, plan: &mut Plan<Counter>| -> Node<u64> {
        let slept = plan.sleep("nap", LONG).input(value(100u64));
        // After the sleep has begun.
        let later = plan.sleep("later", SHORT).input(value(trial.0));
        let broken = plan.step("broken", broken_once).input(later);
        plan.step("sum", sum).input((broken, slept))
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Trial, _>(plan));
    let handle = bench.intendant.request(Trial(7)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.failed_step.as_deref() == Some("broken"));
    bench.check().await?;
    bench.intendant.resume(handle.id(), "tests", None).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let why = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(why.starts_with("`nap` sleeps until "), "{why}");
    let_pass(&bench, LONG).await?;
    ensure!(handle.output().await? == 107);
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Numbers(u64);

impl Intent for Numbers {
    const KIND: &'static str = "numbers";
    type Output = Vec<u64>;
}

async fn elements_of_a_map_can_sleep(bench: Bench) -> Result<()> {
    async fn doze(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
        cx.state().add();
        cx.sleep("doze", Duration::from_millis(number)).await?;
        Ok(number)
    }
    let plan = |numbers: &Numbers, plan: &mut Plan<Counter>| -> Node<Vec<u64>> {
        let numbers: Vec<u64> = (1..=numbers.0).collect();
        plan.map("doze", doze).at_most(4).input(value(numbers))
    };
    let runs = Counter::default();
    let worker = bench.worker(runs.clone()).register::<Numbers, _>(plan);
    let worker = start(worker);
    let handle = bench.intendant.request(Numbers(20)).await?;
    ensure!(handle.output().await? == (1..=20).collect::<Vec<u64>>());
    ensure!(runs.get() == 40, "{runs:?}");
    worker.stop().await?;
    bench.check().await
}

async fn sleeps_and_children_are_waited_for_together(bench: Bench) -> Result<()> {
    async fn both(cx: Cx<Counter>, numbers: Numbers) -> StepResult<Vec<u64>> {
        let children = cx.children("trial", (0..numbers.0).map(Trial));
        let (children, slept) = tokio::join!(children, cx.sleep("a while", SHORT));
        slept?;
        Ok(children?.into_iter().collect::<Result<_, _>>()?)
    }
    let runs = Counter::default();
    let worker = bench.worker(runs.clone()).register_step(nap);
    let worker = start(worker.register_step::<Numbers, _, _>(both));
    let handle = bench.intendant.request(Numbers(8)).await?;
    ensure!(handle.output().await? == (0..8).collect::<Vec<u64>>());
    worker.stop().await?;
    bench.check().await
}

async fn a_name_cannot_be_a_sleep_and_a_signal(bench: Bench) -> Result<()> {
    let confused = async |cx: Cx<Counter>, _: Trial| -> StepResult<u64> {
        cx.sleep("a", Duration::from_millis(1)).await?;
        cx.signal::<u64>("a").await
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register_step::<Trial, u64, _>(confused));
    let handle = bench.intendant.request(Trial(7)).await?;
    let error = bench.rest(handle.id()).await?.error.unwrap_or_default();
    let expected = "`a` was a sleep of this step before; give each wait a name of its own";
    ensure!(error == expected, "{error}");
    worker.stop().await?;
    bench.check().await
}

async fn more_names_than_a_step_may_wait_by_are_a_clear_error(bench: Bench) -> Result<()> {
    let restless = async |cx: Cx<Counter>, trial: Trial| -> StepResult<u64> {
        cx.state().add();
        for number in 0..trial.0 {
            cx.sleep(&format!("nap {number}"), Duration::ZERO).await?;
        }
        Ok(trial.0)
    };
    let most = intendant::limits::WAITS_PER_STEP as u64;
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register_step::<Trial, u64, _>(restless));
    let handle = bench.intendant.request(Trial(most)).await?;
    ensure!(handle.output().await? == most);
    let handle = bench.intendant.request(Trial(most + 1)).await?;
    let error = bench.rest(handle.id()).await?.error.unwrap_or_default();
    ensure!(error == "the step has waited by 100 names, which is the limit");
    worker.stop().await?;
    bench.check().await
}
