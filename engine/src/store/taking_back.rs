//! Taking back: what of a tick says that intents are taken back, that steps have been, and that they run again then.

use super::args::{Args, Rows};
use super::events::{self, Event};
use super::{Conn, Goal, StepAt, TickRequest, checkpoint, sql};
use crate::error::Error;
use crate::id::IntentId;

/// What is to be taken back, and what has been.
pub(super) async fn write(conn: &mut Conn<'_>, request: &TickRequest) -> Result<(), Error> {
    if !request.undos.is_empty() {
        let goals = request
            .undos
            .iter()
            .map(|row| Goal::Fail(row.failure.clone()));
        let rows = request.undos.iter().zip(goals);
        let rows = rows.map(|(row, goal)| (row.intent, Some(row.reason.clone()), goal));
        let begun = insert_goals(conn, "intendant", rows.collect()).await?;
        let noted = request.undos.iter();
        let noted = noted.filter(|row| begun.contains(&row.intent));
        let noted = noted.map(|row| Event {
            intent: row.intent,
            reason: Some(row.reason.clone()),
            detail: None,
        });
        events::write(conn, "intendant", "undo", noted.collect()).await?;
    }
    if !request.undone.is_empty() {
        let rows = Rows::new()
            .uuids(request.undone.iter().map(|row| row.intent))
            .texts(request.undone.iter().map(|row| row.step.clone()))
            .ints(request.undone.iter().map(|row| i64::from(row.generation)));
        let args = Args::new().text(request.worker.clone()).rows(rows).now();
        conn.execute(&sql::STEP_UNDONE, args).await?;
        forget_checkpoints(conn, &request.undone).await?;
    }
    if !request.renews.is_empty() {
        let rows = || {
            let renews = request.renews.iter();
            Rows::new()
                .uuids(renews.clone().map(|row| row.intent))
                .texts(renews.clone().map(|row| row.step.clone()))
                .ints(renews.map(|row| i64::from(row.generation)))
        };
        conn.execute(&sql::STEP_RENEW, Args::new().rows(rows()))
            .await?;
        conn.execute(&sql::AWAITED_RENEW, Args::new().rows(rows()))
            .await?;
        forget_checkpoints(conn, &request.renews).await?;
    }
    if !request.reruns.is_empty() {
        let args = Args::new().ids(request.reruns.iter().copied());
        conn.execute(&sql::RERUN_DONE, args).await?;
    }
    Ok(())
}

async fn forget_checkpoints(conn: &mut Conn<'_>, steps: &[StepAt]) -> Result<(), Error> {
    let steps = steps
        .iter()
        .map(|row| (row.intent, row.step.clone(), row.generation));
    checkpoint::forget(conn, steps).await
}

/// Says for what intents are taken back. Returns those of which nobody had asked for anything.
pub(super) async fn insert_goals(
    conn: &mut Conn<'_>,
    actor: &str,
    goals: Vec<(IntentId, Option<String>, Goal)>,
) -> Result<Vec<IntentId>, Error> {
    write_goals(conn, &sql::GOAL_INSERT, actor, goals).await
}

/// The same, whatever they were taken back for before. Returns those that were not to be cancelled.
pub(super) async fn replace_goals(
    conn: &mut Conn<'_>,
    actor: &str,
    goals: Vec<(IntentId, Option<String>, Goal)>,
) -> Result<Vec<IntentId>, Error> {
    write_goals(conn, &sql::GOAL_REPLACE, actor, goals).await
}

async fn write_goals(
    conn: &mut Conn<'_>,
    statement: &'static sql::Statement,
    actor: &str,
    goals: Vec<(IntentId, Option<String>, Goal)>,
) -> Result<Vec<IntentId>, Error> {
    if goals.is_empty() {
        return Ok(Vec::new());
    }
    let json = goals.iter().map(|(_, _, goal)| serde_json::to_string(goal));
    let json = json.collect::<Result<Vec<_>, _>>();
    let json = json.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let rows = Rows::new()
        .uuids(goals.iter().map(|(id, _, _)| *id))
        .opt_texts(goals.iter().map(|(_, reason, _)| reason.clone()))
        .texts(json);
    let rows = conn
        .fetch(statement, Args::new().text(actor).rows(rows).now())
        .await?;
    rows.iter().map(|row| row.uuid(0)).collect()
}
