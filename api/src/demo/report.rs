//! What the demo says at the end: where to look further, and what can be done next, in lines that can be pasted into a
//! shell as they are.

use intendant::{IntentId, IntentRecord, IntentState, StoreKind};

use super::Demo;

/// SQL and commands that say more about an intent.
pub(crate) fn look_further(demo: &Demo, store: StoreKind, record: &IntentRecord) {
    let (program, id) = (program(), record.id);
    let url = quoted(&demo.url);
    let is_failed = record.state == IntentState::Failed;
    println!(
        "look further (`{}` is the shell of {}):",
        shell(store),
        store.as_str()
    );
    println!("  {}", steps_sql(store, &demo.url, id));
    if let Some(account) = &record.account {
        let account = quoted(account);
        println!("  {program} history --account {account} --database-url {url}");
    }
    println!("  {program} show {id} --database-url {url}");
    if is_failed {
        println!("what resumes it and runs what is left, and only that:");
        println!("  {} --resume", demo.command);
        println!("or, for the next `{}` to go on with:", demo.command);
        println!("  {program} resume {id} --database-url {url}");
    }
    println!();
}

/// This program as it was called, so that what is printed works where it is not on the PATH.
pub(crate) fn program() -> String {
    let called = std::env::args_os().next();
    let called = called.map(|name| name.to_string_lossy().into_owned());
    quoted(called.as_deref().unwrap_or("intendant"))
}

/// An argument as a shell takes it.
pub(crate) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-@=,+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// The URL of a SQLite file: what means something in a URL is written as its code.
pub(crate) fn sqlite_url(file: &str) -> String {
    let file = file
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    format!("sqlite://{file}")
}

/// The file of a SQLite URL.
fn sqlite_file(url: &str) -> String {
    let file = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let file = file.split('?').next().unwrap_or(file);
    file.replace("%3F", "?")
        .replace("%23", "#")
        .replace("%25", "%")
}

fn shell(store: StoreKind) -> &'static str {
    match store {
        StoreKind::Sqlite => "sqlite3",
        StoreKind::Postgres => "psql",
    }
}

fn steps_sql(store: StoreKind, url: &str, id: IntentId) -> String {
    let shell = shell(store);
    match store {
        StoreKind::Sqlite => format!(
            "{shell} {} \"select name, state, attempt, started_at, finished_at \
             from intendant_steps where intent_id = '{id}' order by started_at\"",
            quoted(&sqlite_file(url))
        ),
        StoreKind::Postgres => format!(
            "{shell} {} -c \"select name, state, attempt, started_at, finished_at - started_at as took \
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

    #[test]
    fn a_file_and_its_url_name_the_same() {
        for file in ["a/b.db", "/a b/what?/100%.db", "a%3F#.db"] {
            assert_eq!(sqlite_file(&sqlite_url(file)), file);
        }
    }
}
