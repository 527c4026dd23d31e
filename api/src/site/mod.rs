//! Where a command finds the intents: in a database, or at a server that has one. The commands are the same.

mod filter;
mod looks;
mod server;
mod verbs;

use anyhow::Result;
use intendant::Intendant;

pub(crate) use looks::{Explained, document};
pub(crate) use server::{Server, ServerError};
pub(crate) use verbs::{Actor, Wanted, WantedResource, operator};

/// Where the intents are.
#[derive(Debug, Clone)]
pub(crate) enum Site {
    /// In a database, of which this process knows the code of some kinds, perhaps.
    Database(Intendant),
    /// At a server, by its HTTP API.
    Server(Server),
}

impl Site {
    /// The database, for what is not to be had elsewhere.
    pub(crate) fn database(&self) -> Option<&Intendant> {
        match self {
            Self::Database(engine) => Some(engine),
            Self::Server(_) => None,
        }
    }

    /// What a query without parameters says.
    const fn all() -> &'static [(); 0] {
        &[]
    }
}

/// A list that comes in parts: goes on until there is no more.
async fn whole<T, M, F: Future<Output = Result<(Vec<T>, Option<M>)>>>(
    mut part: impl FnMut(Option<M>) -> F,
) -> Result<Vec<T>> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let (items, next) = part(from).await?;
        all.extend(items);
        if next.is_none() {
            return Ok(all);
        }
        from = next;
    }
}
