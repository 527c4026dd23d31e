//! What a verb would do to the steps of an intent, before it is done: a pure function of the plan's shape and of where the
//! steps are.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Verb;
use crate::plan::{Shape, undo_name};
use crate::state::StepState;

/// What a verb would do: see [`Intendant::preview`](crate::Intendant::preview). Steps are named in the order of the plan;
/// a map stands for its elements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Preview {
    /// Steps that would be taken back, the last one first.
    pub takes_back: Vec<String>,
    /// Steps that would run, again or for the first time.
    pub runs: Vec<String>,
    /// Steps whose results would be kept.
    pub keeps: Vec<String>,
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |steps: &[String]| match steps {
            [] => "nothing".to_owned(),
            steps => steps.join(", "),
        };
        if !self.takes_back.is_empty() {
            write!(f, "takes back {}; ", list(&self.takes_back))?;
        }
        write!(f, "runs {}; keeps {}", list(&self.runs), list(&self.keeps))
    }
}

/// `states`: of the steps that have something to say, by name, in their last generation.
pub(super) fn preview(shape: &Shape, states: &HashMap<String, StepState>, verb: &Verb) -> Preview {
    let state = |step: usize| {
        let name = &*shape.steps[step].name;
        states.get(name).copied().unwrap_or(StepState::Pending)
    };
    let element = |step: usize| format!("{}[", shape.steps[step].name);
    let began = |step: usize| {
        let element = element(step);
        state(step) != StepState::Pending || states.keys().any(|name| name.starts_with(&element))
    };
    let all: Vec<String> = shape
        .steps
        .iter()
        .map(|step| step.name.to_string())
        .collect();
    let with_dependents = |from: &[String]| -> Vec<bool> {
        let found = shape.with_dependents(from);
        all.iter().map(|name| found.contains(name)).collect()
    };
    let undone = (0..all.len()).filter(|&step| {
        let element = element(step);
        let of_it = states.iter().filter(|(name, _)| name.starts_with(&element));
        let mut of_it = of_it.map(|(_, state)| *state);
        state(step) == StepState::Undone || of_it.any(|state| state == StepState::Undone)
    });
    let undone: Vec<String> = undone.map(|step| all[step].clone()).collect();
    let nothing = vec![false; all.len()];
    let (again, taken_back) = match verb {
        Verb::Rerun => (vec![true; all.len()], nothing),
        Verb::RerunFrom { step } => {
            let from = with_dependents(std::slice::from_ref(step));
            let more = with_dependents(&undone);
            let again = from.iter().zip(&more).map(|(a, b)| *a || *b);
            (again.collect(), from)
        }
        Verb::Resume => (with_dependents(&undone), nothing),
        Verb::Undo | Verb::Cancel => (nothing, vec![true; all.len()]),
        Verb::Discard | Verb::Retry { .. } | Verb::Skip { .. } | Verb::Amend { .. } => {
            (nothing.clone(), nothing)
        }
    };
    let goes_on = match verb {
        Verb::Undo | Verb::Cancel | Verb::Discard | Verb::Amend { .. } => false,
        Verb::Resume | Verb::Rerun | Verb::RerunFrom { .. } => true,
        Verb::Retry { .. } | Verb::Skip { .. } => true,
    };
    let skipped =
        |step: usize| matches!(verb, Verb::Skip { step: skipped, .. } if *skipped == all[step]);
    let mut preview = Preview::default();
    for (step, name) in all.iter().enumerate() {
        let is_done = matches!(state(step), StepState::Succeeded | StepState::Skipped);
        let has_undone = states.get(&*undo_name(name)) == Some(&StepState::Skipped);
        let undo = shape.steps[step].undo && state(step) != StepState::Undone && !has_undone;
        if taken_back[step] && undo && began(step) {
            preview.takes_back.insert(0, name.clone());
        }
        if goes_on && (again[step] || !(is_done || skipped(step))) {
            preview.runs.push(name.clone());
        } else if is_done || skipped(step) {
            preview.keeps.push(name.clone());
        }
    }
    preview
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    /// A diamond a → (b, c) → d, of which b and d can be taken back; a letter a step: `p`ending, `s`ucceeded, `f`ailed,
    /// `u`ndone.
    fn check(states: &str, verb: Verb, expected: Expect) {
        let shape: Shape = serde_json::from_value(json!({"steps": [
            {"name": "a"}, {"name": "b", "after": [0], "undo": true}, {"name": "c", "after": [0]},
            {"name": "d", "after": [1, 2], "undo": true}
        ], "output": 3}))
        .unwrap();
        let state = |letter| match letter {
            's' => Some(StepState::Succeeded),
            'f' => Some(StepState::Failed),
            'u' => Some(StepState::Undone),
            _ => None,
        };
        let states = ["a", "b", "c", "d"].into_iter().zip(states.chars());
        let states = states.filter_map(|(name, letter)| Some((name.to_owned(), state(letter)?)));
        expected.assert_eq(&preview(&shape, &states.collect(), &verb).to_string());
    }

    fn from(step: &str) -> Verb {
        let step = step.to_owned();
        Verb::RerunFrom { step }
    }

    #[test]
    fn a_resume_runs_what_has_failed_and_what_comes_after_it() {
        check("ssfp", Verb::Resume, expect!["runs c, d; keeps a, b"]);
        check("sufp", Verb::Resume, expect!["runs b, c, d; keeps a"]);
        check("sssf", Verb::Resume, expect!["runs d; keeps a, b, c"]);
    }

    #[test]
    fn a_rerun_takes_back_what_depends_on_the_step_and_runs_it_again() {
        check(
            "sssf",
            from("b"),
            expect!["takes back d, b; runs b, d; keeps a, c"],
        );
        check("ssfp", from("c"), expect!["runs c, d; keeps a, b"]);
        check(
            "ssss",
            Verb::Rerun,
            expect!["runs a, b, c, d; keeps nothing"],
        );
    }

    #[test]
    fn taking_back_runs_nothing_and_giving_up_does_not_even_that() {
        check(
            "ssfp",
            Verb::Undo,
            expect!["takes back b; runs nothing; keeps a, b"],
        );
        check("ssfp", Verb::Discard, expect!["runs nothing; keeps a, b"]);
    }

    #[test]
    fn a_skipped_step_counts_as_done() {
        let skip = Verb::Skip {
            step: "c".to_owned(),
            output: json!(1),
        };
        check("ssfp", skip, expect!["runs d; keeps a, b, c"]);
    }
}
