//! The Rust port of Graphile Worker: the settings of its own throughput benchmark.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker,
    WorkerContext, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::{Payload, Peer, payload, setting, step};

#[derive(Debug, Serialize, Deserialize)]
struct Single(Payload);

impl TaskHandler for Single {
    const IDENTIFIER: &'static str = "single";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        step(self.0);
        Ok::<(), String>(())
    }
}

pub(crate) struct Graphile(PgPool);

impl Graphile {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(setting("POOL", 20))
            .connect(url)
            .await?;
        Ok(Self(pool))
    }

    async fn worker(&self) -> Result<Worker> {
        let size = setting("BATCH", 5000) as usize;
        Ok(WorkerOptions::default()
            .pg_pool(self.0.clone())
            .concurrency(setting("CONCURRENCY", 500) as usize)
            .poll_interval(Duration::from_millis(5))
            .complete_job_batch_delay(Duration::from_millis(5))
            .local_queue(LocalQueueConfig::default().with_size(size))
            .define_job::<Single>()
            .init()
            .await?)
    }
}

impl Peer for Graphile {
    type Running = (Arc<Worker>, tokio::task::JoinHandle<()>);

    fn steps(&self) -> usize {
        1
    }

    fn unfinished(&self) -> &'static str {
        "select count(*) from graphile_worker._private_jobs"
    }

    async fn load(&mut self, jobs: usize) -> Result<()> {
        let utils = self.worker().await?.create_utils();
        let numbers: Vec<usize> = (0..jobs).collect();
        for piece in numbers.chunks(1000) {
            let jobs = piece
                .iter()
                .map(|number| {
                    Ok(RawJobSpec {
                        identifier: "single".to_owned(),
                        payload: serde_json::to_value(payload(*number))?,
                        spec: JobSpec::default(),
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            utils.add_raw_jobs(&jobs).await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<Self::Running> {
        let worker = Arc::new(self.worker().await?);
        let running = Arc::clone(&worker);
        let task = tokio::spawn(async move {
            if let Err(error) = running.run().await {
                eprintln!("graphile_worker: {error}");
            }
        });
        Ok((worker, task))
    }

    async fn stop(&mut self, (worker, task): Self::Running) -> Result<()> {
        worker.request_shutdown();
        tokio::time::timeout(Duration::from_secs(10), task)
            .await
            .ok();
        Ok(())
    }
}
