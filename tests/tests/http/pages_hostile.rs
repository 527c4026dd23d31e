//! Hostile strings in every field that somebody else fills, on every page that links lead to: parsed as a browser does, they are
//! text, and nothing but text.

use anyhow::{Context as _, Result, ensure};
use intendant::{
    About, Cx, Intent, IntentState, NewToken, Node, Plan, Resources, Schedule, Scope, StepLogs,
    StepResult, Worker, fail, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::pages::Browser;
use crate::support::{Server, on_both, until};

on_both! {
    what_others_have_written_is_text_on_every_page;
    hostile_queries_and_forms_are_no_faults;
}

const SCRIPT: &str = "<script>alert(1)</script>";
const STRINGS: &[&str] = &[
    SCRIPT,
    "\"><img src=x onerror=alert(1)>",
    "' autofocus onfocus=alert(1) x='",
    "javascript:alert(1)",
    "</textarea></pre></title><svg onload=alert(1)>",
    "<!-- --><iframe src=//evil.example>",
    "`${alert(1)}`",
    "..",
    "a/b?c=d&e=f#g%20h+i",
    " spaces around ",
    "\u{202e}gnp.exe\u{feff}\u{200b}",
    "𝕳𝖊𝖑𝖑𝖔 🏴‍☠️ \u{10ffff}",
    "&lt;b&gt;&amp;&#x3c;",
    "_%\\",
];

/// No names, but errors, logs, reasons and inputs.
const TEXTS: &[&str] = &["line\r\nSet-Cookie: a=b", "\u{1b}[2J\u{7}\u{7f}cleared"];

#[derive(Serialize, Deserialize)]
struct Hostile {
    text: String,
    said: String,
    fails: bool,
}

impl Intent for Hostile {
    const KIND: &'static str = "<script>alert('kind')</script>\"'&";
    const QUEUE: &'static str = "<script>alert('queue')</script>\"'&";
    type Output = String;
    fn account(&self) -> Option<&str> {
        Some(&self.text)
    }
    fn resources(&self) -> Resources {
        Resources::touched("thing", &self.text)
    }
    fn about() -> About {
        let schema = serde_json::json!({
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": SCRIPT},
                "fails": {"type": "boolean"},
                "\"><img src=x onerror=alert(1)>": {"enum": STRINGS},
            },
        });
        About::new(format!("{SCRIPT} as a description")).schema_json(schema)
    }
}

async fn says(cx: Cx<()>, (text, fails): (String, bool)) -> StepResult<String> {
    tracing::info!("{text}");
    cx.measure(cx.step_name(), 1.0);
    cx.progress(&text);
    match fails {
        true => Err(fail(text)),
        false => Ok(text),
    }
}

fn plan(intent: &Hostile, plan: &mut Plan<()>) -> Node<String> {
    let first = plan
        .step(intent.text.clone(), says)
        .input((value(intent.said.clone()), value(false)));
    let names = format!("{} again", intent.text);
    plan.step(names, says).input((first, value(intent.fails)))
}

