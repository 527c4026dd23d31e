//! Alerts: each is raised once, says what it is about, and is resolved when its cause is gone.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Alert, AlertFilter, AlertKind, Cx, Intent, IntentId, IntentState, Node, Plan, StepResult,
    StoreKind, Watch, Which, Worker, snooze, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_late_intent_goes_on_and_its_alert_resolves_itself;
    a_deadline_is_the_request_s_or_the_kind_s;
    a_deadline_that_is_met_raises_nothing_and_leaves_nothing;
    a_failed_intent_is_late_until_it_has_succeeded_after_all;
    a_late_step_has_an_alert_until_it_is_done;
    a_step_that_runs_far_longer_than_usual_has_an_alert_until_it_ends;
    a_queue_whose_oldest_task_is_too_old_has_an_alert_until_it_is_claimed;
    tasks_that_nobody_serves_have_an_alert_until_somebody_does;
    what_a_dead_worker_has_left_has_an_alert_if_nobody_serves_it;
    a_worker_that_is_gone_has_an_alert_until_one_takes_its_place;
    workers_take_turns_and_raise_each_alert_once;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Build {
    number: u64,
}

impl Intent for Build {
    const KIND: &'static str = "build";
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Urgent {}

impl Intent for Urgent {
    const KIND: &'static str = "urgent";
    const DEADLINE: Option<Duration> = Some(Duration::from_secs(3_600));
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mail {}

impl Intent for Mail {
    const KIND: &'static str = "mail.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;
}

/// Not ready before the counter says so.
async fn gated(cx: Cx<Counter>, _: Build) -> StepResult<u64> {
    match cx.state().get() {
        0 => Err(snooze(Duration::from_millis(20))),
        n => Ok(n),
    }
}

fn watch() -> Watch {
    Watch::default().every(Duration::ZERO)
}

fn hourly() -> Duration {
    Duration::from_secs(3_600)
}

/// Lets an hour pass in these columns.
fn an_hour_ago(bench: &Bench, table: &str, columns: &[&str]) -> String {
    let hour = match bench.database.kind {
        StoreKind::Sqlite => "3600000000",
        StoreKind::Postgres => "interval '1 hour'",
    };
    let columns = columns
        .iter()
        .map(|column| format!("{column} = {column} - {hour}"));
    let columns: Vec<_> = columns.collect();
    format!("update @{table} set {}", columns.join(", "))
}

impl Bench {
    fn watching<S: Send + Sync + 'static>(&self, state: S) -> Worker<S> {
        self.worker(state).watch(watch())
    }

    async fn open_alerts(&self) -> Result<Vec<Alert>> {
        Ok(self.intendant.alerts(AlertFilter::default()).await?)
    }

    /// Waits for an open alert of this kind.
    async fn raised(&self, kind: AlertKind) -> Result<Alert> {
        self.until(|| async move {
            let open = self.open_alerts().await?;
            Ok(open.into_iter().find(|alert| alert.kind == kind))
        })
        .await
    }

    /// Waits until no alert of this kind is open, and returns how many there have been.
    async fn resolved(&self, kind: AlertKind) -> Result<usize> {
        let filter = AlertFilter {
            which: Which::All,
            kind: Some(kind),
            ..AlertFilter::default()
        };
        self.until(|| {
            let filter = filter.clone();
            async move {
                let all = self.intendant.alerts(filter).await?;
                let open = all.iter().any(|alert| alert.resolved_at.is_none());
                Ok((!open).then_some(all.len()))
            }
        })
        .await
    }

    /// Waits until somebody has looked twice from now on.
    async fn looked_at(&self) -> Result<()> {
        for _ in 0..2 {
            let at = "select cast(max(at) as text) from @turn where duty = 'look'";
            let before = self.text(at).await?;
            self.until(|| async { Ok((self.text(at).await? != before).then_some(())) })
                .await?;
        }
        Ok(())
    }

    async fn text(&self, sql: &str) -> Result<String> {
        Ok(match self.database.kind {
            StoreKind::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&self.database.url).await?;
                let sql = sqlx::AssertSqlSafe(sql.replace('@', "intendant_"));
                let text = sqlx::query_scalar(sql).fetch_one(&pool).await;
                pool.close().await;
                text?
            }
            StoreKind::Postgres => {
                let pool = sqlx::PgPool::connect(&self.database.url).await?;
                let sql = sqlx::AssertSqlSafe(sql.replace('@', "intendant."));
                let text = sqlx::query_scalar(sql).fetch_one(&pool).await;
                pool.close().await;
                text?
            }
        })
    }
}

