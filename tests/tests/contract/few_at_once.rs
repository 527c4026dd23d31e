//! Many children, of whom only so many are under way at once: the rest are asked for as earlier ones finish.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, StepResult, fail};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    no_more_children_are_under_way_than_allowed;
    one_at_a_time_goes_in_the_order_given;
    the_rest_is_asked_for_before_all_of_the_first_have_finished;
    the_limit_holds_when_the_workers_die;
    a_failed_child_is_asked_for_again_within_the_limit;
    other_children_of_the_step_are_waited_for_beside_them;
}

const UNFINISHED: &str = "select count(*) from @child c \
    where not exists (select 1 from @outcome o where o.intent_id = c.child_id)";

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Page(u64);

impl Intent for Page {
    const KIND: &'static str = "page";
    type Output = u64;
}

/// So many pages, so many at once.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Book(u64, usize);

impl Intent for Book {
    const KIND: &'static str = "book";
    type Output = Vec<u64>;
}

/// What the pages have done, and what they wait for.
#[derive(Debug, Clone, Default)]
struct Press {
    pages: Counter,
    gate: Gate,
    order: std::sync::Arc<std::sync::Mutex<Vec<u64>>>,
}

async fn print(cx: Cx<Press>, page: Page) -> StepResult<u64> {
    cx.state().pages.add();
    cx.state().order.lock().unwrap().push(page.0);
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(page.0 * 2)
}

/// The first page comes to no end before the gate is open.
async fn print_slowly(cx: Cx<Press>, page: Page) -> StepResult<u64> {
    if page.0 == 0 {
        cx.state().gate.pass().await;
    }
    print(cx, page).await
}

async fn bind(cx: Cx<Press>, book: Book) -> StepResult<Vec<u64>> {
    let pages = cx.children("page", (0..book.0).map(Page)).at_most(book.1);
    Ok(pages.await?.into_iter().collect::<Result<_, _>>()?)
}

fn bound(pages: u64) -> Vec<u64> {
    (0..pages).map(|page| page * 2).collect()
}

async fn no_more_children_are_under_way_than_allowed(bench: Bench) -> Result<()> {
    let press = Press::default();
    let worker = bench.worker(press.clone()).register_step(bind);
    let worker = start(worker.register_step(print));
    let book = bench.intendant.request(Book(60, 8)).await?;
    let mut most = 0;
    loop {
        let unfinished = bench.number(UNFINISHED).await?;
        most = most.max(unfinished);
        ensure!(unfinished <= 8, "{unfinished} at once");
        bench.check().await?;
        if bench.intendant.state(book.id()).await?.is_finished() {
            break;
        }
    }
    ensure!(book.output().await? == bound(60) && press.pages.get() == 60);
    ensure!(most > 1, "never more than one at once");
    worker.stop().await?;
    bench.check().await
}

async fn one_at_a_time_goes_in_the_order_given(bench: Bench) -> Result<()> {
    let press = Press::default();
    let worker = bench.worker(press.clone()).register_step(bind);
    let worker = start(worker.register_step(print));
    let book = bench.intendant.request(Book(12, 1)).await?;
    ensure!(book.output().await? == bound(12));
    let order = press.order.lock().unwrap().clone();
    ensure!(order == (0..12).collect::<Vec<_>>(), "{order:?}");
    worker.stop().await?;
    bench.check().await
}

async fn the_rest_is_asked_for_before_all_of_the_first_have_finished(bench: Bench) -> Result<()> {
    let press = Press::default();
    let worker = bench.worker(press.clone()).register_step(bind);
    let worker = start(worker.register_step(print_slowly));
    let book = bench.intendant.request(Book(21, 4)).await?;
    // All but the one that is held up.
    bench
        .until(|| async { Ok((press.pages.get() == 20).then_some(())) })
        .await?;
    bench.reach(book.id(), IntentState::Waiting).await?;
    ensure!(bench.number("select count(*) from @child").await? == 21);
    press.gate.open();
    ensure!(book.output().await? == bound(21));
    worker.stop().await?;
    bench.check().await
}

async fn the_limit_holds_when_the_workers_die(bench: Bench) -> Result<()> {
    let press = Press::default();
    let begin = || {
        let worker = bench.worker(press.clone()).register_step(bind);
        start(worker.register_step(print))
    };
    let book = bench.intendant.request(Book(60, 5)).await?;
    let mut worker = begin();
    for finished in [4, 20, 45] {
        bench
            .until(|| async {
                let children = bench.number(UNFINISHED).await?;
                ensure!(children <= 5, "{children} at once");
                let done = bench.number("select count(*) from @outcome").await?;
                Ok((done >= finished).then_some(()))
            })
            .await?;
        worker.kill().await;
        worker = begin();
    }
    ensure!(book.output().await? == bound(60));
    ensure!(bench.number("select count(*) from @child").await? == 60);
    worker.stop().await?;
    bench.check().await
}

async fn a_failed_child_is_asked_for_again_within_the_limit(bench: Bench) -> Result<()> {
    async fn jam(cx: Cx<Press>, page: Page) -> StepResult<u64> {
        let first = !cx.state().order.lock().unwrap().contains(&page.0);
        cx.state().order.lock().unwrap().push(page.0);
        if page.0.is_multiple_of(3) && first {
            return Err(fail("a paper jam"));
        }
        Ok(page.0 * 2)
    }
    async fn bind_twice(cx: Cx<Press>, book: Book) -> StepResult<Vec<u64>> {
        let pages = cx.children("page", (0..book.0).map(Page));
        let pages = pages.attempts(2).at_most(book.1).await?;
        Ok(pages.into_iter().collect::<Result<_, _>>()?)
    }
    let press = Press::default();
    let worker = bench.worker(press.clone()).register_step(bind_twice);
    let worker = start(worker.register_step(jam));
    let book = bench.intendant.request(Book(10, 2)).await?;
    bench
        .until(|| async {
            let unfinished = bench.number(UNFINISHED).await?;
            ensure!(unfinished <= 2, "{unfinished} at once");
            let state = bench.intendant.state(book.id()).await?;
            Ok(state.is_finished().then_some(()))
        })
        .await?;
    ensure!(book.output().await? == bound(10));
    ensure!(bench.number("select count(*) from @child").await? == 14);
    worker.stop().await?;
    bench.check().await
}

async fn other_children_of_the_step_are_waited_for_beside_them(bench: Bench) -> Result<()> {
    async fn bind_both(cx: Cx<Press>, book: Book) -> StepResult<Vec<u64>> {
        let pages = cx.children("page", (1..book.0).map(Page)).at_most(book.1);
        let (cover, pages) = tokio::join!(cx.child("cover", Page(0)), pages);
        let (cover, pages) = (cover?, pages?.into_iter());
        let pages = std::iter::once(Ok(cover)).chain(pages);
        Ok(pages.collect::<Result<_, _>>()?)
    }
    let press = Press::default();
    let worker = bench.worker(press.clone()).register_step(bind_both);
    let worker = start(worker.register_step(print_slowly));
    let book = bench.intendant.request(Book(15, 3)).await?;
    bench
        .until(|| async { Ok((press.pages.get() == 14).then_some(())) })
        .await?;
    press.gate.open();
    ensure!(book.output().await? == bound(15));
    worker.stop().await?;
    bench.check().await
}
