//! A step's own transaction, by hand.

use std::time::Duration;

use super::{Held, Session};
use crate::error::Error;
use crate::payload;
use crate::store::{Once, OnceAnswer, record_once};

impl Session {
    /// What a step's own transaction does last: this attempt's result, with whatever the step has written. False: it is refused, and
    /// all of it is rolled back.
    pub async fn record_own(&self, held: &Held, step: &str, attempt: u32) -> Result<bool, Error> {
        let once = Once {
            session: self.id,
            lease: held.lease,
            task: held.intent().into(),
            intent: held.intent(),
            step: step.into(),
            generation: 1,
            attempt,
            worker: "by hand".into(),
        };
        self.store
            .transact(move |mut conn| {
                let once = once.clone();
                Box::pin(async move {
                    let output = payload::null();
                    let answer = record_once(&mut conn, &once, &output, Duration::ZERO).await?;
                    Ok(answer == OnceAnswer::Recorded)
                })
            })
            .await
    }
}
