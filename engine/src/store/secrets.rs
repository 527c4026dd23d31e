//! The keys by which the secrets of inputs are sealed: the user's, and one that the database has itself.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::args::Args;
use super::{NewIntent, Store, sql};
use crate::clock::Clock;
use crate::error::Error;
use crate::id::IntentId;
use crate::payload::Payload;
use crate::secret::{self, Keyring, OpenError, SecretKey};

/// The user's keys, and all of them once the database's own has been read.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    given: Arc<[SecretKey]>,
    all: Arc<OnceCell<Arc<Keyring>>>,
}

impl Secrets {
    pub(super) fn new(given: Vec<SecretKey>) -> Self {
        Self {
            given: given.into(),
            all: Arc::default(),
        }
    }
}

impl Store {
    /// All keys. The database's own is read once; a worker does so before its first session, so that its steps find it.
    pub(crate) async fn secrets(&self) -> Result<Arc<Keyring>, Error> {
        let all = self.secrets.all.get_or_try_init(|| async {
            let key = self
                .read(|mut conn| {
                    Box::pin(async move {
                        let row = conn.fetch_one(&sql::SECRET_KEY_READ, Args::new()).await?;
                        row.map(|row| row.bytes(0)).transpose()
                    })
                })
                .await?;
            let key = key.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let key = key.ok_or_else(|| {
                Error::Setup("the database has no key of its own in *secret_key*".to_owned())
            })?;
            let keys = Keyring::new(&self.secrets.given, SecretKey::new(key));
            Ok::<_, Error>(Arc::new(keys))
        });
        Ok(all.await?.clone())
    }

    /// Seals the secrets of an input. Most have none.
    pub(crate) async fn seal(&self, new: &mut NewIntent) -> Result<(), Error> {
        if secret::is_marked(new.input.get()) {
            self.seal_with(&*self.secrets().await?, new)?;
        }
        Ok(())
    }

    /// The same within a step, which waits for nothing.
    pub(crate) fn seal_now(&self, new: &mut NewIntent) -> Result<(), Error> {
        if !secret::is_marked(new.input.get()) {
            return Ok(());
        }
        let keys = self.secrets.all.get().ok_or_else(|| {
            Error::Setup("the keys for secrets are read when a worker begins".to_owned())
        })?;
        self.seal_with(keys, new)
    }

    fn seal_with(&self, keys: &Keyring, new: &mut NewIntent) -> Result<(), Error> {
        let account = new.account.as_deref();
        let sealed = keys.seal(&new.input, account, new.id, &**self.clock());
        new.input = sealed.map_err(Error::payload("the input"))?;
        Ok(())
    }

    /// All keys, where they have been read.
    pub(crate) fn keys(&self) -> Option<&Arc<Keyring>> {
        self.secrets.all.get()
    }
}

/// What it takes to change an input, or to ask for it again: its secrets are bound to their intent and their places.
#[derive(Debug, Clone)]
pub(super) struct Copying {
    /// None where they cannot be read, which matters to inputs with secrets only.
    keys: Option<Arc<Keyring>>,
    clock: Arc<dyn Clock>,
}

impl Store {
    pub(super) async fn copying(&self) -> Copying {
        Copying {
            keys: self.secrets().await.ok(),
            clock: self.clock().clone(),
        }
    }
}

impl Copying {
    fn keys(&self) -> Result<&Keyring, Error> {
        let none = || Error::Setup("the keys for secrets cannot be read".to_owned());
        self.keys.as_deref().ok_or_else(none)
    }

    /// An intent's input, for another one of its account.
    pub(super) fn resealed(
        &self,
        input: &Payload,
        account: Option<&str>,
        from: IntentId,
        to: IntentId,
    ) -> Result<Payload, Error> {
        if !secret::is_marked(input.get()) {
            return Ok(input.clone());
        }
        let marked = self.keys()?.marked(input, account, from);
        let sealed = |error: OpenError| Error::Sealed {
            verb: "asking again for",
            id: from,
            error: error.to_string(),
        };
        self.sealed(&marked.map_err(sealed)?, account, to)
    }

    /// An intent's input that was changed. What stays sealed has to open where it stands now, as far as its key is at hand.
    pub(super) fn amended(
        &self,
        input: &Payload,
        account: Option<&str>,
        id: IntentId,
    ) -> Result<Payload, Error> {
        if !secret::is_marked(input.get()) {
            return Ok(input.clone());
        }
        let input = self.sealed(input, account, id)?;
        match self.keys()?.open(&input, account, id) {
            Ok(_) | Err(OpenError::UnknownKey { .. }) => Ok(input),
            Err(error) => Err(Error::Sealed {
                verb: "amending",
                id,
                error: error.to_string(),
            }),
        }
    }

    fn sealed(
        &self,
        input: &Payload,
        account: Option<&str>,
        id: IntentId,
    ) -> Result<Payload, Error> {
        let sealed = self.keys()?.seal(input, account, id, &*self.clock);
        sealed.map_err(Error::payload("the input"))
    }
}
