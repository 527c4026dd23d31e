//! Problems: what the API says when it does not do something (RFC 9457), each with a code that stays.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use intendant::{Error, IntentId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::input::InputError;

/// The code of a kind that nobody has told of.
pub(crate) const UNKNOWN_KIND: &str = "unknown_kind";

/// The codes of what no server has, or not this one.
pub(crate) const NO_ROUTE: &str = "no_route";
pub(crate) const NO_METHOD: &str = "no_method";

/// What went wrong, as `application/problem+json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Problem {
    /// A URN that ends with the code.
    #[serde(rename = "type")]
    kind: String,
    /// The code: it stays, whatever the texts become.
    pub code: &'static str,
    /// The same for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was found here, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The intent that is in the way, or was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<String>,
    /// Whether asking again in a moment may do.
    #[serde(skip)]
    #[schemars(skip)]
    passes: bool,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self {
            kind: format!("urn:intendant:problem:{code}"),
            code,
            title,
            status: status.as_u16(),
            detail: None,
            intent: None,
            passes: status == StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn with(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    fn about(mut self, intent: impl ToString) -> Self {
        self.intent = Some(intent.to_string());
        self
    }

    /// The texts that name intents, for those who hide some.
    pub(super) fn texts(&mut self, visit: &mut dyn FnMut(&mut String)) {
        if let Some(detail) = &mut self.detail {
            visit(detail);
        }
        self.intent.take_if(|intent| {
            let before = intent.clone();
            visit(intent);
            *intent != before
        });
    }

    /// Nobody has said who they are, or not in a way that holds. Which of the two is not told.
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "a good token is needed",
        )
    }

    /// They may not do this.
    pub fn forbidden(detail: impl ToString) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "the token does not go so far",
        )
        .with(detail)
    }

    pub(super) fn other_origin(detail: impl ToString) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "other_origin",
            "a page of another origin may not do this",
        )
        .with(detail)
    }

    pub(super) fn other_host() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "other_host",
            "this server does not go by that name",
        )
    }

    pub(super) fn not_found(detail: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "it is not there").with(detail)
    }

    /// What was asked for with a key is not there any more, and is not done again.
    pub(super) fn removed(id: IntentId) -> Self {
        Self::new(
            StatusCode::GONE,
            "removed",
            "what was asked for with this key has been removed by retention",
        )
        .with(format!(
            "the key was used for intent {id}, which has ended and was removed; for a new request use a new key"
        ))
        .about(id)
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, NO_ROUTE, "there is no such route")
    }

    pub(super) fn no_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            NO_METHOD,
            "the route has no such method",
        )
    }

    pub(super) fn invalid(detail: impl ToString) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "the request says something that cannot be",
        )
        .with(detail)
    }

    pub(super) fn malformed(detail: impl ToString) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            "the request cannot be read",
        )
        .with(detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body is too large",
        )
        .with(format!("at most {limit} bytes are read"))
    }

    pub(super) fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "the body has to be `application/json`",
        )
    }

    /// It was broken off: what it has changed by then is changed, so that only who asked for nothing to be changed is told
    /// to ask again.
    pub(super) fn too_slow(method: &Method) -> Self {
        let problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_slow",
            "it took too long",
        );
        Self {
            passes: method.is_safe(),
            ..problem
        }
    }

    pub(super) fn not_ready(detail: impl ToString) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "the database is not as it has to be",
        )
        .with(detail)
    }

    /// A queue takes no more for now.
    fn full(error: &Error) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "queue_full",
            "as much waits as may wait",
        );
        Self {
            passes: true,
            ..problem.with(error)
        }
    }

    pub(super) fn busy(detail: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many at once").with(detail)
    }

    /// The database is not there, or does not take this. What it says is for the log.
    fn database(error: &Error) -> Self {
        tracing::warn!(%error, "the database is of no use to a request");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database",
            "the database cannot be used now",
        )
    }

    /// The database cannot take or read what is in question, and will not tomorrow: nothing to try again.
    fn data(error: &Error) -> Self {
        Self::internal(error)
    }

    fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request has come upon what should not be");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "this is a fault of the server",
        )
    }

    pub(super) fn bug(what: &'static str) -> Self {
        Self::internal(&what)
    }

    fn conflict(code: &'static str, title: &'static str, error: &Error) -> Self {
        Self::new(StatusCode::CONFLICT, code, title).with(error)
    }

    /// What went wrong, for people.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// What was found here, and what to do.
    pub(super) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The status, for those who count.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match &error {
            Error::NotFound { id } => Self::not_found(&error).about(id),
            Error::NoToken { .. } => Self::not_found(&error),
            Error::NoStep { id, .. } => {
                Self::new(StatusCode::NOT_FOUND, "no_step", "there is no such step")
                    .with(&error)
                    .about(id)
            }
            Error::UnknownKind { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                UNKNOWN_KIND,
                "no worker has registered this kind",
            )
            .with(&error),
            Error::OtherAccount { .. } => Self::invalid(&error),
            Error::KeyConflict { intent, .. } => {
                Self::conflict("key_taken", "the key was used for another request", &error)
                    .about(intent)
            }
            Error::KeyRace { .. } => {
                Self::conflict("key_race", "the key is being used; try again", &error)
            }
            Error::Rejected { by, .. } => {
                Self::conflict("rejected", "another intent is there", &error).about(by)
            }
            Error::QueueFull { .. } => Self::full(&error),
            Error::WrongState { id, .. } => {
                Self::conflict("wrong_state", "its state does not allow this", &error).about(id)
            }
            Error::PayloadRemoved { id, .. } => Self::new(
                StatusCode::GONE,
                "payload_removed",
                "retention has removed what it was about",
            )
            .with(&error)
            .about(id),
            Error::WrongStep { id, .. } => {
                Self::conflict("wrong_step", "the step's state does not allow this", &error)
                    .about(id)
            }
            Error::PastReturn { id, .. } => {
                Self::conflict("past_return", "there is no way back any more", &error).about(id)
            }
            Error::ResumeParent { parent, .. } => {
                Self::conflict("resume_parent", "it has to be done to its parent", &error)
                    .about(parent)
            }
            Error::Amended { id, .. } => {
                Self::conflict("amended", "that would be another operation", &error).about(id)
            }
            _ if error.is_not_found() => Self::not_found(&error),
            _ if error.is_conflict() => {
                Self::conflict("conflict", "it contradicts what is there", &error)
            }
            _ if error.is_data() => Self::data(&error),
            _ if error.is_database() => Self::database(&error),
            _ if error.is_usage() => Self::invalid(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<InputError> for Problem {
    fn from(error: InputError) -> Self {
        match &error {
            InputError::Schema { .. } => Self::internal(&error),
            InputError::Faults { .. } | InputError::TooLarge { .. } | InputError::Json(_) => {
                Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "input",
                    "the input is not one of its kind",
                )
                .with(&error)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, passes) = (self.status(), self.passes);
        let mut response = (status, Json(&self)).into_response();
        // For those who look at what is told, or say it in another form.
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if passes {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
