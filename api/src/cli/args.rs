//! Arguments that several commands take, and what is said of those that cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Utc};
use clap::Args;
use intendant::{Intendant, IntentFilter, IntentId, IntentState, SecretKey, StoreOptions};
use uuid::Uuid;

use super::Refusal;
use super::terms::Terms;
use super::values::span_of_time;
use crate::net::Hidden;
use crate::site::{Server, Site};

/// Fewest digits of an id that name an intent.
const ID_DIGITS: usize = 8;

/// Which database.
#[derive(Debug, Clone, Args)]
pub struct Database {
    /// sqlite://PATH or postgres://…
    // The variable's value may have a password in it, so that the help does not print it.
    #[arg(
        long,
        env = "INTENDANT_DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite://intendant.db",
        value_name = "URL"
    )]
    pub database_url: String,
    /// A file with the keys for secret fields of inputs, one a line: the first seals, all of them open
    #[arg(long, env = "INTENDANT_SECRET_KEYS_FILE", value_name = "FILE")]
    secret_keys_file: Option<PathBuf>,
}

impl Database {
    /// How it is opened.
    pub(super) fn options(&self) -> Result<StoreOptions> {
        let secret_keys = match &self.secret_keys_file {
            None => Vec::new(),
            Some(file) => secret_keys(file).map_err(|why| {
                let why = format!("the secret keys in {}: {why}", file.display());
                Refusal::Usage(why)
            })?,
        };
        Ok(StoreOptions {
            secret_keys,
            ..StoreOptions::new(&self.database_url)
        })
    }

    pub(super) async fn connect(&self) -> Result<Intendant> {
        Ok(Intendant::connect(self.options()?).await?)
    }
}

/// The keys in a file: one a line, but for what is empty or begins with `#`. What is in the lines is not told.
fn secret_keys(file: &Path) -> Result<Vec<SecretKey>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let key = |(at, line): (usize, &str)| {
        line.parse()
            .map_err(|error| format!("line {}: {error}", at + 1))
    };
    let keys = lines.map(key).collect::<Result<Vec<SecretKey>, String>>()?;
    match keys.is_empty() {
        true => Err("there is none".to_owned()),
        false => Ok(keys),
    }
}

/// Where the intents are: in a database, or at a server that has one.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    #[command(flatten)]
    database: Database,
    /// A server's URL, instead of a database, even if one is named: what can be done there is what the token is good for
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The token for the server
    #[arg(
        long,
        env = "INTENDANT_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<Hidden>,
    /// Send the token although others on the way could read it
    #[arg(long, requires = "server")]
    plain_http: bool,
}

impl Place {
    pub(super) async fn connect(&self) -> Result<Site> {
        match &self.server {
            None => Ok(Site::Database(self.database.connect().await?)),
            Some(url) => {
                let server = Server::new(url, self.token.clone(), self.plain_http)?;
                Ok(Site::Server(server))
            }
        }
    }

    /// For what needs the database.
    pub(super) async fn connect_database(&self) -> Result<Intendant> {
        match self.server {
            None => self.database.connect().await,
            Some(_) => {
                let why = "this is done in the database alone: leave --server out";
                Err(Refusal::Usage(why.to_owned()).into())
            }
        }
    }
}

/// Which of many intents a page shows.
#[derive(Debug, Clone, Args)]
pub(super) struct Page {
    /// What the options below say, in one text: `kind=server.resize state=failed since=2h`
    #[arg(long = "where", value_name = "TERMS")]
    terms: Option<Terms>,
    /// On this resource, `type:id`
    #[arg(long, value_name = "TYPE:ID", value_parser = resource)]
    pub(super) resource: Option<String>,
    /// Of this kind
    #[arg(long)]
    kind: Option<String>,
    /// In this state: blocked, ready, running, waiting, undoing, succeeded, failed or cancelled
    #[arg(long)]
    state: Option<IntentState>,
    /// Asked for by this person or service
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// With this correlation id, the web request's for example
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// With this label
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Option<(String, String)>,
    /// Requested since then: a time, or how long ago, as in `2h`, `3d`
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<DateTime<Utc>>,
    /// Requested before then
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<DateTime<Utc>>,
    /// Finished since then
    #[arg(long, value_name = "WHEN", value_parser = when)]
    finished_since: Option<DateTime<Utc>>,
    /// Failed with an error that has this text in it
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Those requested before this one: the last id of the page before
    #[arg(long, value_name = "ID")]
    pub(super) before: Option<IntentArg>,
    /// Those requested after this one
    #[arg(long, value_name = "ID")]
    after: Option<IntentArg>,
}

impl Page {
    /// What the options say.
    pub(super) async fn filter(
        self,
        site: &Site,
        account: Option<String>,
        limit: u32,
    ) -> Result<IntentFilter> {
        let resolve = async |id: Option<IntentArg>| match id {
            Some(id) => anyhow::Ok(Some(id.resolve(site).await?)),
            None => Ok(None),
        };
        let options = IntentFilter {
            account,
            resource: self.resource,
            kind: self.kind,
            state: self.state,
            requested_by: self.by,
            correlation_id: self.correlation_id,
            label: self.label,
            requested_since: self.since,
            requested_until: self.until,
            finished_since: self.finished_since,
            error: self.error,
            before: resolve(self.before).await?,
            after: resolve(self.after).await?,
            limit: Some(limit),
        };
        Ok(self.terms.unwrap_or_default().and(options))
    }
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected `name=value`, as in `team=billing`".to_owned()),
    }
}

