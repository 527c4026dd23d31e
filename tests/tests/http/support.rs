//! A server without a socket: requests go straight to its router.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use intendant::{
    About, Cx, Intendant, Intent, IntentId, NewToken, Resources, Scope, StepResult, StoreKind,
    Worker, fail, schemars,
};
use intendant_api::http::Api;
use intendant_tests::Given;
use intendant_tests::database::Database;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tower::ServiceExt as _;

use crate::documented::{Document, document};

pub(crate) use intendant_tests::on_both;

impl Given for Server {
    async fn given(store: StoreKind) -> Result<Self> {
        Self::open(store).await
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "intendant::schemars")]
pub(crate) struct Resize {
    pub(crate) account: String,
    pub(crate) server: u64,
    #[serde(default)]
    #[schemars(range(max = 128))]
    pub(crate) cores: u32,
}

impl Intent for Resize {
    const KIND: &'static str = "server.resize";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
    fn about() -> About {
        About::new("Gives a server more cores").schema::<Self>()
    }
}

async fn resize(_: Cx<()>, intent: Resize) -> StepResult<u64> {
    match intent.server % 2 {
        0 => Err(fail(format!("no server {}", intent.server))),
        _ => Ok(intent.server),
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Said {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// It is a problem with this status and code.
    pub(crate) fn is(&self, status: u16, code: &str) -> bool {
        self.status == status
            && self.json["code"] == code
            && self.json["status"] == status
            && self.header("content-type") == "application/problem+json"
    }
}

/// A server, and tokens for it.
pub(crate) struct Server {
    database: Database,
    pub(crate) intendant: Intendant,
    pub(crate) router: Router,
    pub(crate) document: &'static Document,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) admin: String,
}

impl Server {
    /// Runs this in the database, by its sort.
    pub(crate) async fn run_sql(&self, sqlite: &str, postgres: &str) -> Result<()> {
        let sql = match self.database.kind {
            StoreKind::Sqlite => sqlite,
            StoreKind::Postgres => postgres,
        };
        Ok(self.database.run_sql(sql).await?)
    }

    pub(crate) async fn open(kind: StoreKind) -> Result<Self> {
        let (database, intendant) = Database::open(kind).await?;
        let (stop, stopped) = watch::channel(false);
        let router = Api::new(&intendant).stop(stopped).router();
        let document = document(|| Api::new(&intendant).document());
        let mut server = Self {
            database,
            intendant,
            router,
            document,
            stop,
            admin: String::new(),
        };
        server.admin = server.token("root", Scope::Admin, None).await?;
        Ok(server)
    }

    /// A token.
    pub(crate) async fn token(
        &self,
        name: &str,
        scope: Scope,
        account: Option<&str>,
    ) -> Result<String> {
        let new = NewToken {
            name: name.to_owned(),
            scope,
            account: account.map(str::to_owned),
            expires_at: None,
        };
        Ok(self.intendant.create_token(new, "test").await?.token)
    }

    /// Intents of these accounts, each with one that has succeeded and one that has failed, in this order.
    pub(crate) async fn with_history(&self, accounts: &[&str]) -> Result<Vec<IntentId>> {
        let mut ids = Vec::new();
        for (index, account) in accounts.iter().enumerate() {
            for server in [1, 2] {
                let request = self.intendant.request(Resize {
                    account: (*account).to_owned(),
                    server: index as u64 * 10 + server,
                    cores: 1,
                });
                ids.push(request.by("ada").await?.id());
            }
        }
        let worker = self.worker();
        for id in &ids {
            self.intendant.at_rest(*id).await?;
        }
        worker.stop().await?;
        Ok(ids)
    }

    /// A worker that is running.
    pub(crate) fn worker(&self) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::new(&self.intendant, ()).register_step(resize);
        let task = tokio::spawn(worker.run(async {
            stopped.await.ok();
        }));
        Running { stop, task }
    }

    /// The kind is known from here on.
    pub(crate) async fn registered(&self) -> Result<()> {
        let worker = self.worker();
        until(|| async { Ok(self.intendant.kind(Resize::KIND).await.ok()) }).await?;
        worker.stop().await
    }

    /// Makes a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Said> {
        let (method, path) = (
            request.method().to_string(),
            request.uri().path().to_owned(),
        );
        let response = self.router.clone().oneshot(request).await?;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 64 << 20).await?.to_vec())?;
        let said = Said {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        };
        self.document
            .hold(&method, &path, &said)
            .with_context(|| format!("{method} {path}: {said:?}"))?;
        Ok(said)
    }

    /// Makes a request with a token, and a body if there is one.
    pub(crate) async fn call(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Said> {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        self.send(request.body(body)?).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Said> {
        self.call(&self.admin, "GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Said> {
        self.call(&self.admin, "POST", path, Some(body)).await
    }
}

/// A worker that is running.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<intendant::WorkReport, intendant::Error>>,
}

impl Running {
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.send(()).ok();
        self.task.await??;
        Ok(())
    }
}

/// Waits until `look` finds something.
pub(crate) async fn until<T, F: Future<Output = Result<Option<T>>>>(
    look: impl Fn() -> F,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(
            start.elapsed() < Duration::from_secs(30),
            "nothing came of it in half a minute"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
