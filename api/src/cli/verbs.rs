//! What an operator does to intents: to some by their ids, or to all that match; each told in a line of its own.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use intendant::{Batch, IntentFilter, IntentId, IntentState, Verb};
use serde_json::value::RawValue;

use super::args::{IntentArg, Place, label, resource, when};
use super::exit::{self, Refusal};
use super::program::{Program, complain};
use super::terms::Terms;
use super::values::InputArg;
use crate::deed::{self, CancelledHow, Deed};
use crate::input;
use crate::site::{self, Site};

/// Who does it, and why.
#[derive(Debug, Clone, Args)]
pub(super) struct Actor {
    /// Why; kept with what was done
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Who; kept with what was done [default: $USER; at a server, whose token it is]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Actor {
    /// Who that is there.
    pub(super) fn at(self, site: &Site) -> Result<site::Actor> {
        site.actor(self.by, self.reason)
    }
}

/// Which of many intents.
#[derive(Debug, Clone, Args)]
struct Which {
    /// All that match, in whatever state it can be done in, children left to their parents
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// All that match this, as `--all` with options: `kind=server.resize state=failed since=2h`
    #[arg(long = "where", value_name = "TERMS", conflicts_with_all = ["ids", "all"])]
    terms: Option<Terms>,
    /// With --all: of this kind
    #[arg(long, requires = "all")]
    kind: Option<String>,
    /// With --all: of this account
    #[arg(long, requires = "all")]
    account: Option<String>,
    /// With --all: in this state
    #[arg(long, requires = "all")]
    state: Option<IntentState>,
    /// With --all: on this resource, `type:id`
    #[arg(long, requires = "all", value_name = "TYPE:ID", value_parser = resource)]
    resource: Option<String>,
    /// With --all: with this label
    #[arg(long, requires = "all", value_name = "NAME=VALUE", value_parser = label)]
    label: Option<(String, String)>,
    /// With --all: asked for by this person or service
    #[arg(long, requires = "all", value_name = "NAME")]
    asked_by: Option<String>,
    /// With --all: requested since then, as in `2h`, `3d`
    #[arg(long, requires = "all", value_name = "WHEN", value_parser = when)]
    since: Option<chrono::DateTime<chrono::Utc>>,
    /// With --all: failed with an error that has this text in it
    #[arg(long, requires = "all", value_name = "TEXT")]
    error: Option<String>,
}

impl Which {
    /// Not some by their ids.
    fn is_many(&self) -> bool {
        self.all || self.terms.is_some()
    }

    fn filter(self) -> IntentFilter {
        let options = IntentFilter {
            account: self.account,
            resource: self.resource,
            kind: self.kind,
            state: self.state,
            requested_by: self.asked_by,
            label: self.label,
            requested_since: self.since,
            error: self.error,
            ..IntentFilter::default()
        };
        self.terms.unwrap_or_default().and(options)
    }
}

/// Which intents, who does it, and why.
#[derive(Debug, Args)]
pub(super) struct Act {
    /// The intents' ids, or the beginnings of them
    #[arg(required_unless_present_any = ["all", "terms"], value_name = "ID")]
    ids: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// With --all or --where: do not ask first
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    place: Place,
}

/// The same for one step.
#[derive(Debug, Args)]
pub(super) struct OnStep {
    /// The step, if it does not stand after the ids
    #[arg(long)]
    step: Option<String>,
    #[command(flatten)]
    act: Act,
}

impl OnStep {
    /// The step, and to which intents it is done: `retry ID… STEP` says the same as `retry ID… --step STEP`.
    pub(super) fn split(self) -> Result<(String, Act)> {
        let Self { step, mut act } = self;
        let step = match step {
            Some(step) => step,
            None if act.ids.len() > 1 => act.ids.pop().unwrap_or_default(),
            None => {
                let why = "which step? say it after the id, or by --step";
                bail!(Refusal::Usage(why.to_owned()))
            }
        };
        Ok((step, act))
    }
}

/// A step with what it is to have come to.
#[derive(Debug, Args)]
pub(super) struct Skip {
    /// Its output, as JSON, `@FILE`, or `-` for stdin; for an undo, `undo(volume)`, it is `null`
    #[arg(long, value_name = "JSON")]
    pub(super) output: InputArg,
    #[command(flatten)]
    pub(super) on: OnStep,
}

/// From which step on, if not from the beginning.
#[derive(Debug, Args)]
pub(super) struct Rerun {
    /// Of failed intents: from this step on; what is before it is kept
    #[arg(long, value_name = "STEP")]
    pub(super) from: Option<String>,
    #[command(flatten)]
    pub(super) act: Act,
}

/// Another input, or some of it, for which intents.
#[derive(Debug, Args)]
pub(super) struct Amend {
    /// The whole input, as JSON. Checked by its kind's schema, where there is one; whether the kind's code can read it shows
    /// when the intent is resumed
    #[arg(long, value_name = "JSON", value_parser = json, required_unless_present = "change", conflicts_with_all = ["all", "terms"])]
    input: Option<Box<RawValue>>,
    /// What is another one of it, as a JSON merge patch: its members replace those of the input, null takes one out
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "input")]
    change: Option<Box<RawValue>>,
    #[command(flatten)]
    act: Act,
}

fn json(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| format!("expected JSON: {error}"))
}

