//! What plain SQL refuses: what the library refuses, and what the library's types do not let one write.

use anyhow::{Result, ensure};
use chrono::Utc;
use intendant::{Resources, StoreKind, limits};

use crate::asking::{Call, Client, Parcel, as_told, call, parcel};
use crate::support::{Bench, on_both};

on_both! {
    plain_sql_refuses_what_the_library_refuses;
    limits_hold_in_plain_sql_at_minus_one_zero_and_plus_one;
    what_only_plain_sql_can_get_wrong_is_refused;
}

/// A request that can be made in both ways, and a part of what the library says against it.
async fn both_refuse(bench: &Bench, client: &mut Client, library: Parcel, sql: Call) -> Result<()> {
    let theirs = as_told(bench.intendant.request(library).await.unwrap_err());
    let ours = client.ask(&sql).await.unwrap_err();
    // SQLite's messages are fixed texts.
    let same = match bench.database.kind {
        StoreKind::Postgres => said(&ours) == said(&theirs),
        StoreKind::Sqlite => ours[..5] == theirs[..5],
    };
    ensure!(same, "the library: {theirs}\nplain SQL: {ours}");
    Ok(())
}

/// A message, but for a name that it quotes: the two spell what cannot be printed in ways of their own.
fn said(message: &str) -> &str {
    let quoted = message.split_once(" a control character: ");
    quoted.map_or(message, |(said, _)| said)
}

async fn plain_sql_refuses_what_the_library_refuses(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    for account in ["", "a\nb", "\u{85}", &"é".repeat(201)] {
        let library = Parcel {
            account: Some(account.into()),
            ..parcel("tea")
        };
        let sql = Call {
            account: Some(account.into()),
            ..call("tea")
        };
        both_refuse(&bench, &mut client, library, sql).await?;
    }
    for (kind, id) in [
        ("", "1"),
        ("server", ""),
        ("server", "\t"),
        ("server", &"é".repeat(394)),
    ] {
        let library = Parcel {
            resources: Resources::exclusive(kind, id),
            ..parcel("tea")
        };
        let sql = call("tea").resources(&[&format!("exclusive:{kind}:{id}")]);
        both_refuse(&bench, &mut client, library, sql).await?;
    }
    let many: Vec<String> = (0..101).map(|nth| format!("touched:n:{nth}")).collect();
    let library = Parcel {
        resources: (0..101).fold(Resources::none(), |all, nth| all.and_touched("n", nth)),
        ..parcel("tea")
    };
    let sql = Call {
        resources: Some(many),
        ..call("tea")
    };
    both_refuse(&bench, &mut client, library, sql).await?;

    let request = || bench.intendant.request(parcel("tea"));
    let ten_years = chrono::TimeDelta::days(3651);
    let each = [
        (
            request().priority(1_001),
            Call {
                priority: Some(1_001),
                ..call("tea")
            },
        ),
        (
            request().by(""),
            Call {
                requested_by: Some("".into()),
                ..call("tea")
            },
        ),
        (
            request().by("x".repeat(201)),
            Call {
                requested_by: Some("x".repeat(201)),
                ..call("tea")
            },
        ),
        (
            request().correlation_id("\u{7f}"),
            Call {
                correlation_id: Some("\u{7f}".into()),
                ..call("tea")
            },
        ),
        (
            request().key(""),
            Call {
                key: Some("".into()),
                ..call("tea")
            },
        ),
    ];
    for (library, sql) in each {
        let theirs = as_told(library.await.unwrap_err());
        let ours = client.ask(&sql).await.unwrap_err();
        let same = match bench.database.kind {
            StoreKind::Postgres => said(&ours) == said(&theirs),
            StoreKind::Sqlite => ours[..5] == theirs[..5],
        };
        ensure!(same, "the library: {theirs}\nplain SQL: {ours}");
    }
    let far = Utc::now() + ten_years;
    let theirs = as_told(request().start_at(far).await.unwrap_err());
    let ours = Call {
        run_at: Some(far.to_rfc3339()),
        ..call("tea")
    };
    let ours = client.ask(&ours).await.unwrap_err();
    for told in [&theirs, &ours] {
        ensure!(told.starts_with("IN400: the start time is "), "{told}");
        ensure!(told.contains("ten years from now"), "{told}");
    }
    ensure!(bench.number("select count(*) from @intent").await? == 0);
    ensure!(bench.number("select count(*) from @key").await? == 0);
    client.close().await?;
    bench.check().await
}

