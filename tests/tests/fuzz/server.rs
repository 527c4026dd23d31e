//! A server without a socket, on a database that has a history.

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use intendant::{Intendant, NewToken, Scope, StoreKind};
use intendant_api::http::Api;
use intendant_tests::database::Database;
use serde::de::IgnoredAny;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::calls::Call;
use crate::document::Document;
use crate::history;

/// What came back.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    /// Its content type.
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl Said {
    /// In a word.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.status.as_u16() {
            200..=299 => "done",
            300..=399 => "elsewhere",
            400 | 413 | 415 | 422 => "refused",
            404 | 405 => "not there",
            409 => "in conflict",
            _ => "otherwise",
        }
    }
}

pub(crate) struct Server {
    pub(crate) intendant: Intendant,
    pub(crate) document: Document,
    router: Router,
    token: String,
    database: Database,
}

impl Server {
    pub(crate) async fn open(kind: StoreKind) -> Result<Self> {
        let (database, intendant) = Database::open(kind).await?;
        let mut known = history::make(&intendant).await?;
        let make = async |name: &str| {
            let new = NewToken {
                name: name.to_owned(),
                scope: Scope::Admin,
                account: None,
                expires_at: None,
            };
            intendant.create_token(new, "fuzz").await
        };
        let token = make("root").await?.token;
        // One that can be taken back.
        let other = make("other").await?.record.id;
        known.insert("token", vec![other.to_string()]);
        let router = Api::new(&intendant).router();
        let ask = Request::get("/api/v1/openapi.json").body(Body::empty())?;
        let answer = router.clone().oneshot(ask).await?;
        let document = to_bytes(answer.into_body(), 16 << 20).await?;
        let document: Value = serde_json::from_slice(&document)?;
        Ok(Self {
            document: Document::read(&document, known)?,
            intendant,
            router,
            token,
            database,
        })
    }

    /// Where its database is.
    pub(crate) fn url(&self) -> &str {
        &self.database.url
    }

    /// Makes a call. Whatever it is, it is answered, and no fault of the server.
    pub(crate) async fn answer(&self, call: &Call) -> Result<Said> {
        let request = call.request(&self.token)?;
        let (parts, body) = self.router.clone().oneshot(request).await?.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let kind = kind.map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
        let kind = kind.unwrap_or_default();
        let bytes = match kind.as_str() {
            // It goes on for ever.
            "text/event-stream" => Vec::new(),
            _ => to_bytes(body, 64 << 20).await?.to_vec(),
        };
        let said = Said {
            status: parts.status,
            kind,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        };
        ensure!(!said.status.is_server_error(), "{said:?}");
        Ok(said)
    }

    /// The same of the API, which answers in JSON, and says what is wrong as the document says.
    pub(crate) async fn answer_of_api(&self, call: &Call) -> Result<Said> {
        let said = self.answer(call).await?;
        if said.status.is_client_error() {
            ensure!(said.kind == "application/problem+json", "{said:?}");
            let problem: Value = serde_json::from_str(&said.text)?;
            ensure!(problem["status"] == said.status.as_u16(), "{said:?}");
            self.document.check_problem(&problem)?;
        } else if said.kind == "application/json" {
            // Not as a value, which could not hold every number that a payload may have.
            serde_json::from_str::<IgnoredAny>(&said.text).context("it is no JSON")?;
        }
        Ok(said)
    }

    /// Nothing of what was tried has broken an invariant.
    pub(crate) async fn check(&self) -> Result<()> {
        let breaches = self.intendant.invariant_breaches().await?;
        ensure!(breaches.is_empty(), "{breaches:?}");
        Ok(())
    }
}