async fn what_others_have_written_is_text_on_every_page(server: Server) -> Result<()> {
    let subscriber = tracing_subscriber::registry().with(StepLogs::new());
    let engine = &server.intendant;
    let mut ids = Vec::new();
    let all = STRINGS.iter().map(|text| (text, text));
    let all = all.chain(TEXTS.iter().map(|said| (&"plain", said)));
    // More than a page shows of it.
    let long = SCRIPT.repeat(500);
    let long = &*long;
    let all = all.chain([(&"long", &long)]);
    for (text, said) in all {
        for fails in [false, true] {
            let intent = Hostile {
                text: (*text).to_owned(),
                said: (*said).to_owned(),
                fails,
            };
            let request = engine.request(intent).by(*text).label(*text, *text);
            ids.push(request.correlation_id(*text).await?.id());
        }
    }
    for text in STRINGS {
        engine.signal(ids[1], *text, text).by(*text).await?;
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let mut worker = Worker::new(engine, ()).register(plan).name(SCRIPT);
    for text in &STRINGS[..4] {
        let schedule = Schedule::cron(*text, "0 0 1 1 *");
        worker = worker.schedule(schedule, |_| Hostile {
            text: SCRIPT.to_owned(),
            said: SCRIPT.to_owned(),
            fails: true,
        });
    }
    let running = worker.run(async {
        stopped.await.ok();
    });
    let running = tokio::spawn(running.with_subscriber(subscriber));
    for id in &ids {
        engine.at_rest(*id).await?;
    }
    until(|| async { Ok((engine.schedules().await?.len() == 4).then_some(())) }).await?;
    for text in STRINGS {
        let new = NewToken {
            name: (*text).to_owned(),
            scope: Scope::Viewer,
            account: Some((*text).to_owned()),
            expires_at: None,
        };
        engine.create_token(new, text).await?;
    }
    engine
        .pause_queue(Hostile::QUEUE, SCRIPT, Some(STRINGS[1]))
        .await?;
    engine
        .pause_schedule(STRINGS[0], STRINGS[1], Some(STRINGS[2]))
        .await?;
    engine.resume(ids[1], STRINGS[1], Some(SCRIPT)).await?;
    let unfinished = Hostile {
        text: STRINGS[1].to_owned(),
        said: SCRIPT.to_owned(),
        fails: true,
    };
    engine.request(unfinished).by(SCRIPT).await?;

    // Every page that links lead to is parsed, and held to the elements and attributes that there are.
    let browser = Browser::new(&server, &server.admin);
    let pages = browser.crawl(120).await?;
    ensure!(pages.len() > 150, "{} pages", pages.len());
    // And what was written is there to be read.
    let mut read = 0;
    for text in STRINGS.iter().chain(TEXTS) {
        // Spaces and what cannot be seen are laid out anew.
        let bare = |text: &str| -> String {
            let is_seen = |c: &char| !(c.is_whitespace() || c.is_control() || *c == '`');
            text.chars().filter(is_seen).collect()
        };
        let wanted = bare(text);
        let found = pages
            .iter()
            .filter(|page| bare(&page.said()).contains(&wanted));
        let found = found.count();
        ensure!(found >= 3, "{text:?} is on {found} pages");
        read += found;
    }
    ensure!(read > 200, "{read} times");
    for sort in [
        "/account?",
        "/kind?",
        "/step?",
        "/payload?",
        "/queues",
        "/schedules",
        "/workers",
        "/audit",
        "/failures",
        "/intents?label",
    ] {
        ensure!(
            pages.iter().any(|page| page.at.contains(sort)),
            "no page with {sort}"
        );
    }
    // Every form that is on them says what it said, too: one that goes wrong tells so in a page.
    let kind = pages
        .iter()
        .find(|page| page.at.starts_with("/kind?"))
        .context("no kind")?;
    let form = kind.form(&[("kind", Hostile::KIND)])?;
    let said = browser
        .submit(&form, &[("input.fails", SCRIPT), ("key", SCRIPT)])
        .await?;
    ensure!(said.status == 422 && said.is_html(), "{said:?}");
    // An account of such a name sees its own pages.
    for text in &STRINGS[..4] {
        let token = server.token(text, Scope::Operator, Some(text)).await?;
        let pages = Browser::new(&server, &token).crawl(10).await?;
        ensure!(pages.len() > 5, "{} pages", pages.len());
    }
    stop.send(()).ok();
    running.await??;
    ensure!(engine.state(ids[0]).await? == IntentState::Succeeded);
    ensure!(engine.invariant_breaches().await?.is_empty());
    Ok(())
}

async fn hostile_queries_and_forms_are_no_faults(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let browser = Browser::new(&server, &server.admin);
    let encode = crate::pages::encode;
    let fields = [
        "account", "resource", "kind", "state", "by", "label", "error", "since", "before", "name",
        "after", "events", "steps", "verb", "to", "id", "of", "step",
    ];
    let long = "x".repeat(5_000);
    for text in STRINGS
        .iter()
        .copied()
        .chain(["\0", "9999999999999999999999d", &*long])
    {
        let (text, is_nul) = (encode(text), text == "\0");
        for field in fields {
            for path in [
                "/",
                "/intents",
                "/failures",
                "/account",
                "/kind",
                "/kinds",
                "/bulk",
                &format!("/intents/{failed}"),
                &format!("/intents/{failed}/step"),
            ] {
                let said = browser.get(&format!("{path}?{field}={text}")).await?;
                let status = said.status.as_u16();
                ensure!(
                    matches!(status, 200 | 400 | 403 | 404 | 422) && !(is_nul && status == 200),
                    "{path} {field} {text}: {said:?}"
                );
            }
        }
        for path in ["intents/", "assets/", &format!("intents/{failed}/")] {
            let said = browser.get(&format!("/{path}{text}")).await?;
            ensure!(
                matches!(said.status.as_u16(), 400 | 404),
                "{path}{text}: {said:?}"
            );
        }
    }
    for text in STRINGS.iter().chain(TEXTS).copied().chain(["\0", &*long]) {
        for path in [
            "/login",
            "/queues",
            "/schedules",
            "/kind",
            "/bulk",
            &format!("/intents/{failed}/act"),
            &format!("/intents/{failed}/signal"),
        ] {
            let fields = [
                "name", "verb", "reason", "slots", "kind", "json", "key", "step", "output",
                "input", "payload", "token", "to", "id",
            ];
            let same: Vec<(&str, &str)> = fields.iter().map(|field| (*field, text)).collect();
            let said = browser.post(path, &same).await?;
            ensure!(said.status.as_u16() < 500, "{path} {text:?}: {said:?}");
            for (verb, more) in [
                ("pause", "default"),
                ("retry", ""),
                ("skip", ""),
                ("amend", ""),
                ("run", ""),
                ("resume", ""),
            ] {
                let said = browser
                    .post(
                        path,
                        &[
                            ("verb", verb),
                            ("reason", text),
                            ("step", text),
                            ("output", text),
                            ("input", text),
                            ("name", if more.is_empty() { text } else { more }),
                        ],
                    )
                    .await?;
                ensure!(
                    said.status.as_u16() < 500,
                    "{path} {verb} {text:?}: {said:?}"
                );
            }
        }
    }
    // What is no form is told so.
    let request = axum::http::Request::post("/queues").header("content-type", "application/json");
    let said = browser
        .send("/queues", request.body(axum::body::Body::from("{}"))?)
        .await?;
    ensure!(said.status == 400 && said.is_html(), "{said:?}");
    Ok(())
}
