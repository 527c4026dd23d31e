//! Asking by plain SQL, as a program in any language would: a connection of its own, and nothing of the engine's.

use anyhow::{Result, bail};
use intendant::{Intent, IntentId, Request, Resources, StoreKind};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::support::Bench;

/// A connection to the test's database.
pub(crate) enum Client {
    Pg(PgConnection),
    Lite(SqliteConnection),
}

/// The arguments of a request by plain SQL; what is none is not given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) kind: String,
    pub(crate) account: Option<String>,
    pub(crate) resources: Option<Vec<String>>,
    /// JSON.
    pub(crate) input: Option<String>,
    pub(crate) key: Option<String>,
    /// RFC 3339.
    pub(crate) run_at: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) requested_by: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) queue: Option<String>,
}

impl Call {
    pub(crate) fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn resources(mut self, resources: &[&str]) -> Self {
        self.resources = Some(resources.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    pub(crate) fn input(mut self, json: impl Into<String>) -> Self {
        self.input = Some(json.into());
        self
    }
}

impl Client {
    pub(crate) async fn connect(bench: &Bench) -> Result<Self> {
        Ok(match bench.database.kind {
            StoreKind::Postgres => Self::Pg(PgConnection::connect(&bench.database.url).await?),
            StoreKind::Sqlite => {
                let options: SqliteConnectOptions = bench.database.url.parse()?;
                Self::Lite(options.connect().await?)
            }
        })
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Pg(conn) => sql.execute(conn).await.map(drop),
            Self::Lite(conn) => sql.execute(conn).await.map(drop),
        }
    }

    /// Asks by plain SQL. An error is what the caller is told: its code, then its message.
    pub(crate) async fn ask(&mut self, call: &Call) -> Result<IntentId, String> {
        let asked = match self {
            Self::Pg(conn) => ask_pg(conn, call).await,
            Self::Lite(conn) => ask_lite(conn, call).await,
        };
        asked.map_err(|error| match &error {
            sqlx::Error::Database(refusal) if matches!(self, Self::Pg(_)) => {
                let code = refusal.code().unwrap_or_default();
                format!("{code}: {}", refusal.message())
            }
            sqlx::Error::Database(refusal) => refusal.message().to_owned(),
            _ => error.to_string(),
        })
    }

    /// Asks by the library, within what this connection has open.
    pub(crate) async fn ask_within<T: Intent>(
        &mut self,
        request: Request<'_, T>,
    ) -> Result<IntentId, intendant::Error> {
        let handle = match self {
            Self::Pg(conn) => request.within(conn).await?,
            Self::Lite(conn) => request.within(conn).await?,
        };
        Ok(handle.id())
    }

    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::Pg(conn) => conn.close().await?,
            Self::Lite(conn) => conn.close().await?,
        }
        Ok(())
    }
}

async fn ask_pg(conn: &mut PgConnection, call: &Call) -> Result<IntentId, sqlx::Error> {
    let id: uuid::Uuid = sqlx::query_scalar(
        "select intendant.request(kind => $1, account => $2, resources => $3, input => $4::text::jsonb, key => $5,
                run_at => $6::text::timestamptz, priority => $7::bigint::integer, requested_by => $8,
                correlation_id => $9, queue => $10)",
    )
    .bind(&call.kind)
    .bind(&call.account)
    .bind(&call.resources)
    .bind(&call.input)
    .bind(&call.key)
    .bind(&call.run_at)
    .bind(call.priority)
    .bind(&call.requested_by)
    .bind(&call.correlation_id)
    .bind(&call.queue)
    .fetch_one(conn)
    .await?;
    Ok(IntentId(id))
}

