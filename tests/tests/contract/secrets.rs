//! Secret fields of an input: read by the steps, and by nobody who looks.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use intendant::schemars::{self, JsonSchema};
use intendant::{
    About, Cx, Intendant, Intent, IntentId, IntentRecord, IntentState, Node, Plan, Progress,
    Secret, SecretKey, StepError, StepResult, StoreKind, StoreOptions, fail, value,
};
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::asking::{Call, Client};
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    steps_read_what_nobody_else_sees;
    what_steps_say_of_a_secret_is_masked;
    whoever_asks_by_the_kinds_name_stores_no_secret;
    plain_sql_does_not_store_a_secret;
    children_and_requests_of_steps_have_secrets_of_their_own;
    a_repeated_request_is_compared_without_its_secrets;
    an_amended_and_a_repeated_input_keep_their_secrets;
    without_the_key_an_intent_fails_and_with_it_goes_on;
    a_sealed_text_is_of_no_use_in_another_intent;
}

/// In all of these tests.
const PASSWORD: &str = "correct-horse-battery";

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Enrol {
    how: String,
    password: Secret<String>,
    #[serde(default)]
    more: BTreeMap<String, Secret<u64>>,
}

impl Intent for Enrol {
    const KIND: &'static str = "enrol";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some("acme")
    }
    fn about() -> About {
        About::new("Enrols a server").schema::<Self>()
    }
}

fn enrol(how: &str) -> Enrol {
    Enrol {
        how: how.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        more: BTreeMap::from([("pin".to_owned(), Secret::new(987_654_321))]),
    }
}

async fn carry_out(cx: Cx<Counter>, intent: Enrol) -> StepResult<u64> {
    let password = intent.password.expose();
    let nth = cx.state().add();
    match intent.how.as_str() {
        "tells" => {
            tracing::info!(?intent, "logging in with {password}");
            cx.progress(Progress::of(1, 2).saying(format!("as root:{password}")));
            Err(fail(format!("{password} was refused, and 987654321 too")))
        }
        "panics" => panic!("{password}"),
        "returns" => Err(match serde_json::to_string(&intent) {
            Ok(shown) => fail(shown),
            Err(error) => fail(error),
        }),
        "fails first" if nth == 1 => Err(fail("not yet")),
        "child" => cx.child("one", enrol("")).await,
        "asks" => cx.request(enrol("")).await.map(|_| 0),
        _ => {
            ensure_is(password, intent.more["pin"].expose())?;
            Ok(password.len() as u64)
        }
    }
}

fn ensure_is(password: &str, pin: &u64) -> Result<(), StepError> {
    match (password, pin) {
        (PASSWORD | "another-long-one", 987_654_321) => Ok(()),
        _ => Err(fail("another secret came")),
    }
}

async fn carry_out_of(cx: Cx<Counter>, _: String) -> StepResult<u64> {
    let intent: Enrol = cx.input()?;
    carry_out(cx, intent).await
}

fn plan(intent: &Enrol, plan: &mut Plan<Counter>) -> Node<u64> {
    if intent.how == "has no plan" {
        panic!("not with {}", intent.password.expose());
    }
    let step = plan.step("enrol", carry_out_of).attempts(1);
    step.input(value(intent.how.clone()))
}

/// Everything that is in the database has neither secret in it.
async fn nothing_shows(bench: &Bench) -> Result<()> {
    let dump = match bench.database.kind {
        StoreKind::Sqlite => {
            let file = bench.database.file().context("a file")?;
            let mut bytes = std::fs::read(&file)?;
            let wal = file.with_file_name("test.db-wal");
            bytes.extend(std::fs::read(wal).unwrap_or_default());
            bytes
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            let tables: Vec<(String,)> = sqlx::query_as(
                "select table_name::text from information_schema.tables where table_schema = 'intendant'",
            )
            .fetch_all(&pool)
            .await?;
            let mut all = String::new();
            for (table,) in tables {
                let query = format!(
                    "select coalesce(string_agg(t::text, ' '), '') from intendant.{table} t"
                );
                let (rows,): (String,) = sqlx::query_as(sqlx::AssertSqlSafe(query))
                    .fetch_one(&pool)
                    .await?;
                all.push_str(&rows);
            }
            pool.close().await;
            all.into_bytes()
        }
    };
    let has = |secret: &str| {
        dump.windows(secret.len())
            .any(|bytes| bytes == secret.as_bytes())
    };
    ensure!(has("enrol"), "nothing was looked at");
    ensure!(
        !has(PASSWORD) && !has("987654321"),
        "a secret is in the database"
    );
    Ok(())
}

