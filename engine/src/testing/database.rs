//! A database for each run: a SQLite file of its own in the temporary directory, gone with the run.
//!
//! A file and not memory: it has the connections that it has in production (one writer, readers beside it), and the
//! application's own pool can be on it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;
use uuid::Uuid;

use super::clock::VirtualClock;
use super::{Fresh, TestError};
use crate::client::Intendant;
use crate::store::StoreOptions;

/// A fresh database with the engine's schema, as a file's contents: a copy is faster than the migrations.
static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();

/// A directory that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, TestError> {
        // Real chance: two tests in two processes must not meet.
        let path = std::env::temp_dir().join(format!("intendant-test-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).map_err(TestError::File)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A database, and the engine on it.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) intendant: Intendant,
    pub(super) url: String,
    _directory: Directory,
}

impl Database {
    async fn open(clock: Arc<VirtualClock>) -> Result<Self, TestError> {
        let template = TEMPLATE.get_or_try_init(template).await?;
        let directory = Directory::new()?;
        let path = directory.0.join("test.db");
        std::fs::write(&path, template).map_err(TestError::File)?;
        let url = format!("sqlite://{}", path.display());
        let options = StoreOptions {
            // Nobody's data: the disk need not be waited for.
            sync_every_commit: false,
            ..StoreOptions::new(&url)
        };
        let intendant = Intendant::with_clock(&options, clock).await?;
        Ok(Self {
            intendant,
            url,
            _directory: directory,
        })
    }
}

/// A fresh world: its clock, its database, and the application's state in it.
pub(super) async fn world<S>(
    fresh: &Fresh<S>,
) -> Result<(Arc<VirtualClock>, Database, Arc<S>), TestError> {
    let clock = Arc::new(VirtualClock::new());
    let database = Database::open(clock.clone()).await?;
    let app = fresh(database.url.clone()).await;
    Ok((clock, database, Arc::new(app)))
}

async fn template() -> Result<Vec<u8>, TestError> {
    let directory = Directory::new()?;
    let path = directory.0.join("template.db");
    let intendant = Intendant::open(format!("sqlite://{}", path.display())).await?;
    // With the last connection the log is written into the file.
    intendant.close().await;
    std::fs::read(&path).map_err(TestError::File)
}