async fn ask_lite(conn: &mut SqliteConnection, call: &Call) -> Result<IntentId, sqlx::Error> {
    let resources = call.resources.as_ref();
    sqlx::query(
        "insert into intendant_request (kind, account, resources, input, key, run_at, priority, requested_by,
                                        correlation_id, queue)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(&call.kind)
    .bind(&call.account)
    .bind(resources.map(|list| serde_json::json!(list).to_string()))
    .bind(&call.input)
    .bind(&call.key)
    .bind(&call.run_at)
    .bind(call.priority)
    .bind(&call.requested_by)
    .bind(&call.correlation_id)
    .bind(&call.queue)
    .execute(&mut *conn)
    .await?;
    let id: String = sqlx::query_scalar("select id from intendant_requested")
        .fetch_one(conn)
        .await?;
    id.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// An intent to ask for in both ways.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parcel {
    pub(crate) account: Option<String>,
    pub(crate) what: String,
    pub(crate) weight: f64,
    #[serde(skip)]
    pub(crate) resources: Resources,
}

impl Intent for Parcel {
    const KIND: &'static str = "parcel";
    type Output = String;
    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
    fn resources(&self) -> Resources {
        self.resources.clone()
    }
}

/// For an account, and without resources.
pub(crate) fn parcel(what: &str) -> Parcel {
    Parcel {
        account: Some("ada".into()),
        what: what.into(),
        weight: 1.0,
        resources: Resources::none(),
    }
}

/// The same, as a program in another language would put it.
pub(crate) fn call(what: &str) -> Call {
    let input = serde_json::json!({"weight": 1, "what": what, "account": "ada"});
    Call {
        account: Some("ada".into()),
        ..Call::new("parcel").input(input.to_string())
    }
}

/// All rows of an intent in the tables that a request writes, as text: but for ids and times, which differ.
pub(crate) async fn rows_of(bench: &Bench, id: IntentId) -> Result<Vec<String>> {
    const TABLES: [(&str, &str, &[&str]); 5] = [
        (
            "intent",
            "id",
            &["id", "root_id", "requested_at", "position"],
        ),
        ("resource", "intent_id", &["intent_id"]),
        ("ready", "intent_id", &["intent_id", "position"]),
        ("parked", "intent_id", &["intent_id"]),
        (
            "key",
            "intent_id",
            &["intent_id", "key", "body_hash", "expires_at"],
        ),
    ];
    let mut all = Vec::new();
    for (table, column, differ) in TABLES {
        let differ: Vec<String> = differ.iter().map(|&name| name.to_owned()).collect();
        let rows: Vec<String> = match bench.database.kind {
            StoreKind::Postgres => {
                let mut conn = PgConnection::connect(&bench.database.url).await?;
                let sql = format!(
                    "select (to_jsonb(t) - $2::text[])::text from intendant.{table} t where {column} = $1 order by 1"
                );
                let query = sqlx::query_scalar(AssertSqlSafe(sql))
                    .bind(id.0)
                    .bind(differ);
                query.fetch_all(&mut conn).await?
            }
            StoreKind::Sqlite => {
                let mut conn = SqliteConnection::connect(&bench.database.url).await?;
                let names = format!("select name from pragma_table_info('intendant_{table}')");
                let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(names))
                    .fetch_all(&mut conn)
                    .await?;
                let kept = names.iter().filter(|name| !differ.contains(name));
                let kept: Vec<String> = kept.map(|name| format!("'{name}', t.{name}")).collect();
                let sql = format!(
                    "select json_object({}) from intendant_{table} t where {column} = ?1 order by 1",
                    kept.join(", ")
                );
                let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(id.to_string());
                query.fetch_all(&mut conn).await?
            }
        };
        all.extend(rows.into_iter().map(|row| format!("{table} {row}")));
    }
    if all.is_empty() {
        bail!("there is no row of {id}");
    }
    Ok(all)
}

/// The library's error as plain SQL would tell it.
pub(crate) fn as_told(error: intendant::Error) -> String {
    let code = match &error {
        intendant::Error::KeyConflict { .. } => "IN409",
        intendant::Error::KeyRace { .. } => "40001",
        error if error.is_usage() => "IN400",
        _ => "other",
    };
    format!("{code}: {error}")
}
