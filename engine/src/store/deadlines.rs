//! Deadlines: by when an intent, or a step of it, is to be done. Rows that housekeeping looks at when they are due.

use super::args::{Args, Rows};
use super::{Conn, Deadline, DeadlineRow, NewIntent, sql};
use crate::clock::{Micros, micros};
use crate::error::Error;

/// Writes the deadlines of new intents, of those that have one.
pub(super) async fn of_intents(conn: &mut Conn<'_>, new: &[&NewIntent]) -> Result<(), Error> {
    let all = || {
        new.iter()
            .filter_map(|intent| Some((intent.id, intent.deadline?)))
    };
    if all().next().is_none() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(all().map(|(id, _)| id))
        .texts(all().map(|_| ""))
        .ints(all().map(|_| 1))
        .opt_ints(all().map(|(_, deadline)| match deadline {
            Deadline::At(Micros(at)) => Some(at),
            Deadline::In(_) => None,
        }))
        .opt_ints(all().map(|(_, deadline)| match deadline {
            Deadline::At(_) => None,
            Deadline::In(time) => Some(micros(time)),
        }));
    conn.execute(&sql::DEADLINE_INSERT, Args::new().rows(rows).now())
        .await
}

/// Writes the deadlines of steps that have become ready.
pub(super) async fn of_steps(conn: &mut Conn<'_>, steps: &[DeadlineRow]) -> Result<(), Error> {
    if steps.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(steps.iter().map(|row| row.intent))
        .texts(steps.iter().map(|row| row.step.clone()))
        .ints(steps.iter().map(|row| i64::from(row.generation)))
        .opt_ints(steps.iter().map(|_| None))
        .opt_ints(steps.iter().map(|row| Some(micros(row.due_in))));
    conn.execute(&sql::DEADLINE_INSERT, Args::new().rows(rows).now())
        .await
}
