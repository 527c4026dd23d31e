//! What `idle-worker` says.

use serde::{Deserialize, Serialize};

/// How many statements a worker sent, and how many of them had to do with slots or rates of queues (`budgets`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Counted {
    /// For how long each was counted.
    pub seconds: u64,
    /// While it carried out what was asked for, in a queue without limits.
    pub unlimited_budgets: u64,
    /// When it had nothing to do.
    pub idle: u64,
    /// While others waited for the one slot of its queue.
    pub full: u64,
    /// Of these.
    pub full_budgets: u64,
    /// While others waited for the next permit of its queue.
    pub at_rate: u64,
    /// Of these.
    pub at_rate_budgets: u64,
}
