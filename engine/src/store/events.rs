//! Events: what people and the engine have done to intents, numbered for each (I9).

use std::collections::HashMap;

use super::args::{Args, Rows};
use super::{Conn, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;

/// What is to be noted of an intent.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) intent: IntentId,
    pub(super) reason: Option<String>,
    /// As JSON.
    pub(super) detail: Option<String>,
}

/// Writes events, each with the next number of its intent.
///
/// On PostgreSQL somebody else may be writing one of the same number. The statement waits for that and leaves its own out; the next
/// one, which sees what was committed meanwhile, writes it with the number after it.
pub(super) async fn write(
    conn: &mut Conn<'_>,
    actor: &str,
    verb: &str,
    mut events: Vec<Event>,
) -> Result<(), Error> {
    for _ in 0..limits::EVENT_TRIES {
        if events.is_empty() {
            return Ok(());
        }
        let rows = Rows::new()
            .uuids(events.iter().map(|event| event.intent))
            .opt_texts(events.iter().map(|event| event.reason.clone()))
            .opt_texts(events.iter().map(|event| event.detail.clone()));
        let args = Args::new().text(actor).text(verb).rows(rows).now();
        let mut written: HashMap<IntentId, usize> = HashMap::new();
        for row in conn.fetch(&sql::EVENT_INSERT, args).await? {
            *written.entry(row.uuid(0)?).or_default() += 1;
        }
        events.retain(|event| match written.get_mut(&event.intent) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        });
    }
    let error = "others write events of the same intents all the time; try again";
    Err(Error::Unreachable(error.to_owned()))
}
