//! The door of the dashboard: a token in a cookie, and problems as pages.
//!
//! The cookie counts on the dashboard's own paths alone, and is handed to the same check as the header of the API. Scripts cannot
//! read it (`HttpOnly`), other sites' pages cannot send it (`SameSite=Strict`), and what changes anything has to come from this
//! server's own pages besides.

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use intendant::Intendant;
use maud::{Markup, html};

use super::asset::POLICY;
use super::form::Login;
use super::frame::{Html, bare};
use super::place::{Place, SignedIn};
use crate::http::doors::{Doors, Guarded};
use crate::http::problem::Problem;

const COOKIE: &str = "intendant_token";
/// Signed in for a working week; the token itself may end before.
const SIGNED_IN_SECONDS: u32 = 7 * 24 * 3600;

/// Whether tokens open the door, and which ones do: all that the page to sign in can ask of the engine.
#[derive(Debug, Clone)]
pub(super) struct Tokens(Option<Intendant>);

impl Tokens {
    fn are_taken(&self) -> bool {
        self.0.is_some()
    }

    async fn is_good(&self, token: &str) -> Result<bool, Problem> {
        match &self.0 {
            Some(engine) => Ok(engine.check_token(token).await?.is_some()),
            None => Ok(false),
        }
    }
}

pub(super) async fn door(State(guarded): State<Guarded>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let takes_tokens = !matches!(guarded.doors, Doors::Host(_));
    let cookie = cookie(&parts.headers).filter(|_| takes_tokens);
    let has_cookie = cookie.is_some();
    if let Some(token) = cookie
        && !parts.headers.contains_key(header::AUTHORIZATION)
        && let Ok(token) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        parts.headers.insert(header::AUTHORIZATION, token);
        parts.extensions.insert(SignedIn);
    }
    let tokens = Tokens(takes_tokens.then(|| guarded.engine.clone()));
    parts.extensions.insert(tokens);
    let place = place(&mut parts).await;
    let is_post = !parts.method.is_safe();
    let referrer = parts.headers.get(header::REFERER).cloned();
    let response = next.run(Request::from_parts(parts, body)).await;
    let response = match response.extensions().get::<Problem>() {
        Some(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            let said = has_cookie.then_some("The token is not good any more.");
            let mut page = unauthorized(&place, takes_tokens, said, is_post);
            copy(&response, &mut page, header::WWW_AUTHENTICATE);
            if has_cookie {
                // What is no good opens nothing, and would be in the way of whoever needs none.
                set_cookie(&mut page, &place, "", 0, false);
            }
            page
        }
        Some(problem) => {
            let mut page = problem_page(&place, problem, referrer.as_ref());
            copy(&response, &mut page, header::RETRY_AFTER);
            page
        }
        None => response,
    };
    with_policy(response)
}

fn copy(from: &Response, to: &mut Response, name: header::HeaderName) {
    if let Some(value) = from.headers().get(&name) {
        to.headers_mut().insert(name, value.clone());
    }
}

fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    // Without any, a browser does not say which page a form comes from, and it is refused.
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(header::REFERRER_POLICY, same_origin);
    response
}

async fn place(parts: &mut request::Parts) -> Place {
    use axum::extract::FromRequestParts as _;
    match Place::from_request_parts(parts, &()).await {
        Ok(place) => place,
        Err(never) => match never {},
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter();
    let mut found = all
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, value)| *name == COOKIE && !value.is_empty());
    found.next().map(|(_, token)| token.to_owned())
}

