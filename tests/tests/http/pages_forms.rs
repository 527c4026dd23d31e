//! What is done by the forms of the dashboard, by a browser without scripts.

use anyhow::{Context as _, Result, ensure};
use intendant::{IntentFilter, IntentState, Scope};
use intendant_api::http::Api;

use crate::pages::Browser;
use crate::support::{Resize, Server, on_both, until};

on_both! {
    a_failed_intent_is_found_by_its_account_and_resumed;
    every_verb_has_a_form_that_does_it;
    several_are_chosen_and_done_at_once;
    a_queue_is_paused_and_goes_on;
    a_kind_is_asked_for_by_a_form_of_its_schema;
    a_look_that_has_no_end_is_cut_into_pages;
    files_are_kept_for_ever_and_have_their_contents_in_their_names;
}

async fn a_failed_intent_is_found_by_its_account_and_resumed(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let token = server.token("ada", Scope::Operator, None).await?;
    let browser = Browser::new(&server, &token);
    let accounts = browser.get("/account").await?;
    let search = accounts.form(&[("name", "")])?;
    let acme = browser.submit(&search, &[("name", "acme")]).await?;
    ensure!(
        acme.said().contains("Failed, and waiting for somebody")
            && acme.said().contains("no server 2"),
        "{acme:?}"
    );
    let link = format!("/intents/{failed}");
    ensure!(acme.links().contains(&link), "{acme:?}");
    let intent = browser.get(&link).await?;
    ensure!(intent.said().contains("no server 2"), "{intent:?}");
    let form = intent.form(&[("verb", "resume")])?;
    // Without a reason nothing is done.
    let refused = browser.submit(&form, &[("reason", "  ")]).await?;
    ensure!(
        refused.status == 422 && refused.said().contains("a reason is needed"),
        "{refused:?}"
    );
    ensure!(server.intendant.state(failed).await? == IntentState::Failed);
    let done = browser
        .submit(&form, &[("reason", "the server is <b>back</b>")])
        .await?;
    let after = browser.follow(done).await?;
    ensure!(
        after
            .said()
            .contains("resume by ada: the server is <b>back</b>"),
        "{after:?}"
    );
    let events = server.intendant.events(failed).await?;
    ensure!(
        events.iter().any(|event| event.actor == "ada"
            && event.reason.as_deref() == Some("the server is <b>back</b>")),
        "{events:?}"
    );
    // Once more is a conflict, told as a page that leads back.
    let again = browser.submit(&form, &[("reason", "again")]).await?;
    ensure!(
        again.status == 409 && again.is_html() && again.said().contains("wrong_state"),
        "{again:?}"
    );
    Ok(())
}

async fn every_verb_has_a_form_that_does_it(server: Server) -> Result<()> {
    let ids = server.with_history(&["a", "b", "c", "d"]).await?;
    let browser = Browser::new(&server, &server.admin);
    let page =
        |id: intendant::IntentId| browser.get(Box::leak(format!("/intents/{id}").into_boxed_str()));
    let why = [("reason", "since I say so")];
    for (id, verb, then) in [
        (ids[1], "undo", None),
        (ids[3], "discard", Some(IntentState::Cancelled)),
    ] {
        let form = page(id).await?.form(&[("verb", verb)])?;
        let done = browser.submit(&form, &why).await?;
        browser.follow(done).await?;
        let state = server.intendant.state(id).await?;
        ensure!(state != IntentState::Failed, "{verb}: {state}");
        ensure!(then.is_none_or(|then| then == state), "{verb}: {state}");
    }
    // What succeeded is asked for again: the page of the new one comes next.
    let form = page(ids[0]).await?.form(&[("verb", "rerun")])?;
    let done = browser.submit(&form, &why).await?;
    ensure!(
        done.header("location").starts_with("/intents/")
            && !done.header("location").contains(&ids[0].to_string()),
        "{done:?}"
    );
    let new = browser.follow(done).await?;
    let cancel = new.form(&[("verb", "cancel")])?;
    let cancelled = browser.submit(&cancel, &why).await?;
    ensure!(
        browser
            .follow(cancelled)
            .await?
            .said()
            .contains("cancelled")
    );
    // A step by itself.
    let step = format!("/intents/{}/step?name=run", ids[5]);
    let steps = browser.get(&format!("/intents/{}", ids[5])).await?;
    let link = steps
        .links()
        .into_iter()
        .find(|link| link.contains("/step?"));
    let step = browser.get(&link.unwrap_or(step)).await?;
    ensure!(step.said().contains("no server"), "{step:?}");
    for verb in ["retry", "skip", "rerun-from"] {
        step.form(&[("verb", verb)])?;
    }
    let skip = step.form(&[("verb", "skip")])?;
    let wrong = browser
        .submit(&skip, &[("output", "{"), ("reason", "x")])
        .await?;
    ensure!(wrong.status == 422, "{wrong:?}");
    let skipped = browser
        .submit(&skip, &[("output", "7"), ("reason", "done by hand")])
        .await?;
    ensure!(skipped.status == 303, "{skipped:?}");
    let amend = page(ids[7]).await?.form(&[("verb", "amend")])?;
    let input = amend.fields.iter().find(|(name, _)| name == "input");
    let input = &input.context("no input")?.1;
    let amended = input
        .replace("\"cores\":1", "\"cores\":2")
        .replace("\"cores\": 1", "\"cores\": 2");
    ensure!(*input != amended, "{input}");
    let done = browser
        .submit(&amend, &[("input", &amended), ("reason", "two are enough")])
        .await?;
    ensure!(
        browser
            .follow(done)
            .await?
            .said()
            .contains("two are enough")
    );
    let worker = server.worker();
    let done = until(|| async {
        let record = server.intendant.get(ids[5]).await?;
        Ok((record.state == IntentState::Succeeded).then_some(record))
    })
    .await?;
    worker.stop().await?;
    ensure!(done.output.context("no output")?.get() == "7");
    ensure!(server.intendant.invariant_breaches().await?.is_empty());
    Ok(())
}

