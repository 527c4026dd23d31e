//! Where a page is: what the dashboard is mounted under, and who looks at it.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request;
use form_urlencoded::Serializer;
use intendant::{IntentId, Scope};

use crate::http::access::Access;
use crate::http::problem::Problem;

/// What the dashboard is mounted under, and which page of it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Place {
    base: String,
    /// The path within the dashboard.
    pub(super) path: String,
    query: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Infallible> {
        let OriginalUri(whole) = OriginalUri::from_request_parts(parts, state).await?;
        Ok(Self {
            base: base(whole.path(), parts.uri.path()).to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
        })
    }
}

/// What is before the path within the dashboard.
fn base<'a>(whole: &'a str, within: &str) -> &'a str {
    match within {
        "/" | "" => whole.trim_end_matches('/'),
        within => whole.strip_suffix(within).unwrap_or_default(),
    }
}

impl Place {
    /// A page of the dashboard, by its path within.
    pub(super) fn to(&self, path: &str) -> String {
        match path {
            // A router that is mounted under a path does not answer to that path with a slash behind it.
            "/" if !self.base.is_empty() => self.base.clone(),
            path => format!("{}{path}", self.base),
        }
    }

    /// The same with something behind the question mark.
    pub(super) fn with<'a>(
        &self,
        path: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let query = query(pairs);
        match query.is_empty() {
            true => self.to(path),
            false => format!("{}?{query}", self.to(path)),
        }
    }

    pub(super) fn intent(&self, id: IntentId) -> String {
        self.to(&format!("/intents/{id}"))
    }

    pub(super) fn account(&self, account: &str) -> String {
        self.with("/account", [("name", account)])
    }

    pub(super) fn kind(&self, kind: &str) -> String {
        self.with("/kind", [("name", kind)])
    }

    pub(super) fn step(&self, id: IntentId, step: &str) -> String {
        self.with(&format!("/intents/{id}/step"), [("name", step)])
    }

    /// This page itself, to come back to.
    pub(super) fn here(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.to(&self.path)),
            None => self.to(&self.path),
        }
    }

    /// What the cookie is for.
    pub(super) fn cookie_path(&self) -> &str {
        match self.base.as_str() {
            "" => "/",
            base => base,
        }
    }

    /// A page of the dashboard that a form names, or the first one: never a place elsewhere.
    pub(super) fn back_to(&self, named: Option<&str>) -> String {
        let home = self.to("/");
        let is_here = |named: &&str| {
            let rest = named.strip_prefix(self.base.as_str());
            let rest = rest.filter(|rest| rest.starts_with('/') && !rest.starts_with("//"));
            rest.is_some_and(|rest| {
                !rest.contains(['\\', '\r', '\n', '\t', '\0']) && rest.is_ascii()
            })
        };
        named
            .filter(is_here)
            .map_or(home, |named: &str| named.to_owned())
    }
}

/// What stands behind the question mark; what is empty is left out.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

/// Who looks at a page, and where it is.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) access: Access,
    pub(super) place: Place,
    /// By a cookie, which can be thrown away.
    pub(super) is_signed_in: bool,
}

/// That somebody has come with a cookie.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedIn;

impl Seat {
    /// They may do something, and not only look.
    pub(super) fn may_act(&self) -> bool {
        self.access.scope() >= Scope::Operator
    }

    pub(super) fn is_admin(&self) -> bool {
        self.access.scope() >= Scope::Admin && self.access.own_account().is_none()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Seat {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        let access = Access::from_request_parts(parts, state).await?;
        let is_signed_in = parts.extensions.get::<SignedIn>().is_some();
        match Place::from_request_parts(parts, state).await {
            Ok(place) => Ok(Self {
                access,
                place,
                is_signed_in,
            }),
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(base: &str) -> Place {
        Place {
            base: base.to_owned(),
            path: "/".to_owned(),
            query: None,
        }
    }

    #[test]
    fn a_dashboard_knows_what_it_is_mounted_under() {
        assert_eq!(base("/", "/"), "");
        assert_eq!(base("/intents", "/intents"), "");
        assert_eq!(base("/operations", "/"), "/operations");
        assert_eq!(base("/a/b/intents/7", "/intents/7"), "/a/b");
    }

    #[test]
    fn links_lead_to_where_it_is_mounted() {
        assert_eq!(place("").to("/"), "/");
        assert_eq!(place("/ops").to("/"), "/ops");
        assert_eq!(place("/ops").to("/queues"), "/ops/queues");
        let link = place("/ops").account("a/b &c=\"d\"");
        assert_eq!(link, "/ops/account?name=a%2Fb+%26c%3D%22d%22");
    }

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        let (top, ops) = (place(""), place("/ops"));
        assert_eq!(
            top.back_to(Some("/intents?state=failed")),
            "/intents?state=failed"
        );
        assert_eq!(ops.back_to(Some("/ops/intents")), "/ops/intents");
        for wrong in [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: b",
            "",
            "\u{2f}\u{9}/evil.example",
        ] {
            assert_eq!(top.back_to(Some(wrong)), "/", "{wrong:?}");
            assert_eq!(ops.back_to(Some(wrong)), "/ops", "{wrong:?}");
        }
        assert_eq!(ops.back_to(Some("/ops//evil.example")), "/ops");
        assert_eq!(top.back_to(None), "/");
    }
}
