//! Asking by a kind's name, with the input as JSON: what is known of the kind is what its workers have registered.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    About, AlertFilter, Asked, Conflicts, Cx, Error, Intent, IntentState, Mode, OnFailure,
    Resources, Rule, StepResult, schemars,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::support::{Bench, on_both, start};

on_both! {
    a_kind_is_what_its_workers_have_said_of_it;
    asked_by_name_is_as_good_as_asked_by_type;
    what_is_asked_for_by_name_goes_by_the_rules_of_its_kind;
    a_request_by_name_that_cannot_be_kept_is_refused;
    a_worker_with_a_schema_that_is_none_does_not_begin;
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "intendant::schemars")]
struct Resize {
    account: String,
    server: u64,
}

impl Intent for Resize {
    const KIND: &'static str = "server.resize";
    const QUEUE: &'static str = "servers";
    const ON_FAILURE: OnFailure = OnFailure::Release;
    const DEADLINE: Option<Duration> = Some(Duration::from_secs(600));
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
    fn about() -> About {
        About::new("Gives a server more cores").schema::<Self>()
    }
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Reject).with("server.resize", Rule::Join)
    }
}

#[derive(Serialize, Deserialize)]
struct Plain;

impl Intent for Plain {
    const KIND: &'static str = "plain";
    type Output = u64;
}

async fn resize(_: Cx<()>, intent: Resize) -> StepResult<u64> {
    Ok(intent.server)
}

async fn plain(_: Cx<()>, _: Plain) -> StepResult<u64> {
    Ok(0)
}

/// A worker has begun and ended.
async fn registered(bench: &Bench) -> Result<()> {
    let worker = bench.worker(()).register_step(resize).register_step(plain);
    let worker = start(worker);
    bench
        .until(|| async { Ok(bench.intendant.kind("plain").await.ok()) })
        .await?;
    worker.stop().await?;
    Ok(())
}

fn input(server: u64) -> Result<Box<RawValue>> {
    Ok(to_raw_value(&json!({"account": "acme", "server": server}))?)
}

async fn a_kind_is_what_its_workers_have_said_of_it(bench: Bench) -> Result<()> {
    let unknown = bench.intendant.kind("server.resize").await.unwrap_err();
    ensure!(unknown.is_not_found(), "{unknown}");
    let worker = start(bench.worker(()).register_step(resize).register_step(plain));
    let kind = bench
        .until(|| async { Ok(bench.intendant.kind("server.resize").await.ok()) })
        .await?;
    ensure!(kind.sessions == 1 && kind.queue == "servers", "{kind:?}");
    worker.stop().await?;

    let kinds = bench.intendant.kinds(None).await?;
    let names: Vec<&str> = kinds.iter().map(|kind| kind.kind.as_str()).collect();
    ensure!(names == ["plain", "server.resize"], "{names:?}");
    let (plain, resize) = (&kinds[0], &kinds[1]);
    ensure!(
        plain.description.is_none() && plain.input_schema.is_none(),
        "{plain:?}"
    );
    ensure!(
        resize.description.as_deref() == Some("Gives a server more cores"),
        "{resize:?}"
    );
    ensure!(
        resize.release_on_failure && resize.sessions == 0,
        "{resize:?}"
    );
    let json = serde_json::to_value(resize)?;
    ensure!(json["deadline_seconds"] == 600.0, "{json}");
    ensure!(
        json["input_schema"]["required"] == json!(["account", "server"]),
        "{json}"
    );
    ensure!(json["conflicts"]["otherwise"] == "reject", "{json}");
    let after = bench.intendant.kinds(Some("plain")).await?;
    ensure!(
        after.len() == 1 && after[0].kind == "server.resize",
        "{after:?}"
    );
    let described =
        "select count(*) from @kinds where description is not null and input_schema is not null";
    ensure!(bench.number(described).await? == 1);
    Ok(())
}

async fn asked_by_name_is_as_good_as_asked_by_type(bench: Bench) -> Result<()> {
    registered(&bench).await?;
    let by_type = bench.intendant.request(Resize {
        account: "acme".into(),
        server: 1,
    });
    let by_type = by_type
        .by("ada")
        .key("one")
        .priority(3)
        .label("team", "ops")
        .await?
        .id();
    let by_name = bench
        .intendant
        .request_by_name("server.resize", &input(2)?)
        .account("acme")
        .resources(Resources::exclusive("server", 2))
        .by("ada")
        .key("two")
        .priority(3)
        .label("team", "ops")
        .await?;
    let code = bench.worker(()).register_step(resize);
    let by_code = code.request_by_name("server.resize", &input(3)?)?;
    let by_code = by_code
        .by("ada")
        .key("three")
        .priority(3)
        .label("team", "ops")
        .await?;
    let normal = async |id, server: u64| -> Result<serde_json::Value> {
        let mut record = serde_json::to_value(bench.intendant.get(id).await?)?;
        ensure!(record["input"]["server"] == server, "{record}");
        for field in ["id", "root_id", "requested_at", "input"] {
            record[field] = json!(null);
        }
        record["resources"][0]["resource"] = json!(null);
        Ok(record)
    };
    let expected = normal(by_type, 1).await?;
    ensure!(
        normal(by_name.id(), 2).await? == expected && normal(by_code.id(), 3).await? == expected
    );
    ensure!(bench.number("select count(*) from @deadline").await? == 3);
    // A key says the same, whoever asks.
    let again = bench.intendant.request_by_name("server.resize", &input(1)?);
    let again = again.account("acme").key("one").await?;
    ensure!(again == Asked::Before(by_type), "{again:?}");

    let worker = start(bench.worker(()).register_step(resize));
    for (id, server) in [(by_type, 1), (by_name.id(), 2), (by_code.id(), 3)] {
        let record = bench.intendant.at_rest(id).await?;
        let output = record.output.map(|output| output.get().to_owned());
        ensure!(output == Some(server.to_string()), "{output:?}");
    }
    worker.stop().await?;
    ensure!(
        bench
            .intendant
            .alerts(AlertFilter::default())
            .await?
            .is_empty()
    );
    bench.check().await
}

