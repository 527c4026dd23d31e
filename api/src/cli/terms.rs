//! Terms: which intents, in one text, as in `kind=server.resize state=failed since=2h`.

use std::str::FromStr;

use intendant::IntentFilter;

use super::args::{label, resource, when};

/// What `--where` takes.
pub(super) const NAMES: &str = "account, kind, state, resource, label, by, correlation_id, since, until, finished_since, error";

/// Terms that all have to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms(IntentFilter);

impl FromStr for Terms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut filter = IntentFilter::default();
        let mut said: Vec<String> = Vec::new();
        for term in words(text)? {
            let (name, value) = term
                .split_once('=')
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| format!("expected `name=value`, found `{term}`"))?;
            if said.iter().any(|known| known == name) {
                return Err(format!("`{name}` is said twice"));
            }
            said.push(name.to_owned());
            let text = || Some(value.to_owned());
            let wrong = |error: String| format!("{name}: {error}");
            match name {
                "account" => filter.account = text(),
                "kind" => filter.kind = text(),
                "state" => {
                    let state = value.parse();
                    filter.state = Some(state.map_err(|error| format!("{name}: {error}"))?);
                }
                "resource" => filter.resource = Some(resource(value).map_err(wrong)?),
                "label" => filter.label = Some(label(value).map_err(wrong)?),
                "by" => filter.requested_by = text(),
                "correlation_id" => filter.correlation_id = text(),
                "since" => filter.requested_since = Some(when(value).map_err(wrong)?),
                "until" => filter.requested_until = Some(when(value).map_err(wrong)?),
                "finished_since" => filter.finished_since = Some(when(value).map_err(wrong)?),
                "error" => filter.error = text(),
                other => return Err(format!("there is no `{other}`; expected {NAMES}")),
            }
        }
        match said.is_empty() {
            true => Err(format!("it says nothing; expected one or more of {NAMES}")),
            false => Ok(Self(filter)),
        }
    }
}

impl Terms {
    /// The filter, where options have said some of it as well.
    pub(super) fn and(self, options: IntentFilter) -> IntentFilter {
        let Self(terms) = self;
        IntentFilter {
            account: options.account.or(terms.account),
            resource: options.resource.or(terms.resource),
            kind: options.kind.or(terms.kind),
            state: options.state.or(terms.state),
            requested_by: options.requested_by.or(terms.requested_by),
            correlation_id: options.correlation_id.or(terms.correlation_id),
            label: options.label.or(terms.label),
            requested_since: options.requested_since.or(terms.requested_since),
            requested_until: options.requested_until.or(terms.requested_until),
            finished_since: options.finished_since.or(terms.finished_since),
            error: options.error.or(terms.error),
            ..options
        }
    }
}

/// Words between blanks; what is in single or double quotes is one, blanks and all.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a {quote} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use intendant::IntentState;

    use super::*;

    #[test]
    fn terms_are_a_filter() {
        let text = r#"kind=server.resize  state=failed since=2026-11-20 label=team=a error="no such volume""#;
        let filter = text.parse::<Terms>().unwrap().and(IntentFilter::default());
        assert_eq!(filter.kind.as_deref(), Some("server.resize"));
        assert_eq!(filter.state, Some(IntentState::Failed));
        assert_eq!(filter.label, Some(("team".to_owned(), "a".to_owned())));
        assert_eq!(filter.error.as_deref(), Some("no such volume"));
        let since = filter.requested_since.unwrap().to_rfc3339();
        assert_eq!(since, "2026-11-20T00:00:00+00:00");
    }

    #[test]
    fn what_is_no_term_is_told() {
        let refused = |text: &str| text.parse::<Terms>().unwrap_err();
        assert!(refused("").contains("says nothing"));
        assert!(refused("failed").contains("expected `name=value`, found `failed`"));
        assert!(refused("kind=").contains("found `kind=`"));
        assert!(refused("kid=a").contains("there is no `kid`; expected account, kind"));
        assert!(refused("kind=a kind=b").contains("`kind` is said twice"));
        assert!(refused("error='open").contains("is not closed"));
        assert!(refused("state=broken").starts_with("state: "));
        assert!(refused("since=yesterday").contains("since: expected a time"));
        assert!(refused("resource=42").contains("type:id"));
    }
}
