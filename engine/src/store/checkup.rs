//! What a database says of itself.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::args::Args;
use super::{Store, sql};
use crate::checkup::ahead;
use crate::error::Error;

/// The name of the database's time among what it says.
const NOW: &str = "now_us";

impl Store {
    /// How far its clock is ahead, and settings and figures by their names.
    pub(crate) async fn checkup(&self) -> Result<(TimeDelta, BTreeMap<String, String>), Error> {
        let clock = self.clock().clone();
        self.read(move |mut conn| {
            let clock = clock.clone();
            Box::pin(async move {
                let before = clock.wall_us();
                let rows = conn.fetch(&sql::CHECKUP, Args::new().now()).await?;
                let after = clock.wall_us();
                let mut says = BTreeMap::new();
                for row in &rows {
                    says.insert(row.text(0)?, row.text(1)?);
                }
                let now = says.remove(NOW).and_then(|now| now.parse().ok());
                let ahead = now.map_or(TimeDelta::zero(), |now| ahead(before, now, after));
                Ok((ahead, says))
            })
        })
        .await
    }
}
