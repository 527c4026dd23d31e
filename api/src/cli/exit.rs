//! What a command came to, as an exit code (`intendant --help` lists them).

use intendant::Error;
use reqwest::StatusCode;

use crate::http::UNKNOWN_KIND;
use crate::input::InputError;
use crate::site::ServerError;

pub(super) const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const CONFLICT: u8 = 4;
const DATABASE: u8 = 5;
const TIMED_OUT: u8 = 124;

/// What the command line itself refuses, sorted as the engine's errors are.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The command cannot be meant like this.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// Not in this state.
    #[error("{0}")]
    WrongState(String),
    /// It was waited for long enough.
    #[error("{0}")]
    TimedOut(String),
    /// What was named is no database that can be used.
    #[error("{0}")]
    Database(String),
}

/// The exit code that tells of an error.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return match refusal {
            Refusal::Usage(_) => USAGE,
            Refusal::NotFound(_) => NOT_FOUND,
            Refusal::WrongState(_) => CONFLICT,
            Refusal::Database(_) => DATABASE,
            Refusal::TimedOut(_) => TIMED_OUT,
        };
    }
    if error.is::<InputError>() {
        return USAGE;
    }
    if let Some(error) = error.downcast_ref::<ServerError>() {
        return server(error);
    }
    match error.downcast_ref::<Error>() {
        Some(error) if error.is_not_found() => NOT_FOUND,
        Some(error) if error.is_conflict() => CONFLICT,
        Some(error) if error.is_database() => DATABASE,
        Some(error) if error.is_usage() => USAGE,
        None if error.chain().any(|cause| cause.is::<sqlx::Error>()) => DATABASE,
        Some(_) | None => FAILED,
    }
}

/// The exit code that a server's answer has: the one that the command would have had at the database.
fn server(error: &ServerError) -> u8 {
    let status = match error {
        ServerError::Usage(_) => return USAGE,
        ServerError::Unreachable { .. } => return DATABASE,
        ServerError::Refused { code, .. } if code == UNKNOWN_KIND => return NOT_FOUND,
        ServerError::Refused { status, .. } => *status,
    };
    match status {
        StatusCode::NOT_FOUND => NOT_FOUND,
        StatusCode::CONFLICT | StatusCode::GONE | StatusCode::PRECONDITION_FAILED => CONFLICT,
        status if status.is_server_error() => DATABASE,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::UNPROCESSABLE_ENTITY => USAGE,
        _ => FAILED,
    }
}
