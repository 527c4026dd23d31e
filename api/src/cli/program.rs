//! The user's own program as the command line.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use intendant::{DryRun, Error, Intendant, IntentId, RequestByName, Resources, WorkReport, Worker};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::hook::WebHook;

/// What an operator says of a worker that is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(super) name: Option<String>,
    pub(super) concurrency: Option<usize>,
    pub(super) queues: Vec<(String, usize)>,
    pub(super) max_age: Option<Duration>,
    pub(super) notify: Option<WebHook>,
}

/// A worker, whatever its state is.
pub(crate) trait Code: Send + Sync {
    fn kinds(&self) -> Vec<&str>;

    fn has_alert_hook(&self) -> bool;

    fn input_schema(&self, kind: &str) -> Option<&Value>;

    fn plan<'c>(
        &'c self,
        kind: &'c str,
        input: &'c RawValue,
        account: Option<String>,
        resources: &'c Resources,
    ) -> BoxFuture<'c, Result<DryRun, Error>>;

    fn request<'c>(&'c self, kind: &str, input: &RawValue) -> Result<RequestByName<'c>, Error>;

    fn skip<'c>(
        &'c self,
        id: IntentId,
        step: &'c str,
        output: &'c Value,
        by: &'c str,
        reason: Option<&'c str>,
    ) -> BoxFuture<'c, Result<(), Error>>;

    fn run(
        self: Box<Self>,
        settings: Settings,
        shutdown: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<WorkReport, Error>>;
}

impl<S: Send + Sync + 'static> Code for Worker<S> {
    fn kinds(&self) -> Vec<&str> {
        self.kinds()
    }

    fn has_alert_hook(&self) -> bool {
        self.has_alert_hook()
    }

    fn input_schema(&self, kind: &str) -> Option<&Value> {
        self.about(kind)?.input_schema()
    }

    fn plan<'c>(
        &'c self,
        kind: &'c str,
        input: &'c RawValue,
        account: Option<String>,
        resources: &'c Resources,
    ) -> BoxFuture<'c, Result<DryRun, Error>> {
        self.plan_by_name(kind, input, account, resources).boxed()
    }

    fn request<'c>(&'c self, kind: &str, input: &RawValue) -> Result<RequestByName<'c>, Error> {
        self.request_by_name(kind, input)
    }

    fn skip<'c>(
        &'c self,
        id: IntentId,
        step: &'c str,
        output: &'c Value,
        by: &'c str,
        reason: Option<&'c str>,
    ) -> BoxFuture<'c, Result<(), Error>> {
        self.skip(id, step, output, by, reason).boxed()
    }

    fn run(
        self: Box<Self>,
        settings: Settings,
        shutdown: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<WorkReport, Error>> {
        let mut worker = *self;
        if let Some(name) = settings.name {
            worker = worker.name(name);
        }
        if let Some(steps) = settings.concurrency {
            worker = worker.concurrency(steps);
        }
        for (queue, steps) in settings.queues {
            worker = worker.queue(queue, steps);
        }
        if let Some(age) = settings.max_age {
            worker = worker.max_age(age);
        }
        if let Some(hook) = settings.notify {
            worker = worker.on_alert(hook.hook());
        }
        worker.run(shutdown).boxed()
    }
}

type Make = Box<dyn FnOnce(Intendant) -> BoxFuture<'static, anyhow::Result<Box<dyn Code>>> + Send>;

/// The command line: that of the binary `intendant`, and, with workers, of the program that they are written in, which then
/// also knows `worker` and `plan`, reads inputs as its kinds do, and checks what a step is given by hand.
///
/// One line makes a program of a worker:
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use intendant::{Cx, Intendant, Intent, StepResult, Worker};
/// use intendant_api::Cli;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
/// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
/// # async fn greet(_: Cx<()>, intent: Greet) -> StepResult<String> { Ok(intent.name) }
///
/// #[tokio::main]
/// async fn main() -> ExitCode {
///     Cli::new(|intendant| Worker::new(intendant, ()).register_step(greet)).run().await
/// }
/// ```
///
/// `greeter migrate up`, `greeter worker`, `greeter request greet --input '{"name": "Ada"}' --wait`, `greeter plan greet …`,
/// and everything that `intendant --help` lists. The database is the one that `--database-url` or `INTENDANT_DATABASE_URL`
/// names; the worker is made when a command needs it.
#[derive(Default)]
#[must_use = "a command line does nothing until it is run"]
pub struct Cli {
    workers: Vec<Make>,
    program: Option<String>,
}

