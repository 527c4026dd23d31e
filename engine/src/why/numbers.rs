//! Numbers in words.

use std::fmt::{self, Display, Formatter};

use super::Tally;

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.more {
            f.write_str("more than ")?;
        }
        thousands(f, self.count)
    }
}

fn thousands(f: &mut Formatter<'_>, number: u64) -> fmt::Result {
    match number {
        0..=999 => write!(f, "{number}"),
        _ => {
            thousands(f, number / 1_000)?;
            write!(f, ",{:03}", number % 1_000)
        }
    }
}

/// `1st`, `2nd`; `behind more than 1,000` where it was not counted further.
pub(super) struct Ordinal(pub(super) Tally);

impl Display for Ordinal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Tally { count, more } = self.0;
        if more {
            f.write_str("behind more than ")?;
            return thousands(f, count.saturating_sub(1));
        }
        thousands(f, count)?;
        f.write_str(match (count % 10, count % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        })
    }
}

/// A number of things, by their name in the singular.
pub(super) fn of(number: u64, name: &str) -> String {
    match number {
        1 => format!("1 {name}"),
        _ => format!("{number} {name}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_place_in_line_is_an_ordinal() {
        let told = |count, more| Ordinal(Tally { count, more }).to_string();
        let places = [1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111, 1_000];
        let places = places.map(|count| told(count, false)).join(" ");
        expect!["1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 103rd 111th 1,000th"].assert_eq(&places);
        assert_eq!(told(1_001, true), "behind more than 1,000");
    }
}
