//! What an operator does to intents: one after the other, each told in a line of its own.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use intendant::{Cancelled, Intendant, IntentId};

use super::args::{Database, IntentArg};
use super::exit;

/// Which intents, who does it, and why.
#[derive(Debug, Args)]
pub(super) struct Verb {
    /// The intents' ids, or the beginnings of them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<IntentArg>,
    /// Why; kept with the event
    #[arg(long)]
    reason: Option<String>,
    /// Who; kept with the event [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    database: Database,
}

impl Verb {
    /// Does it to each of them. One that cannot be done is told, and the others are done all the same.
    pub(super) async fn run(
        self,
        verb: impl AsyncFn(&Intendant, IntentId, &str, Option<&str>) -> Result<String>,
    ) -> Result<ExitCode> {
        let intendant = self.database.connect().await?;
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        let by = self.by.or(user).unwrap_or_else(|| "operator".to_owned());
        let mut code = ExitCode::SUCCESS;
        for id in &self.ids {
            let done = async {
                let id = id.resolve(&intendant).await?;
                verb(&intendant, id, &by, self.reason.as_deref()).await
            };
            match done.await {
                Ok(said) => println!("{said}"),
                Err(error) => {
                    eprintln!("intendant: {error:#}");
                    code = ExitCode::from(exit::code(&error));
                }
            }
        }
        Ok(code)
    }
}

pub(super) async fn resume(
    intendant: &Intendant,
    id: IntentId,
    by: &str,
    reason: Option<&str>,
) -> Result<String> {
    Ok(match intendant.resume(id, by, reason).await? {
        1 => format!("{id} is back in line"),
        more => format!(
            "{id} is back in line, and {} of its children with it",
            more - 1
        ),
    })
}

pub(super) async fn cancel(
    intendant: &Intendant,
    id: IntentId,
    by: &str,
    reason: Option<&str>,
) -> Result<String> {
    let said = match intendant.cancel(id, by, reason).await? {
        Cancelled::Before => "was cancelled before",
        Cancelled::Stopping => "is asked to stop, and will not succeed any more",
        _ => "is cancelled",
    };
    Ok(format!("{id} {said}"))
}
