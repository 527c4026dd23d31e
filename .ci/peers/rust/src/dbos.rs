//! DBOS for Rust: workflows on a queue.

use std::time::Duration;

use ::dbos::{
    Client, ClientConfig, Config, DBOS, Error, QueueConflict, QueueOptions, WorkflowHandle,
};
use anyhow::Result;

use crate::{Payload, Peer, payload, setting, step};

pub(crate) struct Dbos {
    url: String,
    steps: usize,
    client: Client,
}

impl Dbos {
    pub(crate) async fn new(url: &str, chain: bool) -> Result<Self> {
        let steps = if chain { 3 } else { 1 };
        let dbos = instance(url, steps)?;
        dbos.launch().await?;
        let options = QueueOptions {
            // Without a limit: a worker polls once a second at first, whatever the interval is, and comes down to it in
            // forty polls or so. So one poll takes the backlog.
            worker_concurrency: match setting("CONCURRENCY", 0) {
                0 => None,
                limit => Some(limit as i32),
            },
            polling_interval: Duration::from_millis(setting("POLL", 10).into()),
            ..QueueOptions::default()
        };
        dbos.register_queue("bench", options, QueueConflict::AlwaysUpdate)
            .await?;
        dbos.shutdown().await;
        let config = ClientConfig {
            app_name: Some("bench".to_owned()),
            ..ClientConfig::new(url)
        };
        let client = Client::connect(config).await?;
        Ok(Self {
            url: url.to_owned(),
            steps,
            client,
        })
    }
}

fn instance(url: &str, steps: usize) -> Result<DBOS> {
    let dbos = DBOS::new(Config {
        max_connections: setting("POOL", 20),
        app_version: Some("1".to_owned()),
        ..Config::new("bench", url)
    });
    dbos.register_workflow("bench", move |mut payload: Payload| async move {
        for _ in 0..steps {
            let input = payload.clone();
            payload = ::dbos::step("step", move || {
                let input = input.clone();
                async move { Ok::<_, Error>(step(input)) }
            })
            .await?;
        }
        Ok::<_, Error>(payload)
    })?;
    Ok(dbos)
}

impl Peer for Dbos {
    type Running = DBOS;

    fn steps(&self) -> usize {
        self.steps
    }

    fn unfinished(&self) -> &'static str {
        "select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING', 'DELAYED')"
    }

    async fn load(&mut self, jobs: usize) -> Result<()> {
        let client = &self.client;
        let numbers: Vec<usize> = (0..jobs).collect();
        for piece in numbers.chunks(200) {
            let enqueued = piece.iter().map(|number| {
                let input = payload(*number);
                async move {
                    let handle: WorkflowHandle<Payload> =
                        client.enqueue("bench", "bench", input).await?;
                    drop(handle);
                    Ok::<_, Error>(())
                }
            });
            futures::future::try_join_all(enqueued).await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<Self::Running> {
        let dbos = instance(&self.url, self.steps)?;
        dbos.launch().await?;
        Ok(dbos)
    }

    async fn stop(&mut self, dbos: Self::Running) -> Result<()> {
        dbos.shutdown().await;
        Ok(())
    }
}
