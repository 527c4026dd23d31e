//! Times, spans and texts as people read them.

use chrono::{DateTime, TimeDelta, Utc};
use intendant::{IntentRecord, IntentState};

/// A moment, to the millisecond.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// How long ago something was, in its largest unit.
pub(crate) fn age(since: DateTime<Utc>) -> String {
    match largest_unit(Utc::now() - since) {
        Some(span) => format!("{span} ago"),
        None => "just now".to_owned(),
    }
}

/// When something is due.
pub(crate) fn ahead(at: DateTime<Utc>) -> String {
    match largest_unit(at - Utc::now()) {
        Some(span) => format!("in {span}"),
        None => "now".to_owned(),
    }
}

fn largest_unit(span: TimeDelta) -> Option<String> {
    let seconds = span.num_seconds();
    Some(match seconds {
        ..=0 => return None,
        1..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=86_399 => format!("{} h", seconds / 3_600),
        86_400.. => format!("{} d", seconds / 86_400),
    })
}

/// A span of time, in the unit that fits.
pub(crate) fn span(span: TimeDelta) -> String {
    let ms = span.num_milliseconds().max(0);
    match ms {
        0..=9 => format!(
            "{:.1} ms",
            span.num_microseconds().unwrap_or(0).max(0) as f64 / 1000.0
        ),
        10..=999 => format!("{ms} ms"),
        1_000..=59_999 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..=3_599_999 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        3_600_000..=86_399_999 => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} d {} h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// The time between two moments, where both are known.
pub(crate) fn between(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<String> {
    Some(span(to? - from?))
}

/// How long an intent ran.
pub(crate) fn took(record: &IntentRecord) -> String {
    between(record.started_at, record.finished_at).unwrap_or_default()
}

/// What there is to say about an intent in a line.
pub(crate) fn what(record: &IntentRecord) -> String {
    match (record.state, &record.error) {
        (IntentState::Failed, Some(error)) => {
            let step = record
                .failed_step
                .as_ref()
                .map_or(String::new(), |step| format!(" in `{step}`"));
            let reason = record.reason.as_deref().unwrap_or("failed");
            format!("{reason}{step}: {error}")
        }
        (IntentState::Waiting, _) => {
            let what = record.waiting_for.as_deref().unwrap_or("something");
            let due = record
                .due_at
                .map_or(String::new(), |due| format!(", due {}", ahead(due)));
            format!("waits for {what}{due}")
        }
        _ => String::new(),
    }
}

/// A number of things, by their name in the singular.
pub(crate) fn count(number: usize, name: &str) -> String {
    match number {
        1 => format!("1 {name}"),
        _ => format!("{number} {name}s"),
    }
}

/// A text that is one line and cannot move a terminal's cursor: what users and programs wrote is only text.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_unit_that_fits() {
        let told: Vec<_> = [500, 45_000, 900_000, 5_400_000, 125_000_000, 90_061_000_000]
            .into_iter()
            .map(|us| span(TimeDelta::microseconds(us)))
            .collect();
        assert_eq!(
            told,
            ["0.5 ms", "45 ms", "900 ms", "5.4 s", "2 min 5 s", "1 d 1 h"]
        );
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let told: Vec<_> = [-5, 0, 59, 150, 7_300, 200_000]
            .into_iter()
            .map(|seconds| age(Utc::now() - TimeDelta::seconds(seconds)))
            .collect();
        assert_eq!(
            told,
            [
                "just now",
                "just now",
                "59 s ago",
                "2 min ago",
                "2 h ago",
                "2 d ago"
            ]
        );
    }

    #[test]
    fn control_characters_are_no_part_of_a_line() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc"), "a b [2Jc");
    }
}
