//! Again: the waits between tries of a call on a database that cannot be reached just now.

use std::time::Duration;

/// Waits that double up to a second: whoever waits has something that must not be lost, and wants to know it soon.
#[derive(Debug)]
pub(crate) struct Again(Duration);

impl Again {
    const FIRST: Duration = Duration::from_millis(20);
    const MOST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Until the next try.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::MOST);
    }
}
