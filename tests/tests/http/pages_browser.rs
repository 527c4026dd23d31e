//! The dashboard in a real browser: by keyboard, live, narrow and wide, light and dark.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Scope, StepResult, StoreKind, Worker, fail};
use intendant_tests::chromium::Browser;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;

use crate::support::Server;

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";

#[derive(Serialize, Deserialize)]
struct Fix {
    account: String,
}

impl Intent for Fix {
    const KIND: &'static str = "disk.fix";
    type Output = ();
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
}

async fn fix(cx: Cx<Arc<AtomicBool>>, _: Fix) -> StepResult<()> {
    match cx.state().load(Ordering::SeqCst) {
        true => Ok(()),
        false => Err(fail("the disk `sda` does not answer")),
    }
}

/// The server on a port of its own.
async fn listening(server: &Server) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = format!("http://{}", listener.local_addr()?);
    let router = server.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(at)
}

async fn sign_in(browser: &Browser, at: &str, token: &str) -> Result<()> {
    browser.open(at).await?;
    browser
        .type_into("input[name=token]", &format!("{token}{ENTER}"))
        .await?;
    browser
        .until("return document.title.startsWith('Overview')")
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_intent_is_found_read_resumed_and_seen_to_finish() -> Result<()> {
    let Some(browser) = Browser::start().await? else {
        return Ok(());
    };
    let server = Server::open(StoreKind::Sqlite).await?;
    let is_mended = Arc::new(AtomicBool::new(false));
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(&server.intendant, Arc::clone(&is_mended)).register_step(fix);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let account = "acme & \"sons\"".to_owned();
    let id = server
        .intendant
        .request(Fix { account })
        .by("eve")
        .await?
        .id();
    server.intendant.at_rest(id).await?;
    let token = server.token("ada", Scope::Operator, None).await?;
    let at = listening(&server).await?;
    sign_in(&browser, &at, &token).await?;

    // By keyboard alone: the account's name, its failed intent, the reason.
    browser.open(&format!("{at}/account")).await?;
    browser
        .type_into("main input[name=name]", &format!("acme & \"sons\"{ENTER}"))
        .await?;
    browser
        .until("return document.body.innerText.includes('does not answer')")
        .await?;
    browser
        .run("document.querySelector('.story a[href*=\"/intents/\"]').focus()")
        .await?;
    browser.press(ENTER).await?;
    browser
        .until("return document.title.startsWith('disk.fix failed')")
        .await?;
    let why = browser
        .run("return document.querySelector('.said.bad').innerText")
        .await?;
    ensure!(
        why.to_string().contains("the disk `sda` does not answer"),
        "{why}"
    );
    browser
        .until("return document.getElementById('live').textContent === 'Live.'")
        .await?;
    browser
        .run("document.querySelector('#act-resume textarea').focus()")
        .await?;
    browser.press("changed").await?;
    browser.press(TAB).await?;
    let has_focus = browser
        .run("return document.activeElement.textContent")
        .await?;
    ensure!(has_focus == json!("Resume"), "{has_focus}");
    // Once more it fails: the page that comes shows so by itself, and what is typed on it stays.
    browser.press(ENTER).await?;
    browser
        .until("return document.body.innerText.includes('resume by ada: changed')")
        .await?;
    browser
        .until(
            "return document.querySelector('header.title .state')?.textContent.includes('failed')",
        )
        .await?;
    is_mended.store(true, Ordering::SeqCst);
    browser.open(&format!("{at}/intents/{id}")).await?;
    browser
        .until("return document.getElementById('live').textContent === 'Live.'")
        .await?;
    browser.run("window.was_here = true").await?;
    browser
        .type_into("#act-resume textarea", "a new disk")
        .await?;
    // Somebody else is faster: the page shows it without being asked, and goes on being the same page.
    server
        .intendant
        .resume(id, "bob", Some("sdb it is"))
        .await?;
    browser
        .until("return document.querySelector('header.title .state').textContent.includes('succeeded')")
        .await?;
    browser
        .until("return window.was_here === true && document.body.innerText.includes('resume by bob: sdb it is')")
        .await?;
    let typed = browser
        .run("return document.querySelector('#act-resume textarea').value")
        .await?;
    ensure!(typed == json!("a new disk"), "{typed}");
    let complaints = browser.complaints().await?;
    ensure!(
        !complaints
            .iter()
            .any(|said| said.contains("Content Security Policy")),
        "{complaints:?}"
    );
    stop.send(()).ok();
    worker.await??;
    ensure!(server.intendant.state(id).await? == IntentState::Succeeded);
    Ok(())
}

/// What is too faint to read (WCAG 2, level AA), of all that is to be seen.
const FAINT: &str = r"
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return rgb(getComputedStyle(document.documentElement).backgroundColor);
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.checkVisibility() || element.closest('svg, option, script')) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (contrast < 4.5) faint.push(`${element.tagName}.${element.className} ${contrast.toFixed(2)}: ${texts.currentNode.textContent}`);
  }
  return seen < 10 ? ['only ' + seen + ' texts'] : faint;
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_fit_and_can_be_read_narrow_and_wide_in_light_and_in_dark() -> Result<()> {
    let Some(browser) = Browser::start().await? else {
        return Ok(());
    };
    let server = Server::open(StoreKind::Sqlite).await?;
    let failed = server.with_history(&["acme", "globex"]).await?[1];
    let at = listening(&server).await?;
    sign_in(&browser, &at, &server.admin).await?;
    let pages = [
        "/".to_owned(),
        "/intents".to_owned(),
        "/account?name=acme".to_owned(),
        "/failures".to_owned(),
        "/workers".to_owned(),
        "/queues".to_owned(),
        "/kinds".to_owned(),
        "/kind?name=server.resize".to_owned(),
        "/audit".to_owned(),
        format!("/intents/{failed}"),
        format!("/bulk?verb=resume&id={failed}"),
    ];
    for width in [400, 1_280] {
        for scheme in ["light", "dark"] {
            browser.look(width, scheme).await?;
            for page in &pages {
                browser.open(&format!("{at}{page}")).await?;
                let sizes = browser
                    .run("const root = document.documentElement; return [innerWidth, root.scrollWidth - root.clientWidth]")
                    .await?;
                ensure!(
                    sizes == json!([width, 0]),
                    "{page} is too wide for {width}: {sizes}"
                );
                let faint = browser.run(FAINT).await?;
                ensure!(faint == json!([]), "{page} in {scheme}: {faint:#}");
            }
        }
    }
    let complaints = browser.complaints().await?;
    ensure!(
        !complaints
            .iter()
            .any(|said| said.contains("Content Security Policy")),
        "{complaints:?}"
    );
    Ok(())
}
