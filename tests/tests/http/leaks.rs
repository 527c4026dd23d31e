//! Ten thousand requests across two accounts: neither sees a row, an id or a name of the other one's.

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use futures_util::future::try_join_all;
use intendant::{IntentId, Scope};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tower::ServiceExt as _;

use crate::support::{Server, on_both};

on_both! {
    ten_thousand_requests_across_two_accounts_leak_nothing;
}

const REQUESTS: usize = 10_000;
/// So many clients at the same time.
const CLIENTS: usize = 8;
const ACCOUNTS: [&str; 2] = ["acme", "globex"];
/// How many pairs of intents each of them has.
const PAIRS: usize = 6;

struct Client<'s> {
    router: &'s Router,
    token: &'s str,
    own: &'s [IntentId],
    others: &'s [IntentId],
    /// The other account's name.
    other: &'s str,
    random: StdRng,
}

impl Client<'_> {
    async fn ask(&self, path: &str, body: Option<String>) -> Result<(StatusCode, String)> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json");
        let request = request.body(body.map_or_else(Body::empty, Body::from))?;
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), 64 << 20).await?;
        Ok((status, String::from_utf8(bytes.to_vec())?))
    }

    /// Asks for something, and looks at what came back. Returns whether it was about the other one's.
    async fn once(&mut self) -> Result<bool> {
        let is_other = self.random.random_bool(0.5);
        let ids = if is_other { self.others } else { self.own };
        let id = ids.choose(&mut self.random).copied();
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let of_one = [
            "",
            "/steps",
            "/attempts",
            "/events",
            "/children",
            "/links",
            "/why",
            "/graph",
            "/logs",
        ];
        let searches = [
            "".to_owned(),
            format!("account={}", self.other),
            "state=failed".to_owned(),
            format!("before={id}"),
            format!("after={id}"),
            "kind=server.resize&limit=3".to_owned(),
            format!("resource=server:{}", self.random.random_range(0..60)),
            "error=no%20server".to_owned(),
        ];
        let path = match self.random.random_range(0..10) {
            0..6 => {
                let part = of_one.choose(&mut self.random).copied().unwrap_or_default();
                let (status, text) = self
                    .ask(&format!("/api/v1/intents/{id}{part}"), None)
                    .await?;
                let expected = if is_other {
                    StatusCode::NOT_FOUND
                } else {
                    StatusCode::OK
                };
                ensure!(status == expected, "{part} of {id}: {status} {text}");
                self.leaks_nothing(&text, &id)?;
                return Ok(is_other);
            }
            6 => {
                let body = format!(
                    r#"{{"dry_run":true,"reason":"{}"}}"#,
                    self.random.random::<u32>()
                );
                let (status, text) = self
                    .ask(&format!("/api/v1/intents/{id}/resume"), Some(body))
                    .await?;
                ensure!(
                    !is_other || status == StatusCode::NOT_FOUND,
                    "{status} {text}"
                );
                self.leaks_nothing(&text, &id)?;
                return Ok(is_other);
            }
            7 => "/api/v1/failures",
            _ => "/api/v1/intents",
        };
        let search = searches
            .choose(&mut self.random)
            .cloned()
            .unwrap_or_default();
        let (_, text) = self.ask(&format!("{path}?{search}"), None).await?;
        self.leaks_nothing(&text, &id)?;
        Ok(false)
    }

    /// But for the id that was asked with.
    fn leaks_nothing(&self, text: &str, asked: &str) -> Result<()> {
        let mut leaks = self.others.iter().map(ToString::to_string);
        let leak = leaks.find(|id| id != asked && text.contains(id.as_str()));
        ensure!(leak.is_none(), "{leak:?} is told: {text}");
        // What one has said oneself may be said again.
        let is_named = text.contains(&format!("\"{}\"", self.other));
        ensure!(!is_named, "the other account is named: {text}");
        Ok(())
    }
}

async fn ten_thousand_requests_across_two_accounts_leak_nothing(server: Server) -> Result<()> {
    let accounts: Vec<&str> = ACCOUNTS.into_iter().cycle().take(2 * PAIRS).collect();
    let all = server.with_history(&accounts).await?;
    let of = |which: usize| -> Vec<IntentId> {
        let pairs = all.chunks(2).enumerate();
        let own = pairs.filter(|(nth, _)| nth % 2 == which);
        own.flat_map(|(_, pair)| pair.to_vec()).collect()
    };
    let ids = [of(0), of(1)];
    let mut tokens = Vec::new();
    for account in ACCOUNTS {
        tokens.push(
            server
                .token(account, Scope::Operator, Some(account))
                .await?,
        );
    }
    let clients = (0..CLIENTS).map(async |nth| {
        let which = nth % 2;
        let mut client = Client {
            router: &server.router,
            token: &tokens[which],
            own: &ids[which],
            others: &ids[1 - which],
            other: ACCOUNTS[1 - which],
            random: StdRng::seed_from_u64(nth as u64),
        };
        let mut of_others = 0;
        for _ in 0..REQUESTS / CLIENTS {
            of_others += usize::from(client.once().await?);
        }
        anyhow::Ok(of_others)
    });
    let of_others: usize = try_join_all(clients).await?.into_iter().sum();
    // It was tried, and often.
    ensure!(of_others > REQUESTS / 4, "{of_others}");
    Ok(())
}
