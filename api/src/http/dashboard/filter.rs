//! Filters of lists: from what a form says, to the engine's filter, and back into links. Every filter is in the URL.

use chrono::{DateTime, TimeDelta, Utc};
use intendant::{IntentFilter, IntentId, IntentState};
use maud::{Markup, html};

use super::form::Form;
use super::place::{Place, query};
use crate::http::problem::Problem;

/// Intents on a page.
pub(super) const PAGE: u32 = 50;

const SINCE: [(&str, &str); 5] = [
    ("15m", "15 minutes"),
    ("1h", "1 hour"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("30d", "30 days"),
];

/// Which intents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) account: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) state: Option<IntentState>,
    pub(super) by: Option<String>,
    pub(super) label: Option<String>,
    pub(super) error: Option<String>,
    /// As it was said: `24h`, or a time.
    pub(super) since: Option<String>,
    pub(super) before: Option<IntentId>,
}

impl Filter {
    pub(super) fn of(form: &Form) -> Result<Self, Problem> {
        // Somebody has typed these, or copied them with what was around.
        let text = |name: &str| {
            let text = form.get(name).map(str::trim);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        // And these are names in links, too.
        let name = |name: &str| form.get(name).map(str::to_owned);
        let state = form.get("state").map(str::parse).transpose();
        let before = form.get("before").map(str::parse).transpose();
        let filter = Self {
            account: name("account"),
            resource: name("resource"),
            kind: name("kind"),
            state: state.map_err(Problem::invalid)?,
            by: text("by"),
            label: name("label"),
            error: text("error"),
            since: text("since"),
            before: before.map_err(|_| Problem::invalid("`before` is no id of an intent"))?,
        };
        // What cannot be said to the engine is told now.
        filter.to_engine(Utc::now())?;
        Ok(filter)
    }

    pub(super) fn to_engine(&self, now: DateTime<Utc>) -> Result<IntentFilter, Problem> {
        let label = self
            .label
            .as_ref()
            .map(|label| match label.split_once('=') {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(Problem::invalid(
                    "a label is `name=value`, as in `team=billing`",
                )),
            });
        let since = self.since.as_ref().map(|since| moment(since, now));
        Ok(IntentFilter {
            account: self.account.clone(),
            resource: self.resource.clone(),
            kind: self.kind.clone(),
            state: self.state,
            requested_by: self.by.clone(),
            label: label.transpose()?,
            requested_since: since.transpose()?,
            error: self.error.clone(),
            before: self.before,
            limit: Some(PAGE),
            ..IntentFilter::default()
        })
    }

    /// Its names and values, as they stand in the URL of a page.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("account", &self.account),
            ("resource", &self.resource),
            ("kind", &self.kind),
            ("by", &self.by),
            ("label", &self.label),
            ("error", &self.error),
            ("since", &self.since),
        ];
        let texts = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.clone()?)));
        let state = self.state.map(|state| ("state", state.to_string()));
        let before = self.before.map(|id| ("before", id.to_string()));
        texts.chain(state).chain(before).collect()
    }

    /// Names nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs().iter().all(|(name, _)| *name == "before")
    }

    pub(super) fn link(&self, place: &Place, path: &str) -> String {
        let pairs = self.pairs();
        place.with(
            path,
            pairs.iter().map(|(name, value)| (*name, value.as_str())),
        )
    }

    /// The page after this one.
    pub(super) fn further(&self, next: IntentId) -> Self {
        Self {
            before: Some(next),
            ..self.clone()
        }
    }

    /// What stands behind the question mark of the live view of the same page.
    pub(super) fn stream_query(&self, now: DateTime<Utc>) -> String {
        let since = self
            .since
            .as_ref()
            .and_then(|since| moment(since, now).ok());
        let since = since.map(|since| since.to_rfc3339());
        let mut pairs = self.pairs();
        pairs.retain(|(name, _)| *name != "since");
        pairs.extend(since.map(|since| ("requested_since", since)));
        let renamed = pairs.iter().map(|(name, value)| match *name {
            "by" => ("requested_by", value.as_str()),
            name => (name, value.as_str()),
        });
        query(renamed)
    }

    /// The same from the newest on.
    pub(super) fn newest(&self) -> Self {
        Self {
            before: None,
            ..self.clone()
        }
    }

    pub(super) fn hidden(&self) -> Markup {
        html! {
            @for (name, value) in self.pairs() { input type="hidden" name=(name) value=(value); }
        }
    }

    /// The form that makes it. `own` is the only account that there is for who looks.
    pub(super) fn form(&self, place: &Place, path: &str, own: Option<&str>) -> Markup {
        let field = |name: &str, label: &str, hint: &str, value: &Option<String>| {
            html! {
                label { (label)
                    input type="text" name=(name) value=(value.as_deref().unwrap_or_default()) placeholder=(hint)
                        spellcheck="false" autocomplete="off" autocapitalize="off";
                }
            }
        };
        let more = self.label.is_some() || self.error.is_some();
        // Failures are failed.
        let has_state = path != "/failures";
        html! {
            form .filters method="get" action=(place.to(path)) role="search" aria-label="Which intents" {
                @if own.is_none() { (field("account", "Account", "acme", &self.account)) }
                (field("resource", "Resource", "server:42", &self.resource))
                (field("kind", "Kind", "replica.add", &self.kind))
                @if has_state {
                label { "State"
                    select name="state" {
                        option value="" { "any" }
                        @for state in IntentState::ALL {
                            option value=(state) selected[self.state == Some(*state)] { (state) }
                        }
                    }
                }
                }
                (field("by", "Asked for by", "ada", &self.by))
                label { "In the last"
                    select name="since" {
                        option value="" { "ever" }
                        @for (value, said) in SINCE {
                            option value=(value) selected[self.since.as_deref() == Some(value)] { (said) }
                        }
                        @if let Some(since) = self.since.as_deref().filter(|since| SINCE.iter().all(|(value, _)| value != since)) {
                            option value=(since) selected { (since) }
                        }
                    }
                }
                details #more-filters open[more] {
                    summary { "More" }
                    div {
                        (field("label", "Label", "team=billing", &self.label))
                        (field("error", "Error has", "timed out", &self.error))
                    }
                }
                span .go {
                    button .main type="submit" { "Find" }
                    @if !self.is_empty() { a href=(place.to(path)) { "Clear" } }
                }
            }
        }
    }
}

