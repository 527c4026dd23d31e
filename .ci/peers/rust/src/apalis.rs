//! apalis on PostgreSQL: results are written in batches as large as those that are fetched. A chain is a `SteppedFlow`,
//! which makes a job of each step.

use std::time::Duration;

use anyhow::Result;
use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use apalis_workflow::{SteppedFlow, WorkflowSink};
use sqlx::postgres::PgPoolOptions;

use crate::{Payload, Peer, payload, setting, step};

const UNFINISHED: &str = "select count(*) from apalis.jobs where status <> 'Done'";

async fn pool(url: &str) -> Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(setting("POOL", 20))
        .connect(url)
        .await?;
    PostgresStorage::setup(&pool).await?;
    Ok(pool)
}

fn storage(pool: &PgPool) -> PostgresStorage<Payload> {
    let config = Config::default()
        .queue("bench")
        .batch_size(setting("BATCH", 2000) as usize)
        .lock_tasks(false);
    PostgresStorage::new(pool).with_config(config)
}

async fn end(context: WorkerContext, worker: tokio::task::JoinHandle<()>) -> Result<()> {
    context.stop()?;
    tokio::time::timeout(Duration::from_secs(10), worker)
        .await
        .ok();
    Ok(())
}

/// One job each.
pub(crate) struct Single(PgPool);

impl Single {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        Ok(Self(pool(url).await?))
    }
}

async fn single(payload: Payload) -> Result<Payload, BoxDynError> {
    Ok(step(payload))
}

impl Peer for Single {
    type Running = (WorkerContext, tokio::task::JoinHandle<()>);

    fn steps(&self) -> usize {
        1
    }

    fn unfinished(&self) -> &'static str {
        UNFINISHED
    }

    async fn load(&mut self, jobs: usize) -> Result<()> {
        let numbers: Vec<usize> = (0..jobs).collect();
        for piece in numbers.chunks(1000) {
            let jobs = piece.iter().map(|number| payload(*number)).collect();
            storage(&self.0).push_bulk(jobs).await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<Self::Running> {
        let context = WorkerContext::new("bench");
        let worker = WorkerBuilder::new(&context)
            .backend(storage(&self.0).poll_with_strategy(strategy()))
            .concurrency(setting("CONCURRENCY", 2000) as usize)
            .build(single);
        let worker = tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("apalis: {error}");
            }
        });
        Ok((context, worker))
    }

    async fn stop(&mut self, (context, worker): Self::Running) -> Result<()> {
        end(context, worker).await
    }
}

/// Three steps, one after the other.
pub(crate) struct Chain(PgPool);

impl Chain {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        Ok(Self(pool(url).await?))
    }
}

impl Peer for Chain {
    type Running = (WorkerContext, tokio::task::JoinHandle<()>);

    fn steps(&self) -> usize {
        3
    }

    fn unfinished(&self) -> &'static str {
        UNFINISHED
    }

    async fn load(&mut self, jobs: usize) -> Result<()> {
        let mut storage = storage(&self.0);
        for number in 0..jobs {
            storage.push_start(payload(number)).await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<Self::Running> {
        let flow = SteppedFlow::new("bench")
            .and_then(single)
            .and_then(single)
            .and_then(single);
        let context = WorkerContext::new("bench");
        let worker = WorkerBuilder::new(&context)
            .backend(storage(&self.0))
            .concurrency(setting("CONCURRENCY", 2000) as usize)
            .build(flow);
        let worker = tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("apalis: {error}");
            }
        });
        Ok((context, worker))
    }

    async fn stop(&mut self, (context, worker): Self::Running) -> Result<()> {
        end(context, worker).await
    }
}

fn strategy() -> Strategy {
    Strategy::new().interval(Duration::from_millis(setting("POLL", 10).into()))
}
