//! Whose an input is, as far as can be seen of it without its kind's code: by its field `account`.
//!
//! It fails closed. The kind's code reads an input by its own rules, and takes a list for a structure, too; so for who acts for
//! one account alone an input is an object, which has that field once or not at all.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::Problem;

/// Refuses an input that is not, or may not be, of this account.
pub(super) fn check(input: &RawValue, own: &str) -> Result<(), Problem> {
    let mut reader = serde_json::Deserializer::from_str(input.get());
    match reader.deserialize_any(Account) {
        Ok(Named::Nobody) => Ok(()),
        Ok(Named::Account(account)) if account == own => Ok(()),
        Ok(Named::Account(_)) => Err(Problem::forbidden(format!(
            "the token is for account `{own}` alone, and the input names another one"
        ))),
        Err(error) => Err(Problem::forbidden(format!(
            "the token is for account `{own}` alone, and whose the input is cannot be seen: {error}"
        ))),
    }
}

enum Named {
    Nobody,
    Account(String),
}

struct Account;

impl<'de> Visitor<'de> for Account {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if name != "account" {
                // As text, which has no numbers that cannot be read.
                map.next_value::<&RawValue>()?;
                continue;
            }
            let account = map.next_value::<Option<String>>()?;
            if found.replace(account).is_some() {
                return Err(A::Error::duplicate_field("account"));
            }
        }
        Ok(found.flatten().map_or(Named::Nobody, Named::Account))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Named, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_through(input: &str) -> bool {
        let input = RawValue::from_string(input.to_owned()).expect("it is JSON");
        check(&input, "acme").is_ok()
    }

    #[test]
    fn an_input_is_of_the_account_or_of_nobody_and_anything_else_is_refused() {
        for own in [
            "{}",
            r#"{"account": "acme", "server": 1e400}"#,
            r#"{"account": null}"#,
            r#"{"deeper": {"account": "other"}}"#,
            r#"{"\u0061ccount": "acme"}"#,
        ] {
            assert!(is_let_through(own), "{own}");
        }
        for other in [
            r#"{"account": "other"}"#,
            r#"{"\u0061ccount": "other"}"#,
            r#"{"account": "acme", "account": "other"}"#,
            r#"{"account": "other", "account": "acme"}"#,
            r#"{"account": "acme", "account": "acme"}"#,
            r#"{"account": null, "account": "other"}"#,
            r#"{"account": ["other"]}"#,
            r#"{"account": 7}"#,
            r#"["other", "orders", "large"]"#,
            "[]",
            "7",
            "null",
            r#""other""#,
        ] {
            assert!(!is_let_through(other), "{other}");
        }
    }
}
