//! Hostile strings in every field that somebody else fills: kept as they are or refused, never a fault of the server.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support::{Server, on_both};

on_both! {
    hostile_strings_are_kept_as_they_are_or_refused;
    hostile_paths_and_queries_are_no_faults;
}

const STRINGS: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "'; drop table intendant.intent; --",
    "{{7*7}}${7*7}%{7*7}",
    "../../../../etc/passwd",
    "\u{0}",
    "a\u{0}b",
    "\u{1b}[2J\u{7}",
    "\u{202e}gnp.exe",
    "\u{feff}\u{200b}",
    "line\r\nSet-Cookie: a=b",
    "%s%n%00%ff",
    "𝕳𝖊𝖑𝖑𝖔 🏴‍☠️ \u{10ffff}",
    "_%\\",
    "null",
    "",
];

async fn hostile_strings_are_kept_as_they_are_or_refused(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let long = "x".repeat(5_000);
    let mut kept = 0;
    for text in STRINGS.iter().copied().chain([&*long]) {
        let fields = [
            "account",
            "key",
            "correlation_id",
            "requested_by",
            "label",
            "resource",
            "input",
            "kind",
        ];
        for field in fields {
            let mut wanted = json!({"kind": "server.resize", "account": "acme",
                                    "input": {"account": "acme", "server": 1}});
            match field {
                "label" => wanted["labels"] = json!({text: text}),
                "resource" => wanted["resources"] = json!([{"resource": format!("a:{text}")}]),
                "input" => wanted["input"]["account"] = json!(text),
                field => wanted[field] = json!(text),
            }
            let said = server.post("/api/v1/intents", &wanted).await?;
            ensure!(
                matches!(said.status.as_u16(), 200 | 201 | 422),
                "{field} {text:?}: {said:?}"
            );
            if said.status != 201 {
                continue;
            }
            kept += 1;
            let found = match field {
                "label" => &said.json["labels"][text],
                "resource" => &json!(text),
                "input" => &said.json["input"]["account"],
                // A key is nowhere to be read.
                "key" => &json!(text),
                field => &said.json[field],
            };
            ensure!(found == text, "{field} {text:?}: {found}");
        }
        let acts = [
            ("resume", json!({"dry_run": true, "reason": text})),
            ("retry", json!({"step": text, "reason": text})),
            ("skip", json!({"step": text, "output": text})),
            (
                "signals",
                json!({"name": text, "payload": {text: text}, "key": text}),
            ),
            (
                "amend",
                json!({"input": {"account": "acme", "server": 2, text: text}, "reason": text}),
            ),
        ];
        for (verb, body) in acts {
            let said = server
                .post(&format!("/api/v1/intents/{failed}/{verb}"), &body)
                .await?;
            ensure!(said.status.as_u16() < 500, "{verb} {text:?}: {said:?}");
        }
        let token = json!({"name": text, "scope": "viewer", "account": text});
        let said = server.post("/api/v1/tokens", &token).await?;
        ensure!(
            matches!(said.status.as_u16(), 201 | 422),
            "{text:?}: {said:?}"
        );
    }
    ensure!(kept > 50, "{kept} kept");
    for verb in ["resume", "cancel"] {
        let body = json!({"reason": STRINGS[0]});
        let said = server
            .post(&format!("/api/v1/intents/{failed}/{verb}"), &body)
            .await?;
        ensure!(said.status == 200, "{said:?}");
    }
    // Everything that is kept is told again as JSON that holds against the document.
    for path in [
        "/api/v1/intents?limit=1000",
        "/api/v1/tokens",
        "/api/v1/failures",
    ] {
        ensure!(server.get(path).await?.status == 200);
    }
    let events = server
        .get(&format!("/api/v1/intents/{failed}/events"))
        .await?;
    ensure!(events.text.contains("drop table"), "{events:?}");
    ensure!(server.intendant.invariant_breaches().await?.is_empty());
    Ok(())
}

async fn hostile_paths_and_queries_are_no_faults(server: Server) -> Result<()> {
    let encode =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let fields = [
        "account",
        "resource",
        "kind",
        "state",
        "requested_by",
        "correlation_id",
        "label",
        "error",
        "before",
        "after",
        "limit",
        "requested_since",
        "finished_since",
        "nothing",
    ];
    for text in STRINGS {
        let text = encode(text);
        for field in fields {
            let said = server
                .get(&format!("/api/v1/intents?{field}={text}"))
                .await?;
            ensure!(
                matches!(said.status.as_u16(), 200 | 400 | 422),
                "{field} {text}: {said:?}"
            );
        }
        for path in ["intents/", "kinds/", "tokens/", "intents/7/"] {
            let said = server.get(&format!("/api/v1/{path}{text}")).await?;
            ensure!(
                matches!(said.status.as_u16(), 400 | 404 | 405),
                "{path} {text}: {said:?}"
            );
        }
    }
    for bytes in ["%ff%fe", "%c3%28", "%", "%zz"] {
        for path in [format!("intents?account={bytes}"), format!("kinds/{bytes}")] {
            let said = server.get(&format!("/api/v1/{path}")).await?;
            ensure!(said.status.as_u16() < 500, "{path}: {said:?}");
        }
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep: Option<Value> = serde_json::from_str(&deep).ok();
    ensure!(deep.is_none(), "what is nested too deep cannot be read");
    Ok(())
}
