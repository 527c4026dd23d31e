//! The plan of an intent as a drawing: its steps with their states, folded by name where there are too many to look at.

use std::collections::HashMap;

use intendant::{Graph, IntentId, StepState};
use maud::{Markup, html};

use super::layered::{Layout, Sizes, layout};
use super::place::Place;
use super::words::{stem, step_sign};

/// More steps than this are folded by their names.
const STEPS: usize = 150;
/// More boxes than this are no picture.
const BOXES: usize = 300;
const EDGES: usize = 3_000;
const SIZES: Sizes = Sizes {
    width: 164.0,
    height: 26.0,
    gap_x: 44.0,
    gap_y: 10.0,
};
const MARGIN: f64 = 8.0;
/// Letters that a box has room for.
const LETTERS: usize = 19;

/// What is drawn: a step, or several of one sort.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    name: String,
    count: usize,
    state: StepState,
}

pub(super) fn drawing(place: &Place, id: IntentId, graph: &Graph) -> Markup {
    let (nodes, edges) = match graph.steps.len() > STEPS {
        true => folded(graph),
        false => plain(graph),
    };
    if nodes.len() < 2 {
        return html! {};
    }
    if nodes.len() > BOXES || edges.len() > EDGES {
        return html! { p .muted { (graph.steps.len()) " steps of " (nodes.len()) " sorts: too many for a picture." } };
    }
    let drawn = layout(nodes.len(), &edges, SIZES);
    html! {
        div .scroll.graph tabindex="0" role="region" aria-label="Graph of the plan" { (svg(place, id, &nodes, &drawn)) }
        @if nodes.len() < graph.steps.len() { p .muted { (graph.steps.len()) " steps, folded by name." } }
    }
}

fn plain(graph: &Graph) -> (Vec<Node>, Vec<(usize, usize)>) {
    let index: HashMap<&str, usize> = graph
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| (step.name.as_str(), index))
        .collect();
    let nodes = graph.steps.iter().map(|step| Node {
        name: step.name.clone(),
        count: 1,
        state: step.state.unwrap_or(StepState::Pending),
    });
    let edges = graph.steps.iter().enumerate().flat_map(|(to, step)| {
        let from = step
            .after
            .iter()
            .filter_map(|name| index.get(name.as_str()).copied());
        from.map(move |from| (from, to)).collect::<Vec<_>>()
    });
    (nodes.collect(), edges.collect())
}

fn folded(graph: &Graph) -> (Vec<Node>, Vec<(usize, usize)>) {
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut nodes: Vec<Node> = Vec::new();
    for step in &graph.steps {
        let state = step.state.unwrap_or(StepState::Pending);
        let at = *index.entry(stem(&step.name)).or_insert(nodes.len());
        match nodes.get_mut(at) {
            Some(node) => {
                node.count += 1;
                node.state = worse(node.state, state);
            }
            None => nodes.push(Node {
                name: step.name.clone(),
                count: 1,
                state,
            }),
        }
    }
    for (stem, at) in &index {
        if nodes[*at].count > 1 {
            nodes[*at].name.clone_from(stem);
        }
    }
    let (all, edges) = plain(graph);
    let of = |step: usize| {
        index
            .get(&stem(&all[step].name))
            .copied()
            .unwrap_or_default()
    };
    let edges = edges.into_iter().map(|(from, to)| (of(from), of(to)));
    let mut edges: Vec<_> = edges.filter(|(from, to)| from != to).collect();
    edges.sort_unstable();
    edges.dedup();
    (nodes, edges)
}

/// Of several the state that says most: what has failed, then what is under way, then what has not begun.
fn worse(a: StepState, b: StepState) -> StepState {
    let weight = |state: StepState| match state {
        StepState::Failed => 6,
        StepState::Running => 5,
        StepState::Waiting => 4,
        StepState::Undone => 3,
        StepState::Pending => 2,
        StepState::Skipped => 1,
        StepState::Succeeded => 0,
    };
    if weight(b) > weight(a) { b } else { a }
}

fn svg(place: &Place, id: IntentId, nodes: &[Node], drawn: &Layout) -> Markup {
    let (width, height) = (drawn.width + 2.0 * MARGIN, drawn.height + 2.0 * MARGIN);
    html! {
        svg width=(width) height=(height) viewBox={ (-MARGIN) " " (-MARGIN) " " (width) " " (height) } role="group" aria-label="Graph of the plan" {
            @for points in &drawn.edges { path .edge d=(curve(points)) {} }
            @for (node, (x, y)) in nodes.iter().zip(&drawn.nodes) {
                @let inner = html! {
                    title { (node.name) @if node.count > 1 { " × " (node.count) } ": " (node.state) }
                    rect class={ "box b-" (node.state) } x=(x) y=(y) width=(SIZES.width) height=(SIZES.height) rx="4" {}
                    text class={ "sign t-" (node.state) } x=(x + 9.0) y=(y + 17.5) { (step_sign(node.state)) }
                    text x=(x + 25.0) y=(y + 17.5) { (label(node)) }
                };
                @if node.count == 1 { a href=(place.step(id, &node.name)) { (inner) } } @else { g { (inner) } }
            }
        }
    }
}

/// The end of a long name stays, since it tells apart.
fn label(node: &Node) -> String {
    let more = match node.count {
        1 => String::new(),
        n => format!(" × {n}"),
    };
    let letters: Vec<char> = node.name.chars().collect();
    let room = LETTERS.saturating_sub(more.chars().count());
    if letters.len() <= room {
        return format!("{}{more}", node.name);
    }
    let tail = room / 2;
    let head: String = letters[..room - tail - 1].iter().collect();
    let tail: String = letters[letters.len() - tail..].iter().collect();
    format!("{head}…{tail}{more}")
}

/// Flat where it leaves and where it comes.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let mut last: Option<(f64, f64)> = None;
    for &(x, y) in points {
        match last {
            None => path.push_str(&format!("M{x:.0} {y:.1}")),
            Some((_, from)) if (from - y).abs() < 0.5 => path.push_str(&format!("H{x:.0}")),
            Some((left, from)) => {
                let middle = (left + x) / 2.0;
                path.push_str(&format!(
                    "C{middle:.0} {from:.1} {middle:.0} {y:.1} {x:.0} {y:.1}"
                ));
            }
        }
        last = Some((x, y));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, count: usize) -> Node {
        Node {
            name: name.to_owned(),
            count,
            state: StepState::Pending,
        }
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(label(&node("boot", 1)), "boot");
        assert_eq!(
            label(&node("mConcatFit_ID0000090_long", 1)),
            "mConcatFi…0090_long"
        );
        assert_eq!(label(&node("resize[…]", 400)), "resize[…] × 400");
        assert!(label(&node(&"ü".repeat(90), 1_000)).chars().count() <= LETTERS);
    }

    #[test]
    fn of_several_states_the_one_that_matters_is_shown() {
        use StepState::{Failed, Pending, Running, Succeeded};
        assert_eq!(worse(Succeeded, Running), Running);
        assert_eq!(worse(Failed, Running), Failed);
        assert_eq!(worse(Succeeded, Pending), Pending);
    }
}
