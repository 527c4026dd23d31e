//! When what ran: a row for each step with its attempts, its waits between them, and the time before it began. Long times in
//! which nothing ran are folded, so that a step of a second can be seen beside a wait of a month.

use chrono::{DateTime, TimeDelta, Utc};
use intendant::{AttemptRecord, IntentRecord, StepRecord, StepState};
use maud::{Markup, html};

use super::place::Place;
use crate::drawing::stem;
use crate::output::words;

/// Most rows; more steps than that are folded by their names.
const ROWS: usize = 40;
/// A time in which nothing runs is folded if it is longer than this share of all in which something does.
const FOLD_SHARE: f64 = 0.25;
/// What a folded time takes, and what all of them take at most, of a hundred.
const FOLD_WIDTH: f64 = 3.0;
const FOLDS_WIDTH: f64 = 36.0;

/// What a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    InLine,
    Waited,
    FailedAttempt,
    Ran(StepState),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bar {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    sort: Sort,
    title: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    /// The step; none where it is several.
    step: Option<String>,
    bars: Vec<Bar>,
    said: String,
}

/// Times on a line of a hundred, with what is folded.
#[derive(Debug, Clone, PartialEq)]
struct Scale {
    /// From, to, where that begins and ends, and whether it is folded.
    pieces: Vec<(i64, i64, f64, f64, bool)>,
}

impl Scale {
    /// `busy` is when anything ran.
    fn new(from: i64, to: i64, mut busy: Vec<(i64, i64)>) -> Self {
        let to = to.max(from + 1);
        busy.sort_unstable();
        let (mut at, mut spans) = (from, Vec::new());
        let worked: i64 = merged(&busy).iter().map(|(from, to)| to - from).sum();
        let is_long = |span: i64| span as f64 > FOLD_SHARE * worked.max(1) as f64 && worked > 0;
        for (begin, end) in merged(&busy) {
            if is_long(begin - at) {
                spans.push((at, begin, true));
                at = begin;
            }
            spans.push((at, end.max(at), false));
            at = end.max(at);
        }
        if at < to {
            spans.push((at, to, is_long(to - at)));
        }
        let folds = spans.iter().filter(|(.., fold)| *fold).count() as f64;
        let fold_width = FOLD_WIDTH.min(FOLDS_WIDTH / folds.max(1.0));
        let open: i64 = spans
            .iter()
            .filter(|(.., fold)| !fold)
            .map(|(from, to, _)| to - from)
            .sum();
        let unit = (100.0 - folds * fold_width) / open.max(1) as f64;
        let mut x = 0.0;
        let pieces = spans.into_iter().map(|(from, to, fold)| {
            let width = if fold {
                fold_width
            } else {
                (to - from) as f64 * unit
            };
            let start = x;
            x += width;
            (from, to, start, x, fold)
        });
        Self {
            pieces: pieces.collect(),
        }
    }

    fn x(&self, time: i64) -> f64 {
        let piece = self
            .pieces
            .iter()
            .find(|(_, to, ..)| time <= *to)
            .or(self.pieces.last());
        piece.map_or(0.0, |(from, to, left, right, _)| {
            let share = (time - from) as f64 / (to - from).max(1) as f64;
            left + (right - left) * share.clamp(0.0, 1.0)
        })
    }
}

fn merged(sorted: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = Vec::new();
    for &(from, to) in sorted {
        match all.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => all.push((from, to)),
        }
    }
    all
}

