//! Many children at once: asked for in one commit, waited for together, and the parent goes on when the last one is done.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentId, IntentState, StepResult, StoreKind, fail, limits};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    what_came_of_many_children_is_typed_and_in_order;
    children_of_different_kinds_are_waited_for_together;
    a_failed_child_is_one_result_among_the_others;
    a_failed_child_is_asked_for_again_in_its_place;
    a_resume_leaves_those_alone_in_whose_place_others_were_asked_for;
    a_step_that_failed_with_all_its_children_is_resumed_with_all_of_them;
    two_children_of_one_name_are_an_error;
    no_children_are_waited_for_in_no_time;
    a_parent_is_parked_once_and_put_back_in_line_once;
    ten_thousand_children_are_the_limit;
    a_fan_out_survives_the_workers_that_carry_it_out;
}

/// Comes to its square.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Square(u64);

impl Intent for Square {
    const KIND: &'static str = "square";
    type Output = u64;
}

async fn square<S>(_: Cx<S>, square: Square) -> StepResult<u64> {
    Ok(square.0 * square.0)
}

/// Wants so many squares.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Squares(u64);

impl Intent for Squares {
    const KIND: &'static str = "squares";
    type Output = Vec<u64>;
}

async fn squares<S: Send + Sync>(cx: Cx<S>, squares: Squares) -> StepResult<Vec<u64>> {
    let ended = cx.children("square", (0..squares.0).map(Square)).await?;
    Ok(ended.into_iter().collect::<Result<_, _>>()?)
}

fn expected(count: u64) -> Vec<u64> {
    (0..count).map(|n| n * n).collect()
}

