//! A database of its own for each test, on either store.

use std::path::PathBuf;
use std::sync::PoisonError;

use anyhow::{Context as _, Result};
use intendant::{Intendant, StoreKind, StoreOptions};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use crate::postgres;
use crate::scratch;
use crate::template::{self, Template};

/// A database that nobody else uses; removed when it is dropped, or, on a server, when this process makes the next one there.
/// Its last ones go with the server, and stay on one that is not its own.
#[derive(Debug)]
pub struct Database {
    /// What to connect to.
    pub url: String,
    /// Which store it is.
    pub kind: StoreKind,
    place: Place,
    pub(crate) kept: Mutex<Option<PgConnection>>,
}

/// What is to be removed.
#[derive(Debug)]
enum Place {
    Directory(tempfile::TempDir),
    /// The database of this name.
    Server {
        url: String,
        name: String,
    },
}

/// Databases that nobody uses any more, with their servers.
static LEFT: std::sync::Mutex<Vec<(String, String)>> = std::sync::Mutex::new(Vec::new());

/// Those on this server, which are the caller's to remove.
fn left_on(server: &str) -> Vec<String> {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    let here = left.extract_if(.., |(url, _)| url == server);
    here.map(|(_, name)| name).collect()
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Place::Server { url, name } = &self.place {
            let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            left.push((url.clone(), name.clone()));
        }
    }
}

impl Database {
    /// An empty database.
    pub async fn new(kind: StoreKind) -> Result<Self> {
        match kind {
            StoreKind::Sqlite => {
                let directory = scratch::directory()?;
                let url = format!("sqlite://{}/test.db", directory.path().display());
                Ok(Self {
                    url,
                    kind,
                    place: Place::Directory(directory),
                    kept: Mutex::default(),
                })
            }
            StoreKind::Postgres => Self::on_server(&postgres::server_url()).await,
        }
    }

    /// An empty database on this server.
    pub async fn on_server(server: &str) -> Result<Self> {
        Self::created(server, "").await
    }

    async fn created(server: &str, like: &str) -> Result<Self> {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(server).await?;
        for left in left_on(server) {
            let drop = format!("drop database if exists {left} with (force)");
            let dropped = sqlx::raw_sql(sqlx::AssertSqlSafe(drop));
            if let Err(error) = dropped.execute(&mut admin).await {
                // It takes room, and is nobody else's trouble.
                eprintln!("{left} stays: {error}");
            }
        }
        let create = format!("create database {name} {like}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create))
            .execute(&mut admin)
            .await?;
        admin.close().await?;
        let (base, _) = server.rsplit_once('/').unwrap_or((server, ""));
        Ok(Self {
            url: format!("{base}/{name}"),
            kind: StoreKind::Postgres,
            place: Place::Server {
                url: server.to_owned(),
                name,
            },
            kept: Mutex::default(),
        })
    }

    /// A database with the engine's schema, and the engine on it.
    pub async fn open(kind: StoreKind) -> Result<(Self, Intendant)> {
        let template = template::of(kind).await?;
        let database = match template {
            Template::File(bytes) => {
                let database = Self::new(kind).await?;
                let file = database.file().context("a file")?;
                std::fs::write(file, bytes)?;
                database
            }
            Template::Database(template) => {
                let (_, name) = template.url.rsplit_once('/').context("a name")?;
                Self::created(&postgres::server_url(), &format!("template {name}")).await?
            }
        };
        let intendant = database.connect().await?;
        Ok((database, intendant))
    }

    /// Another connection to the same database, as another process would have it.
    pub async fn connect(&self) -> Result<Intendant> {
        let options = StoreOptions {
            // What ends in these tests is processes, and no machine: the disk need not be waited for.
            sync_every_commit: false,
            ..StoreOptions::new(&self.url)
        };
        Ok(Intendant::connect(options).await?)
    }

    /// The SQLite file.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Directory(directory) => Some(directory.path().join("test.db")),
            Place::Server { .. } => None,
        }
    }
}
