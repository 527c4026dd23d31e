//! Filters, as the HTTP API has them.

use chrono::{DateTime, SecondsFormat, Utc};
use intendant::IntentFilter;
use serde_json::{Map, Value};

/// What a filter says, by the names that the API's parameters and bodies have.
pub(super) fn said(filter: &IntentFilter) -> Map<String, Value> {
    let time = |time: &Option<DateTime<Utc>>| {
        time.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
    };
    let label = filter.label.as_ref();
    let texts = [
        ("account", filter.account.clone()),
        ("resource", filter.resource.clone()),
        ("kind", filter.kind.clone()),
        ("state", filter.state.map(|state| state.as_str().to_owned())),
        ("requested_by", filter.requested_by.clone()),
        ("correlation_id", filter.correlation_id.clone()),
        (
            "label",
            label.map(|(name, value)| format!("{name}={value}")),
        ),
        ("requested_since", time(&filter.requested_since)),
        ("requested_until", time(&filter.requested_until)),
        ("finished_since", time(&filter.finished_since)),
        ("error", filter.error.clone()),
        ("before", filter.before.map(|id| id.to_string())),
        ("after", filter.after.map(|id| id.to_string())),
    ];
    let texts = texts.into_iter();
    let texts = texts.filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))));
    let limit = filter.limit.map(|limit| ("limit".to_owned(), limit.into()));
    texts.chain(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_filter_says_what_it_has() {
        let filter = IntentFilter {
            account: Some("acme".to_owned()),
            label: Some(("team".to_owned(), "a=b".to_owned())),
            requested_since: DateTime::from_timestamp_micros(1_795_000_000_000_001),
            limit: Some(5),
            ..IntentFilter::default()
        };
        let expected = json!({
            "account": "acme", "label": "team=a=b", "requested_since": "2026-11-18T11:06:40.000001Z", "limit": 5,
        });
        assert_eq!(Value::Object(said(&filter)), expected);
        assert!(said(&IntentFilter::default()).is_empty());
    }
}