async fn done(bench: &Bench, intent: Enrol) -> Result<IntentRecord> {
    let running = start(bench.worker(Counter::default()).register(plan));
    let id = bench.intendant.request(intent).await?.id();
    let record = bench.rest(id).await?;
    running.stop().await?;
    bench.check().await?;
    Ok(record)
}

async fn steps_read_what_nobody_else_sees(bench: Bench) -> Result<()> {
    let record = done(&bench, enrol("")).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    let shown = serde_json::to_string(&record)?;
    ensure!(!shown.contains(PASSWORD), "{shown}");
    let input: serde_json::Value = serde_json::from_str(record.input.get())?;
    let sealed = input["password"]["$secret"].as_str().context("sealed")?;
    ensure!(sealed.starts_with("intendant:v1:"), "{sealed}");
    // A kind of one step, which takes the input as it is.
    let running = start(bench.worker(Counter::default()).register_step(carry_out));
    let id = bench.intendant.request(enrol("")).await?.id();
    let record = bench.rest(id).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    running.stop().await?;
    nothing_shows(&bench).await
}

async fn what_steps_say_of_a_secret_is_masked(bench: Bench) -> Result<()> {
    let record = done(&bench, enrol("tells")).await?;
    let error = record.error.context("an error")?;
    ensure!(
        error.contains("[secret] was refused, and [secret] too"),
        "{error}"
    );
    let logs = bench.intendant.logs(record.id).await?;
    let line = &logs.first().context("a log")?.lines[0].text;
    ensure!(line.contains("logging in with [secret]"), "{line}");
    ensure!(line.contains("password: [secret]"), "{line}");
    let record = done(&bench, enrol("panics")).await?;
    let error = record.error.context("an error")?;
    ensure!(error.contains("panicked: [secret]"), "{error}");
    let record = done(&bench, enrol("has no plan")).await?;
    let error = record.error.context("an error")?;
    ensure!(error.contains("panicked: not with [secret]"), "{error}");
    // With serde it does not come out at all.
    let record = done(&bench, enrol("returns")).await?;
    let error = record.error.context("an error")?;
    ensure!(error.contains("expose()"), "{error}");
    nothing_shows(&bench).await
}

async fn whoever_asks_by_the_kinds_name_stores_no_secret(bench: Bench) -> Result<()> {
    let running = start(bench.worker(Counter::default()).register(plan));
    let known = || async { Ok(bench.intendant.kind("enrol").await.ok()) };
    bench.until(known).await?;
    let input = json!({"how": "", "password": PASSWORD, "more": {"pin": 987_654_321}});
    let input = to_raw_value(&input)?;
    // By what the database knows of the kind, and by its code.
    let asked = bench
        .intendant
        .request_by_name("enrol", &input)
        .account("acme")
        .await?;
    let record = bench.rest(asked.id()).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    let code = bench.worker(Counter::default()).register(plan);
    let asked = code.request_by_name("enrol", &input)?.await?;
    let record = bench.rest(asked.id()).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    running.stop().await?;
    // What decodes as nothing of the kind is told without its value.
    let wrong = to_raw_value(&json!({"how": "", "password": 987_654_321}))?;
    let error = code
        .request_by_name("enrol", &wrong)
        .unwrap_err()
        .to_string();
    ensure!(
        error.contains("it is no") && !error.contains("987654321"),
        "{error}"
    );
    nothing_shows(&bench).await
}

async fn plain_sql_does_not_store_a_secret(bench: Bench) -> Result<()> {
    done(&bench, enrol("")).await?;
    let mut client = Client::connect(&bench).await?;
    let call = Call::new("enrol").input(json!({"how": "", "password": PASSWORD}).to_string());
    let refused = client.ask(&call).await.unwrap_err();
    ensure!(
        refused.contains("IN400") && refused.contains("secret fields"),
        "{refused}"
    );
    client
        .ask(&Call::new("tea"))
        .await
        .map_err(anyhow::Error::msg)?;
    nothing_shows(&bench).await
}

async fn children_and_requests_of_steps_have_secrets_of_their_own(bench: Bench) -> Result<()> {
    let running = start(bench.worker(Counter::default()).register(plan));
    for how in ["child", "asks"] {
        let id = bench.intendant.request(enrol(how)).await?.id();
        let record = bench.rest(id).await?;
        ensure!(record.state == IntentState::Succeeded, "{record:?}");
    }
    let all = bench.intendant.list(Default::default()).await?;
    ensure!(all.len() == 4, "{}", all.len());
    for record in &all {
        let record = bench.rest(record.id).await?;
        ensure!(record.state == IntentState::Succeeded, "{record:?}");
    }
    running.stop().await?;
    nothing_shows(&bench).await
}

