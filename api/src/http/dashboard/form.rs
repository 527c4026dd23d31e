//! What a form says: names and values, each maybe several times.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{header, request};

use crate::http::problem::Problem;
use intendant::limits;

/// Most bytes of a form: an input of the largest size, escaped.
const FORM_BYTES: usize = 3 * limits::PAYLOAD_BYTES + 64 * 1024;

/// What a form says, in its body.
#[derive(Debug, Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

/// The same behind the question mark.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(pub(super) Form);

/// Most fields of a form: all boxes of a page, several times.
const FIELDS: usize = 1_000;

/// Most bytes of the form to sign in, which anybody may send.
const LOGIN_BYTES: usize = 8 * 1024;

/// What somebody says who is not let in yet.
#[derive(Debug)]
pub(super) struct Login(pub(super) Form);

impl Form {
    fn of(bytes: &[u8]) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(bytes).into_owned();
        let pairs: Vec<(String, String)> = pairs.take(FIELDS + 1).collect();
        if pairs.len() > FIELDS {
            return Err(Problem::malformed("the form has too many fields"));
        }
        let has_nul =
            |(name, value): &(String, String)| name.contains('\0') || value.contains('\0');
        if pairs.iter().any(has_nul) {
            // No database can keep it in a text.
            return Err(Problem::malformed("the form has the character U+0000"));
        }
        Ok(Self(pairs))
    }

    /// What it says under this name, to the letter, since there are names that begin with a space; nothing is the same as no
    /// such name.
    pub(super) fn get<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(given, _)| given == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn must<'a>(&'a self, name: &str) -> Result<&'a str, Problem> {
        self.get(name)
            .ok_or_else(|| Problem::invalid(format!("the field `{name}` is empty")))
    }

    /// Why something is done. Who changes anything here says so.
    pub(super) fn reason(&self) -> Result<String, Problem> {
        let reason = self.get("reason").map(str::trim);
        let reason = reason
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned);
        reason.ok_or_else(|| {
            Problem::invalid(
                "a reason is needed: it is kept with what is done, for whoever asks later",
            )
        })
    }

    #[cfg(test)]
    pub(super) fn text(text: &str) -> Self {
        Self::of(text.as_bytes()).unwrap_or_default()
    }
}

impl Form {
    async fn read(request: Request, bytes: usize) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Problem::malformed(
                "the body has to be `application/x-www-form-urlencoded`",
            ));
        }
        let body = to_bytes(request.into_body(), bytes).await;
        Self::of(&body.map_err(|_| Problem::too_large(bytes))?)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Self::read(request, FORM_BYTES).await
    }
}

impl<S: Send + Sync> FromRequest<S> for Login {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Form::read(request, LOGIN_BYTES).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        Form::of(query.as_bytes()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_not_there() {
        let form = Form::text("a=+1&b=&b=2&b=3&c=&reason=+%0A");
        assert_eq!(form.get("a"), Some(" 1"));
        assert_eq!(form.all("b").collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(form.get("c"), None);
        assert!(form.must("c").is_err() && form.reason().is_err());
        assert!(Form::of(b"a=%00").is_err());
        assert!(Form::of("a&".repeat(FIELDS).as_bytes()).is_ok());
        assert!(Form::of("a&".repeat(FIELDS + 1).as_bytes()).is_err());
    }
}
