//! Cursors: where a page has ended goes back as it was given, or as anything else, to whatever list.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{IntentFilter, Mark, Position, StoreKind};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::calls::Call;
use crate::changes::{changed, changes, plain};
use crate::document::Operation;
use crate::json::Json;
use crate::server::Server;
use crate::text::{edited, edited_text, edits, encoded, few_edits, texts};
use crate::tries::{Tally, check, on_both, runtime, usual};

on_both! {
    a_list_goes_on_from_any_cursor_or_refuses_it;
    a_subscription_goes_on_from_any_position;
}

/// Under these names a list is told where to go on.
const NAMES: [&str; 2] = ["before", "after"];

/// Longer than a subscription looks, as a rule.
const LOOK: Duration = Duration::from_millis(20);

/// Where the pages of all lists have ended, and the paths that they are at.
async fn ended(server: &Server) -> Result<(Vec<String>, Vec<(String, &'static str)>)> {
    let (mut cursors, mut lists) = (Vec::new(), Vec::new());
    let reads = |it: &&Operation| it.method == "GET" && !it.path.ends_with("/stream");
    for operation in server.document.operations.iter().filter(reads) {
        for name in NAMES.into_iter().filter(|name| operation.takes(name)) {
            for id in server.document.known("id") {
                let path = operation.path.replace("{id}", id);
                let limit = if operation.takes("limit") {
                    "?limit=1"
                } else {
                    ""
                };
                let call = Call::get(format!("{path}{limit}"));
                let said = server.answer_of_api(&call).await?;
                let said: Value = serde_json::from_str(&said.text)?;
                cursors.extend(said["next"].as_str().map(str::to_owned));
                lists.push((path, name));
            }
        }
    }
    cursors.sort();
    cursors.dedup();
    lists.sort();
    lists.dedup();
    Ok((cursors, lists))
}

fn a_list_goes_on_from_any_cursor_or_refuses_it(kind: StoreKind) -> Result<()> {
    let runtime = runtime()?;
    let server = runtime.block_on(Server::open(kind))?;
    let (cursors, lists) = runtime.block_on(ended(&server))?;
    ensure!(lists.len() > 60, "{lists:?}");
    let is_mark = |cursor: &&String| cursor.parse::<Mark>().is_ok();
    ensure!(cursors.iter().filter(is_mark).count() > 3, "{cursors:?}");
    let other = texts().prop_map(String::into_bytes);
    let cursor = prop_oneof![3 => of_marks(), 2 => near(cursors), 1 => other];
    let limits = select(vec!["", "&limit=1", "&limit=1000"]);
    let calls = (select(lists), cursor, limits).prop_map(|((path, name), cursor, limit)| {
        let cursor = encoded(&cursor, b"");
        Call::get(format!("{path}?{name}={cursor}{limit}"))
    });
    let tally = Tally::default();
    check(usual(kind, 600), &calls, |call| {
        let said = runtime.block_on(server.answer_of_api(&call))?;
        tally.add(said.outcome());
        Ok(())
    })?;
    tally.has(&["done", "refused"])
}

/// Those that were given, and what may become of them on their way.
fn near(cursors: Vec<String>) -> BoxedStrategy<Vec<u8>> {
    (
        select(cursors),
        prop_oneof![1 => Just(Vec::new()), 3 => edits()],
    )
        .prop_map(|(cursor, edits)| edited(cursor.into_bytes(), &edits))
        .boxed()
}

/// What stands in a mark: a key with texts and numbers that nobody has given, or something else, as it is written there.
fn of_marks() -> BoxedStrategy<Vec<u8>> {
    let both = "00000000-0000-0000-0000-000000000000 ffffffff-ffff-ffff-ffff-ffffffffffff";
    let known = select(vec!["", "first", "run", "second", "superseded", both]);
    let text = prop_oneof![known.prop_map(str::to_owned), texts()];
    let text = text.prop_map(|text| Json::text(&text)).boxed();
    let number = any_number().prop_map(|number| Json::Plain(number.to_string()));
    let number = number.boxed();
    let key = (text.clone(), number.clone(), number, text);
    let key = key.prop_map(|(one, two, three, four)| Json::List(vec![one, two, three, four]));
    let changes = prop_oneof![2 => Just(Vec::new()), 1 => changes(plain())];
    (key, changes)
        .prop_map(|(key, changes)| {
            let json = changed(key, changes).to_string();
            // As much of it as a URL takes.
            let digits = json.bytes().take(2_000).map(|byte| format!("{byte:02x}"));
            digits.collect::<String>().into_bytes()
        })
        .boxed()
}

fn any_number() -> BoxedStrategy<i64> {
    let edge = select(vec![-1, 0, 1, i64::MIN, i64::MAX]);
    prop_oneof![edge, any::<i64>()].boxed()
}

/// Positions of subscriptions, as they are written.
fn positions() -> BoxedStrategy<String> {
    let position = (any_number(), any::<u128>(), any_number());
    position
        .prop_map(|(at, id, seq)| {
            let id = uuid::Uuid::from_u128(id);
            format!("{at}.{}.{seq}", id.simple())
        })
        .boxed()
}

#[test]
fn what_is_read_as_a_cursor_is_written_as_it_was_read() -> Result<()> {
    let marks = of_marks().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = prop_oneof![marks, positions(), texts()];
    let text = (text, few_edits()).prop_map(|(text, edits)| edited_text(text, &edits));
    let tally = Tally::default();
    check(3_000, &text, |text| {
        if let Ok(mark) = text.parse::<Mark>() {
            let again = mark.to_string().parse::<Mark>();
            ensure!(again.as_ref() == Ok(&mark), "{mark:?} is read as {again:?}");
            tally.add("a mark");
        }
        if let Ok(position) = text.parse::<Position>() {
            let again = position.to_string().parse::<Position>();
            ensure!(again == Ok(position), "{position} is read as {again:?}");
            tally.add("a position");
        }
        Ok(())
    })?;
    tally.has(&["a mark", "a position"])
}

fn a_subscription_goes_on_from_any_position(kind: StoreKind) -> Result<()> {
    let runtime = runtime()?;
    let server = runtime.block_on(Server::open(kind))?;
    let tally = Tally::default();
    check(usual(kind, 40), &positions(), |position| {
        let position: Position = position.parse()?;
        runtime.block_on(async {
            let subscribe = server.intendant.subscribe(IntentFilter::default());
            let mut told = subscribe.after(position).await?;
            match tokio::time::timeout(LOOK, told.next()).await {
                Ok(event) => {
                    event?;
                    tally.add("told");
                }
                Err(_) => tally.add("waiting"),
            }
            anyhow::Ok(())
        })
    })?;
    tally.has(&["told", "waiting"])
}
