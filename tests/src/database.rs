//! A database of its own for each test, on either store.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use intendant::{Intendant, StoreKind, StoreOptions};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use crate::postgres;
use crate::template::{self, Template};

/// A database that nobody else uses; removed when it is dropped (PostgreSQL's with the cluster).
#[derive(Debug)]
pub struct Database {
    /// What to connect to.
    pub url: String,
    /// Which store it is.
    pub kind: StoreKind,
    directory: Option<tempfile::TempDir>,
    pub(crate) kept: Mutex<Option<PgConnection>>,
}

impl Database {
    /// An empty database.
    pub async fn new(kind: StoreKind) -> Result<Self> {
        match kind {
            StoreKind::Sqlite => {
                let directory = tempfile::tempdir()?;
                let url = format!("sqlite://{}/test.db", directory.path().display());
                Ok(Self {
                    url,
                    kind,
                    directory: Some(directory),
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
        let create = format!("create database {name} {like}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create))
            .execute(&mut admin)
            .await?;
        admin.close().await?;
        let (base, _) = server.rsplit_once('/').unwrap_or((server, ""));
        Ok(Self {
            url: format!("{base}/{name}"),
            kind: StoreKind::Postgres,
            directory: None,
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
            Template::Name(name) => {
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
        self.directory
            .as_ref()
            .map(|directory| directory.path().join("test.db"))
    }
}
