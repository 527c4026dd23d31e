//! `request`: asks for an intent by its kind's name.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use intendant::{Asked, Intendant, IntentRecord, IntentState, RequestByName, TraceParent};
use serde_json::Value;
use serde_json::value::RawValue;

use super::args::{Place, label};
use super::exit::Refusal;
use super::program::Program;
use super::values::{InputArg, UsedResource, future, resources, span_of_time};
use crate::site::{Site, Wanted, operator};
use crate::{input, output};

/// Options of `request`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What sort of operation
    kind: String,
    /// Its input: JSON, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}")]
    input: InputArg,
    /// The customer that it is for
    #[arg(long)]
    account: Option<String>,
    /// What it uses by itself, `type:id`; `shared:type:id` what it shares, `touched:type:id` what is only recorded
    #[arg(long = "resource", value_name = "TYPE:ID")]
    resources: Vec<UsedResource>,
    /// Asked for again with the same key, it is the same intent
    #[arg(long)]
    key: Option<String>,
    /// Not before then: a time, or in how long, as in `2h`, `3d`
    #[arg(long, value_name = "WHEN", value_parser = future)]
    at: Option<DateTime<Utc>>,
    /// To be done by then: a time, or in how long
    #[arg(long, value_name = "WHEN", value_parser = future)]
    deadline: Option<DateTime<Utc>>,
    /// Larger goes first, from -1000 to 1000
    #[arg(
        long,
        default_value_t = 0,
        allow_negative_numbers = true,
        value_name = "N"
    )]
    priority: i32,
    /// Something to find it by later
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// An id that runs through it and all its children
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// The trace in which it is asked for, as W3C Trace Context has it [default: $TRACEPARENT]
    #[arg(long, value_name = "HEADER")]
    traceparent: Option<TraceParent>,
    /// Who asks [default: $USER; at a server, whose token it is]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Wait until it is at rest
    #[arg(long)]
    wait: bool,
    /// How long, as in `90s`, `20m`
    #[arg(long, requires = "wait", value_name = "TIME", value_parser = span_of_time)]
    timeout: Option<Duration>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn request(options: Options, program: Program) -> Result<ExitCode> {
    let site = options.place.connect().await?;
    let document = options.input.read()?;
    let asked = match &site {
        Site::Database(engine) => ask(engine, &options, &document, program).await?,
        Site::Server(server) => server.request(&wanted(&options, &document)).await?,
    };
    let kind = options.kind.as_str();
    if !options.wait {
        if options.format.is_table() {
            println!("{}", line(kind, asked));
            return Ok(ExitCode::SUCCESS);
        }
        output::list(&[site.get(asked.id()).await?], options.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.format.is_table() {
        eprintln!("{}", line(kind, asked));
    }
    let record = wait(&site, asked, options.timeout).await?;
    output::list(std::slice::from_ref(&record), options.format)?;
    Ok(match record.state {
        IntentState::Succeeded => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Asks in the database, where the kind's code reads the input, if this program has it.
async fn ask(
    engine: &Intendant,
    options: &Options,
    document: &RawValue,
    program: Program,
) -> Result<Asked> {
    let kind = options.kind.as_str();
    let code = program.code_of(engine, kind).await?;
    let request = match &code {
        Some(code) => {
            if let Some(schema) = code.input_schema(kind) {
                input::check(kind, schema, document)?;
            }
            code.request(kind, document)?
        }
        None => {
            if let Some(schema) = engine.kind(kind).await?.input_schema {
                let schema: Value = serde_json::from_str(schema.get())?;
                input::check(kind, &schema, document)?;
            }
            engine.request_by_name(kind, document)
        }
    };
    say(request, options).await
}

/// What a server is asked for, which checks the input itself.
fn wanted<'a>(options: &'a Options, input: &'a RawValue) -> Wanted<'a> {
    let labels = options.labels.iter();
    Wanted {
        kind: &options.kind,
        input,
        account: options.account.as_deref(),
        resources: options.resources.iter().map(UsedResource::wanted).collect(),
        key: options.key.as_deref(),
        priority: options.priority,
        start_at: options.at,
        deadline_at: options.deadline,
        labels: labels
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        correlation_id: options.correlation_id.as_deref(),
        traceparent: trace(options),
        requested_by: options.by.as_deref(),
    }
}

/// The trace that was said, or that this process is part of. What cannot be read of the environment is passed over.
fn trace(options: &Options) -> Option<TraceParent> {
    let inherited = || std::env::var("TRACEPARENT").ok()?.parse().ok();
    options.traceparent.or_else(inherited)
}

/// Says everything that the options say beside the input.
async fn say(mut request: RequestByName<'_>, options: &Options) -> Result<Asked> {
    request = request
        .resources(resources(options.resources.clone()))
        .priority(options.priority)
        .by(operator(options.by.clone()));
    if let Some(account) = &options.account {
        request = request.account(account);
    }
    if let Some(key) = &options.key {
        request = request.key(key);
    }
    if let Some(at) = options.at {
        request = request.start_at(at);
    }
    if let Some(deadline) = options.deadline {
        request = request.deadline_at(deadline);
    }
    for (name, value) in &options.labels {
        request = request.label(name, value);
    }
    if let Some(id) = &options.correlation_id {
        request = request.correlation_id(id);
    }
    if let Some(trace) = trace(options) {
        request = request.traceparent(trace);
    }
    Ok(request.await?)
}

fn line(kind: &str, asked: Asked) -> String {
    match asked {
        Asked::Now(id) => format!("{id}  {kind} is asked for"),
        Asked::Before(id) => format!("{id}  {kind} was asked for before; this is the same intent"),
    }
}

async fn wait(site: &Site, asked: Asked, timeout: Option<Duration>) -> Result<IntentRecord> {
    let Some(timeout) = timeout else {
        return site.at_rest(asked.id()).await;
    };
    match tokio::time::timeout(timeout, site.at_rest(asked.id())).await {
        Ok(record) => record,
        Err(_) => Err(Refusal::TimedOut(format!(
            "intent {} is not at rest after {timeout:?}; it goes on",
            asked.id()
        ))
        .into()),
    }
}
