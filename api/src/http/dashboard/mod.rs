//! The dashboard: pages for people, made on the server, beside the API and behind the same doors.
//!
//! A page has no way to the engine but [`Access`](super::Access), as every route of the API; what it shows it gets from the
//! functions of those routes, so that it cannot show what they would not tell. Everything works by links and forms; the script
//! only has a page look again when something has changed.

mod account;
mod act;
mod asset;
mod audit;
mod bulk;
mod door;
mod failures;
mod filter;
mod form;
mod frame;
mod intent;
mod kinds;
mod lanes;
mod list;
mod overview;
mod payload;
mod place;
mod schema;
mod step;
mod timeline;
mod words;
mod workers;

use axum::Router;
use axum::extract::Extension;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};
use intendant::Scope;

use super::doors::{Guarded, Needs, check};
use super::stream;
use overview::Seen;

/// A route of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRoute {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Its path, with its parameters in braces.
    pub path: &'static str,
    /// What it needs of who asks.
    pub needs: Needs,
}

/// The pages that there are.
pub(super) struct Pages {
    guarded: Guarded,
    router: Router,
    routes: Vec<PageRoute>,
}

pub(super) fn pages(guarded: Guarded) -> Pages {
    use Needs::Nobody;
    let [viewer, operator, admin] =
        [Scope::Viewer, Scope::Operator, Scope::Admin].map(Needs::Scope);
    let pages = Pages {
        guarded,
        router: Router::new(),
        routes: Vec::new(),
    };
    pages
        .get(viewer, "/", overview::page)
        .get(viewer, "/intents", list::page)
        .get(viewer, "/intents/live", stream::page)
        .get(viewer, "/intents/{id}", intent::page)
        .get(viewer, "/intents/{id}/live", stream::one)
        .get(viewer, "/intents/{id}/step", step::page)
        .get(viewer, "/intents/{id}/payload", payload::page)
        .post(operator, "/intents/{id}/act", act::act)
        .post(operator, "/intents/{id}/signal", act::signal)
        .get(operator, "/bulk", bulk::ask)
        .post(operator, "/bulk", bulk::act)
        .get(viewer, "/account", account::page)
        .get(viewer, "/failures", failures::page)
        .get(viewer, "/workers", workers::page)
        .get(viewer, "/queues", lanes::queues)
        .post(operator, "/queues", lanes::change_queue)
        .get(viewer, "/schedules", lanes::schedules)
        .post(operator, "/schedules", lanes::change_schedule)
        .get(viewer, "/kinds", kinds::page)
        .get(viewer, "/kind", kinds::one)
        .post(operator, "/kind", kinds::request)
        .get(admin, "/audit", audit::page)
        .get(Nobody, "/login", door::login)
        .post(Nobody, "/login", door::sign_in)
        .post(Nobody, "/logout", door::sign_out)
        .get(Nobody, "/assets/{name}", asset::asset)
}

impl Pages {
    fn get<H, T>(self, needs: Needs, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("GET", needs, path, handler)
    }

    fn post<H, T>(self, needs: Needs, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("POST", needs, path, handler)
    }

    fn add<H, T>(
        mut self,
        method: &'static str,
        needs: Needs,
        path: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let filter = match method {
            "POST" => MethodFilter::POST,
            _ => MethodFilter::GET,
        };
        let guard = from_fn_with_state((self.guarded.clone(), needs), check);
        let route = on(filter, handler).layer(guard);
        self.router = self.router.route(path, route);
        self.routes.push(PageRoute {
            method,
            path,
            needs,
        });
        self
    }

    pub(super) fn router(self) -> Router {
        self.router
            .layer(Extension(Seen::default()))
            .layer(from_fn_with_state(self.guarded, door::door))
    }

    pub(super) fn routes(self) -> Vec<PageRoute> {
        self.routes
    }
}