async fn a_late_intent_goes_on_and_its_alert_resolves_itself(bench: Bench) -> Result<()> {
    let gate = Counter::default();
    let worker = start(bench.watching(gate.clone()).register_step(gated));
    let late = bench.intendant.request(Build { number: 1 });
    let late = late.deadline_in(Duration::from_millis(50)).await?;
    let alert = bench.raised(AlertKind::IntentDeadline).await?;
    ensure!(
        alert.intent == Some(late.id()) && alert.intent_kind.as_deref() == Some("build"),
        "{alert:?}"
    );
    ensure!(
        alert.text.starts_with("`build` was to be done by ") && alert.since <= alert.raised_at,
        "{alert:?}"
    );
    ensure!(!late.state().await?.is_finished());
    gate.add();
    late.output().await?;
    ensure!(bench.resolved(AlertKind::IntentDeadline).await? == 1);
    ensure!(bench.number("select count(*) from @deadline").await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn a_deadline_is_the_request_s_or_the_kind_s(bench: Bench) -> Result<()> {
    let due = match bench.database.kind {
        StoreKind::Sqlite => "(d.due_at - i.requested_at) / 1000000",
        StoreKind::Postgres => "extract(epoch from d.due_at - i.requested_at)::bigint",
    };
    let due_in = async |id: IntentId| {
        let sql = format!(
            "select {due} from @deadline d join @intent i on i.id = d.intent_id where i.id = '{id}'"
        );
        bench.number(&sql).await
    };
    let kind_s = bench.intendant.request(Urgent {}).await?;
    ensure!(due_in(kind_s.id()).await? == 3_600);
    let own = bench.intendant.request(Urgent {});
    let own = own.deadline_in(Duration::from_secs(60)).await?;
    ensure!(due_in(own.id()).await? == 60);
    // Counted from when it may start.
    let later = bench
        .intendant
        .request(Urgent {})
        .start_in(hourly())
        .await?;
    ensure!(due_in(later.id()).await? == 7_200);
    let none = bench.intendant.request(Build { number: 1 }).await?;
    ensure!(bench.number("select count(*) from @deadline").await? == 3);
    let tomorrow = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let at = bench.intendant.request(Build { number: 2 });
    let at = at.deadline_at(tomorrow).await?;
    let seconds = due_in(at.id()).await?;
    ensure!((86_000..=86_400).contains(&seconds), "{seconds}");
    let far = bench.intendant.request(Build { number: 3 });
    let error = far.deadline_in(Duration::from_secs(400_000_000)).await;
    let error = error.unwrap_err().to_string();
    ensure!(error.contains("the deadline"), "{error}");
    ensure!(none.state().await? == IntentState::Ready);
    Ok(())
}

async fn a_deadline_that_is_met_raises_nothing_and_leaves_nothing(bench: Bench) -> Result<()> {
    let gate = Counter::default();
    gate.add();
    let worker = start(bench.watching(gate).register_step(gated));
    let intent = bench.intendant.request(Build { number: 1 });
    let intent = intent.deadline_in(hourly()).await?;
    intent.output().await?;
    bench
        .run_sql(&an_hour_ago(&bench, "deadline", &["due_at"]))
        .await?;
    bench
        .until(|| async {
            let left = bench.number("select count(*) from @deadline").await?;
            Ok((left == 0).then_some(()))
        })
        .await?;
    bench.looked_at().await?;
    ensure!(bench.resolved(AlertKind::IntentDeadline).await? == 0);
    worker.stop().await?;
    Ok(())
}

async fn a_failed_intent_is_late_until_it_has_succeeded_after_all(bench: Bench) -> Result<()> {
    let gate = Counter::default();
    let step = async |cx: Cx<Counter>, _: Build| -> StepResult<u64> {
        match cx.state().get() {
            0 => Err(intendant::fail("broken")),
            n => Ok(n),
        }
    };
    let worker = start(
        bench
            .watching(gate.clone())
            .register_step::<Build, u64, _>(step),
    );
    let intent = bench.intendant.request(Build { number: 1 });
    let intent = intent.deadline_in(hourly()).await?;
    bench.rest(intent.id()).await?;
    bench
        .run_sql(&an_hour_ago(&bench, "deadline", &["due_at"]))
        .await?;
    bench.raised(AlertKind::IntentDeadline).await?;
    bench.looked_at().await?;
    ensure!(bench.open_alerts().await?.len() == 1);
    gate.add();
    bench.intendant.resume(intent.id(), "ada", None).await?;
    intent.output().await?;
    ensure!(bench.resolved(AlertKind::IntentDeadline).await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_late_step_has_an_alert_until_it_is_done(bench: Bench) -> Result<()> {
    let gate = Counter::default();
    let plan = |build: &Build, plan: &mut Plan<Counter>| -> Node<u64> {
        let first = plan.step("first", gated).input(value(build.clone()));
        plan.step(
            "second",
            async |cx: Cx<Counter>, _: u64| -> StepResult<u64> {
                match cx.state().get() {
                    1 => Err(snooze(Duration::from_millis(20))),
                    n => Ok(n),
                }
            },
        )
        .deadline(Duration::from_millis(50))
        .input(first)
    };
    let worker = start(bench.watching(gate.clone()).register::<Build, _>(plan));
    let intent = bench.intendant.request(Build { number: 1 }).await?;
    // Counted from when it is ready: not while the first one is not done.
    bench.looked_at().await?;
    ensure!(bench.open_alerts().await?.is_empty());
    gate.add();
    let alert = bench.raised(AlertKind::StepDeadline).await?;
    ensure!(
        alert.step.as_deref() == Some("second") && alert.intent == Some(intent.id()),
        "{alert:?}"
    );
    ensure!(
        alert
            .text
            .starts_with("step `second` of `build` was to be done by "),
        "{alert:?}"
    );
    bench.looked_at().await?;
    gate.add();
    intent.output().await?;
    ensure!(bench.resolved(AlertKind::StepDeadline).await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_runs_far_longer_than_usual_has_an_alert_until_it_ends(
    bench: Bench,
) -> Result<()> {
    let gate = Counter::default();
    let step = async |cx: Cx<Counter>, build: Build| -> StepResult<u64> {
        while build.number == 0 && cx.state().get() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(build.number)
    };
    let watch = watch().slow_step(Duration::from_millis(300), 3);
    let worker = bench.worker(gate.clone()).watch(watch);
    let worker = start(worker.register_step::<Build, u64, _>(step));
    let slow = bench.intendant.request(Build { number: 0 }).await?;
    bench.looked_at().await?;
    // Nothing is known of what is usual yet, so nothing is said.
    ensure!(bench.resolved(AlertKind::SlowStep).await? == 0);
    let usual = bench
        .intendant
        .request_all((1..=20).map(|number| Build { number }));
    for id in usual.await? {
        bench.rest(id).await?;
    }
    let alert = bench.raised(AlertKind::SlowStep).await?;
    ensure!(
        alert.intent == Some(slow.id()) && alert.step.as_deref() == Some("run"),
        "{alert:?}"
    );
    ensure!(
        alert.text.contains("has been running for") && alert.worker.is_some(),
        "{alert:?}"
    );
    bench.looked_at().await?;
    gate.add();
    slow.output().await?;
    ensure!(bench.resolved(AlertKind::SlowStep).await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_queue_whose_oldest_task_is_too_old_has_an_alert_until_it_is_claimed(
    bench: Bench,
) -> Result<()> {
    let gate = Counter::default();
    let step = async |cx: Cx<Counter>, _: Build| -> StepResult<u64> {
        while cx.state().get() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(1)
    };
    let worker = bench.watching(gate.clone()).concurrency(1);
    let worker = start(worker.register_step::<Build, u64, _>(step));
    let first = bench.intendant.request(Build { number: 0 }).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let waiting = bench
        .intendant
        .request_all((1..=3).map(|number| Build { number }));
    let waiting = waiting.await?;
    bench.looked_at().await?;
    ensure!(bench.open_alerts().await?.is_empty());
    // Its record stays as it is, and with it I7: only what the look reads.
    let late = an_hour_ago(&bench, "intent", &["requested_at"]);
    bench
        .run_sql(&format!("{late} where id = '{}'", waiting[1]))
        .await?;
    let alert = bench.raised(AlertKind::QueueTooOld).await?;
    ensure!(alert.queue.as_deref() == Some("default"), "{alert:?}");
    ensure!(
        alert.text.starts_with(
            "the oldest task of queue `default`, a `build`, has been ready for 1 h 0 min; "
        ) && (2..=3).contains(&alert.count),
        "{alert:?}"
    );
    bench.looked_at().await?;
    gate.add();
    for id in waiting {
        bench.rest(id).await?;
    }
    ensure!(bench.resolved(AlertKind::QueueTooOld).await? == 1);
    worker.stop().await?;
    Ok(())
}

async fn tasks_that_nobody_serves_have_an_alert_until_somebody_does(bench: Bench) -> Result<()> {
    let gate = Counter::default();
    gate.add();
    let watch = watch().unserved(Duration::from_millis(100));
    let worker = bench.worker(gate.clone()).watch(watch);
    let worker = start(worker.register_step(gated));
    let mail = bench.intendant.request(Mail {}).await?;
    let alert = bench.raised(AlertKind::NoWorker).await?;
    ensure!(
        alert.text == "no live worker serves queue `mail`; 1 task of kind `mail.send` waits",
        "{alert:?}"
    );
    ensure!(alert.queue.as_deref() == Some("mail") && alert.count == 1);
    let second = bench.intendant.request(Mail {}).await?;
    bench
        .until(|| async {
            let open = bench.open_alerts().await?;
            Ok((open.len() == 1 && open[0].count == 2).then_some(()))
        })
        .await?;
    let mailer = bench.worker(()).watch(watch);
    let mailer = start(mailer.register_step(async |_: Cx<()>, _: Mail| Ok(1)));
    mail.output().await?;
    second.output().await?;
    ensure!(bench.resolved(AlertKind::NoWorker).await? == 1);
    mailer.stop().await?;
    worker.stop().await?;
    bench.check().await
}

async fn what_a_dead_worker_has_left_has_an_alert_if_nobody_serves_it(bench: Bench) -> Result<()> {
    let watch = watch().unserved(Duration::from_millis(100));
    let gate = Counter::default();
    gate.add();
    let worker = bench.worker(gate.clone()).watch(watch);
    let worker = start(worker.register_step(gated));
    let held = async |cx: Cx<Counter>, _: Mail| -> StepResult<u64> {
        cx.state().add();
        std::future::pending().await
    };
    let doomed = bench.worker(Counter::default()).watch(watch);
    let doomed = start(doomed.register_step::<Mail, u64, _>(held));
    let mail = bench.intendant.request(Mail {}).await?;
    bench.reach(mail.id(), IntentState::Running).await?;
    doomed.kill().await;
    // It has been begun, so nothing says how long it has been ready since.
    let alert = bench.raised(AlertKind::NoWorker).await?;
    ensure!(alert.queue.as_deref() == Some("mail"), "{alert:?}");
    let mailer = bench.worker(()).watch(watch);
    let mailer = start(mailer.register_step(async |_: Cx<()>, _: Mail| Ok(1)));
    mail.output().await?;
    ensure!(bench.resolved(AlertKind::NoWorker).await? == 1);
    mailer.stop().await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_worker_that_is_gone_has_an_alert_until_one_takes_its_place(bench: Bench) -> Result<()> {
    let observer = start(
        bench
            .watching(Counter::default())
            .name("observer")
            .register_step(async |_: Cx<Counter>, _: Mail| Ok(1)),
    );
    // There before the other one is gone: whoever begins after that on the same host takes its place.
    bench
        .until(|| async {
            let sessions = bench.number("select count(*) from @session").await?;
            Ok((sessions == 1).then_some(()))
        })
        .await?;
    let worker = bench.watching(Counter::default()).name("builder");
    let worker = start(worker.register_step(gated));
    let intent = bench.intendant.request(Build { number: 1 }).await?;
    bench
        .until(|| async {
            let steps = bench.intendant.steps(intent.id()).await?;
            Ok((!steps.is_empty()).then_some(()))
        })
        .await?;
    worker.kill().await;
    let alert = bench.raised(AlertKind::WorkerGone).await?;
    ensure!(alert.worker.as_deref() == Some("builder"), "{alert:?}");
    ensure!(
        alert
            .text
            .starts_with("worker `builder` was taken for dead; "),
        "{alert:?}"
    );
    bench.looked_at().await?;
    ensure!(bench.resolved_now(AlertKind::WorkerGone).await? == 0);
    let gate = Counter::default();
    gate.add();
    let again = bench.watching(gate).name("builder");
    let again = start(again.register_step(gated));
    intent.output().await?;
    ensure!(bench.resolved(AlertKind::WorkerGone).await? == 1);
    // Who stops gracefully is not missed.
    again.stop().await?;
    bench.looked_at().await?;
    ensure!(bench.resolved(AlertKind::WorkerGone).await? == 1);
    observer.stop().await?;
    bench.check().await
}

impl Bench {
    /// How many alerts of this kind are resolved.
    async fn resolved_now(&self, kind: AlertKind) -> Result<usize> {
        let filter = AlertFilter {
            which: Which::All,
            kind: Some(kind),
            ..AlertFilter::default()
        };
        let all = self.intendant.alerts(filter).await?;
        Ok(all
            .iter()
            .filter(|alert| alert.resolved_at.is_some())
            .count())
    }
}

async fn workers_take_turns_and_raise_each_alert_once(bench: Bench) -> Result<()> {
    let gate = Counter::default();
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(start(bench.watching(gate.clone()).register_step(gated)));
    }
    let mut late = Vec::new();
    for number in 0..20 {
        let intent = bench.intendant.request(Build { number });
        late.push(intent.deadline_in(Duration::from_millis(20)).await?);
    }
    bench
        .until(|| async { Ok((bench.open_alerts().await?.len() == 20).then_some(())) })
        .await?;
    for _ in 0..3 {
        bench.looked_at().await?;
    }
    gate.add();
    for intent in late {
        intent.output().await?;
    }
    ensure!(bench.resolved(AlertKind::IntentDeadline).await? == 20);
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}
