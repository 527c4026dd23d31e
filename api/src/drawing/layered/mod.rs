//! The layout of a graph in layers, from left to right (Sugiyama's way): a layer for each node, places for long edges to go
//! through, few crossings, and neighbours at about the same height.
//!
//! Crossings: the median of its neighbours decides a node's place, sweep after sweep, and the best order is kept (Eades and
//! Wormald 1994); then neighbours are swapped while that helps. Heights: each layer in turn goes to the mean of its neighbours',
//! as near as the order and the distances allow, which is a regression with one minimum (pool adjacent violators). Crates that
//! make layers give no places for the edges, which then go through boxes.

mod heights;
mod order;

use std::collections::{HashMap, HashSet};

/// How large things are, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) gap_x: f64,
    pub(super) gap_y: f64,
}

/// Where things are: the left upper corner of each node, and the points of each edge.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) nodes: Vec<(f64, f64)>,
    pub(super) edges: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The graph with places for its long edges.
struct Layers {
    /// Of every node and place.
    layer: Vec<usize>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    /// The nodes and places of each layer, from above.
    order: Vec<Vec<usize>>,
    real: usize,
}

/// Most places of long edges: the sweeps go through all of them, and beyond that it is no picture.
const PLACES: usize = 4_000;

/// Lays out nodes that are named by numbers; not if there are too many long edges. An edge that closes a circle is drawn, and
/// has no say in the layers.
pub(super) fn layout(nodes: usize, edges: &[(usize, usize)], sizes: Sizes) -> Option<Layout> {
    if nodes == 0 {
        return Some(Layout::default());
    }
    let forward = without_circles(nodes, edges);
    let ranks = ranks(nodes, &forward);
    let places = forward
        .iter()
        .map(|(from, to)| ranks[*to] - ranks[*from] - 1);
    if places.sum::<usize>() > PLACES {
        return None;
    }
    let (mut layers, ways) = Layers::new(&ranks, &forward);
    layers.uncross();
    let y = layers.heights(sizes);
    let x = |node: usize| layers.layer[node] as f64 * (sizes.width + sizes.gap_x);
    let middle = sizes.height / 2.0;
    let line = |edge: &(usize, usize)| {
        let way = ways.get(edge).map(Vec::as_slice).unwrap_or_default();
        let (from, to) = *edge;
        let mut points = vec![(x(from) + sizes.width, y[from] + middle)];
        for &place in way {
            points.push((x(place), y[place] + middle));
            points.push((x(place) + sizes.width, y[place] + middle));
        }
        points.push((x(to), y[to] + middle));
        points
    };
    let columns = layers.order.len() as f64;
    Some(Layout {
        nodes: (0..nodes).map(|node| (x(node), y[node])).collect(),
        edges: edges.iter().map(line).collect(),
        width: columns * sizes.width + (columns - 1.0) * sizes.gap_x,
        height: y.iter().copied().fold(0.0, f64::max) + sizes.height,
    })
}

/// The edges without those that lead back to where one came from, going along them depth first.
fn without_circles(nodes: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut after = vec![Vec::new(); nodes];
    for &(from, to) in edges {
        after[from].push(to);
    }
    // 0: not seen, 1: on the way, 2: done.
    let mut seen = vec![0_u8; nodes];
    let mut back = HashSet::new();
    for start in 0..nodes {
        let mut way = vec![(start, 0)];
        if seen[start] != 0 {
            continue;
        }
        seen[start] = 1;
        while let Some((node, next)) = way.last_mut() {
            let node = *node;
            let Some(&to) = after[node].get(*next) else {
                seen[node] = 2;
                way.pop();
                continue;
            };
            *next += 1;
            match seen[to] {
                0 => {
                    seen[to] = 1;
                    way.push((to, 0));
                }
                1 => {
                    back.insert((node, to));
                }
                _ => {}
            }
        }
    }
    edges
        .iter()
        .copied()
        .filter(|edge| !back.contains(edge))
        .collect()
}

