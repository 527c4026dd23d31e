//! The plan of an intent as a drawing: its steps with their states, folded by name where there are too many to look at. On a
//! page its colours are the page's; by itself it has some of its own.

mod layered;

use std::collections::HashMap;

use intendant::{Graph, StepState};
use maud::{Markup, html};

use self::layered::{Layout, Sizes, layout};

/// More steps than this are folded by their names.
const STEPS: usize = 150;
/// More boxes than this are no picture.
const BOXES: usize = 300;
const EDGES: usize = 3_000;
const SIZES: Sizes = Sizes {
    width: 172.0,
    height: 26.0,
    gap_x: 44.0,
    gap_y: 10.0,
};
const MARGIN: f64 = 8.0;
/// Letters that a box has room for.
const LETTERS: usize = 18;

/// What is drawn: a step, or several of one sort.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    name: String,
    count: usize,
    state: StepState,
}

/// A plan, drawn.
pub(crate) struct Drawing {
    nodes: Vec<Node>,
    /// None: there are too many for a picture.
    layout: Option<Layout>,
    /// How many steps the plan has.
    pub(crate) steps: usize,
}

/// Colours for a picture that stands by itself, light or dark as its reader is.
const STYLE: &str = include_str!("alone.css");

impl Drawing {
    pub(crate) fn of(graph: &Graph) -> Self {
        let (nodes, edges) = match graph.steps.len() > STEPS {
            true => folded(graph),
            false => plain(graph),
        };
        let is_picture = nodes.len() <= BOXES && edges.len() <= EDGES;
        let layout = is_picture.then(|| layout(nodes.len(), &edges, SIZES));
        Self {
            nodes,
            layout: layout.flatten(),
            steps: graph.steps.len(),
        }
    }

    /// How many boxes there are: fewer than steps where they are folded.
    pub(crate) fn boxes(&self) -> usize {
        self.nodes.len()
    }

    /// The picture as a part of a page, where each step is a link.
    pub(crate) fn on_page(&self, link: impl Fn(&str) -> String) -> Option<Markup> {
        Some(svg(&self.nodes, self.layout.as_ref()?, Some(&link), None))
    }

    /// The picture by itself, as a file.
    pub(crate) fn alone(&self) -> Option<String> {
        let picture = svg(&self.nodes, self.layout.as_ref()?, None, Some(STYLE));
        Some(picture.into_string())
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

fn svg(
    nodes: &[Node],
    drawn: &Layout,
    link: Option<&dyn Fn(&str) -> String>,
    style: Option<&str>,
) -> Markup {
    let (width, height) = (drawn.width + 2.0 * MARGIN, drawn.height + 2.0 * MARGIN);
    let own = style.map(|_| "http://www.w3.org/2000/svg");
    html! {
        svg xmlns=[own] class=[style.map(|_| "graph")] width=(width) height=(height) viewBox={ (-MARGIN) " " (-MARGIN) " " (width) " " (height) } role="group" aria-label="Graph of the plan" {
            @if let Some(style) = style {
                style { (maud::PreEscaped(style)) }
                rect .ground x=(-MARGIN) y=(-MARGIN) width=(width) height=(height) {}
            }
            @for points in &drawn.edges { path .edge d=(curve(points)) {} }
            @for (node, (x, y)) in nodes.iter().zip(&drawn.nodes) {
                @let inner = html! {
                    title { (node.name) @if node.count > 1 { " × " (node.count) } ": " (node.state) }
                    rect class={ "box b-" (node.state) } x=(x) y=(y) width=(SIZES.width) height=(SIZES.height) rx="4" {}
                    text class={ "sign t-" (node.state) } x=(x + 9.0) y=(y + 17.5) { (step_sign(node.state)) }
                    text x=(x + 25.0) y=(y + 17.5) { (label(node)) }
                };
                @match link.filter(|_| node.count == 1) {
                    Some(link) => { a href=(link(&node.name)) { (inner) } },
                    None => { g { (inner) } },
                }
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

/// What stands for a state where there is room for one letter.
pub(crate) fn step_sign(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "○",
        StepState::Running => "▶",
        StepState::Waiting => "◔",
        StepState::Succeeded => "✓",
        StepState::Failed => "✕",
        StepState::Skipped => "»",
        StepState::Undone => "↺",
    }
}

/// A name without what tells it from its like: `resize[…]` of `resize[3]`, `project_#` of `project_17`.
pub(crate) fn stem(name: &str) -> String {
    if let Some((array, _)) = name.split_once('[') {
        return format!("{array}[…]");
    }
    let mut stem = String::new();
    for letter in name.chars() {
        match letter.is_ascii_digit() {
            false => stem.push(letter),
            true if stem.ends_with('#') => {}
            true => stem.push('#'),
        }
    }
    stem
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
            "mConcatF…0090_long"
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

    #[test]
    fn names_of_the_same_sort_have_one_stem() {
        assert_eq!(stem("resize[3]"), "resize[…]");
        assert_eq!(stem("resize[3].a[4]"), stem("resize[77]"));
        assert_eq!(stem("mProject_ID0000012"), "mProject_ID#");
        assert_eq!(stem("boot"), "boot");
    }

    #[test]
    fn a_picture_by_itself_is_whole() {
        let graph: Graph = serde_json::from_value(serde_json::json!({
            "steps": [
                {"name": "make <it>", "after": [], "state": "succeeded", "queue": null},
                {"name": "boot", "after": ["make <it>"], "state": "failed", "queue": null},
            ],
            "output": "boot",
        }))
        .unwrap();
        let picture = Drawing::of(&graph).alone().unwrap();
        assert!(
            picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""),
            "{picture}"
        );
        for part in [
            "make &lt;it&gt;",
            "b-failed",
            "<path",
            "prefers-color-scheme: dark",
        ] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
        assert!(
            !picture.contains("<a ") && !picture.contains("<it>"),
            "{picture}"
        );
    }
}
