//! Retention: what is old enough goes, as a whole and not before; what holds something stays; and what was removed says so.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Cx, Error, Intent, IntentFilter, IntentId, IntentState, Resources, Retention, StepResult,
    StoreKind, Worker, fail,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Gate, on_both, start};

on_both! {
    everything_is_kept_until_somebody_says_otherwise;
    the_kinds_own_rule_goes_first_and_a_persons_word_before_the_codes;
    older_code_does_not_overwrite_newer_and_other_words_need_a_revision;
    a_tree_goes_as_a_whole_by_the_age_of_its_root;
    a_parent_reads_what_its_child_came_to_long_ago;
    what_fails_and_holds_something_stays_until_somebody_lets_go;
    a_tree_stays_as_long_as_a_descendant_holds_something;
    what_has_finished_only_just_now_stays_with_its_tree;
    an_alert_about_what_is_gone_is_over;
    what_a_lease_still_names_stays;
    workers_remove_by_themselves_and_count_each_once;
    pages_go_on_while_what_they_list_goes;
    times_that_make_no_sense_are_refused;
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job(pub(crate) String);

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = String;
}

/// Fails while the gate is shut, and holds what it is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Server(pub(crate) String);

impl Intent for Server {
    const KIND: &'static str = "server";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", &self.0)
    }
}

/// Asks for a child, and for a server, whose failure it does not mind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parent(pub(crate) String);

impl Intent for Parent {
    const KIND: &'static str = "parent";
    type Output = String;
}

pub(crate) async fn job(cx: Cx<Gate>, job: Job) -> StepResult<String> {
    if job.0 == "broken" && cx.attempt() == 1 {
        return Err(fail("it is broken"));
    }
    Ok(job.0)
}

async fn server(cx: Cx<Gate>, server: Server) -> StepResult<String> {
    match cx.state().is_open() {
        true => Ok(server.0),
        false => Err(fail("no room in the rack")),
    }
}

async fn parent(cx: Cx<Gate>, parent: Parent) -> StepResult<String> {
    let child = cx.child("job", Job(parent.0.clone())).await?;
    if parent.0 == "waits" {
        cx.signal::<()>("go").await?;
    }
    if parent.0 == "tolerant" {
        match cx.child("server", Server("9".to_owned())).await {
            Err(error) if error.child_failure().is_some() => {}
            other => return other,
        }
    }
    Ok(format!("{} of {child}", parent.0))
}

impl Bench {
    pub(crate) fn keeper(&self, gate: &Gate) -> Worker<Gate> {
        self.worker(gate.clone())
            .register_step(job)
            .register_step(server)
            .register_step(parent)
    }

    /// Carries out what was asked for, until all of it is at rest.
    pub(crate) async fn carry_out(&self, ids: &[IntentId]) -> Result<()> {
        let worker = start(self.keeper(&Gate::default()));
        for id in ids {
            self.rest(*id).await?;
        }
        worker.stop().await?;
        Ok(())
    }

    /// They have finished so much earlier, and all of their trees.
    pub(crate) async fn age(&self, ids: &[IntentId], by: Duration) -> Result<()> {
        let ids = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>();
        let by = match self.database.kind {
            StoreKind::Sqlite => by.as_micros().to_string(),
            StoreKind::Postgres => format!("interval '{} seconds'", by.as_secs()),
        };
        let ids = ids.join(", ");
        let of_it = format!("select id from @intent where id in ({ids}) or root_id in ({ids})");
        let sql = format!(
            "update @outcome set requested_at = requested_at - {by}, started_at = started_at - {by},
                    finished_at = finished_at - {by} where intent_id in ({of_it});
             update @intent set requested_at = requested_at - {by} where id in ({of_it})"
        );
        Ok(self.run_sql(&sql).await?)
    }