/// The layer of each: one behind the last of those before it; who has nobody before it stands close to who comes next.
fn ranks(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let (mut rank, mut missing) = (vec![0; nodes], vec![0; nodes]);
    let (mut after, mut before) = (vec![Vec::new(); nodes], vec![0; nodes]);
    for &(from, to) in edges {
        after[from].push(to);
        missing[to] += 1;
        before[to] += 1;
    }
    let mut ready: Vec<usize> = (0..nodes).filter(|node| missing[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for &to in &after[node] {
            rank[to] = rank[to].max(rank[node] + 1);
            missing[to] -= 1;
            if missing[to] == 0 {
                ready.push(to);
            }
        }
    }
    for node in 0..nodes {
        let next = after[node].iter().map(|to| rank[*to]).min();
        if let (0, Some(next)) = (before[node], next) {
            rank[node] = next - 1;
        }
    }
    rank
}

/// The places that a long edge goes through.
type Ways = HashMap<(usize, usize), Vec<usize>>;

impl Layers {
    fn new(ranks: &[usize], edges: &[(usize, usize)]) -> (Self, Ways) {
        let real = ranks.len();
        let mut layers = Self {
            layer: ranks.to_vec(),
            before: vec![Vec::new(); real],
            after: vec![Vec::new(); real],
            order: Vec::new(),
            real,
        };
        let mut ways = Ways::new();
        for &(from, to) in edges {
            let (mut last, mut way) = (from, Vec::new());
            for layer in ranks[from] + 1..ranks[to] {
                let place = layers.layer.len();
                layers.layer.push(layer);
                layers.before.push(Vec::new());
                layers.after.push(Vec::new());
                layers.join(last, place);
                way.push(place);
                last = place;
            }
            layers.join(last, to);
            ways.insert((from, to), way);
        }
        let count = layers.layer.iter().max().map_or(0, |last| last + 1);
        layers.order = vec![Vec::new(); count];
        layers.first_order();
        (layers, ways)
    }

    fn join(&mut self, from: usize, to: usize) {
        self.after[from].push(to);
        self.before[to].push(from);
    }

    /// Depth first, so that what hangs together stands together.
    fn first_order(&mut self) {
        let mut seen = vec![false; self.layer.len()];
        let starts = (0..self.layer.len()).filter(|node| self.before[*node].is_empty());
        let mut stack: Vec<usize> = starts.collect();
        stack.reverse();
        while let Some(node) = stack.pop() {
            if std::mem::replace(&mut seen[node], true) {
                continue;
            }
            self.order[self.layer[node]].push(node);
            stack.extend(self.after[node].iter().rev());
        }
    }

    fn places(&self) -> Vec<usize> {
        let mut places = vec![0; self.layer.len()];
        for layer in &self.order {
            for (place, &node) in layer.iter().enumerate() {
                places[node] = place;
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        width: 100.0,
        height: 20.0,
        gap_x: 40.0,
        gap_y: 10.0,
    };

    fn crossings(nodes: usize, edges: &[(usize, usize)]) -> usize {
        let forward = without_circles(nodes, edges);
        let (mut layers, _) = Layers::new(&ranks(nodes, &forward), &forward);
        layers.uncross();
        layers.crossings()
    }

    #[test]
    fn what_can_be_drawn_without_crossings_is() {
        // A tree, a ladder, a diamond with a long edge, and two that begin crossed.
        assert_eq!(
            crossings(7, &[(0, 2), (0, 1), (1, 6), (1, 3), (2, 4), (2, 5)]),
            0
        );
        assert_eq!(crossings(6, &[(0, 3), (1, 2), (3, 4), (2, 5)]), 0);
        assert_eq!(crossings(4, &[(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]), 0);
        let fan: Vec<_> = (1..50).flat_map(|node| [(0, node), (node, 50)]).collect();
        assert_eq!(crossings(51, &fan), 0);
        // Of two by two that all hang together, one has to.
        assert_eq!(crossings(4, &[(0, 2), (0, 3), (1, 2), (1, 3)]), 1);
    }

    #[test]
    fn boxes_do_not_overlap_and_edges_lead_to_the_right() {
        // Deterministic, and as tangled as can be.
        let mut edges = Vec::new();
        let mut at = 7_usize;
        for to in 1..120 {
            for _ in 0..2 {
                at = (at * 1_103_515_245 + 12_345) % 2_147_483_648;
                edges.push((at % to, to));
            }
        }
        edges.sort_unstable();
        edges.dedup();
        let drawn = layout(120, &edges, SIZES).unwrap();
        for (a, first) in drawn.nodes.iter().enumerate() {
            for second in &drawn.nodes[..a] {
                let apart = (first.1 - second.1).abs() >= SIZES.height - 0.001;
                assert!(first.0 != second.0 || apart, "{first:?} {second:?}");
            }
            assert!(
                first.0 + SIZES.width <= drawn.width + 0.001
                    && first.1 + SIZES.height <= drawn.height + 0.001
            );
        }
        for (points, (from, to)) in drawn.edges.iter().zip(&edges) {
            assert!(
                points.windows(2).all(|pair| pair[0].0 <= pair[1].0),
                "{points:?}"
            );
            assert_eq!(
                points.first().unwrap().0,
                drawn.nodes[*from].0 + SIZES.width
            );
            assert_eq!(points.last().unwrap().0, drawn.nodes[*to].0);
        }
    }

    #[test]
    fn a_circle_is_drawn_all_the_same() {
        let drawn = layout(3, &[(0, 1), (1, 2), (2, 0), (1, 1)], SIZES).unwrap();
        assert_eq!(drawn.edges.len(), 4);
        assert!(drawn.nodes[0].0 < drawn.nodes[1].0 && drawn.nodes[1].0 < drawn.nodes[2].0);
        assert!(layout(0, &[], SIZES).unwrap().nodes.is_empty());
    }

    #[test]
    fn what_would_be_a_tangle_of_long_edges_is_no_picture() {
        let chain = (1..150).map(|to| (to - 1, to));
        let long = (2..150).flat_map(|to| (0..to - 1).step_by(3).map(move |from| (from, to)));
        let edges: Vec<_> = chain.chain(long).collect();
        assert!(layout(150, &edges, SIZES).is_none());
        assert!(layout(150, &edges[..149], SIZES).is_some());
    }

    #[test]
    fn heights_are_as_near_as_can_be() {
        assert_eq!(heights::nearest(&[5.0, 5.0], &[10.0]), [0.0, 10.0]);
        assert_eq!(heights::nearest(&[0.0, 100.0], &[10.0]), [0.0, 100.0]);
        assert_eq!(
            heights::nearest(&[10.0, 0.0, 50.0], &[4.0, 4.0]),
            [3.0, 7.0, 50.0]
        );
    }
}
