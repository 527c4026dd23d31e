//! Databases with the engine's schema and nothing else, one of each store for a process: a copy is faster than the migrations.

use anyhow::Result;
use intendant::{Intendant, StoreKind};
use tokio::sync::OnceCell;

use crate::database::Database;

/// What a database is copied from.
#[derive(Debug)]
pub(crate) enum Template {
    /// A SQLite file's contents.
    File(Vec<u8>),
    /// One on the shared server.
    Database(Database),
}

static SQLITE: OnceCell<Template> = OnceCell::const_new();
static POSTGRES: OnceCell<Template> = OnceCell::const_new();

pub(crate) async fn of(kind: StoreKind) -> Result<&'static Template> {
    let cell = match kind {
        StoreKind::Sqlite => &SQLITE,
        StoreKind::Postgres => &POSTGRES,
    };
    cell.get_or_try_init(|| made(kind)).await
}

async fn made(kind: StoreKind) -> Result<Template> {
    let database = Database::new(kind).await?;
    let intendant = Intendant::open(&database.url).await?;
    // With the last connection SQLite writes its log into the file; PostgreSQL copies what nobody is connected to.
    intendant.close().await;
    Ok(match database.file() {
        Some(file) => Template::File(std::fs::read(file)?),
        None => Template::Database(database),
    })
}