fn set_cookie(response: &mut Response, place: &Place, token: &str, seconds: u32, is_tls: bool) {
    let path = place.cookie_path();
    let secure = if is_tls { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={token}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    );
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// The browser says so by the page that the form was on; a proxy in front by a header.
fn is_tls(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("origin").is_some_and(|origin| origin.starts_with("https://"))
        || text("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

/// The form to sign in.
pub(super) async fn login(place: Place, Extension(tokens): Extension<Tokens>) -> Response {
    let mut page = unauthorized(&place, tokens.are_taken(), None, true);
    *page.status_mut() = StatusCode::OK;
    page
}

/// Looks at a token, and has the browser keep it.
pub(super) async fn sign_in(
    place: Place,
    headers: HeaderMap,
    Extension(tokens): Extension<Tokens>,
    Login(form): Login,
) -> Result<Response, Problem> {
    let token = form.get("token").unwrap_or_default().trim();
    let to = place.back_to(form.get("to"));
    if !tokens.is_good(token).await? {
        let said = Some("That is not a good token.");
        return Ok(unauthorized(&place, tokens.are_taken(), said, true));
    }
    let mut response = see(&to);
    set_cookie(
        &mut response,
        &place,
        token,
        SIGNED_IN_SECONDS,
        is_tls(&headers),
    );
    Ok(response)
}

/// Has the browser forget it.
pub(super) async fn sign_out(place: Place) -> Response {
    let mut response = see(&place.to("/login"));
    set_cookie(&mut response, &place, "", 0, false);
    response
}

/// Has the browser look at another page.
pub(super) fn see(at: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(at) = HeaderValue::try_from(at) {
        response.headers_mut().insert(header::LOCATION, at);
    }
    response
}

fn unauthorized(place: &Place, takes_tokens: bool, said: Option<&str>, home: bool) -> Response {
    let to = match home {
        true => place.to("/"),
        false => place.here(),
    };
    let page = html! {
        h1 { "Sign in" }
        @if let Some(said) = said { p .said.bad role="alert" { (said) } }
        @if takes_tokens {
            form .login method="post" action=(place.to("/login")) {
                input type="hidden" name="to" value=(to);
                label { "Token"
                    input type="password" name="token" required autofocus autocomplete="current-password" spellcheck="false";
                }
                button .main type="submit" { "Sign in" }
            }
            p .muted { code { "intendant token create NAME --scope operator" } " makes one." }
        } @else {
            p { "The application that this is part of does not know you, or does not let you in here." }
        }
    };
    (StatusCode::UNAUTHORIZED, bare(place, "Sign in", &page)).into_response()
}

fn problem_page(place: &Place, problem: &Problem, referrer: Option<&HeaderValue>) -> Response {
    let page: Markup = html! {
        h1 { (sentence(problem.title())) }
        @if let Some(detail) = problem.detail() { p .said.bad role="alert" { (detail) } }
        p .muted { "Code " code { (problem.code) } ", status " (problem.status().as_u16()) "." }
        p {
            @if let Some(back) = back(place, referrer) { a href=(back) { "Back" } " · " }
            a href=(place.to("/")) { "Overview" }
        }
    };
    let html: Html = bare(place, problem.title(), &page);
    (problem.status(), html).into_response()
}

fn sentence(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// The page that it came from, by its path: whatever the referrer's host, it is looked for here.
fn back(place: &Place, referrer: Option<&HeaderValue>) -> Option<String> {
    let uri: axum::http::Uri = referrer?.to_str().ok()?.parse().ok()?;
    let path = uri.path_and_query()?.as_str();
    let back = place.back_to(Some(path));
    (back == path).then_some(back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers), None);
        let line = HeaderValue::from_static("a=b; intendant_token=intendant_1.2; c=d");
        headers.insert(header::COOKIE, line);
        assert_eq!(cookie(&headers).as_deref(), Some("intendant_1.2"));
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("xintendant_token=1; intendant_token="),
        );
        assert_eq!(cookie(&headers), None);
    }

    #[test]
    fn behind_tls_the_cookie_never_goes_without() {
        let mut headers = HeaderMap::new();
        assert!(!is_tls(&headers));
        headers.insert("origin", HeaderValue::from_static("http://localhost"));
        assert!(!is_tls(&headers));
        headers.insert("origin", HeaderValue::from_static("https://ops.example"));
        assert!(is_tls(&headers));
        headers.remove("origin");
        headers.insert("x-forwarded-proto", HeaderValue::from_static("HTTPS"));
        assert!(is_tls(&headers));
    }
}
