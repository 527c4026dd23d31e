//! What is around every page: head, navigation, who looks.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::asset::{ICON, SCRIPT, STYLE};
use super::place::{Place, Seat};

/// A page.
pub(super) struct Html(Markup);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        let mut response = self.0.into_string().into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

/// What has a page look again, where scripts run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Live {
    /// Nothing: it is of one moment.
    No,
    /// Every few seconds.
    Often,
    /// When this stream says that something has changed.
    Stream(String),
}

/// A page with the navigation.
pub(super) fn page(seat: &Seat, title: &str, live: &Live, main: &Markup) -> Html {
    let (place, access) = (&seat.place, &seat.access);
    let is_of_all = access.own_account().is_none();
    let mut entries = vec![
        ("/", "Overview"),
        ("/intents", "Intents"),
        ("/failures", "Failures"),
    ];
    if is_of_all {
        entries.extend([
            ("/account", "Accounts"),
            ("/queues", "Queues"),
            ("/schedules", "Schedules"),
            ("/workers", "Workers"),
        ]);
    }
    entries.push(("/kinds", "Kinds"));
    if seat.is_admin() {
        entries.push(("/audit", "Audit"));
    }
    let header = html! {
        nav aria-label="Pages" {
            ul {
                @for (path, name) in &entries {
                    li { a href=(place.to(path)) aria-current=[is_at(path, &place.path).then_some("page")] { (name) } }
                }
            }
        }
        div .who {
            span { (access.who()) span .muted { " · " (access.scope()) } }
            @if let Some(account) = access.own_account() { span .muted { " · account " (account) } }
            @if seat.is_signed_in { form method="post" action=(place.to("/logout")) { button .plain type="submit" { "Sign out" } } }
        }
    };
    whole(place, title, live, &header, main)
}

fn is_at(entry: &str, path: &str) -> bool {
    match entry {
        "/" => path == "/",
        "/kinds" => path.starts_with("/kind"),
        entry => path.starts_with(entry),
    }
}

/// A page for whom nothing is known of: to sign in, or what went wrong.
pub(super) fn bare(place: &Place, title: &str, main: &Markup) -> Html {
    whole(place, title, &Live::No, &html! {}, main)
}

fn whole(place: &Place, title: &str, live: &Live, header: &Markup, main: &Markup) -> Html {
    let (often, stream) = match live {
        Live::No => (None, None),
        Live::Often => (Some("5000"), None),
        Live::Stream(at) => (None, Some(at.as_str())),
    };
    Html(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Intendant" }
                link rel="stylesheet" href=(place.to(&STYLE.path));
                link rel="icon" type="image/svg+xml" href=(place.to(&ICON.path));
                @if *live != Live::No { script src=(place.to(&SCRIPT.path)) defer {} }
            }
            body {
                a .skip href="#main" { "To the content" }
                header .top {
                    a .brand href=(place.to("/")) {
                        img src=(place.to(&ICON.path)) alt="" width="20" height="20"; "Intendant"
                    }
                    (header)
                }
                main #main data-often=[often] data-stream=[stream] tabindex="-1" { (main) }
                @if *live != Live::No {
                    footer { span #live role="status" { "Reload to see what has changed." } }
                }
            }
        }
    })
}

/// What to say where there is nothing.
pub(super) fn nothing(text: &str) -> Markup {
    html! { p .nothing { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_is_where_one_is() {
        assert!(is_at("/", "/") && !is_at("/", "/intents"));
        assert!(is_at("/intents", "/intents/7") && is_at("/kinds", "/kind"));
    }
}
