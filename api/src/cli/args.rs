//! Arguments that several commands take, and what is said of those that cannot be used.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use clap::Args;
use intendant::{Intendant, IntentFilter, IntentId};
use uuid::Uuid;

use super::Refusal;

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
}

impl Database {
    pub(super) async fn connect(&self) -> Result<Intendant> {
        Ok(Intendant::connect(&self.database_url).await?)
    }
}

/// Which of many intents a page shows.
#[derive(Debug, Clone, Args)]
pub(super) struct Page {
    /// On this resource, `type:id`
    #[arg(long, value_name = "TYPE:ID", value_parser = resource)]
    pub(super) resource: Option<String>,
    /// Those requested before this one: the last id of the page before
    #[arg(long, value_name = "ID")]
    pub(super) before: Option<IntentArg>,
}

fn resource(name: &str) -> Result<String, String> {
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
    pub(super) async fn resolve(&self, intendant: &Intendant) -> Result<IntentId> {
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
        for record in intendant.list(filter).await? {
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
}