/// `90m`, `24h`, `7d` before now, or a time.
fn moment(said: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    let wrong = || {
        Problem::invalid(format!(
            "`{said}` is no time: `24h`, `7d`, or `2026-11-21T08:00:00Z`"
        ))
    };
    let unit = said.chars().last().ok_or_else(wrong)?;
    let number = said
        .strip_suffix(unit)
        .and_then(|number| number.parse::<u32>().ok());
    let span = number.map(i64::from).and_then(|number| match unit {
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    });
    let moment = match span {
        Some(span) => Some(now.checked_sub_signed(span).unwrap_or(DateTime::UNIX_EPOCH)),
        None => said.parse::<DateTime<Utc>>().ok(),
    };
    let first = DateTime::UNIX_EPOCH;
    let last = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(now);
    moment.map(|at| at.clamp(first, last)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_same_after_a_link() {
        let form = Form::text(
            "account=a%26b&state=failed&since=24h&by=ada&kind=&label=t%3D1&error=x&resource=a%3A1",
        );
        let filter = Filter::of(&form).unwrap();
        assert_eq!(filter.account.as_deref(), Some("a&b"));
        let pairs = filter.pairs();
        let again = query(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        assert_eq!(Filter::of(&Form::text(&again)).unwrap(), filter);
        assert!(!filter.is_empty() && Filter::default().is_empty());
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for wrong in [
            "state=broken",
            "label=x",
            "since=yesterday",
            "since=9d9",
            "since=ö",
            "before=7",
        ] {
            assert!(Filter::of(&Form::text(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_span_is_before_now() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(moment("1h", now).unwrap(), now - TimeDelta::hours(1));
        assert_eq!(moment("400000000d", now).unwrap(), DateTime::UNIX_EPOCH);
        assert_eq!(
            moment("2023-01-01T00:00:00Z", now).unwrap().timestamp(),
            1_672_531_200
        );
    }
}
