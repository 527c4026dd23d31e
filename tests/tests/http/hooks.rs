//! Notices to a URL: signed, sent again until they are taken, and to nobody within the network unless that is said.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use intendant::{Cx, Intent, StepResult, StoreKind, Watch, Worker, fail};
use intendant_api::WebHook;
use intendant_tests::binary;
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

#[derive(Serialize, Deserialize)]
struct Attach;

impl Intent for Attach {
    const KIND: &'static str = "attach";
    type Output = ();
}

async fn attach(_: Cx<()>, _: Attach) -> StepResult<()> {
    Err(fail("no such volume"))
}

#[derive(Debug, Clone)]
struct Message {
    id: String,
    body: Value,
}

/// What has come, and what is answered next.
#[derive(Debug, Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<Message>>>,
    led_astray: Arc<Mutex<u32>>,
}

impl Receiver {
    async fn listen(&self) -> Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/notices", post(take))
            .route("/elsewhere", post(astray))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(format!("http://{address}/notices"))
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    let said = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, at) = (said("webhook-id"), said("webhook-timestamp"));
    let age = chrono::Utc::now().timestamp() - at.parse::<i64>().unwrap();
    let key = STANDARD
        .decode(SECRET.trim_start_matches("whsec_"))
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let signature = said("webhook-signature");
    let bytes = STANDARD
        .decode(signature.strip_prefix("v1,").unwrap())
        .unwrap();
    if mac.verify_slice(&bytes).is_err() || !(0..60).contains(&age) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut came = receiver.came.lock().unwrap();
    came.push(Message {
        id,
        body: serde_json::from_str(&body).unwrap(),
    });
    match came.len() {
        1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        2 => Redirect::temporary("/elsewhere").into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn astray(State(receiver): State<Receiver>) -> StatusCode {
    *receiver.led_astray.lock().unwrap() += 1;
    StatusCode::OK
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_sent_until_it_is_taken_and_then_no_more() -> Result<()> {
    let (_database, engine) = Database::open(StoreKind::Sqlite).await?;
    let receiver = Receiver::default();
    let hook = WebHook::new(&receiver.listen().await?, SECRET)?.within_network();
    let id = engine.request(Attach).await?.id();
    let watch = Watch::default()
        .every(Duration::ZERO)
        .throttle(Duration::from_secs(3_600));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&engine, ())
        .lease(Duration::from_secs(1))
        .watch(watch)
        .on_alert(hook.hook())
        .register_step(attach);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let came = || receiver.came.lock().unwrap().clone();
    let taken = async {
        while came().len() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken).await?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stop.send(()).ok();
    worker.await??;
    let came = came();
    ensure!(came.len() == 3, "{came:?}");
    ensure!(
        came.iter().all(|message| message.id == came[0].id),
        "{came:?}"
    );
    let body = &came[0].body;
    ensure!(
        body["type"] == "intendant.notices" && body["timestamp"].is_string(),
        "{body}"
    );
    let notice = &body["data"][0];
    ensure!(
        notice["kind"] == "failure" && notice["count"] == 1 && notice["intent_kind"] == "attach",
        "{notice}"
    );
    ensure!(notice["newest"] == id.to_string(), "{notice}");
    ensure!(
        notice["text"].as_str().unwrap().contains("no such volume"),
        "{notice}"
    );
    ensure!(
        *receiver.led_astray.lock().unwrap() == 0,
        "it follows redirects"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_within_the_network_unless_that_is_said() -> Result<()> {
    // Whoever connects is counted, whatever it says then.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let near = format!("http://{}", listener.local_addr()?);
    let came = Arc::new(Mutex::new(0));
    let counted = came.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            *counted.lock().unwrap() += 1;
        }
    });
    let port = near.split(':').nth(2).unwrap_or_default();
    for (url, why) in [
        (near.clone(), "by https alone"),
        (
            near.replace("http", "https"),
            "no address within the network",
        ),
        (
            format!("https://[::ffff:127.0.0.1]:{port}"),
            "no address within the network",
        ),
        (
            "https://169.254.169.254/latest/meta-data".to_owned(),
            "no address within the network",
        ),
        (
            "https://2130706433/".to_owned(),
            "no address within the network",
        ),
        (
            format!("https://localhost:{port}"),
            "has no address outside the network",
        ),
    ] {
        let told = WebHook::new(&url, SECRET)?.hook()(Vec::new()).await;
        let said = told
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        ensure!(said.contains(why), "{url}: {said}");
    }
    for wrong in [
        "ops.example.com",
        "https://ada:pass@ops.example.com",
        "mailto:ada@example.com",
    ] {
        ensure!(WebHook::new(wrong, SECRET).is_err(), "{wrong}");
    }
    ensure!(WebHook::new("https://ops.example.com", "secret").is_err());
    ensure!(*came.lock().unwrap() == 0);
    // It would have been counted.
    let within = WebHook::new(&near.replace("http", "https"), SECRET)?.within_network();
    ensure!(within.hook()(Vec::new()).await.is_err() && *came.lock().unwrap() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_the_command_line_sends_notices_to_the_url_that_it_is_told() -> Result<()> {
    let (database, engine) = Database::open(StoreKind::Sqlite).await?;
    let receiver = Receiver::default();
    let url = receiver.listen().await?;
    let directory = tempfile::tempdir()?;
    let mut worker = Command::new(binary::path("fleet")?)
        .args(["worker", "--notify", &url, "--notify-within-network"])
        .args(["--database-url", &database.url])
        .env("INTENDANT_NOTIFY_SECRET", SECRET)
        .env("FLEET_DIRECTORY", directory.path())
        .stderr(Stdio::null())
        .spawn()?;
    let told = async {
        while engine.kind("server.resize").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Its code finds another account in the input: it fails before anything is done.
        let input = json!({"account": "globex", "server": 1, "cores": 4});
        let input = to_raw_value(&input)?;
        let asked = engine
            .request_by_name("server.resize", &input)
            .account("acme");
        let id = asked.await?.id();
        while receiver.came.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(id)
    };
    let told = tokio::time::timeout(Duration::from_secs(90), told).await;
    worker.kill()?;
    worker.wait()?;
    let id = told??;
    let body = receiver.came.lock().unwrap()[0].body.clone();
    let notice = &body["data"][0];
    ensure!(notice["newest"] == id.to_string(), "{body}");
    Ok(())
}