async fn several_are_chosen_and_done_at_once(server: Server) -> Result<()> {
    let ids = server.with_history(&["acme", "acme", "other"]).await?;
    let browser = Browser::new(&server, &server.admin);
    let list = browser.get("/intents?state=failed&account=acme").await?;
    ensure!(
        list.text.matches("type=\"checkbox\"").count() == 2,
        "{list:?}"
    );
    let form = list.form(&[("verb", "resume"), ("account", "acme")])?;
    // All that match: asked first.
    let asked = browser
        .submit(&form, &[("verb", "discard"), ("to", "all")])
        .await?;
    ensure!(
        asked.said().contains("2 match and can be done"),
        "{asked:?}"
    );
    let sure = asked.form(&[("to", "all"), ("verb", "discard"), ("reason", "")])?;
    ensure!(browser.submit(&sure, &[]).await?.status == 422);
    let done = browser
        .submit(&sure, &[("reason", "of no use any more")])
        .await?;
    ensure!(done.said().contains("Done to 2; refused for 0"), "{done:?}");
    // The chosen ones: one of them cannot be done, and is told.
    let (yes, no) = (ids[5].to_string(), ids[0].to_string());
    let asked = browser
        .get(&format!("/bulk?verb=resume&to=chosen&id={yes}&id={no}"))
        .await?;
    let sure = asked.form(&[("id", &yes), ("id", &no)])?;
    let done = browser.submit(&sure, &[("reason", "again")]).await?;
    ensure!(
        done.said().contains("Done to 1; refused for 1")
            && done.links().contains(&format!("/intents/{no}")),
        "{done:?}"
    );
    for nothing in [
        "verb=resume&to=chosen",
        "verb=resume&to=all",
        "verb=drop&to=all&kind=a",
    ] {
        let refused = browser.get(&format!("/bulk?{nothing}")).await?;
        ensure!(refused.status == 422, "{refused:?}");
    }
    Ok(())
}

async fn a_queue_is_paused_and_goes_on(server: Server) -> Result<()> {
    server.registered().await?;
    let browser = Browser::new(&server, &server.admin);
    let queues = browser.get("/queues").await?;
    let pause = queues.form(&[("name", "default"), ("verb", "pause")])?;
    let done = browser
        .submit(&pause, &[("reason", "a look at the disk")])
        .await?;
    let paused = browser.follow(done).await?;
    ensure!(
        paused.said().contains("by root: a look at the disk"),
        "{paused:?}"
    );
    let overview = browser.get("/").await?;
    ensure!(
        overview.said().contains("is paused by root"),
        "{overview:?}"
    );
    let limit = paused.form(&[("verb", "limit")])?;
    let done = browser
        .submit(&limit, &[("slots", "3"), ("reason", "slowly")])
        .await?;
    let limited = browser.follow(done).await?;
    ensure!(limited.said().contains("at most 3"), "{limited:?}");
    let rate = limited.form(&[("verb", "rate")])?;
    let done = browser
        .submit(&rate, &[("rate", "30/min"), ("reason", "their quota")])
        .await?;
    let rated = browser.follow(done).await?;
    ensure!(
        rated.said().contains("at most 30/min, 1 at once"),
        "{rated:?}"
    );
    let turns = limited.form(&[("verb", "partition")])?;
    let done = browser
        .submit(
            &turns,
            &[("by", "account"), ("at_once", "2"), ("reason", "a flood")],
        )
        .await?;
    let turned = browser.follow(done).await?;
    ensure!(
        turned
            .said()
            .contains("by account, at most 2 of one at once"),
        "{turned:?}"
    );
    let slip = browser
        .submit(&rate, &[("rate", "thirty"), ("reason", "their quota")])
        .await?;
    ensure!(
        slip.status == 422 && slip.said().contains("100/s"),
        "{slip:?}"
    );
    let resume = limited.form(&[("verb", "resume")])?;
    let done = browser
        .submit(&resume, &[("reason", "it was full")])
        .await?;
    ensure!(
        !browser
            .follow(done)
            .await?
            .said()
            .contains("a look at the disk")
    );
    let audit = browser.get("/audit").await?;
    for why in ["a look at the disk", "slowly", "their quota", "it was full"] {
        ensure!(audit.said().contains(why), "{audit:?}");
    }
    Ok(())
}

