//! Notices to a URL: signed, and to nobody inside the network unless that is said.

mod addresses;
mod signature;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::{BoxFuture, FutureExt as _};
use intendant::Notice;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use tokio::sync::OnceCell;
use url::{Host, Url};

use self::signature::Secret;
use crate::net::{cause, client};

/// How long the receiver may take; less than a hook may (`intendant::limits::HOOK`).
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends notices to a URL, as a hook for [`Worker::on_alert`](intendant::Worker::on_alert), which counts and throttles them.
///
/// Each message is a `POST` of JSON, `{"type": "intendant.notices", "timestamp": …, "data": [notice, …]}`, signed with
/// HMAC-SHA256 as the [Standard Webhooks](https://www.standardwebhooks.com) say: `webhook-id`, `webhook-timestamp` and
/// `webhook-signature`. An answer of 2xx takes it; after any other, or none within 15 seconds, it is sent again with the next
/// look. One that is sent again unchanged has the same id. Redirects are not followed, and no proxy is asked.
///
/// So that nobody who can set the URL, or the name that it has, reaches into the network by it, it is HTTPS to addresses that
/// everybody reaches; see [`within_network`](Self::within_network).
///
/// ```
/// # use intendant::{Intendant, Worker};
/// # use intendant_api::WebHook;
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let intendant = Intendant::open("sqlite::memory:").await?;
/// let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// let hook = WebHook::new("https://ops.example.com/intendant", secret)?;
/// let worker = Worker::new(&intendant, ()).on_alert(hook.hook());
/// # Ok::<(), anyhow::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct WebHook {
    url: Url,
    secret: Secret,
    reach: Reach,
    client: OnceCell<Client>,
}

/// Where it may send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    Anywhere,
}

/// Why a notice cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebHookError {
    /// The URL, the secret, or where it leads.
    #[error("{0}")]
    Usage(String),
    /// The receiver did not take it.
    #[error("the receiver answers {0}")]
    Answer(StatusCode),
    /// The receiver was not reached.
    #[error("the receiver is not reached: {0}")]
    Unreachable(String),
}

/// What is sent.
#[derive(Debug, Serialize)]
struct Message<'a> {
    r#type: &'static str,
    timestamp: String,
    data: &'a [Notice],
}

impl WebHook {
    /// To this URL, `https://…`, with this secret: `whsec_` and the base64 of 24 to 64 random bytes.
    pub fn new(url: &str, secret: &str) -> Result<Self, WebHookError> {
        // A receiver's URL may be a secret: it is not repeated.
        let usage = |why: &str| WebHookError::Usage(format!("this is no receiver's URL: {why}"));
        let url = Url::parse(url).map_err(|error| usage(&error.to_string()))?;
        if !url.has_host() || !url.username().is_empty() || url.password().is_some() {
            return Err(usage("expected https://HOST/PATH, without a user"));
        }
        let secret = Secret::parse(secret).ok_or_else(|| {
            let why = "the secret of notices is not understood: expected `whsec_` and the base64 of 24 to 64 random bytes";
            WebHookError::Usage(why.to_owned())
        })?;
        Ok(Self {
            url,
            secret,
            reach: Reach::Public,
            client: OnceCell::new(),
        })
    }

    /// To any address, those of this machine and its network too, and without TLS, if the URL says so.
    pub fn within_network(self) -> Self {
        Self {
            reach: Reach::Anywhere,
            ..self
        }
    }

    /// As a hook.
    pub fn hook(
        self,
    ) -> impl Fn(Vec<Notice>) -> BoxFuture<'static, Result<(), WebHookError>> + Send + Sync + 'static
    {
        let hook = Arc::new(self);
        move |notices| {
            let hook = hook.clone();
            async move { hook.tell(&notices, Utc::now()).await }.boxed()
        }
    }

    async fn tell(&self, notices: &[Notice], now: DateTime<Utc>) -> Result<(), WebHookError> {
        self.check()?;
        // The time of the newest, so that the same is said when it is said again.
        let newest = notices
            .iter()
            .map(|notice| notice.last)
            .max()
            .unwrap_or(now);
        let message = Message {
            r#type: "intendant.notices",
            timestamp: newest.to_rfc3339_opts(SecondsFormat::Micros, true),
            data: notices,
        };
        let unreachable = |error: &dyn std::error::Error| WebHookError::Unreachable(cause(error));
        let body = serde_json::to_string(&message).map_err(|error| unreachable(&error))?;
        let (id, at) = (signature::id(&body), now.timestamp());
        let request = self.client().await?.post(self.url.clone());
        let request = request
            .header("content-type", "application/json")
            .header("webhook-signature", self.secret.sign(&id, at, &body))
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .body(body);
        let answer = request
            .send()
            .await
            .map_err(|error| unreachable(&error.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(WebHookError::Answer(status)),
        }
    }

    async fn client(&self) -> Result<&Client, WebHookError> {
        let build = async || {
            let client = client(self.url.scheme()).timeout(PATIENCE).no_proxy();
            let client = match self.reach {
                Reach::Public => client.dns_resolver(Arc::new(Outside)),
                Reach::Anywhere => client,
            };
            let built = client.build();
            built.map_err(|error| WebHookError::Unreachable(cause(&error)))
        };
        self.client.get_or_try_init(build).await
    }

    /// Whether it may send there. Names are looked at when they are resolved.
    pub(crate) fn check(&self) -> Result<(), WebHookError> {
        let usage = |why: String| Err(WebHookError::Usage(why));
        let scheme = self.url.scheme();
        let address: Option<IpAddr> = match self.url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match self.reach {
            Reach::Public if scheme != "https" => usage(format!(
                "notices go by https alone, not by {scheme}, unless they stay within the network"
            )),
            Reach::Public if address.is_some_and(|address| !addresses::is_public(address)) => {
                usage("notices go to no address within the network, unless that is said".to_owned())
            }
            Reach::Anywhere if !matches!(scheme, "http" | "https") => {
                usage(format!("expected http or https, not {scheme}"))
            }
            _ => Ok(()),
        }
    }
}

/// Resolves names to addresses that everybody reaches. What it finds is what is connected to: another answer to a second
/// question changes nothing.
#[derive(Debug)]
struct Outside;

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let outside: Vec<SocketAddr> = found
                .filter(|found| addresses::is_public(found.ip()))
                .collect();
            match outside.is_empty() {
                true => {
                    let why = format!("{} has no address outside the network", name.as_str());
                    Err(why.into())
                }
                false => Ok(Box::new(outside.into_iter()) as Addrs),
            }
        })
    }
}