async fn limits_hold_in_plain_sql_at_minus_one_zero_and_plus_one(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    let name = |chars: usize| "é".repeat(chars);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let sized = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let parcels = |number: usize| Call {
        resources: Some((0..number).map(|nth| format!("shared:n:{nth}")).collect()),
        ..call("tea")
    };
    for over in [-1, 0, 1i64] {
        let at = |limit: usize| limit.checked_add_signed(over as isize).unwrap();
        let calls = [
            Call::new(&name(at(limits::NAME_CHARS))),
            Call {
                account: Some(name(at(limits::NAME_CHARS))),
                ..call("tea")
            },
            Call {
                key: Some(name(at(limits::NAME_CHARS))),
                ..call("tea")
            },
            Call {
                queue: Some(name(at(limits::NAME_CHARS))),
                ..call("tea")
            },
            Call {
                requested_by: Some(name(at(limits::NAME_CHARS))),
                ..call("tea")
            },
            Call {
                correlation_id: Some(name(at(limits::NAME_CHARS))),
                ..call("tea")
            },
            Call {
                priority: Some(1_000 + over),
                ..call("tea")
            },
            Call {
                priority: Some(-1_000 - over),
                ..call("tea")
            },
            call("tea").input(nested(at(limits::PAYLOAD_DEPTH))),
            call("tea").input(sized(at(limits::PAYLOAD_BYTES))),
            call("tea").resources(&[&format!(
                "exclusive:a:{}",
                name(at(limits::RESOURCE_CHARS) - 2)
            )]),
            parcels(at(limits::RESOURCES)),
        ];
        for (nth, call) in calls.into_iter().enumerate() {
            let asked = client.ask(&call).await;
            match over {
                1 => ensure!(
                    asked.is_err_and(|told| told.starts_with("IN400: ")),
                    "call {nth}"
                ),
                _ => ensure!(asked.is_ok(), "call {nth} at {over}: {asked:?}"),
            }
        }
    }
    client.close().await?;
    bench.check().await
}

async fn what_only_plain_sql_can_get_wrong_is_refused(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    // What the library's types do not let one write.
    for resource in ["server:42", "server", "excl:server:42", "exclusive", ""] {
        let told = client
            .ask(&call("tea").resources(&[resource]))
            .await
            .unwrap_err();
        ensure!(told.starts_with("IN400: "), "{resource}: {told}");
        ensure!(told.contains("does not say how it is used"), "{told}");
    }
    let jsons = [
        "{",
        "{a: 1}",
        "'x'",
        "01",
        "",
        r#""\u0000""#,
        r#""\ud83d""#,
        r#"["\ude00", 1]"#,
    ];
    let jsons = jsons.iter().chain(&[
        r#"{"\ud83d": "\ude00"}"#,
        r#""\ud83d\n\ude00""#,
        "\"\u{1}\"",
    ]);
    for json in jsons {
        let asked = client.ask(&call("tea").input(*json)).await;
        ensure!(asked.is_err(), "{json} was taken");
    }
    let fine = [
        r#""\\u0000 \\ud83d""#,
        r#""\ud83d\ude00\uD83D\uDE00\ud7ff""#,
        "null",
        r#"[{"a":{"a":1}}, "{{["]"#,
    ];
    for json in fine {
        let id = client.ask(&call("tea").input(json)).await;
        let kept = bench.intendant.get(id.unwrap()).await?.input;
        let kept: serde_json::Value = serde_json::from_str(kept.get())?;
        let given: serde_json::Value = serde_json::from_str(json)?;
        ensure!(kept == given, "{kept} is not {given}");
    }
    let kept = bench.number("select count(*) from @intent").await?;
    ensure!(kept == fine.len() as i64);
    for time in ["soon", "infinity", "-infinity", "2026-13-01"] {
        let asked = client
            .ask(&Call {
                run_at: Some(time.into()),
                ..call("tea")
            })
            .await;
        ensure!(asked.is_err(), "{time} was taken");
    }
    if let StoreKind::Sqlite = bench.database.kind {
        let doubled = client
            .ask(&call("tea").input(r#"[{"a": 1, "b": 2, "a": 3}]"#))
            .await;
        ensure!(doubled.unwrap_err().ends_with("has one name twice"));
        // Whatever a caller makes of conflicts: a refusal is one.
        for or in ["or ignore", "or replace", "or fail"] {
            let sql = format!("insert {or} into intendant_request (kind) values ('')");
            ensure!(client.run(&sql).await.is_err(), "{or}");
        }
    }
    ensure!(bench.number("select count(*) from @intent").await? == kept);
    client.close().await?;
    bench.check().await
}
