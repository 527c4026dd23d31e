//! A plan as people and drawing programs see it: text, DOT and Mermaid.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Shape;
use crate::state::StepState;

/// The DAG of a plan, in the order in which its steps were added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Graph {
    /// Its steps.
    pub steps: Vec<GraphStep>,
    /// The step whose output is the intent's.
    pub output: String,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct GraphStep {
    /// Its name.
    pub name: String,
    /// The steps that it comes after.
    pub after: Vec<String>,
    /// Where it is, of an intent's plan; none in a dry run.
    pub state: Option<StepState>,
    /// The queue in which it runs; none where it runs with its intent.
    pub queue: Option<String>,
}

impl Graph {
    pub(crate) fn of(shape: &Shape, state: impl Fn(&str) -> Option<StepState>) -> Self {
        let name = |index: u32| {
            let step = shape.steps.get(index as usize);
            step.map_or_else(String::new, |step| step.name.to_string())
        };
        let steps = shape.steps.iter().map(|step| GraphStep {
            name: step.name.to_string(),
            after: step.after.iter().map(|index| name(*index)).collect(),
            state: state(&step.name),
            queue: step.queue.as_ref().map(ToString::to_string),
        });
        Self {
            steps: steps.collect(),
            output: name(shape.output),
        }
    }

    /// One step a line, with what it comes after.
    pub fn text(&self) -> String {
        let names = self.steps.iter().map(|step| step.name.chars().count());
        let width = names.max().unwrap_or_default();
        let mut text = String::new();
        for step in &self.steps {
            let mut line = format!("{:<width$}", step.name);
            if let Some(state) = step.state {
                // The longest state has nine letters. Writing to a `String` cannot fail.
                let _ = write!(line, "  {state:<9}");
            }
            if let Some(queue) = &step.queue {
                let _ = write!(line, "  in queue {queue}");
            }
            if !step.after.is_empty() {
                let _ = write!(line, "  after {}", step.after.join(", "));
            }
            if step.name == self.output {
                line.push_str("  (its output is the intent's)");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For Graphviz: `dot -Tsvg`.
    pub fn dot(&self) -> String {
        let quoted = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
        let mut dot = "digraph plan {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
        for step in &self.steps {
            let name = quoted(&step.name);
            let state = step
                .state
                .map_or_else(String::new, |state| format!("\\n{state}"));
            let queue = step.queue.as_deref();
            let queue = queue.map_or_else(String::new, |queue| {
                format!("\\nin queue {}", quoted(queue))
            });
            let shape = if step.name == self.output {
                ", peripheries=2"
            } else {
                ""
            };
            let _ = writeln!(dot, "  \"{name}\" [label=\"{name}{queue}{state}\"{shape}];");
        }
        for step in &self.steps {
            for before in &step.after {
                let _ = writeln!(
                    dot,
                    "  \"{}\" -> \"{}\";",
                    quoted(before),
                    quoted(&step.name)
                );
            }
        }
        dot.push_str("}\n");
        dot
    }

    /// For Mermaid, as Markdown renderers take it.
    pub fn mermaid(&self) -> String {
        let index = |name: &str| self.steps.iter().position(|step| step.name == name);
        let mut mermaid = "flowchart LR\n".to_owned();
        for (number, step) in self.steps.iter().enumerate() {
            let name = entities(&step.name);
            let state = step
                .state
                .map_or_else(String::new, |state| format!("<br>{state}"));
            let queue = step.queue.as_deref();
            let queue = queue.map_or_else(String::new, |queue| {
                format!("<br>in queue {}", entities(queue))
            });
            let (open, close) = if step.name == self.output {
                ("([", "])")
            } else {
                ("[", "]")
            };
            let _ = writeln!(mermaid, "  s{number}{open}\"{name}{queue}{state}\"{close}");
        }
        for (number, step) in self.steps.iter().enumerate() {
            for before in step.after.iter().filter_map(|name| index(name)) {
                let _ = writeln!(mermaid, "  s{before} --> s{number}");
            }
        }
        mermaid
    }
}

/// A name is only text: Mermaid's own entity codes for what would end a label or begin a tag.
fn entities(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' => {
                let _ = write!(text, "#{};", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    fn diamond() -> Shape {
        serde_json::from_value(json!({"steps": [
            {"name": "a"}, {"name": "say \"b\"", "after": [0]}, {"name": "c", "after": [0]},
            {"name": "d", "after": [1, 2]}
        ], "output": 3}))
        .unwrap()
    }

    #[test]
    fn a_plan_is_drawn_as_text_dot_and_mermaid() {
        let graph = Graph::of(&diamond(), |_| None);
        expect![[r#"
            a
            say "b"  after a
            c        after a
            d        after say "b", c  (its output is the intent's)
        "#]]
        .assert_eq(&graph.text());
        expect![[r#"
            digraph plan {
              rankdir=LR;
              node [shape=box];
              "a" [label="a"];
              "say \"b\"" [label="say \"b\""];
              "c" [label="c"];
              "d" [label="d", peripheries=2];
              "a" -> "say \"b\"";
              "a" -> "c";
              "say \"b\"" -> "d";
              "c" -> "d";
            }
        "#]]
        .assert_eq(&graph.dot());
        expect![[r#"
            flowchart LR
              s0["a"]
              s1["say #34;b#34;"]
              s2["c"]
              s3(["d"])
              s0 --> s1
              s0 --> s2
              s1 --> s3
              s2 --> s3
        "#]]
        .assert_eq(&graph.mermaid());
    }

    #[test]
    fn a_step_of_another_queue_is_drawn_with_it() {
        let shape: Shape = serde_json::from_value(json!({"steps": [
            {"name": "a"}, {"name": "b", "after": [0], "queue": "net\"work"}
        ], "output": 1}))
        .unwrap();
        let graph = Graph::of(&shape, |_| None);
        expect![[r#"
            a
            b  in queue net"work  after a  (its output is the intent's)
        "#]]
        .assert_eq(&graph.text());
        assert!(
            graph
                .dot()
                .contains(r#"[label="b\nin queue net\"work", peripheries=2];"#)
        );
        assert!(
            graph
                .mermaid()
                .contains(r#"s1(["b<br>in queue net#34;work"])"#)
        );
    }

    #[test]
    fn a_plan_of_an_intent_shows_where_its_steps_are() {
        let state = |name: &str| match name {
            "a" => Some(StepState::Succeeded),
            _ => Some(StepState::Pending),
        };
        let graph = Graph::of(&diamond(), state);
        assert!(
            graph
                .text()
                .starts_with("a        succeeded\nsay \"b\"  pending    after a\n")
        );
        assert!(graph.dot().contains(r#""a" [label="a\nsucceeded"];"#));
        assert!(graph.mermaid().contains(r#"s0["a<br>succeeded"]"#));
    }
}
