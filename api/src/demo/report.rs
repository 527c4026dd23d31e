//! What the demo says at the end: the intent's record, its steps with times, and where to look further.

use chrono::{DateTime, Utc};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use intendant::{Intendant, IntentId, IntentRecord, IntentState, StoreKind};

use super::Demo;

/// Time between two moments, in milliseconds below ten seconds.
pub(crate) fn took(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<String> {
    let ms = (to? - from?).num_milliseconds();
    Some(if ms < 10_000 {
        format!("{ms} ms")
    } else {
        format!("{:.1} s", ms as f64 / 1000.0)
    })
}

/// An intent's record and its steps, on stdout.
pub(crate) async fn record(intendant: &Intendant, record: &IntentRecord) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut line = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    line("intent", record.id.to_string());
    line("kind", record.kind.clone());
    line("account", record.account.clone().unwrap_or_default());
    for resource in &record.resources {
        line(
            "resource",
            format!("{} ({})", resource.resource, resource.mode.as_str()),
        );
    }
    line(
        "requested by",
        record.requested_by.clone().unwrap_or_default(),
    );
    line("requested", time(record.requested_at));
    let waited = took(Some(record.requested_at), record.started_at).unwrap_or_default();
    line(
        "started",
        format!(
            "{} after {waited}",
            record.started_at.map(time).unwrap_or_default()
        ),
    );
    let ran = took(record.started_at, record.finished_at).unwrap_or_default();
    line(
        "finished",
        format!(
            "{} after {ran}",
            record.finished_at.map(time).unwrap_or_default()
        ),
    );
    line("state", record.state.to_string());
    if let Some(reason) = &record.reason {
        let step = record
            .failed_step
            .as_ref()
            .map(|step| format!(" in `{step}`"))
            .unwrap_or_default();
        line(
            "reason",
            format!(
                "{reason}{step}: {}",
                record.error.as_deref().unwrap_or_default()
            ),
        );
    }
    if let Some(output) = &record.output {
        line("output", output.to_string());
    }
    println!("{}\n", table.trim_fmt());

    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["step", "state", "attempt", "started", "took"]);
    for step in intendant.steps(record.id).await? {
        table.add_row([
            step.name,
            step.state.to_string(),
            step.attempt.to_string(),
            step.started_at.map(time).unwrap_or_default(),
            took(step.started_at, step.finished_at).unwrap_or_default(),
        ]);
    }
    println!("{}\n", table.trim_fmt());
    Ok(())
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// SQL and commands that say more about an intent.
pub(crate) fn look_further(demo: &Demo, intendant: &Intendant, record: &IntentRecord) {
    let url = &demo.url;
    let id = record.id;
    println!("look further:");
    println!("  {}", steps_sql(intendant.store_kind(), url, id));
    if let Some(account) = &record.account {
        println!(
            "  intendant history --account {account} --database-url {}",
            quoted(url)
        );
    }
    let show = format!("intendant show {id} --database-url {}", quoted(url));
    if record.state == IntentState::Failed {
        println!("what explains it:\n  {show}");
        println!(
            "what resumes it and runs what is left, and only that:\n  {} --resume",
            demo.command
        );
        println!("or, for the next `{}` to go on with:", demo.command);
        println!("  intendant resume {id} --database-url {}", quoted(url));
    } else {
        println!("  {show}");
    }
    println!();
}

/// An argument as a shell takes it.
pub(crate) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-@=,+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

fn steps_sql(store: StoreKind, url: &str, id: IntentId) -> String {
    match store {
        StoreKind::Sqlite => {
            let file = url.trim_start_matches("sqlite:").trim_start_matches("//");
            let file = file.split('?').next().unwrap_or(file);
            format!(
                "sqlite3 {} \"select name, state, attempt, started_at, finished_at \
                 from intendant_steps where intent_id = '{id}' order by started_at\"",
                quoted(file)
            )
        }
        StoreKind::Postgres => format!(
            "psql {} -c \"select name, state, attempt, finished_at - started_at as took \
             from intendant.steps where intent_id = '{id}' order by started_at\"",
            quoted(url)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_would_change_them() {
        assert_eq!(
            quoted("sqlite://intendant-demo/intendant.db"),
            "sqlite://intendant-demo/intendant.db"
        );
        assert_eq!(quoted("postgres://h/d?a=b&c"), "'postgres://h/d?a=b&c'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
