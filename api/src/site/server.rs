//! A server's HTTP API, as a command uses it: what to ask, what it answers, and what it says when it refuses.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::http::{NO_METHOD, NO_ROUTE};
use crate::net::{Hidden, cause, client};
use crate::output::words::one_line;

/// How long a server may take: longer than the longest that it allows itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to try to reach it.
const CONNECT: Duration = Duration::from_secs(10);

/// A server that has the intents.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    base: Url,
    token: Option<Hidden>,
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
        token: Option<Hidden>,
        in_plain: bool,
    ) -> Result<Self, ServerError> {
        let usage = |what: String| ServerError::Usage(what);
        // What stands before an @ may be a password.
        let shown = if url.contains('@') { "this" } else { url };
        let wrong = |why: &str| usage(format!("`{shown}` is no server's URL: {why}"));
        let mut base = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong("expected http://… or https://…"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(usage("a server's URL has no user: say --token".to_owned()));
        }
        // From a file it has a line's end.
        let token = token.map(|Hidden(token)| token.trim().to_owned());
        let token = token.filter(|token| !token.is_empty());
        if token
            .iter()
            .any(|token| !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(usage(
                "this is no token: expected `intendant_ID.SECRET`".to_owned(),
            ));
        }
        let is_near = match base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if base.scheme() == "http" && token.is_some() && !is_near && !in_plain {
            return Err(usage(format!(
                "anybody on the way to {shown} could read the token: use https, or say --plain-http"
            )));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        base.set_query(None);
        base.set_fragment(None);
        let client = client(base.scheme())
            .connect_timeout(CONNECT)
            .timeout(PATIENCE);
        let client = client.build().map_err(|error| ServerError::Unreachable {
            url: base.to_string(),
            what: cause(&error),
        })?;
        Ok(Self {
            client,
            base,
            token: token.map(Hidden),
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
            Some(Hidden(token)) => request.bearer_auth(token),
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
        if matches!(problem.code.as_str(), NO_ROUTE | NO_METHOD) {
            let what =
                format!("{message}: is the URL right, or the server older than this program?");
            return Err(self.unreachable(what));
        }
        // Somebody else's text moves no terminal's cursor.
        let message = one_line(&message);
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
        match Server::new(url, token.map(|token| Hidden(token.to_owned())), in_plain) {
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
    fn a_token_is_one_word_and_shown_nowhere() {
        let server =
            |token: &str| Server::new("http://localhost", Some(Hidden(token.to_owned())), false);
        let from_a_file = server("a.b\n").expect("a server");
        assert!(
            from_a_file
                .token
                .as_ref()
                .is_some_and(|token| token.0 == "a.b")
        );
        assert!(!format!("{from_a_file:?}").contains("a.b"));
        assert!(server("  ").expect("a server").token.is_none());
        assert!(server("a b").is_err() && server("a\u{7}b").is_err());
        let said = said("http://ada:secret@example.com:x", None, false);
        assert!(!said.contains("secret"), "{said}");
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
