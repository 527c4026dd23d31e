//! What is done to something that has a name: a queue, a schedule.

use anyhow::Result;
use clap::Args;
use intendant::Intendant;

use super::args::Database;
use super::verbs::Actor;

/// To which one, by whom, and why.
#[derive(Debug, Args)]
pub(super) struct Act {
    /// Its name
    pub(super) name: String,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    database: Database,
}

impl Act {
    pub(super) async fn begin(&self) -> Result<(Intendant, String)> {
        Ok((self.database.connect().await?, self.actor.name()))
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.actor.reason.as_deref()
    }
}