impl std::fmt::Debug for Cli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cli")
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl Cli {
    /// The command line of a program with this worker, which is made with the database that the command names.
    pub fn new<S: Send + Sync + 'static>(
        worker: impl FnOnce(&Intendant) -> Worker<S> + Send + 'static,
    ) -> Self {
        Self::default().with(worker)
    }

    /// One more worker of this program: with a state or settings of its own. `worker` runs all of them.
    pub fn with<S: Send + Sync + 'static>(
        self,
        worker: impl FnOnce(&Intendant) -> Worker<S> + Send + 'static,
    ) -> Self {
        self.with_prepared(async move |intendant| Ok::<_, Error>(worker(&intendant)))
    }

    /// The same, where there is something to wait for, or something that can fail, before there is a worker: configuration,
    /// the application's own database.
    ///
    /// ```no_run
    /// # use intendant::{Cx, Intendant, Intent, StepResult, Worker};
    /// # use intendant_api::Cli;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # async fn greet(_: Cx<String>, intent: Greet) -> StepResult<String> { Ok(intent.name) }
    /// # fn main_() -> Cli {
    /// Cli::default().with_prepared(async |intendant: Intendant| {
    ///     let phrases = tokio::fs::read_to_string("phrases.txt").await?;
    ///     Ok::<_, std::io::Error>(Worker::new(&intendant, phrases).register_step(greet))
    /// })
    /// # }
    /// ```
    pub fn with_prepared<S, E, F, Fut>(mut self, worker: F) -> Self
    where
        S: Send + Sync + 'static,
        E: Into<anyhow::Error>,
        F: FnOnce(Intendant) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Worker<S>, E>> + Send + 'static,
    {
        self.workers.push(Box::new(move |intendant| {
            let worker = worker(intendant);
            async move {
                let worker = worker.await.map_err(Into::into)?;
                Ok(Box::new(worker) as Box<dyn Code>)
            }
            .boxed()
        }));
        self
    }

    /// The program's name in its help and messages: that of its file unless said.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.program = Some(name.into());
        self
    }

    /// Carries out the command that the program was started with; says what went wrong in one line.
    ///
    /// It prints what the command prints, sets up `tracing` on stderr if nobody has (`RUST_LOG` says what is shown), and a
    /// panic hook, for readers that go away (`| head`).
    pub async fn run(self) -> ExitCode {
        let words: Vec<_> = std::env::args_os().collect();
        let file = words.first().map(std::path::Path::new);
        let file = file.and_then(|path| path.file_stem()?.to_str());
        let name = match (&self.program, file) {
            (Some(name), _) => name.clone(),
            (None, Some(file)) => file.to_owned(),
            (None, None) => super::NAME.to_owned(),
        };
        super::run(
            words,
            Program {
                name,
                workers: self.workers,
            },
        )
        .await
    }
}

/// What the commands know of the program that they are part of.
pub(super) struct Program {
    pub(super) name: String,
    workers: Vec<Make>,
}

impl Program {
    /// Whether it has any code beside the engine's.
    pub(super) fn has_code(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Makes its workers.
    pub(super) async fn code(self, intendant: &Intendant) -> anyhow::Result<Vec<Box<dyn Code>>> {
        let mut workers = Vec::new();
        for make in self.workers {
            workers.push(make(intendant.clone()).await?);
        }
        Ok(workers)
    }

    /// Makes the worker that knows this kind, if one does.
    pub(super) async fn code_of(
        self,
        intendant: &Intendant,
        kind: &str,
    ) -> anyhow::Result<Option<Box<dyn Code>>> {
        let mut workers = self.code(intendant).await?.into_iter();
        Ok(workers.find(|worker| worker.kinds().contains(&kind)))
    }
}

/// What stands before a message.
pub(super) fn complain(name: &str, error: &dyn Display) {
    eprintln!("{name}: {error:#}");
}
