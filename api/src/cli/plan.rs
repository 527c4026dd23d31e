//! `plan`: what an intent would be if it were asked for now. Nothing is written.

use anyhow::Result;
use clap::Args;
use intendant::Resources;

use super::args::Database;
use super::exit::Refusal;
use super::look::Drawing;
use super::program::Program;
use super::values::{InputArg, UsedResource, resources};
use crate::input;

/// Options of `plan`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What sort of operation
    kind: String,
    /// Its input: JSON, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: InputArg,
    /// For this account, where the kind does not say so from its input
    #[arg(long)]
    account: Option<String>,
    /// On this resource, beside those that the kind knows from its input: `type:id`, or `shared:type:id`, `touched:type:id`
    #[arg(long = "resource", value_name = "TYPE:ID")]
    resources: Vec<UsedResource>,
    /// The plan only, as a drawing
    #[arg(
        long,
        value_name = "text|dot|mermaid|svg",
        value_enum,
        hide_possible_values = true
    )]
    graph: Option<Drawing>,
    /// As JSON
    #[arg(long, conflicts_with = "graph")]
    json: bool,
    #[command(flatten)]
    database: Database,
}

pub(super) async fn plan(options: Options, program: Program) -> Result<()> {
    if !program.has_code() {
        let kind = &options.kind;
        return Err(Refusal::Usage(format!(
            "only code can make a plan of `{kind}`, and `{}` has none: use the program of its worker, which has this command \
             line if its `main` calls `intendant_api::Cli::new`",
            program.name
        ))
        .into());
    }
    let intendant = options.database.connect().await?;
    let (name, kind) = (program.name.clone(), options.kind.as_str());
    let code = program.code_of(&intendant, kind).await?;
    let Some(code) = code else {
        return Err(Refusal::NotFound(format!(
            "`{name}` has no code for kind `{kind}`; `{name} kinds --own` lists those that it has"
        ))
        .into());
    };
    let document = options.input.read()?;
    if let Some(schema) = code.input_schema(kind) {
        input::check(kind, schema, &document)?;
    }
    let wanted: Resources = resources(options.resources);
    let dry_run = code.plan(kind, &document, options.account, &wanted).await?;
    match options.graph {
        None if options.json => println!("{}", serde_json::to_string_pretty(&dry_run)?),
        None => print!("{dry_run}"),
        Some(drawing) => print!("{}", drawing.of(&dry_run.graph)?),
    }
    Ok(())
}
