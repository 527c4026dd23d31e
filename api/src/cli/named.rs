//! What is done to something that has a name: a queue, a schedule.

use anyhow::Result;
use clap::Args;

use super::args::Place;
use super::verbs::Actor;
use crate::site::{self, Site};

/// To which one, by whom, and why.
#[derive(Debug, Args)]
pub(super) struct Act {
    /// Its name
    pub(super) name: String,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    place: Place,
}

impl Act {
    pub(super) async fn begin(&self) -> Result<(Site, site::Actor)> {
        let site = self.place.connect().await?;
        let actor = self.actor.clone().at(&site)?;
        Ok((site, actor))
    }
}