/// A time, or how long ago one was.
pub(super) fn when(text: &str) -> Result<DateTime<Utc>, String> {
    // What the databases have for times goes further, but not equally far.
    let is_kept = |time: &DateTime<Utc>| (0..=9999).contains(&time.year());
    let time = moment(text)?;
    let of_years = || "expected a time within the years 0 to 9999".to_owned();
    Some(time).filter(is_kept).ok_or_else(of_years)
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    if let Some(time) = date.and_then(|date| date.and_hms_opt(0, 0, 0)) {
        return Ok(time.and_utc());
    }
    let span = span_of_time(text).ok();
    span.and_then(|span| TimeDelta::from_std(span).ok())
        .and_then(|ago| Utc::now().checked_sub_signed(ago))
        .ok_or_else(|| {
            "expected a time as in `2026-11-21T08:00:00Z`, a day as in `2026-11-21`, or how long ago as in `90s`, `20m`, \
             `2h` or `3d`"
                .to_owned()
        })
}

pub(super) fn resource(name: &str) -> Result<String, String> {
    match name.split_once(':') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok(name.to_owned()),
        _ => Err("expected `type:id`, as in `server:42`".to_owned()),
    }
}

/// An intent, by its id or by the beginning of it, as tables show it on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IntentArg {
    Whole(IntentId),
    /// Hexadecimal digits without hyphens, fewer than 32.
    Beginning(String),
}

impl FromStr for IntentArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Whole(id));
        }
        let digits = text.replace('-', "").to_ascii_lowercase();
        let is_hexadecimal = digits.chars().all(|c| c.is_ascii_hexdigit());
        if is_hexadecimal && (ID_DIGITS..32).contains(&digits.len()) {
            return Ok(Self::Beginning(digits));
        }
        Err(format!(
            "expected an intent's id, or its first {ID_DIGITS} digits or more"
        ))
    }
}

impl fmt::Display for IntentArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(id) => id.fmt(f),
            Self::Beginning(digits) => digits.fmt(f),
        }
    }
}

impl IntentArg {
    /// The intent that is meant. Ids sort by their digits, so those that begin like this lie side by side.
    pub(super) async fn resolve(&self, site: &Site) -> Result<IntentId> {
        let digits = match self {
            Self::Whole(id) => return Ok(*id),
            Self::Beginning(digits) => digits,
        };
        let end = Uuid::parse_str(&format!("{digits:f<32}"))?;
        let filter = IntentFilter {
            before: Some(end.into()),
            limit: Some(2),
            ..IntentFilter::default()
        };
        let mut found: Vec<IntentId> = Vec::new();
        for record in site.list(filter).await? {
            if record.id.0.simple().to_string().starts_with(digits) {
                found.push(record.id);
            }
        }
        match *found.as_slice() {
            [id] => Ok(id),
            [] => {
                Err(Refusal::NotFound(format!("no intent's id begins with {digits}")).into())
            }
            [one, other, ..] => Err(Refusal::Usage(format!(
                "the ids of several intents begin with {digits}, {one} and {other} among them; write more of it"
            ))
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_named_by_its_id_or_its_beginning() {
        let parse = |text: &str| text.parse::<IntentArg>();
        assert!(matches!(
            parse("01a1fc69-13b4-707e-a561-8c74fa9b8535"),
            Ok(IntentArg::Whole(_))
        ));
        assert_eq!(
            parse("01A1FC69-13b4"),
            Ok(IntentArg::Beginning("01a1fc6913b4".to_owned()))
        );
        assert!(parse("01a1fc6").is_err() && parse("01a1fc69-server").is_err());
        assert!(parse("").is_err() && parse("01a1fc69-13b4-707e-a561-8c74fa9b8535f").is_err());
    }

    #[test]
    fn a_resource_has_a_type_and_an_id() {
        assert!(resource("server:42").is_ok() && resource("database:/a:b").is_ok());
        assert!(resource("server").is_err() && resource(":42").is_err() && resource("a:").is_err());
    }

    #[test]
    fn a_time_is_written_out_or_told_as_an_age() {
        let told = |text: &str| when(text).map(|time| time.to_rfc3339());
        assert_eq!(
            told("2026-11-21T09:00:00+01:00").as_deref(),
            Ok("2026-11-21T08:00:00+00:00")
        );
        assert_eq!(
            told("2026-11-21").as_deref(),
            Ok("2026-11-21T00:00:00+00:00")
        );
        let is_ago = |text: &str, seconds: i64| {
            let time = when(text).unwrap();
            ((Utc::now() - time).num_seconds() - seconds).abs() <= 1
        };
        assert!(is_ago("90s", 90) && is_ago("20m", 1_200));
        assert!(is_ago("2h", 7_200) && is_ago("3d", 259_200));
        for wrong in ["", "h", "2", "2w", "-2h", "yesterday", "2026-13-01", "é"] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_label_has_a_name_and_a_value() {
        assert_eq!(label("team=a=b"), Ok(("team".into(), "a=b".into())));
        assert!(label("team").is_err() && label("=a").is_err() && label("team=").is_err());
    }
}