pub(super) fn waterfall(
    place: &Place,
    record: &IntentRecord,
    steps: &[StepRecord],
    attempts: &[AttemptRecord],
    now: DateTime<Utc>,
) -> Markup {
    let mut rows = rows(record, steps, attempts, now);
    let begun = rows.len();
    if begun > ROWS {
        rows = folded(rows);
    }
    let more = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    if rows.is_empty() {
        return html! { p .nothing { "Nothing has run yet." } };
    }
    let us = |time: DateTime<Utc>| time.timestamp_micros();
    let bars = || rows.iter().flat_map(|row| &row.bars);
    let last = bars()
        .map(|bar| bar.to)
        .max()
        .unwrap_or(now)
        .max(record.finished_at.unwrap_or(record.requested_at));
    let busy = bars().filter(|bar| matches!(bar.sort, Sort::FailedAttempt | Sort::Ran(_)));
    let scale = Scale::new(
        us(record.requested_at),
        us(last),
        busy.map(|bar| (us(bar.from), us(bar.to))).collect(),
    );
    html! {
        div .waterfall {
            (axis(record, last, &scale))
            @for row in &rows {
                div .row {
                    span .name { @match &row.step { Some(step) => a href=(place.step(record.id, step)) { (row.name) }, None => (row.name) } }
                    svg width="100%" height="16" role="img" aria-label={ (row.name) ": " (row.said) } {
                        @for (.., left, right, fold) in &scale.pieces { @if *fold { rect .fold x=(percent(*left)) width=(percent(right - left)) height="16" {} } }
                        @for bar in &row.bars { (drawn(bar, &scale)) }
                    }
                    span .took { (row.said) }
                }
            }
        }
        @if rows.len() < begun || more > 0 {
            p .muted { (begun) " steps have begun; those of one sort are one row." @if more > 0 { " And " (more) " more sorts." } }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{share:.3}%")
}

fn drawn(bar: &Bar, scale: &Scale) -> Markup {
    let (left, right) = (
        scale.x(bar.from.timestamp_micros()),
        scale.x(bar.to.timestamp_micros()),
    );
    // What took no time at all can be seen, too.
    let (width, left) = ((right - left).max(0.4), left.min(99.6));
    let (class, y, height) = match bar.sort {
        Sort::InLine => ("w-line".to_owned(), 7, 2),
        Sort::Waited => ("w-wait".to_owned(), 7, 2),
        Sort::FailedAttempt => ("f-failed".to_owned(), 3, 10),
        Sort::Ran(state) => (format!("f-{state}"), 3, 10),
    };
    html! { rect class=(class) x=(percent(left)) y=(y) width=(percent(width)) height=(height) rx="1" { title { (bar.title) } } }
}

fn axis(record: &IntentRecord, last: DateTime<Utc>, scale: &Scale) -> Markup {
    let folds = scale.pieces.iter().filter(|(.., fold)| *fold);
    let folds: Vec<String> = folds
        .map(|(from, to, ..)| words::span(TimeDelta::microseconds(to - from)))
        .collect();
    let total = words::span(last - record.requested_at);
    html! {
        p .muted.axis {
            "From " (record.requested_at.format("%Y-%m-%d %H:%M:%S UTC")) ", " (total) " in all."
            @if !folds.is_empty() { " Folded, since nothing ran: " (folds.iter().take(6).cloned().collect::<Vec<_>>().join(", "))
                @if folds.len() > 6 { " and " (folds.len() - 6) " more" } "." }
        }
    }
}

fn rows(
    record: &IntentRecord,
    steps: &[StepRecord],
    attempts: &[AttemptRecord],
    now: DateTime<Utc>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let begun = record.started_at.or(record.finished_at).unwrap_or(now);
    if begun > record.requested_at {
        rows.push(Row {
            name: "in line".to_owned(),
            step: None,
            said: words::span(begun - record.requested_at),
            bars: vec![Bar {
                from: record.requested_at,
                to: begun,
                sort: Sort::InLine,
                title: format!(
                    "waited to start for {}",
                    words::span(begun - record.requested_at)
                ),
            }],
        });
    }
    let first = rows.len();
    for step in steps {
        let row = row(step, attempts, record.finished_at.unwrap_or(now));
        rows.extend(row);
    }
    if let Some(rows) = rows.get_mut(first..) {
        rows.sort_by_key(|row| row.bars.first().map(|bar| bar.from));
    }
    rows
}

/// The row of a step that has begun: attempts that failed, waits between them, and what runs or has run last.
fn row(step: &StepRecord, attempts: &[AttemptRecord], until: DateTime<Utc>) -> Option<Row> {
    let failed = attempts
        .iter()
        .filter(|attempt| attempt.step == step.name && attempt.generation == step.generation);
    let mut bars: Vec<Bar> = Vec::new();
    for attempt in failed {
        wait_before(&mut bars, attempt.started_at);
        bars.push(Bar {
            from: attempt.started_at,
            to: attempt.finished_at.max(attempt.started_at),
            sort: Sort::FailedAttempt,
            title: format!(
                "attempt {} failed after {}: {}",
                attempt.attempt,
                words::span(attempt.finished_at - attempt.started_at),
                super::words::line(&attempt.error)
            ),
        });
    }
    let is_told = |from: &DateTime<Utc>| {
        bars.iter()
            .any(|bar| bar.sort == Sort::FailedAttempt && bar.from == *from)
    };
    if let Some(from) = step.started_at.filter(|from| !is_told(from)) {
        let to = step.finished_at.unwrap_or(until).max(from);
        wait_before(&mut bars, from);
        bars.push(Bar {
            from,
            to,
            sort: Sort::Ran(step.state),
            title: format!(
                "attempt {} {} after {}",
                step.attempt,
                step.state,
                words::span(to - from)
            ),
        });
    }
    if let (Some(due), StepState::Waiting) = (step.due_at, step.state) {
        wait_before(&mut bars, due.min(until));
    }
    let (from, to) = (bars.first()?.from, bars.last()?.to);
    let tries = bars.iter().filter(|bar| bar.sort != Sort::Waited).count();
    let said = match tries {
        0 | 1 => words::span(to - from),
        n => format!("{}, {n} attempts", words::span(to - from)),
    };
    Some(Row {
        name: step.name.clone(),
        step: Some(step.name.clone()),
        bars,
        said,
    })
}

fn wait_before(bars: &mut Vec<Bar>, at: DateTime<Utc>) {
    let Some(last) = bars.last().map(|bar| bar.to).filter(|to| *to < at) else {
        return;
    };
    bars.push(Bar {
        from: last,
        to: at,
        sort: Sort::Waited,
        title: format!("waited for {}", words::span(at - last)),
    });
}

/// One row for all steps whose names have the same stem.
fn folded(rows: Vec<Row>) -> Vec<Row> {
    let mut all: Vec<(String, usize, Row)> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for row in rows {
        let stem = stem(&row.name);
        let at = *index.entry(stem.clone()).or_insert(all.len());
        match all.get_mut(at) {
            Some((_, count, first)) => {
                *count += 1;
                first.bars.extend(row.bars);
            }
            None => all.push((stem, 1, row)),
        }
    }
    let rows = all.into_iter().map(|(stem, count, mut row)| {
        if count > 1 {
            let spans = |bars: &[Bar]| {
                Some((
                    bars.iter().map(|bar| bar.from).min()?,
                    bars.iter().map(|bar| bar.to).max()?,
                ))
            };
            let span = spans(&row.bars).map(|(from, to)| words::span(to - from));
            row.said = format!("{count} steps, {}", span.unwrap_or_default());
            row.name = stem;
            row.step = None;
            row.bars.truncate(BARS);
        }
        row
    });
    rows.collect()
}

/// Most bars of one row.
const BARS: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_for_long_is_folded_and_order_is_kept() {
        let scale = Scale::new(
            0,
            10_000,
            vec![(0, 100), (5_000, 5_100), (5_100, 5_200), (5_210, 5_300)],
        );
        let folds: Vec<_> = scale
            .pieces
            .iter()
            .filter(|(.., fold)| *fold)
            .map(|piece| (piece.0, piece.1))
            .collect();
        assert_eq!(folds, [(100, 5_000), (5_300, 10_000)]);
        let places: Vec<f64> = (0..=10_000).step_by(50).map(|time| scale.x(time)).collect();
        assert!(
            places.windows(2).all(|pair| pair[0] <= pair[1]),
            "{places:?}"
        );
        assert_eq!((places[0], *places.last().unwrap()), (0.0, 100.0));
        assert!(scale.x(100) > 20.0, "{scale:?}");
    }

    #[test]
    fn a_scale_has_room_for_nothing_and_for_much() {
        assert_eq!(Scale::new(5, 5, Vec::new()).x(5), 0.0);
        let many: Vec<_> = (0..1_000)
            .map(|n| (n * 1_000_000, n * 1_000_000 + 1))
            .collect();
        let scale = Scale::new(0, 1_000_000_000, many);
        assert!(
            scale
                .pieces
                .iter()
                .all(|(.., left, right, _)| left <= right && *right <= 100.001)
        );
        assert!(
            scale
                .pieces
                .iter()
                .filter(|(.., fold)| *fold)
                .map(|piece| piece.3 - piece.2)
                .sum::<f64>()
                < FOLDS_WIDTH + 0.01
        );
    }

    #[test]
    fn spans_that_touch_are_one() {
        assert_eq!(merged(&[(0, 2), (1, 5), (5, 6), (8, 9)]), [(0, 6), (8, 9)]);
    }
}
