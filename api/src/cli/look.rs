//! Looking: `list`, `show`, `history`, `why`.

use anyhow::Result;
use clap::Args;
use clap::value_parser;
use intendant::{IntentFilter, IntentState, limits};

use super::args::{Database, IntentArg, Page};
use super::exit::Refusal;
use crate::output;
use crate::output::words::count;

/// Options of `intendant list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this account
    #[arg(long)]
    account: Option<String>,
    /// Of this kind
    #[arg(long)]
    kind: Option<String>,
    /// In this state: blocked, ready, running, waiting, succeeded, failed or cancelled
    #[arg(long)]
    state: Option<IntentState>,
    /// Most of them
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=i64::from(limits::PAGE)))]
    limit: u32,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    format: output::Format,
}

/// Options of `intendant show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The intent's id, or the beginning of it
    id: IntentArg,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    format: output::Format,
}

/// Options of `intendant why`.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The intent's id, or the beginning of it
    id: IntentArg,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    format: output::Format,
}

/// Options of `intendant history`.
#[derive(Debug, Args)]
pub(super) struct History {
    /// The account
    #[arg(long)]
    account: String,
    /// Most of them
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=i64::from(limits::PAGE)))]
    limit: u32,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn list(list: List) -> Result<()> {
    let intendant = list.database.connect().await?;
    let before = match &list.page.before {
        Some(before) => Some(before.resolve(&intendant).await?),
        None => None,
    };
    let filter = IntentFilter {
        account: list.account,
        resource: list.page.resource,
        kind: list.kind,
        state: list.state,
        before,
        limit: Some(list.limit),
    };
    let records = intendant.list(filter).await?;
    output::list(&records, list.format)?;
    if list.format.is_table() {
        eprintln!("{}", count(records.len(), "intent"));
        say_whether_there_is_more(&records, list.limit);
    }
    Ok(())
}

pub(super) async fn show(show: Show) -> Result<()> {
    let intendant = show.database.connect().await?;
    let id = show.id.resolve(&intendant).await?;
    output::show(&intendant, id, show.format).await
}

pub(super) async fn why(why: Why) -> Result<()> {
    let intendant = why.database.connect().await?;
    let id = why.id.resolve(&intendant).await?;
    output::why(&intendant.why(id).await?, why.format)
}

pub(super) async fn history(history: History) -> Result<()> {
    let intendant = history.database.connect().await?;
    let before = match &history.page.before {
        Some(before) => Some(before.resolve(&intendant).await?),
        None => None,
    };
    let filter = IntentFilter {
        account: Some(history.account.clone()),
        resource: history.page.resource.clone(),
        limit: Some(history.limit),
        before,
        ..IntentFilter::default()
    };
    let records = intendant.list(filter).await?;
    // The end of the pages is no error; an account of which nothing is known may well be a slip of the pen.
    if records.is_empty() && before.is_none() {
        let account = &history.account;
        let on = history
            .page
            .resource
            .map_or(String::new(), |resource| format!(" on {resource}"));
        return Err(Refusal::NotFound(format!("account `{account}` has no operations{on}")).into());
    }
    output::history(&records, history.format)?;
    if history.format.is_table() {
        if records.is_empty() {
            eprintln!("no older ones");
        }
        say_whether_there_is_more(&records, history.limit);
    }
    Ok(())
}

fn say_whether_there_is_more(records: &[intendant::IntentRecord], limit: u32) {
    if let Some(last) = records.last()
        && records.len() == limit as usize
    {
        eprintln!("there may be older ones: --before {}", last.id);
    }
}
