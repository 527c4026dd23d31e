//! Who reads live views: how many at once, of a server and of whoever asks, and that they end with the server.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request;
use tokio::sync::watch;

use super::doors::Grant;
use super::problem::Problem;
use super::route::{Described, Operation, Schemas};

/// Most streams of a server at once: each looks into the database for itself.
const STREAMS: usize = 256;
/// Most of them of one who asks, so that nobody ends the live views of all others.
const OF_ONE: usize = 32;

/// Whose streams are counted together.
type Who = (String, Option<String>);

/// How many streams there may be yet, and whether they have to end.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    taken: Arc<Mutex<HashMap<Who, usize>>>,
    /// None: the application that this is mounted in does not say.
    stop: Option<watch::Receiver<bool>>,
}

/// A stream's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    who: Who,
    streams: Streams,
}

impl Streams {
    pub(super) fn new(stop: Option<watch::Receiver<bool>>) -> Self {
        Self {
            taken: Arc::default(),
            stop,
        }
    }

    pub(super) fn take(&self, grant: &Grant) -> Result<Place, Problem> {
        let who = (grant.who.clone(), grant.account.clone());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&who).copied());
        let own = own.unwrap_or_default();
        if all >= STREAMS {
            return Err(Problem::busy(format!(
                "there are {STREAMS} streams already"
            )));
        }
        if own >= OF_ONE {
            return Err(Problem::busy(format!(
                "`{}` has {OF_ONE} streams already",
                who.0
            )));
        }
        taken.insert(who.clone(), own + 1);
        Ok(Place {
            who,
            streams: self.clone(),
        })
    }
}

impl Place {
    pub(super) fn has_to_end(&self) -> bool {
        let stop = self.streams.stop.as_ref();
        stop.is_some_and(|stop| *stop.borrow())
    }

    /// Comes back when the stream has to end.
    pub(super) async fn end(&self) {
        let Some(mut stop) = self.streams.stop.clone() else {
            return pending().await;
        };
        if stop.wait_for(|stop| *stop).await.is_err() {
            // Whoever could say so is gone, and has not.
            pending().await
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .streams
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.who) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Streams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let streams = parts.extensions.get::<Self>().cloned();
        streams.ok_or_else(|| Problem::bug("there are no streams"))
    }
}

impl Described for Streams {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::Scope;

    fn grant(who: &str, account: Option<&str>) -> Grant {
        Grant {
            who: who.to_owned(),
            scope: Scope::Viewer,
            account: account.map(str::to_owned),
        }
    }

    #[test]
    fn nobody_takes_the_streams_of_all_others() {
        let streams = Streams::new(None);
        let take = |who: &str, account| streams.take(&grant(who, account));
        let mut places: Vec<Place> = (0..OF_ONE).map(|_| take("ada", None).unwrap()).collect();
        assert!(take("ada", None).is_err());
        // Who has the same name for an account is somebody else.
        places.push(take("ada", Some("acme")).unwrap());
        places.remove(0);
        places.push(take("ada", None).unwrap());
        for who in 0.. {
            match take(&who.to_string(), None) {
                Ok(place) => places.push(place),
                Err(_) => break,
            }
        }
        assert_eq!(places.len(), STREAMS);
        drop(places);
        assert!(take("ada", None).is_ok());
        assert!(streams.taken.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_is_gone_without_a_word_ends_nothing() {
        let (stop, stopped) = watch::channel(false);
        let place = Streams::new(Some(stopped))
            .take(&grant("ada", None))
            .unwrap();
        drop(stop);
        assert!(!place.has_to_end());
        let ended = tokio::time::timeout(std::time::Duration::from_millis(20), place.end());
        assert!(ended.await.is_err());
    }
}
