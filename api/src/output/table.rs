//! Tables: one line a row, no rules. On a terminal they fit its width; elsewhere nothing is cut, so that what is piped
//! into a file or another program is whole.

use std::collections::HashSet;

use console::{Term, measure_text_width, truncate_str};

/// Between two columns.
const GAP: usize = 2;

/// Where an id may end on a terminal: after its time, which is mostly enough, or after a later group. Commands take
/// what is shown.
const ID_ENDS: [usize; 3] = [13, 18, 23];

/// What happens to a column when there is not enough room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Shown whole.
    Whole,
    /// An id: shown as much as tells the rows apart.
    Id,
    /// Cut, but not below this width while there is something to leave out.
    Cut(usize),
    /// Left out, the highest number first.
    Optional(u8),
}

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct Column {
    fit: Fit,
    /// The header, then a cell for each row.
    cells: Vec<String>,
    width: usize,
}

impl Column {
    fn measure(&mut self) {
        let widths = self.cells.iter().map(|cell| measure_text_width(cell));
        self.width = widths.max().unwrap_or_default();
    }

    /// What it takes at least.
    fn least(&self) -> usize {
        match self.fit {
            Fit::Cut(least) => self.width.min(least),
            Fit::Whole | Fit::Id | Fit::Optional(_) => self.width,
        }
    }
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [(&str, Fit); N]) -> Self {
        let column = |(name, fit): (&str, Fit)| Column {
            fit,
            cells: vec![name.to_owned()],
            width: 0,
        };
        Self {
            columns: columns.into_iter().map(column).collect(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.cells.push(super::words::one_line(&cell));
        }
    }

    /// Prints it on stdout; nothing if it has no rows.
    pub(crate) fn print(self) {
        let text = self.render(width_of_stdout());
        print!("{text}");
    }

    /// The lines, no wider than that.
    pub(crate) fn render(mut self, width: Option<usize>) -> String {
        let rows = self
            .columns
            .first()
            .map_or(0, |column| column.cells.len() - 1);
        if rows == 0 {
            return String::new();
        }
        for column in &mut self.columns {
            column.measure();
        }
        if let Some(width) = width {
            self.fit(width);
        }
        let mut text = String::new();
        for line in 0..=rows {
            let mut row = String::new();
            for column in &self.columns {
                let cell = truncate_str(&column.cells[line], column.width, "…");
                row.push_str(&cell);
                let space = column.width + GAP - measure_text_width(&cell);
                row.extend(std::iter::repeat_n(' ', space));
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }

    fn fit(&mut self, width: usize) {
        if self.total(|column| column.width) <= width {
            return;
        }
        for column in &mut self.columns {
            if column.fit == Fit::Id {
                shorten_ids(&mut column.cells);
                column.measure();
            }
        }
        while self.total(Column::least) > width {
            let rank = |column: &Column| match column.fit {
                Fit::Optional(rank) => Some(rank),
                Fit::Whole | Fit::Id | Fit::Cut(_) => None,
            };
            let Some(highest) = self.columns.iter().filter_map(rank).max() else {
                break;
            };
            self.columns.retain(|column| rank(column) != Some(highest));
        }
        while self.total(|column| column.width) > width {
            let spare = |column: &Column| column.width - column.least();
            let widest = |columns: &mut dyn Iterator<Item = (usize, &Column)>| {
                columns
                    .max_by_key(|(_, column)| column.width)
                    .map(|(index, _)| index)
            };
            let all = || self.columns.iter().enumerate();
            // Ids come last: half of one names nothing.
            let other = |column: &Column| column.width > 4 && column.fit != Fit::Id;
            let found = widest(&mut all().filter(|(_, column)| spare(column) > 0))
                .or_else(|| widest(&mut all().filter(|(_, column)| other(column))))
                .or_else(|| widest(&mut all().filter(|(_, column)| column.width > 1)));
            let Some(index) = found else { return };
            self.columns[index].width -= 1;
        }
    }

    fn total(&self, of: impl Fn(&Column) -> usize) -> usize {
        let widths: usize = self.columns.iter().map(of).sum();
        widths + GAP * self.columns.len().saturating_sub(1)
    }
}

/// Cuts ids, below their header, where they still differ.
fn shorten_ids(cells: &mut [String]) {
    let Some((_, ids)) = cells.split_first_mut() else {
        return;
    };
    let differ = |end: &usize| {
        let mut seen = HashSet::new();
        ids.iter().all(|id| seen.insert(id.get(..*end)))
    };
    if let Some(end) = ID_ENDS.into_iter().find(differ) {
        for id in ids {
            id.truncate(end);
        }
    }
}

/// How wide the terminal is; none where stdout is none.
pub(crate) fn width_of_stdout() -> Option<usize> {
    let terminal = Term::stdout();
    if !terminal.is_term() {
        return None;
    }
    // A terminal that does not know its size says 0.
    let width = terminal
        .size_checked()
        .map(|(_, columns)| usize::from(columns));
    Some(width.filter(|width| *width > 0).unwrap_or(80))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            ("id", Fit::Id),
            ("kind", Fit::Whole),
            ("account", Fit::Optional(1)),
            ("took", Fit::Optional(2)),
            ("what", Fit::Cut(20)),
        ]);
        for (id, what) in [
            ("01a1fc69-13b4-707e-a561-8c74fa9b8535", "done"),
            (
                "01a1fc69-13b4-7fff-a561-8c74fa9b8535",
                "failed in `volume`:\n the disk of the snapshot is full, 12 bytes are left",
            ),
        ] {
            table.row([id, "replica.add", "åda", "31 ms", what].map(str::to_owned));
        }
        table
    }

    #[test]
    fn nothing_is_cut_where_there_is_no_terminal() {
        let text = table().render(None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].starts_with("01a1fc69-13b4-7fff-a561-8c74fa9b8535  replica.add  åda"));
        assert!(lines[2].ends_with("12 bytes are left"));
    }

    #[test]
    fn a_table_fits_its_terminal() {
        for width in 16..200 {
            let text = table().render(Some(width));
            assert_eq!(text.lines().count(), 3);
            let widest = text.lines().map(measure_text_width).max();
            assert!(widest <= Some(width), "{width}:\n{text}");
        }
    }

    #[test]
    fn ids_are_shortened_first_then_columns_left_out_then_texts_cut() {
        let at = |width| {
            let text = table().render(Some(width));
            text.lines().nth(2).unwrap_or_default().to_owned()
        };
        assert_eq!(
            at(80),
            "01a1fc69-13b4-7fff  replica.add  åda      31 ms  failed in `volume`:  the disk …"
        );
        assert_eq!(
            at(60),
            "01a1fc69-13b4-7fff  replica.add  failed in `volume`:  the d…"
        );
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(Table::new([("id", Fit::Id)]).render(None), "");
    }
}
