//! Tokens: who may use the HTTP API, and how far.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::client::Intendant;
use crate::error::Error;
use crate::id::TokenId;
use crate::intent::check_name;
use crate::limits;
use crate::store::NewTokenRow;

/// What stands before every token, so that one that has leaked into a repository or a log is recognised.
const PREFIX: &str = "intendant_";

/// How far somebody may go. Each may what those before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Looks.
    Viewer,
    /// Asks for intents, resumes, retries, skips, cancels, takes back.
    Operator,
    /// Makes and revokes tokens.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word used in SQL, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; expected viewer, operator or admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        let mut all = Self::ALL.into_iter();
        all.find(|scope| scope.as_str() == word)
            .ok_or_else(|| UnknownScope(word.to_owned()))
    }
}

/// A token that is to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for, or whose it is: it stands in the events of what is done with it.
    pub name: String,
    /// How far it goes.
    pub scope: Scope,
    /// It sees and touches the intents of this account alone.
    pub account: Option<String>,
    /// Not good any more from then on.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// What it is for, or whose it is.
    pub name: String,
    /// How far it goes.
    pub scope: Scope,
    /// The only account that it sees; none: all of them.
    pub account: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// From when on it is not good any more.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Who revoked it.
    pub revoked_by: Option<String>,
    /// It is good at this moment.
    pub is_good: bool,
}

/// A token that has just been made. This is the only time that its text is to be had.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedToken {
    /// What is known of it.
    pub record: TokenRecord,
    /// The text to hand out: `intendant_ID.SECRET`.
    pub token: String,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

impl Intendant {
    /// Makes a token for the HTTP API. The database keeps the SHA-256 of its secret, which is 256 random bits, and nobody the
    /// secret.
    ///
    /// ```
    /// # use intendant::{Intendant, NewToken, Scope};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// let new = NewToken { name: "dashboard".into(), scope: Scope::Viewer, account: None, expires_at: None };
    /// let issued = intendant.create_token(new, "ada").await?;
    /// let known = intendant.check_token(&issued.token).await?.expect("it is good");
    /// assert_eq!(known.name, "dashboard");
    /// intendant.revoke_token(known.id, "ada").await?;
    /// assert!(intendant.check_token(&issued.token).await?.is_none());
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn create_token(&self, new: NewToken, actor: &str) -> Result<IssuedToken, Error> {
        check_name("token", &new.name)?;
        check_name("actor", actor)?;
        if let Some(account) = &new.account {
            check_name("account", account)?;
        }
        let clock = self.store().clock();
        let id = TokenId(clock.ordered_id());
        // Three unguessable ids have 366 random bits.
        let random = (0..3).map(|_| clock.secret_id());
        let secret = hex(&random
            .fold(Sha256::new(), |hash, id| hash.chain_update(id.as_bytes()))
            .finalize());
        let row = NewTokenRow {
            id,
            name: new.name,
            secret_hash: hash(&secret),
            scope: new.scope,
            account: new.account,
            created_by: actor.to_owned(),
            expires_at: new.expires_at,
        };
        self.store().insert_token(row).await?;
        let found = self.store().token(id).await?;
        let (record, _) = found.ok_or(Error::NoToken { id })?;
        let token = format!("{PREFIX}{}.{secret}", id.0.simple());
        Ok(IssuedToken { record, token })
    }

    /// Who has this token; nobody, if it is none, has expired or was revoked.
    pub async fn check_token(&self, token: &str) -> Result<Option<TokenRecord>, Error> {
        let parts = token
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('.'));
        let Some((id, secret)) = parts else {
            return Ok(None);
        };
        let Some(id) = Uuid::try_parse(id).ok().filter(|_| id.len() == 32) else {
            return Ok(None);
        };
        let found = self.store().token(TokenId(id)).await?;
        Ok(found.and_then(|(record, known)| {
            (is_same(&hash(secret), &known) && record.is_good).then_some(record)
        }))
    }

    /// What is known of a token.
    ///
    /// # Errors
    ///
    /// [`Error::NoToken`]: it was never made.
    pub async fn token(&self, id: TokenId) -> Result<TokenRecord, Error> {
        let found = self.store().token(id).await?;
        found.map(|(record, _)| record).ok_or(Error::NoToken { id })
    }

    /// The tokens that were ever made, in that order: at most a page ([`limits::PAGE`]), beginning after the one that is named.
    pub async fn tokens(&self, after: Option<TokenId>) -> Result<Vec<TokenRecord>, Error> {
        self.store().tokens(after, limits::PAGE).await
    }

    /// Takes a token back, now and for good. Revoking it again changes nothing.
    pub async fn revoke_token(&self, id: TokenId, actor: &str) -> Result<TokenRecord, Error> {
        check_name("actor", actor)?;
        let is_there = self.store().revoke_token(id, actor.to_owned()).await?;
        let found = self.store().token(id).await?;
        let found = found.filter(|_| is_there);
        Ok(found.ok_or(Error::NoToken { id })?.0)
    }
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares two hashes in a time that does not depend on where they differ.
fn is_same(a: &str, b: &str) -> bool {
    let differences = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_compared_as_a_whole() {
        assert!(is_same(&hash("a"), &hash("a")));
        assert!(!is_same(&hash("a"), &hash("b")) && !is_same("", &hash("a")));
        assert!(!is_same("ab", "ac") && !is_same("bb", "ab"));
    }

    #[test]
    fn scopes_are_in_order_and_have_words() {
        assert!(Scope::Viewer < Scope::Operator && Scope::Operator < Scope::Admin);
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("root".parse::<Scope>().is_err());
    }
}