impl Act {
    /// The intents that are named.
    fn ids(&self) -> Result<Vec<IntentArg>> {
        let ids = self.ids.iter().map(|id| {
            let parsed = id.parse::<IntentArg>();
            parsed.map_err(|error| Refusal::Usage(format!("`{id}`: {error}")))
        });
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Does it to each of them. One that cannot be done is told, and the others are done all the same.
    pub(super) async fn run(self, verb: &Verb, program: Program) -> Result<ExitCode> {
        let name = program.name.clone();
        let site = self.place.connect().await?;
        let actor = self.actor.clone().at(&site)?;
        if self.which.is_many() {
            let filter = self.which.filter();
            if !self.dry_run && !self.yes {
                let would = site.count_all(filter.clone(), verb).await?;
                if would.matched > 0 && !is_agreed(&would, verb)? {
                    println!("nothing was done");
                    return Ok(ExitCode::from(exit::FAILED));
                }
            }
            let batch = match self.dry_run {
                true => site.count_all(filter, verb).await?,
                false => site.act_on_all(filter, verb, &actor).await?,
            };
            return Ok(tell(&name, &batch, self.dry_run));
        }
        let workers = match (verb, site.database()) {
            (Verb::Skip { .. }, Some(engine)) if !self.dry_run => program.code(engine).await?,
            _ => Vec::new(),
        };
        let mut code = ExitCode::SUCCESS;
        for id in self.ids()? {
            let done = async {
                let id = id.resolve(&site).await?;
                match self.dry_run {
                    true => Ok(format!("{id} {}", site.preview(id, verb).await?)),
                    false => {
                        let deed = site.act(id, verb, &actor, &workers).await?;
                        Ok(said(id, verb, &deed))
                    }
                }
            };
            match done.await {
                Ok(said) => println!("{said}"),
                Err(error) => {
                    complain(&name, &format_args!("{error:#}"));
                    code = ExitCode::from(exit::code(&error));
                }
            }
        }
        Ok(code)
    }
}

/// Asks whoever gives the command, where there is somebody to ask.
fn is_agreed(would: &Batch, verb: &Verb) -> Result<bool> {
    let mut intents = matching(would.matched);
    if would.refused > 0 {
        intents += &format!(", of which {} would be refused", would.refused);
    }
    let verb = deed::word(verb);
    if !std::io::stdin().is_terminal() {
        let refusal =
            format!("{intents}; to {verb} what matches where nobody can be asked, say --yes");
        bail!(Refusal::Usage(refusal));
    }
    eprint!("{intents}; {verb}? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn matching(intents: u64) -> String {
    match intents {
        1 => "1 intent matches".to_owned(),
        n => format!("{n} intents match"),
    }
}

fn tell(name: &str, batch: &Batch, dry_run: bool) -> ExitCode {
    for (id, why) in &batch.refusals {
        eprintln!("{name}: {id}: {why}");
    }
    let intents = matching(batch.matched);
    if dry_run {
        match batch.refused {
            0 => println!("{intents}; nothing was done"),
            refused => println!("{intents}, of which {refused} would be refused; nothing was done"),
        }
        return ExitCode::SUCCESS;
    }
    println!(
        "{intents}; done for {}, refused for {}",
        batch.done, batch.refused
    );
    if let Some(error) = &batch.stopped {
        let rest = batch.matched - batch.done - batch.refused;
        eprintln!("intendant: {error}; it was not tried for {rest}");
        return ExitCode::from(exit::code(&Refusal::Database(String::new()).into()));
    }
    match batch.refused {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::code(&Refusal::WrongState(String::new()).into())),
    }
}

/// What came of it.
fn said(id: IntentId, verb: &Verb, deed: &Deed) -> String {
    let with = |what: &str| match deed.intents {
        0 | 1 => format!("{id} {what}"),
        more => format!("{id} {what}, and {} of its children with it", more - 1),
    };
    match (verb, deed.new_intent, deed.cancelled) {
        (Verb::Resume, ..) => with("is back in line"),
        (Verb::RerunFrom { step }, ..) => with(&format!("is back in line, from `{step}` on")),
        (Verb::Undo, Some(new), _) => format!("{id} stays as it is; {new} takes it back"),
        (Verb::Undo, None, _) => with("is being taken back"),
        (Verb::Discard, ..) => with("is given up"),
        (Verb::Cancel, _, Some(CancelledHow::Before)) => format!("{id} was cancelled before"),
        (Verb::Cancel, _, Some(CancelledHow::Stopping)) => {
            format!("{id} is asked to stop, and will not succeed any more")
        }
        (Verb::Cancel, ..) => format!("{id} is cancelled"),
        (Verb::Rerun, Some(new), _) => format!("{id} is asked for again, as {new}"),
        (Verb::Retry { step }, ..) => format!("{id} tries `{step}` again"),
        (Verb::Skip { step, .. }, ..) => format!("{id} goes on after `{step}`"),
        (Verb::Amend { .. }, ..) => format!("{id} has the new input; resume it"),
        _ => format!("{id}: it is done"),
    }
}

pub(super) async fn amend(options: Amend, program: Program) -> Result<ExitCode> {
    let Amend { input, change, act } = options;
    if let Some(change) = change {
        let changes = serde_json::from_str(change.get())?;
        return act.run(&Verb::Amend { changes }, program).await;
    }
    let Some(input) = input else {
        bail!(Refusal::Usage("say what the input is to be".to_owned()));
    };
    if act.dry_run {
        bail!(Refusal::Usage(
            "what is amended runs nothing: there is nothing to try".to_owned()
        ));
    }
    let site = act.place.connect().await?;
    let actor = act.actor.clone().at(&site)?;
    for id in act.ids()? {
        let id = id.resolve(&site).await?;
        let kind = site.get(id).await?.kind;
        if let Some(schema) = site.kind(&kind).await?.input_schema {
            input::check(&kind, &serde_json::from_str(schema.get())?, &input)?;
        }
        site.amend(id, &input, &actor).await?;
        println!("{id} has the new input; resume it");
    }
    Ok(ExitCode::SUCCESS)
}