    pub(crate) async fn is_gone(&self, id: IntentId) -> Result<bool> {
        match self.intendant.get(id).await {
            Ok(_) => Ok(false),
            Err(Error::NotFound { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// What had to stay is looked at again.
    pub(crate) async fn an_hour_passes(&self) -> Result<()> {
        let hour = match self.database.kind {
            StoreKind::Sqlite => "3600000000",
            StoreKind::Postgres => "interval '1 hour'",
        };
        let sql = format!("update @retention_kept set looked_at = looked_at - {hour}");
        Ok(self.run_sql(&sql).await?)
    }

    pub(crate) async fn child_of(&self, parent: IntentId, name: &str) -> Result<IntentId> {
        let children = self.intendant.children(parent).await?;
        let child = children.iter().find(|child| child.name == name);
        Ok(child.context("no such child")?.id)
    }
}

pub(crate) fn month(rule: Retention) -> Retention {
    rule.rows_for(30 * DAY)
}

async fn everything_is_kept_until_somebody_says_otherwise(bench: Bench) -> Result<()> {
    let done = bench.intendant.request(Job("done".into())).await?.id();
    let young = bench.intendant.request(Job("young".into())).await?.id();
    let broken = bench.intendant.request(Job("broken".into())).await?.id();
    bench.carry_out(&[done, young, broken]).await?;
    bench.age(&[done, broken], 31 * DAY).await?;
    let removed = bench.intendant.remove_old().await?;
    ensure!((removed.intents, removed.payloads) == (0, 0), "{removed:?}");
    ensure!(!bench.is_gone(done).await?);

    let rule = month(Retention::succeeded());
    ensure!(bench.intendant.retain(rule, "ada", Some("tidy")).await?);
    let removed = bench.intendant.remove_old().await?;
    ensure!((removed.intents, removed.payloads) == (1, 0), "{removed:?}");
    ensure!(bench.is_gone(done).await?);
    ensure!(!bench.is_gone(young).await? && !bench.is_gone(broken).await?);
    // What has gone has left its number.
    let removals = bench.intendant.removals().await?;
    ensure!(removals.len() == 1, "{removals:?}");
    let gone = &removals[0];
    ensure!((gone.kind.as_str(), gone.what.as_str(), gone.intents) == ("job", "rows", 1));
    ensure!(gone.day == gone.last_at.date_naive());
    // Failed ones go only where that is said.
    let failed = Retention::failed().of::<Job>().rows_for(30 * DAY);
    bench.intendant.retain(failed, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 1);
    ensure!(bench.is_gone(broken).await?);
    let changes = bench.intendant.retention_changes(None).await?;
    ensure!(changes.len() == 1 && changes[0].reason.as_deref() == Some("tidy"));
    bench.check().await
}

async fn the_kinds_own_rule_goes_first_and_a_persons_word_before_the_codes(
    bench: Bench,
) -> Result<()> {
    let day = Retention::succeeded().rows_for(DAY);
    let week = Retention::succeeded().of::<Job>().rows_for(7 * DAY);
    let worker = start(bench.keeper(&Gate::default()).retain(day).retain(week));
    bench
        .until(async || Ok((bench.intendant.retentions().await?.len() == 2).then_some(())))
        .await?;
    worker.stop().await?;
    let ids = [
        bench.intendant.request(Job("a".into())).await?.id(),
        bench.intendant.request(Parent("b".into())).await?.id(),
    ];
    bench.carry_out(&ids).await?;
    bench.age(&ids, 2 * DAY).await?;
    // The parent's child is as old as its parent, and goes with it, whatever is said of its kind.
    ensure!(bench.intendant.remove_old().await?.intents == 2);
    ensure!(!bench.is_gone(ids[0]).await? && bench.is_gone(ids[1]).await?);
    bench.age(&ids[..1], 7 * DAY).await?;
    let for_ever = Retention::succeeded().of::<Job>();
    ensure!(bench.intendant.retain(for_ever, "ada", None).await?);
    ensure!(bench.intendant.remove_old().await?.intents == 0);
    let rules = bench.intendant.retentions().await?;
    let counts: Vec<_> = rules
        .iter()
        .map(|rule| (rule.kind.as_deref(), rule.said.as_str(), rule.counts))
        .collect();
    let expected = [
        (None, "code", true),
        (Some("job"), "code", false),
        (Some("job"), "person", true),
    ];
    ensure!(counts == expected, "{counts:?}");
    let back = bench
        .intendant
        .retain_as_declared(Some("job"), IntentState::Succeeded, "ada", None);
    ensure!(back.await?);
    ensure!(bench.intendant.remove_old().await?.intents == 1);
    ensure!(bench.is_gone(ids[0]).await?);
    bench.check().await
}

async fn older_code_does_not_overwrite_newer_and_other_words_need_a_revision(
    bench: Bench,
) -> Result<()> {
    let says = async |days: u32, revision: u32| {
        let rule = Retention::succeeded().rows_for(DAY * days);
        let name = format!("{days} days, revision {revision}");
        let worker = bench.keeper(&Gate::default()).name(name.as_str());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = worker.retain(rule.revision(revision)).run(async {
            stopped.await.ok();
        });
        let worker = tokio::spawn(worker);
        let begun = bench.until(async || {
            let mut workers = bench.intendant.workers().await?.into_iter();
            let is_there = workers.any(|one| one.worker == name);
            Ok((worker.is_finished() || is_there).then_some(()))
        });
        begun.await?;
        stop.send(()).ok();
        worker.await?.map(|_| ()).map_err(anyhow::Error::from)
    };
    let counts = async || -> Result<Option<u64>> {
        let rules = bench.intendant.retentions().await?;
        let mut rules = rules.into_iter().filter(|rule| rule.counts);
        Ok(rules.next().and_then(|rule| rule.rows_s))
    };
    says(30, 2).await?;
    ensure!(counts().await? == Some(30 * 86_400));
    // Older code, rolled out beside it, leaves it alone.
    says(1, 1).await?;
    ensure!(counts().await? == Some(30 * 86_400));
    let error = says(2, 2).await.err().context("it begins")?.to_string();
    ensure!(error.contains("needs a higher revision"), "{error}");
    // What a person says stands before any revision.
    let rule = Retention::succeeded().rows_for(90 * DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    says(60, 3).await?;
    ensure!(counts().await? == Some(90 * 86_400));
    let state = IntentState::Succeeded;
    ensure!(
        bench
            .intendant
            .retain_as_declared(None, state, "ada", None)
            .await?
    );
    ensure!(
        !bench
            .intendant
            .retain_as_declared(None, state, "ada", None)
            .await?
    );
    ensure!(counts().await? == Some(60 * 86_400));
    Ok(())
}

async fn a_tree_goes_as_a_whole_by_the_age_of_its_root(bench: Bench) -> Result<()> {
    let root = bench.intendant.request(Parent("p".into())).await?.id();
    bench.carry_out(&[root]).await?;
    let child = bench.child_of(root, "job").await?;
    bench
        .intendant
        .retain(month(Retention::succeeded()), "ada", None)
        .await?;
    bench.age(&[child], 60 * DAY).await?;
    ensure!(
        bench.intendant.remove_old().await?.intents == 0,
        "a child without its parent"
    );
    bench.age(&[root], 31 * DAY).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 2);
    ensure!(bench.is_gone(root).await? && bench.is_gone(child).await?);
    let removals = bench.intendant.removals().await?;
    let of: Vec<_> = removals
        .iter()
        .map(|gone| (gone.kind.as_str(), gone.intents))
        .collect();
    ensure!(of == [("job", 1), ("parent", 1)], "{of:?}");
    bench.check().await
}

async fn a_parent_reads_what_its_child_came_to_long_ago(bench: Bench) -> Result<()> {
    let root = bench.intendant.request(Parent("waits".into())).await?;
    let worker = start(bench.keeper(&Gate::default()));
    let child = bench
        .until(async || Ok(bench.child_of(root.id(), "job").await.ok()))
        .await?;
    bench.rest(child).await?;
    bench.reach(root.id(), IntentState::Waiting).await?;
    bench.age(&[child], 60 * DAY).await?;
    let rule = Retention::succeeded().rows_for(2 * HOUR).payloads_for(HOUR);
    bench.intendant.retain(rule, "ada", None).await?;
    let removed = bench.intendant.remove_old().await?;
    ensure!(removed == Default::default(), "{removed:?}");
    bench.intendant.signal(root.id(), "go", &()).await?;
    ensure!(root.output().await? == "waits of waits");
    worker.stop().await?;
    bench.check().await
}

async fn what_fails_and_holds_something_stays_until_somebody_lets_go(bench: Bench) -> Result<()> {
    let first = bench.intendant.request(Server("1".into())).await?.id();
    let second = bench.intendant.request(Server("1".into())).await?.id();
    let gate = Gate::default();
    let worker = start(bench.keeper(&gate));
    bench.rest(first).await?;
    bench.age(&[first], 60 * DAY).await?;
    for rule in [Retention::failed(), Retention::cancelled()] {
        let rule = rule.rows_for(30 * DAY).payloads_for(DAY);
        bench.intendant.retain(rule, "ada", None).await?;
    }
    ensure!(bench.intendant.remove_old().await? == Default::default());
    bench.reach(second, IntentState::Blocked).await?;
    let kept = bench.intendant.kept_by_retention().await?;
    ensure!(
        kept.len() == 2 && kept.iter().all(|kept| kept.intent == first),
        "{kept:?}"
    );
    let reason = &kept[0].reason;
    ensure!(
        reason.contains(&first.to_string()) && reason.contains("holds server:1"),
        "{reason}"
    );
    // Its payload is all there: it can be resumed, and is.
    gate.open();
    bench.intendant.resume(first, "ada", None).await?;
    ensure!(bench.rest(first).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(second).await?.state == IntentState::Succeeded);
    bench.an_hour_passes().await?;
    ensure!(bench.intendant.remove_old().await? == Default::default());
    worker.stop().await?;
    bench.check().await
}

async fn a_tree_stays_as_long_as_a_descendant_holds_something(bench: Bench) -> Result<()> {
    let root = bench
        .intendant
        .request(Parent("tolerant".into()))
        .await?
        .id();
    bench.carry_out(&[root]).await?;
    ensure!(bench.intendant.state(root).await? == IntentState::Succeeded);
    let server = bench.child_of(root, "server").await?;
    bench.age(&[root], 60 * DAY).await?;
    bench
        .intendant
        .retain(month(Retention::succeeded()), "ada", None)
        .await?;
    ensure!(bench.intendant.remove_old().await?.intents == 0);
    let kept = bench.intendant.kept_by_retention().await?;
    ensure!(kept.len() == 1 && kept[0].intent == root, "{kept:?}");
    ensure!(kept[0].reason.contains(&server.to_string()), "{kept:?}");
    bench.intendant.discard(server, "ada", None).await?;
    ensure!(
        bench.intendant.remove_old().await?.intents == 0,
        "it is looked at every hour"
    );
    bench.age(&[server], DAY).await?;
    bench.an_hour_passes().await?;
    ensure!(bench.intendant.remove_old().await?.intents == 3);
    ensure!(bench.intendant.kept_by_retention().await?.is_empty());
    ensure!(bench.number("select count(*) from @intent").await? == 0);
    bench.check().await
}

async fn what_has_finished_only_just_now_stays_with_its_tree(bench: Bench) -> Result<()> {
    let root = Parent("tolerant".into());
    let root = bench.intendant.request(root).await?.id();
    bench.carry_out(&[root]).await?;
    let server = bench.child_of(root, "server").await?;
    bench.age(&[root], 60 * DAY).await?;
    let rule = month(Retention::succeeded());
    bench.intendant.retain(rule, "ada", None).await?;
    // By itself, long after its parent.
    let gate = Gate::default();
    gate.open();
    let worker = start(bench.keeper(&gate));
    bench.intendant.resume(server, "ada", None).await?;
    ensure!(bench.rest(server).await?.state == IntentState::Succeeded);
    worker.stop().await?;
    ensure!(bench.intendant.remove_old().await?.intents == 0);
    let kept = bench.intendant.kept_by_retention().await?;
    ensure!(kept[0].reason.contains("only just now"), "{kept:?}");
    bench.age(&[server], 2 * HOUR).await?;
    bench.an_hour_passes().await?;
    ensure!(bench.intendant.remove_old().await?.intents == 3);
    bench.check().await
}

async fn an_alert_about_what_is_gone_is_over(bench: Bench) -> Result<()> {
    let late = chrono::Utc::now() + chrono::TimeDelta::milliseconds(50);
    let broken = bench.intendant.request(Job("broken".into()));
    let broken = broken.deadline_at(late).await?.id();
    let often = intendant::Watch::default().every(Duration::from_millis(10));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let worker = start(bench.keeper(&Gate::default()).watch(often));
    bench.rest(broken).await?;
    let open = async || -> Result<bool> {
        let alerts = bench.intendant.alerts(Default::default()).await?;
        Ok(alerts.iter().any(|alert| alert.intent == Some(broken)))
    };
    bench
        .until(async || Ok(open().await?.then_some(())))
        .await?;
    bench.age(&[broken], 2 * DAY).await?;
    let rule = Retention::failed().rows_for(DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    bench
        .until(async || Ok((bench.is_gone(broken).await? && !open().await?).then_some(())))
        .await?;
    worker.stop().await?;
    bench.check().await
}

/// What a worker has claimed together stands in one lease until the last of it has ended; to a reaper, what has no outcome is
/// unfinished.
async fn what_a_lease_still_names_stays(bench: Bench) -> Result<()> {
    let done = bench.intendant.request(Job("done".into())).await?.id();
    bench.carry_out(&[done]).await?;
    bench.age(&[done], 2 * DAY).await?;
    let tasks = match bench.database.kind {
        StoreKind::Sqlite => format!("'[\"{done}\"]', 0, 0"),
        StoreKind::Postgres => format!("array['{done}'::uuid], 0, false"),
    };
    let time = match bench.database.kind {
        StoreKind::Sqlite => "1",
        StoreKind::Postgres => "now()",
    };
    let (session, lease) = (
        IntentId(uuid::Uuid::now_v7()),
        IntentId(uuid::Uuid::now_v7()),
    );
    bench
        .run_sql(&format!(
            "insert into @session (id, worker, host, pid, build, lease_ms, started_at, beat_at)
             values ('{session}', 'w', 'h', 1, 'b', 60000, {time}, {time});
             insert into @lease (id, session_id, claimed_at, tasks, crashes, alone)
             values ('{lease}', '{session}', {time}, {tasks})"
        ))
        .await?;
    let rule = Retention::succeeded().rows_for(DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 0);
    let kept = bench.intendant.kept_by_retention().await?;
    ensure!(kept[0].reason.contains("claimed together"), "{kept:?}");
    bench
        .run_sql("delete from @lease; delete from @session")
        .await?;
    bench.an_hour_passes().await?;
    ensure!(bench.intendant.remove_old().await?.intents == 1);
    bench.check().await
}

async fn workers_remove_by_themselves_and_count_each_once(bench: Bench) -> Result<()> {
    let mut ids = Vec::new();
    for nth in 0..60 {
        ids.push(bench.intendant.request(Job(nth.to_string())).await?.id());
    }
    bench.carry_out(&ids).await?;
    bench.age(&ids, 2 * DAY).await?;
    let often = intendant::Watch::default().every(Duration::from_millis(10));
    let keeper = || {
        let worker = bench.keeper(&Gate::default()).watch(often);
        worker.retain(Retention::succeeded().rows_for(DAY))
    };
    let workers = [start(keeper()), start(keeper())];
    // People beside them.
    let elsewhere = bench.database.connect().await?;
    let (one, other) = tokio::join!(bench.intendant.remove_old(), elsewhere.remove_old());
    one?;
    other?;
    bench
        .until(async || {
            let left = bench.number("select count(*) from @intent").await?;
            Ok((left == 0).then_some(()))
        })
        .await?;
    for worker in workers {
        worker.stop().await?;
    }
    let counted = bench.intendant.removals().await?;
    ensure!(
        counted.iter().map(|gone| gone.intents).sum::<u64>() == 60,
        "{counted:?}"
    );
    bench.check().await
}

async fn pages_go_on_while_what_they_list_goes(bench: Bench) -> Result<()> {
    let mut ids = Vec::new();
    for nth in 0..30 {
        ids.push(bench.intendant.request(Job(nth.to_string())).await?.id());
    }
    bench.carry_out(&ids).await?;
    let page = async |before| {
        let filter = IntentFilter {
            limit: Some(10),
            before,
            ..IntentFilter::default()
        };
        let page = bench.intendant.page(filter).await?;
        let listed: Vec<_> = page.intents.iter().map(|intent| intent.id).collect();
        anyhow::Ok((listed, page.next))
    };
    ids.reverse();
    let (first, next) = page(None).await?;
    ensure!(first == ids[..10]);
    // Where the page ended, and what comes next, has gone.
    bench.age(&ids[5..15], 2 * DAY).await?;
    let rule = Retention::succeeded().rows_for(DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 10);
    ensure!(next == Some(ids[9]), "{next:?}");
    let (second, next) = page(next).await?;
    ensure!(second == ids[15..25], "{second:?}");
    let (third, next) = page(next).await?;
    ensure!(third == ids[25..] && next.is_none(), "{third:?}");
    Ok(())
}

async fn times_that_make_no_sense_are_refused(bench: Bench) -> Result<()> {
    let minute = Duration::from_secs(60);
    for rule in [
        Retention::succeeded().rows_for(minute),
        Retention::failed().payloads_for(minute),
        Retention::succeeded().rows_for(DAY).payloads_for(DAY),
        Retention::cancelled().rows_for(Duration::MAX),
        Retention::succeeded().kind("").rows_for(DAY),
    ] {
        let error = bench.intendant.retain(rule.clone(), "ada", None).await;
        let error = error.err().with_context(|| format!("{rule:?}"))?;
        ensure!(error.is_usage(), "{error}");
        let worker = bench.keeper(&Gate::default()).retain(rule);
        let refused = worker.run(std::future::ready(())).await;
        ensure!(refused.is_err_and(|error| error.is_usage()));
    }
    let twice = bench.keeper(&Gate::default());
    let twice = twice
        .retain(month(Retention::failed()))
        .retain(Retention::failed());
    let error = twice
        .run(std::future::ready(()))
        .await
        .err()
        .context("it ran")?;
    ensure!(error.to_string().contains("declared twice"), "{error}");
    ensure!(bench.intendant.retentions().await?.is_empty());
    Ok(())
}