async fn a_repeated_request_is_compared_without_its_secrets(bench: Bench) -> Result<()> {
    let ask = |intent: Enrol| bench.intendant.request(intent).key("once").into_future();
    let first = ask(enrol("")).await?.id();
    let other = Enrol {
        password: Secret::new("another-long-one".to_owned()),
        ..enrol("")
    };
    ensure!(ask(other).await?.id() == first, "it is the same request");
    let refused = ask(enrol("otherwise")).await.unwrap_err();
    ensure!(refused.is_conflict(), "{refused}");
    nothing_shows(&bench).await
}

async fn an_amended_and_a_repeated_input_keep_their_secrets(bench: Bench) -> Result<()> {
    let failed = done(&bench, enrol("returns")).await?.id;
    let engine = &bench.intendant;
    let changes = json!({"how": "", "password": "another-long-one"});
    // What is sealed stays where it is, and is replaced as a whole.
    let moved =
        json!({"how": "", "password": "p", "more": {"other": {"$secret": "intendant:v1:x"}}});
    let refused = engine
        .amend_part(failed, &moved, "ada", None)
        .await
        .unwrap_err();
    ensure!(
        refused.to_string().contains("give a secret as it is"),
        "{refused}"
    );
    let input = engine.get(failed).await?.input;
    let swapped = input.get().replace("\"pin\"", "\"pan\"");
    let swapped = serde_json::value::RawValue::from_string(swapped)?;
    let refused = engine
        .amend_json(failed, &swapped, "ada", None)
        .await
        .unwrap_err();
    ensure!(refused.to_string().contains("does not open"), "{refused}");
    engine.amend_part(failed, &changes, "ada", None).await?;
    engine.resume(failed, "ada", None).await?;
    let running = start(bench.worker(Counter::default()).register(plan));
    let record = bench.rest(failed).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    let length: u64 = serde_json::from_str(record.output.context("an output")?.get())?;
    ensure!(length == "another-long-one".len() as u64);
    // The secrets are sealed for the new one.
    let again = engine.rerun(failed, "ada", None).await?;
    let record = bench.rest(again).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    running.stop().await?;
    nothing_shows(&bench).await?;
    Ok(())
}

async fn with_keys(database: &Database, keys: &[u8]) -> Result<Intendant> {
    let options = StoreOptions {
        secret_keys: keys.iter().map(|key| SecretKey::new([*key; 32])).collect(),
        ..StoreOptions::new(&database.url)
    };
    Ok(Intendant::with_options(&options).await?)
}

async fn without_the_key_an_intent_fails_and_with_it_goes_on(bench: Bench) -> Result<()> {
    let old = with_keys(&bench.database, &[1]).await?;
    let id: IntentId = old.request(enrol("")).await?.id();
    let running = start(bench.worker(Counter::default()).register(plan));
    let record = bench.rest(id).await?;
    running.stop().await?;
    ensure!(
        record.reason.as_deref() == Some("undecodable"),
        "{record:?}"
    );
    let error = record.error.context("an error")?;
    let key = SecretKey::new([1; 32]).id();
    ensure!(
        error.contains(&format!("sealed with the key `{key}`")),
        "{error}"
    );
    // What was sealed with the old key is read beside the new one.
    let both = with_keys(&bench.database, &[2, 1]).await?;
    let running = start(
        intendant::Worker::new(&both, Counter::default())
            .poll(std::time::Duration::from_millis(20))
            .register(plan),
    );
    bench.intendant.resume(id, "ada", None).await?;
    let record = bench.rest(id).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    running.stop().await?;
    old.close().await;
    both.close().await;
    nothing_shows(&bench).await
}

async fn a_sealed_text_is_of_no_use_in_another_intent(bench: Bench) -> Result<()> {
    let record = done(&bench, enrol("")).await?;
    let copied: Box<serde_json::value::RawValue> = record.input;
    let asked = bench
        .intendant
        .request_by_name("enrol", &copied)
        .account("acme");
    let refused = asked.await.unwrap_err().to_string();
    ensure!(refused.contains("give a secret as it is"), "{refused}");
    // Past the engine, it does not open there.
    let other = bench.intendant.request(enrol("")).await?.id();
    let copied = copied.get().replace('\'', "''");
    // The only one that has not finished.
    let sql = format!(
        "update @intent set input = '{copied}' where id not in (select intent_id from @outcome)"
    );
    bench.run_sql(&sql).await?;
    let running = start(bench.worker(Counter::default()).register(plan));
    let record = bench.rest(other).await?;
    running.stop().await?;
    let error = record.error.context("an error")?;
    ensure!(error.contains("does not open"), "{error}");
    Ok(())
}
