//! Payloads: an input of a kind that has a type, as nobody of its code has written it. It is refused with a reason, or its
//! intent succeeds, or fails since it cannot be decoded; the worker lives on, and the intents around it succeed.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use intendant::{Intendant, IntentId, IntentState, StoreKind, WorkReport, Worker};
use intendant_tests::database::Database;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::changes::{changed, changes, plain, values};
use crate::json::Json;
use crate::kinds::{READABLE, Sound, names, with_kinds};
use crate::text::{edited_text, few_edits, texts};
use crate::tries::{Tally, check, on_both, runtime, usual};

on_both! {
    an_input_is_refused_or_decoded_or_fails_alone;
}

const PATIENCE: Duration = Duration::from_secs(30);

/// How it is asked for.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By the kind's name, as far as the database knows the kind.
    Name,
    /// By its name, with its code at hand.
    Code,
    Sql,
}

#[derive(Debug, Clone)]
struct Input {
    way: Way,
    kind: &'static str,
    text: String,
}

fn inputs() -> BoxedStrategy<Vec<Input>> {
    let nearly = (select(READABLE), changes(plain())).prop_map(|((kind, text), changes)| {
        let json: Value = serde_json::from_str(text).unwrap_or_default();
        (kind, changed(Json::of(&json), changes).to_string())
    });
    let any = (select(names()), values()).prop_map(|(kind, json)| (kind, json.to_string()));
    let text = (select(names()), texts());
    let input = prop_oneof![6 => nearly, 2 => any, 1 => text];
    let way = select(vec![Way::Name, Way::Code, Way::Sql]);
    let input = (way, input, few_edits()).prop_map(|(way, (kind, text), edits)| Input {
        way,
        kind,
        text: edited_text(text, &edits),
    });
    vec(input, 1..8).boxed()
}

fn an_input_is_refused_or_decoded_or_fails_alone(kind: StoreKind) -> Result<()> {
    let runtime = runtime()?;
    let site = runtime.block_on(Site::open(kind))?;
    let tally = Tally::default();
    check(usual(kind, 80), &inputs(), |inputs| {
        runtime.block_on(site.carry_out(&inputs, &tally))
    })?;
    tally.has(&["refused", "succeeded", "undecodable"])?;
    runtime.block_on(site.close())
}

/// A database, and a worker that is running on it.
struct Site {
    intendant: Intendant,
    /// It knows the kinds, and does nothing.
    code: Worker<()>,
    sql: Mutex<Client>,
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<WorkReport, intendant::Error>>,
    database: Database,
}

impl Site {
    async fn open(kind: StoreKind) -> Result<Self> {
        let (database, intendant) = Database::open(kind).await?;
        let worker = Worker::new(&intendant, ()).poll(Duration::from_millis(10));
        let (stop, stopped) = oneshot::channel();
        let worker = tokio::spawn(with_kinds(worker).run(async {
            stopped.await.ok();
        }));
        let site = Self {
            code: with_kinds(Worker::new(&intendant, ())),
            sql: Mutex::new(Client::connect(&database).await?),
            intendant,
            stop,
            worker,
            database,
        };
        // From then on the database knows the kinds.
        site.carry_out_sound(0).await?;
        Ok(site)
    }

    async fn carry_out_sound(&self, number: u64) -> Result<()> {
        let asked = self.intendant.request(Sound(number)).await?;
        let output = timeout(PATIENCE, asked.output()).await??;
        ensure!(output == number, "{output} is not {number}");
        Ok(())
    }

    /// Asks for all of them between two that are sound.
    async fn carry_out(&self, inputs: &[Input], tally: &Tally) -> Result<()> {
        let before = self.intendant.request(Sound(1)).await?;
        let mut asked = Vec::new();
        for input in inputs {
            match self.ask(input).await? {
                Ok(id) => asked.push(id),
                Err(why) => {
                    ensure!(!why.is_empty(), "{input:?} is refused without a word");
                    tally.add("refused");
                }
            }
        }
        self.carry_out_sound(2).await?;
        timeout(PATIENCE, before.output()).await??;
        for id in asked {
            let record = timeout(PATIENCE, self.intendant.at_rest(id)).await??;
            ensure!(record.unreadable.is_none(), "{record:?}");
            match (record.state, record.reason.as_deref()) {
                (IntentState::Succeeded, _) => tally.add("succeeded"),
                (IntentState::Failed, Some("undecodable")) => tally.add("undecodable"),
                _ => bail!("{record:?}"),
            }
        }
        Ok(())
    }

    /// Its intent, or why there is none.
    async fn ask(&self, input: &Input) -> Result<Result<IntentId, String>> {
        let Input { way, kind, text } = input;
        if let Way::Sql = way {
            return self.sql.lock().await.ask(kind, text).await;
        }
        let json = match RawValue::from_string(text.clone()) {
            Ok(json) => json,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let request = match way {
            Way::Code => self.code.request_by_name(kind, &json),
            Way::Name | Way::Sql => Ok(self.intendant.request_by_name(kind, &json)),
        };
        let asked = match request {
            Ok(request) => request.await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(asked) => Ok(Ok(asked.id())),
            Err(error) if error.is_usage() => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    async fn close(self) -> Result<()> {
        self.stop.send(()).ok();
        self.worker.await??;
        let breaches = self.intendant.invariant_breaches().await?;
        ensure!(breaches.is_empty(), "{breaches:?} in {}", self.database.url);
        Ok(())
    }
}

/// A program that knows nothing but SQL.
enum Client {
    Pg(PgConnection),
    Lite(SqliteConnection),
}

impl Client {
    async fn connect(database: &Database) -> Result<Self> {
        Ok(match database.kind {
            StoreKind::Postgres => Self::Pg(PgConnection::connect(&database.url).await?),
            StoreKind::Sqlite => Self::Lite(SqliteConnection::connect(&database.url).await?),
        })
    }

    async fn ask(&mut self, kind: &str, input: &str) -> Result<Result<IntentId, String>> {
        let asked = match self {
            Self::Pg(conn) => {
                let ask = "select intendant.request(kind => $1, input => $2::text::jsonb)::text";
                let ask = sqlx::query_scalar::<_, String>(ask).bind(kind).bind(input);
                ask.fetch_one(conn).await
            }
            Self::Lite(conn) => {
                let ask = "insert into intendant_request (kind, input) values (?1, ?2)";
                let ask = sqlx::query(ask).bind(kind).bind(input);
                match ask.execute(&mut *conn).await {
                    Ok(_) => {
                        let asked = "select id from intendant_requested";
                        sqlx::query_scalar::<_, String>(asked).fetch_one(conn).await
                    }
                    Err(error) => Err(error),
                }
            }
        };
        let refusal = match asked {
            Ok(id) => return Ok(Ok(id.parse()?)),
            Err(sqlx::Error::Database(refusal)) => refusal,
            Err(error) => return Err(error.into()),
        };
        // Of the engine's own; of what PostgreSQL says of JSON and of numbers in it; of how deep it looks.
        let code = refusal.code().unwrap_or_default().into_owned();
        let is_known = match self {
            Self::Pg(_) => ["IN", "22", "54"]
                .iter()
                .any(|class| code.starts_with(class)),
            Self::Lite(_) => refusal.message().starts_with("IN400: "),
        };
        ensure!(is_known, "{code}: {}", refusal.message());
        Ok(Err(refusal.message().to_owned()))
    }
}
