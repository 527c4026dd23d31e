//! Where a command finds the intents: in a database, or at a server. What it prints and its exit code are the same.

use std::process::Command;

use anyhow::Result;
use intendant::{NewToken, Scope, StoreKind};
use intendant_tests::database::Database;
use intendant_tests::serving::Serving;

/// Which way a test goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Sqlite,
    Postgres,
    /// A server, which has the intents in SQLite.
    Server,
}

impl Via {
    pub(crate) fn store(self) -> StoreKind {
        match self {
            Self::Sqlite | Self::Server => StoreKind::Sqlite,
            Self::Postgres => StoreKind::Postgres,
        }
    }

    /// The way to a database's intents.
    pub(crate) async fn door(self, database: &Database) -> Result<Door> {
        if self != Self::Server {
            return Ok(Door::Database(database.url.clone()));
        }
        let engine = database.connect().await?;
        let mut tokens = Vec::new();
        for name in ["ada", "bob"] {
            let new = NewToken {
                name: name.to_owned(),
                scope: Scope::Admin,
                account: None,
                expires_at: None,
            };
            tokens.push((name, engine.create_token(new, "ada").await?.token));
        }
        let serving = Serving::start(&database.url)?;
        Ok(Door::Server { serving, tokens })
    }
}

/// The way to the intents.
pub(crate) enum Door {
    Database(String),
    /// With the tokens of those who give commands; the first one's, unless they say who they are.
    Server {
        serving: Serving,
        tokens: Vec<(&'static str, String)>,
    },
}

/// Where a command is carried out.
pub(crate) trait At {
    fn say(&self, command: &mut Command, words: &[&str]);
}

impl At for str {
    fn say(&self, command: &mut Command, words: &[&str]) {
        command.args(words).args(["--database-url", self]);
    }
}

impl At for String {
    fn say(&self, command: &mut Command, words: &[&str]) {
        self.as_str().say(command, words);
    }
}

impl At for Door {
    fn say(&self, command: &mut Command, words: &[&str]) {
        let (serving, tokens) = match self {
            Self::Database(url) => return url.as_str().say(command, words),
            Self::Server { serving, tokens } => (serving, tokens),
        };
        // Who gives a command is who has the token. Those that look ask with `--by` for what somebody has requested.
        let looks = matches!(words, ["list" | "history", ..]);
        let (mut said, mut by) = (Vec::new(), tokens[0].0);
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--by" if !looks => by = words.next().unwrap_or_default(),
                word => said.push(word),
            }
        }
        let token = tokens.iter().find(|(name, _)| *name == by);
        let token = token.map_or("", |(_, token)| token.as_str());
        let url = format!("http://{}", serving.address);
        command.args(said).args(["--server", &url]);
        command.env("INTENDANT_TOKEN", token);
    }
}
