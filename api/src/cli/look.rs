//! Looking: `list`, `show`, `history`, `why`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use clap::{ValueEnum, value_parser};
use intendant::{Graph, IntentFilter, IntentPage, limits};

use super::args::{IntentArg, Page, Place};
use super::exit::Refusal;
use crate::drawing;
use crate::output;
use crate::output::screen::again;
use crate::output::words::count;
use crate::site::Site;

/// How long a search goes back through history before it says how far it came.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked again, where that is wanted.
const AGAIN: Duration = Duration::from_secs(1);

/// Options of `intendant list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this account
    #[arg(long)]
    account: Option<String>,
    /// Most of them
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=i64::from(limits::PAGE)))]
    limit: u32,
    #[command(flatten)]
    page: Page,
    /// Look again and again, until Ctrl-C
    #[arg(long, conflicts_with = "output")]
    watch: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: output::Format,
}

/// How a plan is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Drawing {
    /// For people
    Text,
    /// For Graphviz
    Dot,
    /// For Mermaid
    Mermaid,
    /// As a picture
    Svg,
}

impl Drawing {
    /// The drawing.
    pub(super) fn of(self, graph: &Graph) -> Result<String> {
        Ok(match self {
            Self::Text => graph.text(),
            Self::Dot => graph.dot(),
            Self::Mermaid => graph.mermaid(),
            Self::Svg => {
                let picture = drawing::Drawing::of(graph).alone();
                picture.context(
                    "the plan has too many steps for a picture; draw it with `--graph dot`",
                )?
            }
        })
    }
}

/// Options of `intendant show`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The intent's id, or the beginning of it
    id: IntentArg,
    /// Its plan only, as a drawing
    #[arg(
        long,
        value_name = "text|dot|mermaid|svg",
        value_enum,
        hide_possible_values = true
    )]
    graph: Option<Drawing>,
    /// Look again and again, until Ctrl-C
    #[arg(long, conflicts_with_all = ["graph", "output"])]
    watch: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: output::Format,
}

/// Options of `intendant why`.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The intent's id, or the beginning of it
    id: IntentArg,
    #[command(flatten)]
    place: Place,
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
    place: Place,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn list(list: List) -> Result<()> {
    let site = list.place.connect().await?;
    let filter = list.page.filter(&site, list.account, list.limit).await?;
    if list.watch {
        let draw = async |width| {
            let found = find(&site, filter.clone()).await?;
            Ok(output::table_of(&found.intents).render(width))
        };
        return again(AGAIN, draw).await;
    }
    let found = find(&site, filter).await?;
    output::list(&found.intents, list.format)?;
    if list.format.is_table() {
        eprintln!("{}", count(found.intents.len(), "intent"));
        say_whether_there_is_more(&found, list.limit);
    }
    Ok(())
}

/// Fills a page, unless that takes too long: a search for what no index finds goes through history.
async fn find(site: &Site, mut filter: IntentFilter) -> Result<IntentPage> {
    let (start, limit) = (Instant::now(), filter.limit.unwrap_or_default());
    let mut found = site.page(filter.clone()).await?;
    loop {
        let missing = limit.saturating_sub(u32::try_from(found.intents.len()).unwrap_or(limit));
        if found.next.is_none() || missing == 0 || start.elapsed() > PATIENCE {
            return Ok(found);
        }
        filter.before = found.next;
        filter.limit = Some(missing);
        let page = site.page(filter.clone()).await?;
        found.intents.extend(page.intents);
        found.next = page.next;
    }
}

pub(super) async fn show(show: Show) -> Result<()> {
    let site = show.place.connect().await?;
    let id = show.id.resolve(&site).await?;
    if show.watch {
        return again(AGAIN, async |width| output::picture(&site, id, width).await).await;
    }
    let Some(drawing) = show.graph else {
        return output::show(&site, id, show.format).await;
    };
    let graph = site.graph(id).await?.ok_or_else(|| {
        Refusal::NotFound(format!(
            "intent {id} has no plan yet: no worker has made it"
        ))
    })?;
    print!("{}", drawing.of(&graph)?);
    Ok(())
}

pub(super) async fn why(why: Why) -> Result<()> {
    let site = why.place.connect().await?;
    let id = why.id.resolve(&site).await?;
    output::why(&site.why(id).await?, why.format)
}

pub(super) async fn history(history: History) -> Result<()> {
    let site = history.place.connect().await?;
    let account = history.account;
    let filter = history
        .page
        .filter(&site, Some(account.clone()), history.limit);
    let filter = filter.await?;
    let found = find(&site, filter.clone()).await?;
    // The end of the pages is no error, and neither is a search in vain; an account of which nothing is known may well be
    // a slip of the pen.
    let anything = IntentFilter {
        account: Some(account.clone()),
        resource: filter.resource.clone(),
        limit: filter.limit,
        ..IntentFilter::default()
    };
    if found.intents.is_empty() && filter == anything {
        let on = filter
            .resource
            .map_or(String::new(), |resource| format!(" on {resource}"));
        return Err(Refusal::NotFound(format!("account `{account}` has no operations{on}")).into());
    }
    output::history(&found.intents, history.format)?;
    if history.format.is_table() {
        if found.intents.is_empty() && found.next.is_none() {
            eprintln!(
                "no {}ones",
                if filter.before.is_some() {
                    "older "
                } else {
                    "such "
                }
            );
        }
        say_whether_there_is_more(&found, history.limit);
    }
    Ok(())
}

fn say_whether_there_is_more(found: &IntentPage, limit: u32) {
    let Some(next) = found.next else { return };
    if found.intents.len() == limit as usize {
        eprintln!("there may be older ones: --before {next}");
    } else {
        eprintln!("this went on for long enough; to look further back: --before {next}");
    }
}