async fn what_came_of_many_children_is_typed_and_in_order(bench: Bench) -> Result<()> {
    let worker = bench.worker(()).register_step(squares::<()>);
    let worker = start(worker.register_step(square::<()>));
    let parent = bench.intendant.request(Squares(30)).await?;
    ensure!(parent.output().await? == expected(30));
    let children = bench.intendant.children(parent.id()).await?;
    let names: Vec<_> = children.iter().map(|child| child.name.clone()).collect();
    let by_index: Vec<_> = (0..30).map(|n| format!("square[{n}]")).collect();
    ensure!(names == by_index, "{names:?}");
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mixed;

impl Intent for Mixed {
    const KIND: &'static str = "mixed";
    type Output = (Vec<u64>, u64, String);
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Greet(String);

impl Intent for Greet {
    const KIND: &'static str = "greet";
    const QUEUE: &'static str = "mail";
    type Output = String;
    fn account(&self) -> Option<&str> {
        Some("acme")
    }
}

async fn children_of_different_kinds_are_waited_for_together(bench: Bench) -> Result<()> {
    let mixed = async |cx: Cx<Counter>, _: Mixed| {
        cx.state().add();
        let named = [("three", Square(3)), ("two", Square(2))];
        let (squares, five, greeting) = tokio::join!(
            cx.named_children(named),
            cx.child("five", Square(5)),
            cx.child("greeting", Greet("Ada".to_owned())),
        );
        let squares = squares?.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok((squares, five?, greeting?))
    };
    let greet = async |_: Cx<Counter>, greet: Greet| Ok(format!("hello, {}", greet.0));
    let runs = Counter::default();
    let worker = bench.worker(runs.clone());
    let worker = worker.register_step::<Mixed, (Vec<u64>, u64, String), _>(mixed);
    let worker = worker.register_step::<Greet, String, _>(greet);
    let worker = start(worker.register_step(square::<Counter>));
    let parent = bench.intendant.request(Mixed).await?;
    ensure!(parent.output().await? == (vec![9, 4], 25, "hello, Ada".to_owned()));
    ensure!(runs.get() == 2, "asked once, and went on once");
    worker.stop().await?;
    bench.check().await
}

/// Fails as often as it says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Moody(u64);

impl Intent for Moody {
    const KIND: &'static str = "moody";
    type Output = u64;
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Moodies {
    attempts: u32,
}

impl Intent for Moodies {
    const KIND: &'static str = "moodies";
    type Output = Vec<String>;
}

async fn a_failed_child_is_one_result_among_the_others(bench: Bench) -> Result<()> {
    let moody = async |_: Cx<()>, moody: Moody| match moody.0 {
        1 => Err(fail("not today")),
        moods => Ok(moods),
    };
    let tolerant = async |cx: Cx<()>, _: Moodies| -> StepResult<Vec<String>> {
        let ended = cx.children("moody", [0, 1, 2].map(Moody)).await?;
        let said = ended.into_iter().map(|ended| match ended {
            Ok(moods) => moods.to_string(),
            Err(failed) => format!("{}: {} ({:?})", failed.name, failed, failed.reason),
        });
        Ok(said.collect())
    };
    let worker = bench.worker(());
    let worker = worker.register_step::<Moodies, Vec<String>, _>(tolerant);
    let worker = start(worker.register_step::<Moody, u64, _>(moody));
    let parent = bench.intendant.request(Moodies { attempts: 1 }).await?;
    let said = parent.output().await?;
    let failed = bench.intendant.children(parent.id()).await?[1].id;
    let expected = [
        "0".to_owned(),
        format!(
            "moody[1]: intent {failed} failed (step failed) in `run`: not today (Some(StepFailed))"
        ),
        "2".to_owned(),
    ];
    ensure!(said == expected, "{said:?}");
    worker.stop().await?;
    bench.check().await
}

async fn insist(cx: Cx<[Counter; 4]>, moodies: Moodies) -> StepResult<Vec<String>> {
    let ended = cx
        .children("moody", (0..4).map(Moody))
        .attempts(moodies.attempts)
        .await?;
    let ended = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(ended.iter().map(u64::to_string).collect())
}

/// Succeeds when it is asked for the first time after as many failures.
async fn moody(cx: Cx<[Counter; 4]>, moody: Moody) -> StepResult<u64> {
    match cx.state()[moody.0 as usize].add() {
        asked if asked > moody.0 => Ok(asked),
        _ => Err(fail("not yet")),
    }
}

async fn a_failed_child_is_asked_for_again_in_its_place(bench: Bench) -> Result<()> {
    let worker = bench.worker(<[Counter; 4]>::default());
    let worker = start(worker.register_step(insist).register_step(moody));
    let parent = bench.intendant.request(Moodies { attempts: 4 }).await?;
    ensure!(parent.output().await? == ["1", "2", "3", "4"]);
    let children = bench.intendant.children(parent.id()).await?;
    let mut names: Vec<_> = children.iter().map(|child| child.name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "moody[0]",
        "moody[1]",
        "moody[1]#2",
        "moody[2]",
        "moody[2]#2",
        "moody[2]#3",
        "moody[3]",
        "moody[3]#2",
        "moody[3]#3",
        "moody[3]#4",
    ];
    ensure!(names == expected, "{names:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_resume_leaves_those_alone_in_whose_place_others_were_asked_for(
    bench: Bench,
) -> Result<()> {
    let worker = bench.worker(<[Counter; 4]>::default());
    let worker = start(worker.register_step(insist).register_step(moody));
    let parent = bench.intendant.request(Moodies { attempts: 3 }).await?;
    let error = bench.rest(parent.id()).await?.error.unwrap_or_default();
    ensure!(
        error.ends_with("failed (step failed) in `run`: not yet"),
        "{error}"
    );
    // The last one of the fourth child is resumed, and none of the failed ones before it.
    ensure!(bench.intendant.resume(parent.id(), "tests", None).await? == 2);
    ensure!(parent.output().await? == ["1", "2", "3", "4"]);
    let mut failed = 0;
    for child in bench.intendant.children(parent.id()).await? {
        failed += u32::from(bench.intendant.state(child.id).await? == IntentState::Failed);
    }
    ensure!(failed == 1 + 2 + 2, "{failed}");
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_failed_with_all_its_children_is_resumed_with_all_of_them(
    bench: Bench,
) -> Result<()> {
    let broken = async |cx: Cx<Counter>, square: Square| match cx.state().get() {
        0 => Err(fail("the paper is out")),
        _ => Ok(square.0 * square.0),
    };
    let mended = Counter::default();
    let worker = bench.worker(mended.clone());
    let worker = worker.register_step(squares::<Counter>);
    let worker = start(worker.register_step::<Square, u64, _>(broken));
    let parent = bench.intendant.request(Squares(200)).await?;
    ensure!(bench.rest(parent.id()).await?.state == IntentState::Failed);
    mended.add();
    let resumed = bench
        .intendant
        .resume(parent.id(), "tests", Some("paper is in"));
    ensure!(resumed.await? == 201);
    ensure!(parent.output().await? == expected(200));
    let last = bench.intendant.children(parent.id()).await?[199].id;
    let events = bench.intendant.events(last).await?;
    ensure!(events.len() == 1 && events[0].reason.as_deref() == Some("resumed with its parent"));
    worker.stop().await?;
    bench.check().await
}

async fn two_children_of_one_name_are_an_error(bench: Bench) -> Result<()> {
    let twice = async |cx: Cx<()>, _: Squares| -> StepResult<Vec<u64>> {
        let ended = cx.named_children([("a", Square(1)), ("b", Square(2)), ("a", Square(1))]);
        Ok(ended.await?.into_iter().collect::<Result<_, _>>()?)
    };
    let worker = bench.worker(());
    let worker = start(worker.register_step::<Squares, Vec<u64>, _>(twice));
    let parent = bench.intendant.request(Squares(3)).await?;
    let error = parent.output().await.unwrap_err().to_string();
    let expected = "two children are named `a`; give each child a name of its own";
    ensure!(error.ends_with(expected), "{error}");
    worker.stop().await?;
    bench.check().await
}

async fn no_children_are_waited_for_in_no_time(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register_step(squares::<()>));
    let parent = bench.intendant.request(Squares(0)).await?;
    ensure!(parent.output().await? == Vec::<u64>::new());
    worker.stop().await?;
    bench.check().await
}

/// Notes every change of a wait row, every parking and every place in line.
async fn take_notes(bench: &Bench) -> Result<()> {
    const PLACES: [(&str, &str); 3] = [
        ("wait", "update"),
        ("parked", "insert"),
        ("ready", "insert"),
    ];
    bench
        .run_sql("create table note (place text, intent_id text)")
        .await?;
    if bench.database.kind == StoreKind::Postgres {
        bench
            .run_sql(
                "create function note() returns trigger language plpgsql as $$ begin \
                 insert into note values (tg_table_name, new.intent_id); return null; end $$",
            )
            .await?;
    }
    for (place, change) in PLACES {
        let then = match bench.database.kind {
            StoreKind::Postgres => "execute function note()".to_owned(),
            StoreKind::Sqlite => {
                format!("begin insert into note values ('{place}', new.intent_id); end")
            }
        };
        let trigger = format!("note_{place} after {change} on @{place} for each row {then}");
        bench.run_sql(&format!("create trigger {trigger}")).await?;
    }
    Ok(())
}

async fn notes(bench: &Bench, place: &str, id: IntentId) -> Result<i64> {
    let sql = "select count(*) from note where place =";
    bench
        .number(&format!("{sql} '{place}' and intent_id = '{id}'"))
        .await
}

async fn a_parent_is_parked_once_and_put_back_in_line_once(bench: Bench) -> Result<()> {
    take_notes(&bench).await?;
    let workers = [(), (), ()].map(|()| {
        let worker = bench.worker(()).register_step(squares::<()>);
        start(worker.register_step(square::<()>))
    });
    let parent = bench.intendant.request(Squares(600)).await?;
    ensure!(parent.output().await? == expected(600));
    let mut ticks = 0;
    for worker in workers {
        ticks += worker.stop().await?.ticks;
    }
    ensure!(notes(&bench, "parked", parent.id()).await? == 1);
    // When it was asked for, and when the last child had finished.
    ensure!(notes(&bench, "ready", parent.id()).await? == 2);
    // One write to park, and one for each tick with finished children, however many they are.
    let writes = notes(&bench, "wait", parent.id()).await?;
    ensure!(
        (2..=1 + ticks as i64).contains(&writes),
        "{writes} writes in {ticks} ticks"
    );
    ensure!(writes < 300, "{writes} writes for 600 children");
    bench.check().await
}

/// Asks for as many as are allowed but one, for the last one, and for one too many.
async fn to_the_limit(cx: Cx<()>, _: Squares) -> StepResult<Vec<u64>> {
    let most = limits::CHILDREN_PER_STEP as u64;
    let ended = cx.children("square", (1..most).map(Square)).await?;
    let mut ended = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    ended.push(cx.child("last", Square(most)).await?);
    let refused = match cx.child("too many", Square(0)).await {
        Err(refused) => format!("{refused:?}"),
        Ok(_) => "it was allowed".to_owned(),
    };
    if !refused.contains("the step has asked for 10000 children, which is the limit") {
        return Err(fail(refused));
    }
    Ok(vec![ended.len() as u64, ended.iter().sum()])
}

async fn ten_thousand_children_are_the_limit(bench: Bench) -> Result<()> {
    let most = limits::CHILDREN_PER_STEP as u64;
    let workers = [(), ()].map(|()| {
        let worker = bench.worker(()).register_step(to_the_limit);
        start(worker.register_step(square::<()>).concurrency(256))
    });
    let parent = bench.intendant.request(Squares(most)).await?;
    let output = tokio::time::timeout(Duration::from_secs(60), parent.output()).await??;
    let sum = most * (most + 1) * (2 * most + 1) / 6;
    ensure!(output == [most, sum], "{output:?}");
    for worker in workers {
        ensure!(worker.stop().await?.finished > 100, "both take part");
    }

    let too_many = bench.worker(()).register_step(squares::<()>);
    let too_many = start(too_many);
    let parent = bench.intendant.request(Squares(most + 1)).await?;
    let error = parent.output().await.unwrap_err().to_string();
    ensure!(
        error.ends_with("has asked for 10000 children, which is the limit"),
        "{error}"
    );
    ensure!(bench.intendant.children(parent.id()).await?.is_empty());
    too_many.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn a_fan_out_survives_the_workers_that_carry_it_out(bench: Bench) -> Result<()> {
    let slow = async |_: Cx<Counter>, square: Square| {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(square.0 * square.0)
    };
    let begin = || {
        let worker = bench.worker(Counter::default()).concurrency(16);
        let worker = worker.register_step(squares::<Counter>);
        start(worker.register_step::<Square, u64, _>(slow))
    };
    let mut parents = Vec::new();
    for _ in 0..3 {
        parents.push(bench.intendant.request(Squares(150)).await?);
    }
    let mut worker = begin();
    // Killed while the children are asked for, while they run, and close to the end.
    for finished in [0, 100, 420] {
        bench
            .until(|| async {
                let sql = "select count(*) from @outcome";
                Ok((bench.number(sql).await? >= finished).then_some(()))
            })
            .await?;
        worker.kill().await;
        worker = begin();
    }
    for parent in parents {
        bench.rest(parent.id()).await?;
        ensure!(parent.output().await? == expected(150));
        ensure!(bench.intendant.children(parent.id()).await?.len() == 150);
    }
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}
