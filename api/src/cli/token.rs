//! `token`: who may use the HTTP API.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use intendant::{NewToken, Scope, TokenId, TokenRecord};
use uuid::Uuid;

use super::args::Place;
use super::values::future;
use crate::output::table::{Fit, Table};
use crate::output::words::{age, ahead};

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make one; its text is printed this once
    #[command(after_help = "Examples:\n  \
                            intendant token create dashboard --scope viewer\n  \
                            intendant token create ada --scope operator --expires 30d\n  \
                            intendant token create acme-portal --scope operator --account acme")]
    Create(Create),
    /// Those that were ever made
    #[command(after_help = "Example:\n  intendant token list --json")]
    List(List),
    /// Take one back, now and for good
    #[command(
        after_help = "Example:\n  intendant token revoke 01a1fc69-13b4-707e-a561-8c74fa9b8535"
    )]
    Revoke(Revoke),
}

/// What the token is for.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// What it is for, or whose it is: it stands in the events of what is done with it
    name: String,
    /// How far it goes: viewer, operator (asks for intents, resumes, cancels, …) or admin (makes tokens)
    #[arg(long)]
    scope: Scope,
    /// It sees and touches the intents of this account alone
    #[arg(long)]
    account: Option<String>,
    /// Not good any more from then on: a time, or in how long, as in `30d`
    #[arg(long, value_name = "WHEN", value_parser = future)]
    expires: Option<DateTime<Utc>>,
    /// Who makes it [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// How to list them.
#[derive(Debug, Args)]
pub(super) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Which one.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The token's id
    id: Uuid,
    /// Who revokes it [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn token(token: Token) -> Result<()> {
    match token {
        Token::Create(options) => create(options).await,
        Token::List(options) => list(options).await,
        Token::Revoke(options) => revoke(options).await,
    }
}

async fn create(options: Create) -> Result<()> {
    let site = options.place.connect().await?;
    let new = NewToken {
        name: options.name,
        scope: options.scope,
        account: options.account,
        expires_at: options.expires,
    };
    let (token, record) = site.create_token(new, options.by).await?;
    println!("{token}");
    let TokenRecord { id, name, .. } = record;
    eprintln!("token {id} of {name}; it is not shown again");
    Ok(())
}

async fn list(options: List) -> Result<()> {
    let site = options.place.connect().await?;
    let tokens = site.tokens().await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&tokens)?);
        return Ok(());
    }
    if tokens.is_empty() {
        eprintln!("no token was ever made");
        return Ok(());
    }
    let mut table = Table::new([
        ("id", Fit::Whole),
        ("name", Fit::Whole),
        ("scope", Fit::Whole),
        ("account", Fit::Whole),
        ("made", Fit::Optional(1)),
        ("good", Fit::Whole),
    ]);
    for token in tokens {
        let good = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("revoked {}", age(at)),
            (None, Some(at)) if !token.is_good => format!("expired {}", age(at)),
            (None, Some(at)) => format!("expires {}", ahead(at)),
            (None, None) => "yes".to_owned(),
        };
        table.row([
            token.id.to_string(),
            token.name,
            token.scope.to_string(),
            token.account.unwrap_or_default(),
            age(token.created_at),
            good,
        ]);
    }
    table.print();
    Ok(())
}

async fn revoke(options: Revoke) -> Result<()> {
    let site = options.place.connect().await?;
    let token = site.revoke_token(TokenId(options.id), options.by).await?;
    println!("{} of {} is not good any more", token.id, token.name);
    Ok(())
}
