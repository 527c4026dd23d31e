//! awa: its own benchmark's settings, with more workers and larger claims, which it does better with. It has no
//! workflows.

use std::time::Duration;

use ::awa::{Client, InsertOpts, JobArgs, JobResult, QueueConfig, insert_many_copy_from_pool};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use sqlx08::postgres::{PgPool, PgPoolOptions};

use crate::{Payload, Peer, payload, setting, step};

#[derive(Debug, Clone, Serialize, Deserialize, JobArgs)]
struct Single {
    payload: Payload,
}

pub(crate) struct Awa {
    pool: PgPool,
}

impl Awa {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(setting("POOL", 20))
            .connect(url)
            .await?;
        ::awa::migrations::run(&pool).await?;
        let mut awa = Self { pool };
        // A database takes to awa's newer storage when its first worker starts, if no job is there before.
        let client = awa.start().await?;
        awa.stop(client).await?;
        let storage: Option<String> =
            sqlx08::query_scalar("select awa.active_queue_storage_schema()")
                .fetch_one(&awa.pool)
                .await?;
        anyhow::ensure!(storage.is_some(), "awa uses its older storage");
        Ok(awa)
    }
}

impl Peer for Awa {
    type Running = Client;

    fn steps(&self) -> usize {
        1
    }

    fn unfinished(&self) -> &'static str {
        "select count(*) from awa.jobs where state not in ('completed', 'failed', 'cancelled')"
    }

    async fn load(&mut self, jobs: usize) -> Result<()> {
        let numbers: Vec<usize> = (0..jobs).collect();
        for piece in numbers.chunks(1000) {
            let jobs: Vec<_> = piece
                .iter()
                .map(|number| {
                    let job = Single {
                        payload: payload(*number),
                    };
                    let options = InsertOpts {
                        queue: "bench".into(),
                        ..Default::default()
                    };
                    ::awa::model::insert::params_with(&job, options)
                })
                .collect::<Result<_, _>>()?;
            insert_many_copy_from_pool(&self.pool, &jobs).await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<Self::Running> {
        let client = Client::builder(self.pool.clone())
            .queue(
                "bench",
                QueueConfig {
                    max_workers: setting("CONCURRENCY", 500),
                    claimers: setting("CLAIMERS", 1) as u16,
                    claim_batch_size: setting("BATCH", 1000) as usize,
                    poll_interval: Duration::from_millis(50),
                    deadline_duration: Duration::ZERO,
                    ..QueueConfig::default()
                },
            )
            .register::<Single, _, _>(|job, _| async move {
                step(job.payload);
                Ok(JobResult::Completed)
            });
        let client = client.build()?;
        client.start().await?;
        Ok(client)
    }

    async fn stop(&mut self, client: Self::Running) -> Result<()> {
        client.shutdown(Duration::from_secs(5)).await;
        Ok(())
    }
}
