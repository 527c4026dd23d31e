//! A run of the demo, as the registry keeps it: with which key its intents were asked for, and which they are. It is what
//! a run that was killed is continued by.

use std::path::{Path, PathBuf};

use anyhow::Result;
use intendant::{Intendant, IntentId};
use uuid::Uuid;

use super::cloud::Cloud;
use super::kinds::{ReplicaAdd, ReplicaRemove};

/// The customer of the demo.
const ACCOUNT: &str = "acme";

/// A run that has not come to its end.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    id: i64,
    key: String,
    account: String,
    pub(crate) database: PathBuf,
    pub(crate) add: Option<IntentId>,
    pub(crate) remove: Option<IntentId>,
}

type RunRow = (i64, String, String, String, Option<String>, Option<String>);

impl Run {
    /// The run that the directory is in the middle of.
    pub(crate) async fn open(cloud: &mut Cloud) -> Result<Option<Self>> {
        let row: Option<RunRow> = sqlx::query_as(
            "select id, key, account, database, add_id, remove_id from run where finished_at is null order by id limit 1",
        )
        .fetch_optional(&mut cloud.db)
        .await?;
        let Some((id, key, account, database, add, remove)) = row else {
            return Ok(None);
        };
        let add = add.as_deref().map(str::parse).transpose()?;
        let remove = remove.as_deref().map(str::parse).transpose()?;
        Ok(Some(Self {
            id,
            key,
            account,
            database: database.into(),
            add,
            remove,
        }))
    }

    /// Begins a run. The key is on disk before anything is asked for with it.
    pub(crate) async fn begin(cloud: &mut Cloud, database: &Path) -> Result<Self> {
        let key = format!("demo-{}", Uuid::new_v4().simple());
        let id = sqlx::query_scalar(
            "insert into run (key, account, database) values (?1, ?2, ?3) returning id",
        )
        .bind(&key)
        .bind(ACCOUNT)
        .bind(database.to_string_lossy())
        .fetch_one(&mut cloud.db)
        .await?;
        Ok(Self {
            id,
            key,
            account: ACCOUNT.to_owned(),
            database: database.to_owned(),
            add: None,
            remove: None,
        })
    }

    /// The intent that adds the replica: asked for if that was not done before.
    pub(crate) async fn add(
        &mut self,
        cloud: &mut Cloud,
        intendant: &Intendant,
    ) -> Result<IntentId> {
        if let Some(id) = self.add {
            return Ok(id);
        }
        let intent = ReplicaAdd {
            account: self.account.clone(),
            database: self.database.clone(),
            directory: cloud.directory().to_owned(),
        };
        let id = intendant
            .request(intent)
            .by("demo")
            .key(&self.key)
            .await?
            .id();
        sqlx::query("update run set add_id = ?2 where id = ?1")
            .bind(self.id)
            .bind(id.to_string())
            .execute(&mut cloud.db)
            .await?;
        self.add = Some(id);
        Ok(id)
    }

    /// The intent that removes the replica: asked for if that was not done before.
    pub(crate) async fn remove(
        &mut self,
        cloud: &mut Cloud,
        intendant: &Intendant,
        replica: IntentId,
    ) -> Result<IntentId> {
        if let Some(id) = self.remove {
            return Ok(id);
        }
        let intent = ReplicaRemove {
            account: self.account.clone(),
            database: self.database.clone(),
            directory: cloud.directory().to_owned(),
            replica,
        };
        let id = intendant
            .request(intent)
            .by("demo")
            .key(format!("{}/remove", self.key))
            .await?
            .id();
        sqlx::query("update run set remove_id = ?2 where id = ?1")
            .bind(self.id)
            .bind(id.to_string())
            .execute(&mut cloud.db)
            .await?;
        self.remove = Some(id);
        Ok(id)
    }

    /// Nothing is left to be done.
    pub(crate) async fn finish(self, cloud: &mut Cloud) -> Result<()> {
        sqlx::query("update run set finished_at = datetime() where id = ?1")
            .bind(self.id)
            .execute(&mut cloud.db)
            .await?;
        Ok(())
    }
}
