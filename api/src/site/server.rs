//! A server's HTTP API, as a command uses it: what to ask, what it answers, and what it says when it refuses.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::net::{cause, tls};

/// How long a server may take: longer than the longest that it allows itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to try to reach it.
const CONNECT: Duration = Duration::from_secs(10);

/// A server that has the intents.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    base: Url,
    token: Option<String>,
}

/// Why a server is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// It cannot be spoken to like this.
    #[error("{0}")]
    Usage(String),
    /// It does not answer, or in no way that is understood.
    #[error("{url}: {what}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        what: String,
    },
    /// It says no.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Its code for the problem.
        code: String,
        /// What it says.
        message: String,
    },
}

/// What a server says when it refuses (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    title: Option<String>,
    detail: Option<String>,
}

impl Server {
    /// The server at a URL, under which its API is. A token is not sent where others could read it, unless that is said.
    pub(crate) fn new(
        url: &str,
        token: Option<String>,
        in_plain: bool,
    ) -> Result<Self, ServerError> {
        let usage = |what: String| ServerError::Usage(what);
        let wrong = |why: &str| usage(format!("`{url}` is no server's URL: {why}"));
        let mut base = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong("expected http://… or https://…"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(usage("a server's URL has no user: say --token".to_owned()));
        }
        let is_near = match base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if base.scheme() == "http" && token.is_some() && !is_near && !in_plain {
            return Err(usage(format!(
                "anybody on the way to {url} could read the token: use https, or say --plain-http"
            )));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        base.set_query(None);
        base.set_fragment(None);
        tls();
        let client = Client::builder()
            .user_agent(concat!("intendant/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            // A token goes to the server that was named, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| usage(cause(&error)))?;
        Ok(Self {
            client,
            base,
            token,
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<T, ServerError> {
        Ok(self.call(self.to(Method::GET, path).query(query)).await?.1)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ServerError> {
        Ok(self.post_new(path, body).await?.1)
    }

    /// The same; also whether anything was made.
    pub(super) async fn post_new<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<(bool, T), ServerError> {
        let request = self.to(Method::POST, path).json(body);
        let (status, made) = self.call(request).await?;
        Ok((status == StatusCode::CREATED, made))
    }

    pub(super) async fn delete<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<T, ServerError> {
        Ok(self.call(self.to(Method::DELETE, path)).await?.1)
    }

    fn to(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<(StatusCode, T), ServerError> {
        let answer = request.send().await.map_err(|error| self.lost(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.lost(&error))?;
        if status.is_success() {
            let answer = serde_json::from_str(&text);
            return answer.map(|answer| (status, answer)).map_err(|error| {
                self.unreachable(format!("its answer is not understood: {error}"))
            });
        }
        let Ok(problem) = serde_json::from_str::<Problem>(&text) else {
            return Err(self.unreachable(format!(
                "it answers {status}, which is no answer of Intendant's"
            )));
        };
        let (title, detail) = (problem.title, problem.detail);
        let message = detail.or(title).unwrap_or_else(|| status.to_string());
        let message = match status {
            StatusCode::UNAUTHORIZED => format!("{message}: say --token, or set INTENDANT_TOKEN"),
            _ => message,
        };
        Err(ServerError::Refused {
            status,
            code: problem.code,
            message,
        })
    }

    fn lost(&self, error: &reqwest::Error) -> ServerError {
        self.unreachable(cause(error))
    }

    fn unreachable(&self, what: String) -> ServerError {
        let url = self.base.to_string();
        ServerError::Unreachable { url, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str, token: Option<&str>, in_plain: bool) -> String {
        match Server::new(url, token.map(str::to_owned), in_plain) {
            Ok(server) => server.base.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_token_is_not_sent_where_others_could_read_it() {
        let far = said("http://ops.example.com", Some("t"), false);
        assert!(far.contains("could read the token"), "{far}");
        for (url, token, in_plain) in [
            ("http://ops.example.com", None, false),
            ("http://ops.example.com", Some("t"), true),
            ("https://ops.example.com", Some("t"), false),
            ("http://127.0.0.1:4600", Some("t"), false),
            ("http://[::1]:4600", Some("t"), false),
            ("http://localhost:4600", Some("t"), false),
        ] {
            assert!(said(url, token, in_plain).ends_with('/'), "{url}");
        }
    }

    #[test]
    fn a_url_is_where_the_api_is() {
        assert_eq!(
            said("https://example.com/ops?x=1#y", None, false),
            "https://example.com/ops/"
        );
        for wrong in [
            "example.com",
            "sqlite://app.db",
            "https://ada@example.com",
            "",
        ] {
            let said = said(wrong, None, false);
            assert!(said.contains("URL"), "{wrong}: {said}");
        }
    }
}
