//! Progress: how far a step says that it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a step is: so many of so many, and what it is doing. For [`Cx::progress`](crate::Cx::progress).
///
/// ```
/// # use intendant::Progress;
/// assert_eq!(Progress::of(3, 10).saying("copying `orders`").to_string(), "3 of 10 (30 %): copying `orders`");
/// assert_eq!(Progress::done(3).to_string(), "3 done");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// So many are done.
    pub done: u64,
    /// Of so many, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Progress {
    /// So many of so many.
    pub fn of(done: u64, total: u64) -> Self {
        Self {
            total: Some(total),
            ..Self::done(done)
        }
    }

    /// So many, of nobody knows how many.
    pub fn done(done: u64) -> Self {
        Self {
            done,
            total: None,
            message: None,
        }
    }

    /// And what it is doing.
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            done,
            total,
            message,
        } = self;
        match total {
            Some(total @ 1..) => {
                let percent = u128::from(*done) * 100 / u128::from(*total);
                write!(f, "{done} of {total} ({percent} %)")?;
            }
            Some(0) => write!(f, "{done} of 0")?,
            None => write!(f, "{done} done")?,
        }
        match message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// What a step has said about how far it is, for people: a [`Progress`] in words, anything else as it is.
pub(crate) fn words(json: &str) -> String {
    match serde_json::from_str::<Progress>(json) {
        Ok(progress) => progress.to_string(),
        Err(_) => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_said_in_words_and_anything_else_as_it_is() {
        let kept = serde_json::to_string(&Progress::of(1, 3).saying("counting")).unwrap();
        assert_eq!(kept, r#"{"done":1,"total":3,"message":"counting"}"#);
        assert_eq!(words(&kept), "1 of 3 (33 %): counting");
        assert_eq!(words(r#"{"done":7}"#), "7 done");
        assert_eq!(words(r#"{"done":7,"of":10}"#), r#"{"done":7,"of":10}"#);
        assert_eq!(words(r#""nearly""#), r#""nearly""#);
        assert_eq!(Progress::of(0, 0).to_string(), "0 of 0");
        assert_eq!(
            Progress::of(u64::MAX, 1).to_string().split(' ').count(),
            5,
            "more than all is said as it is"
        );
    }
}
