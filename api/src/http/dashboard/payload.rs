//! An input, an output, a step's output: the whole of it, as JSON.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use super::form::Asked;
use super::place::Seat;
use crate::http::intents;
use crate::http::parts::{Answer, Id};
use crate::http::problem::Problem;

pub(super) async fn page(seat: Seat, Id(id): Id, Asked(form): Asked) -> Result<Response, Problem> {
    let Answer(record) = intents::get(seat.access.clone(), Id(id)).await?;
    let found = match (form.get("of"), form.get("step")) {
        (Some("input"), _) => Some(record.input),
        (Some("output"), _) => record.output,
        (_, Some(name)) => {
            let last = intents::step_for_people(&seat.access, id, name).await?;
            last.and_then(|step| step.output)
        }
        _ => None,
    };
    let found = found.ok_or_else(|| Problem::not_found("there is none"))?;
    let mut response = found.get().to_owned().into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