async fn what_is_asked_for_by_name_goes_by_the_rules_of_its_kind(bench: Bench) -> Result<()> {
    registered(&bench).await?;
    let ask = |document: Box<RawValue>| {
        let bench = &bench;
        async move {
            let request = bench.intendant.request_by_name("server.resize", &document);
            let mut server = Resources::none();
            server.add("server:1", Mode::Exclusive);
            request.account("acme").resources(server).await
        }
    };
    let first = ask(input(1)?).await?;
    ensure!(matches!(first, Asked::Now(_)), "{first:?}");
    // A duplicate click.
    ensure!(ask(input(1)?).await? == Asked::Before(first.id()));
    let plain = bench
        .intendant
        .request_by_name("plain", &to_raw_value(&())?);
    let plain = plain
        .resources(Resources::exclusive("server", 2))
        .await?
        .id();
    let other = bench.intendant.request_by_name("server.resize", &input(2)?);
    let refused = other
        .resources(Resources::exclusive("server", 2))
        .await
        .unwrap_err();
    ensure!(
        matches!(refused, Error::Rejected { by, .. } if by == plain),
        "{refused}"
    );
    let worker = start(bench.worker(()).register_step(resize));
    let done = bench.intendant.at_rest(first.id()).await?;
    ensure!(done.state == IntentState::Succeeded, "{done:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_request_by_name_that_cannot_be_kept_is_refused(bench: Bench) -> Result<()> {
    registered(&bench).await?;
    let by_name = |kind: &str, text: &str| {
        let document = RawValue::from_string(text.to_owned()).unwrap();
        bench.intendant.request_by_name(kind, &document)
    };
    let refused = by_name("nothing", "{}").await.unwrap_err();
    ensure!(matches!(refused, Error::UnknownKind { .. }), "{refused}");
    let refused = by_name("", "{}").await.unwrap_err();
    ensure!(refused.is_usage(), "{refused}");
    let refused = by_name("plain", r#"{"a":"\u0000"}"#).await.unwrap_err();
    ensure!(refused.is_usage(), "{refused}");
    let refused = by_name("plain", "1").account("a\nb").await.unwrap_err();
    ensure!(refused.is_usage(), "{refused}");
    let mut wrong = Resources::none();
    wrong.add("server", Mode::Exclusive);
    let refused = by_name("plain", "1").resources(wrong).await.unwrap_err();
    ensure!(refused.is_usage(), "{refused}");
    let refused = by_name("plain", "1").priority(5_000).await.unwrap_err();
    ensure!(refused.is_usage(), "{refused}");

    let code = bench.worker(()).register_step(resize);
    let other = code.request_by_name("server.resize", &input(1)?)?;
    let refused = other.account("other").await.unwrap_err();
    ensure!(
        matches!(&refused, Error::OtherAccount { of_input, .. } if of_input == "acme"),
        "{refused}"
    );
    let wrong = to_raw_value(&json!({"account": "acme", "server": "x"}))?;
    let refused = code.request_by_name("server.resize", &wrong).unwrap_err();
    ensure!(refused.is_usage(), "{refused}");
    ensure!(
        code.request_by_name("plain", &wrong).is_err(),
        "it has no code for that"
    );
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    Ok(())
}

async fn a_worker_with_a_schema_that_is_none_does_not_begin(bench: Bench) -> Result<()> {
    #[derive(Serialize, Deserialize)]
    struct Wrong;
    impl Intent for Wrong {
        const KIND: &'static str = "wrong";
        type Output = ();
        fn about() -> About {
            About::new("Has no schema").schema_json(json!("none"))
        }
    }
    let worker = bench
        .worker(())
        .register_step(async |_: Cx<()>, _: Wrong| Ok(()));
    let refused = worker.run(async {}).await.unwrap_err();
    ensure!(refused.to_string().contains("no JSON schema"), "{refused}");
    registered(&bench).await?;
    ensure!(bench.intendant.kinds(None).await?.len() == 2);
    Ok(())
}
