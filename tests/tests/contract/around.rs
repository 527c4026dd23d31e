//! What is around intents, for people and servers: tokens, workers, pages of events.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use intendant::{Cx, Intent, NewToken, Scope, StepResult, TokenId, fail};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    a_token_is_good_until_it_expires_or_is_revoked;
    a_token_that_is_not_whole_is_nobodys;
    events_are_read_after_the_last_one_that_was_seen;
    workers_say_what_they_serve;
}

#[derive(Serialize, Deserialize)]
struct Broken;

impl Intent for Broken {
    const KIND: &'static str = "broken";
    type Output = u64;
}

async fn broken(_: Cx<()>, _: Broken) -> StepResult<u64> {
    Err(fail("it is broken"))
}

fn new(name: &str, expires_in: Option<i64>) -> NewToken {
    NewToken {
        name: name.to_owned(),
        scope: Scope::Operator,
        account: Some("acme".to_owned()),
        expires_at: expires_in.map(|seconds| Utc::now() + TimeDelta::seconds(seconds)),
    }
}

async fn a_token_is_good_until_it_expires_or_is_revoked(bench: Bench) -> Result<()> {
    let intendant = &bench.intendant;
    let good = intendant
        .create_token(new("good", Some(600)), "ada")
        .await?;
    let late = intendant.create_token(new("late", Some(-1)), "ada").await?;
    let known = intendant.check_token(&good.token).await?.unwrap();
    ensure!(known == good.record && known.is_good, "{known:?}");
    ensure!(known.account.as_deref() == Some("acme") && known.scope == Scope::Operator);
    ensure!(intendant.check_token(&late.token).await?.is_none());
    let revoked = intendant.revoke_token(known.id, "bob").await?;
    ensure!(
        revoked.revoked_by.as_deref() == Some("bob") && !revoked.is_good,
        "{revoked:?}"
    );
    ensure!(intendant.check_token(&good.token).await?.is_none());
    // Who revoked it first stays.
    ensure!(intendant.revoke_token(known.id, "eve").await? == revoked);
    let all = intendant.tokens(None).await?;
    ensure!(all.len() == 2 && all[0].name == "good", "{all:?}");
    ensure!(intendant.tokens(Some(all[0].id)).await? == all[1..]);
    let nobody = intendant
        .revoke_token(TokenId(uuid::Uuid::nil()), "ada")
        .await;
    ensure!(nobody.unwrap_err().is_not_found());
    for wrong in ["", "a\nb"] {
        ensure!(
            intendant
                .create_token(new(wrong, None), "ada")
                .await
                .is_err(),
            "{wrong:?}"
        );
    }
    Ok(())
}

async fn a_token_that_is_not_whole_is_nobodys(bench: Bench) -> Result<()> {
    let intendant = &bench.intendant;
    let token = intendant
        .create_token(new("good", None), "ada")
        .await?
        .token;
    let other = intendant
        .create_token(new("other", None), "ada")
        .await?
        .token;
    let (id, secret) = token.split_once('.').unwrap();
    let (_, others) = other.split_once('.').unwrap();
    ensure!(secret != others && secret.len() == 64, "{secret}");
    for wrong in [
        format!("{id}.{others}"),
        format!("{id}.{}", &secret[1..]),
        format!("{id}.{}", secret.to_uppercase()),
        format!("{id}.{secret}."),
        format!(" {token}"),
        id.to_owned(),
        secret.to_owned(),
        token.replace("intendant_", ""),
        "intendant_.".to_owned(),
        String::new(),
    ] {
        ensure!(intendant.check_token(&wrong).await?.is_none(), "{wrong}");
    }
    ensure!(intendant.check_token(&token).await?.is_some());
    // What is kept is no secret.
    ensure!(
        bench
            .number(&format!(
                "select count(*) from @token where secret_hash = '{secret}'"
            ))
            .await?
            == 0
    );
    Ok(())
}

async fn events_are_read_after_the_last_one_that_was_seen(bench: Bench) -> Result<()> {
    let id = bench.intendant.request(Broken).await?.id();
    let worker = start(bench.worker(()).register_step(broken));
    for reason in ["one", "two", "three"] {
        bench.rest(id).await?;
        bench.intendant.resume(id, "ada", Some(reason)).await?;
    }
    bench.rest(id).await?;
    worker.stop().await?;
    let reasons = async |after| -> Result<Vec<String>> {
        let events = bench.intendant.events_after(id, after).await?;
        Ok(events
            .into_iter()
            .filter_map(|event| event.reason)
            .collect())
    };
    ensure!(reasons(0).await? == ["one", "two", "three"]);
    ensure!(reasons(1).await? == ["two", "three"] && reasons(3).await?.is_empty());
    Ok(())
}

async fn workers_say_what_they_serve(bench: Bench) -> Result<()> {
    ensure!(bench.intendant.workers().await?.is_empty());
    let worker = bench
        .worker(())
        .register_step(broken)
        .name("one")
        .queue("ssh", 2);
    let worker = start(worker);
    let workers = bench
        .until(|| async {
            let workers = bench.intendant.workers().await?;
            Ok((!workers.is_empty()).then_some(workers))
        })
        .await?;
    let one = &workers[0];
    ensure!(
        one.worker == "one" && one.pid == i64::from(std::process::id()),
        "{one:?}"
    );
    ensure!(
        one.silent_ms < 30_000 && !one.leaving && one.free > 0,
        "{one:?}"
    );
    let served = one
        .serves
        .iter()
        .map(|served| (&*served.queue, &*served.kind));
    ensure!(
        served.collect::<Vec<_>>() == [("default", "broken"), ("ssh", "broken")],
        "{one:?}"
    );
    worker.stop().await?;
    ensure!(bench.intendant.workers().await?.is_empty());
    Ok(())
}