async fn a_kind_is_asked_for_by_a_form_of_its_schema(server: Server) -> Result<()> {
    server.registered().await?;
    let token = server.token("ada", Scope::Operator, None).await?;
    let browser = Browser::new(&server, &token);
    let kinds = browser.get("/kinds").await?;
    let link = kinds
        .links()
        .into_iter()
        .find(|link| link.starts_with("/kind?"));
    let kind = browser.get(&link.context("no kind")?).await?;
    let form = kind.form(&[
        ("kind", "server.resize"),
        ("input.account", ""),
        ("input.cores", ""),
    ])?;
    let fill = [
        ("input.account", "acme"),
        ("input.server", "7"),
        ("account", "acme"),
        ("resources", "server:7\r\n"),
        ("key", "order-1"),
    ];
    let refused = browser
        .submit(&form, &[&fill[..], &[("input.cores", "900")]].concat())
        .await?;
    ensure!(refused.status == 422, "{refused:?}");
    let filled = [&fill[..], &[("input.cores", "9")]].concat();
    let made = browser.submit(&form, &filled).await?;
    let at = made.header("location").to_owned();
    let page = browser.follow(made).await?;
    ensure!(
        page.said().contains("\"cores\": 9")
            && page.said().contains("server:7")
            && page.said().contains("ada"),
        "{page:?}"
    );
    // Asked for again with the same key, it is the same.
    ensure!(browser.submit(&form, &filled).await?.header("location") == at);
    // Whoever sees one account asks for that one alone.
    let portal = server
        .token("portal", Scope::Operator, Some("other"))
        .await?;
    let portal = Browser::new(&server, &portal);
    let foreign = portal
        .post(
            "/kind",
            &[
                ("kind", "server.resize"),
                ("input.account", "acme"),
                ("input.server", "1"),
            ],
        )
        .await?;
    ensure!(foreign.status == 403, "{foreign:?}");
    let listed = server.intendant.list(IntentFilter::default()).await?;
    ensure!(listed.len() == 1, "{listed:?}");
    Ok(())
}

async fn a_look_that_has_no_end_is_cut_into_pages(server: Server) -> Result<()> {
    let all = (0..130).map(|server| Resize {
        account: "acme".into(),
        server,
        cores: 1,
    });
    server
        .intendant
        .request_all(all.collect::<Vec<_>>())
        .await?;
    let browser = Browser::new(&server, &server.admin);
    let (mut at, mut seen, mut pages) = ("/intents?account=acme".to_owned(), 0, 0);
    loop {
        let page = browser.get(&at).await?;
        seen += page.text.matches("type=\"checkbox\"").count();
        pages += 1;
        let html = page.html();
        let next = html.select(&crate::pages::selector("a[rel=next]")).next();
        let Some(next) = next.and_then(|next| next.value().attr("href")) else {
            break;
        };
        at = next.to_owned();
    }
    ensure!((seen, pages) == (130, 3), "{seen} on {pages} pages");
    Ok(())
}

async fn files_are_kept_for_ever_and_have_their_contents_in_their_names(
    server: Server,
) -> Result<()> {
    let browser = Browser::new(&server, &server.admin);
    let page = browser.get("/").await?;
    let html = page.html();
    let wanted = crate::pages::selector("link[href], script[src]");
    let files = html.select(&wanted);
    let files: Vec<String> = files
        .filter_map(|file| file.value().attr("href").or(file.value().attr("src")))
        .map(str::to_owned)
        .collect();
    ensure!(files.len() == 3, "{files:?}");
    for file in &files {
        let said = Browser::new(&server, "").get(file).await?;
        ensure!(
            said.status == 200 && said.header("cache-control").contains("immutable"),
            "{said:?}"
        );
        let old = browser.get(&file.replace('-', "-0")).await?;
        ensure!(old.status == 404, "{old:?}");
    }
    let css = Browser::new(&server, "")
        .get(
            files
                .iter()
                .find(|file| file.ends_with("css"))
                .context("no style")?,
        )
        .await?;
    ensure!(
        css.header("content-type") == "text/css; charset=utf-8",
        "{css:?}"
    );
    // Streams are pages' own, and open to whoever sees the page.
    let live = browser.get("/intents/live?limit=1").await?;
    ensure!(
        live.header("content-type") == "text/event-stream",
        "{live:?}"
    );
    ensure!(
        Api::new(&server.intendant)
            .pages()
            .iter()
            .any(|route| route.path == "/intents/{id}/live")
    );
    Ok(())
}
