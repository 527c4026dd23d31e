//! What is seen while an intent is carried out: a line per step that moves on a terminal, a line per change elsewhere.
//!
//! All of it is on stderr. Where stdout is a terminal too, the lines that move are taken away at the end, since the
//! intent's record, which says the same, comes in their place.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use intendant::{Intendant, IntentId, IntentRecord, StepRecord, StepState};

use crate::output::words;

/// How often the records are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Where progress is shown; a handle, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Screen {
    lines: MultiProgress,
}

impl Screen {
    /// Does something that writes to stderr, while nothing else moves there.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.lines.suspend(work)
    }
}

/// Watches an intent until it is at rest.
pub(crate) async fn watch(
    intendant: &Intendant,
    id: IntentId,
    steps: &[&'static str],
    screen: &Screen,
) -> Result<IntentRecord> {
    let mut display = Display::new(steps, screen)?;
    loop {
        // The intent first: when it is at rest, so are its steps.
        let record = intendant.get(id).await?;
        display.show(&intendant.steps(id).await?);
        if record.state.is_finished() {
            display.end();
            return Ok(record);
        }
        tokio::time::sleep(LOOK).await;
    }
}

enum Display {
    Terminal {
        bars: Vec<(&'static str, ProgressBar)>,
    },
    Lines {
        seen: HashMap<String, String>,
    },
}

impl Display {
    fn new(steps: &[&'static str], screen: &Screen) -> Result<Self> {
        if !std::io::stderr().is_terminal() {
            return Ok(Self::Lines {
                seen: HashMap::new(),
            });
        }
        let style = ProgressStyle::with_template("  {spinner} {prefix:16} {wide_msg}")?
            .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏·");
        let mut bars = Vec::with_capacity(steps.len());
        for step in steps {
            let bar = screen.lines.add(
                ProgressBar::new_spinner()
                    .with_style(style.clone())
                    .with_prefix(*step),
            );
            bar.set_message(StepState::Pending.as_str());
            bars.push((*step, bar));
        }
        Ok(Self::Terminal { bars })
    }

    fn show(&mut self, steps: &[StepRecord]) {
        for step in steps {
            let says = says(step);
            match self {
                Self::Terminal { bars } => {
                    let Some((_, bar)) = bars.iter().find(|(name, _)| *name == step.name) else {
                        continue;
                    };
                    bar.set_message(says);
                    bar.tick();
                }
                Self::Lines { seen } => {
                    if seen.get(&step.name) != Some(&says) {
                        eprintln!("  {:16} {says}", step.name);
                        seen.insert(step.name.clone(), says);
                    }
                }
            }
        }
    }

    fn end(self) {
        let Self::Terminal { bars } = self else {
            return;
        };
        let record_follows = std::io::stdout().is_terminal();
        for (_, bar) in &bars {
            if record_follows {
                bar.finish_and_clear();
            } else {
                bar.abandon();
            }
        }
        if !record_follows {
            eprintln!();
        }
    }
}

fn says(step: &StepRecord) -> String {
    let took = words::between(step.started_at, step.finished_at).unwrap_or_default();
    let error = words::one_line(step.error.as_deref().unwrap_or_default());
    match step.state {
        StepState::Succeeded => format!("{} in {took}", step.state),
        StepState::Failed => format!("{} in {took}: {error}", step.state),
        StepState::Waiting if step.error.is_some() => {
            format!("{}, to be tried again: {error}", step.state)
        }
        StepState::Pending
        | StepState::Running
        | StepState::Waiting
        | StepState::Skipped
        | StepState::Undone => step.state.to_string(),
    }
}
