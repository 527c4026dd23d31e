//! The order within the layers: few crossings.

use super::Layers;

const SWEEPS: usize = 24;
/// Most places that neighbours are swapped in: each pass looks at all of them.
const SWAPPED: usize = 600;

impl Layers {
    pub(super) fn uncross(&mut self) {
        let (mut best, mut fewest) = (self.order.clone(), self.crossings());
        for sweep in 0..SWEEPS {
            if fewest == 0 {
                break;
            }
            let forward = sweep % 2 == 0;
            let count = self.order.len();
            for step in 1..count {
                let layer = if forward { step } else { count - 1 - step };
                self.by_medians(layer, forward);
            }
            if self.layer.len() <= SWAPPED {
                self.swap();
            }
            let crossings = self.crossings();
            if crossings < fewest {
                (best, fewest) = (self.order.clone(), crossings);
            }
        }
        self.order = best;
    }

    fn by_medians(&mut self, layer: usize, forward: bool) {
        let places = self.places();
        let neighbours = if forward { &self.before } else { &self.after };
        let median = |node: usize| {
            let mut at: Vec<usize> = neighbours[node]
                .iter()
                .map(|other| places[*other])
                .collect();
            at.sort_unstable();
            match at.len() {
                // Without any it stays where it is.
                0 => places[node] as f64,
                n if n % 2 == 1 => at[n / 2] as f64,
                n => (at[n / 2 - 1] + at[n / 2]) as f64 / 2.0,
            }
        };
        let mut order: Vec<(f64, usize)> = self.order[layer]
            .iter()
            .map(|node| (median(*node), *node))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.order[layer] = order.into_iter().map(|(_, node)| node).collect();
    }

    /// Swaps neighbours as long as that makes fewer crossings, one pass through all of them.
    fn swap(&mut self) {
        let mut places = self.places();
        for layer in 0..self.order.len() {
            for index in 1..self.order[layer].len() {
                let (above, below) = (self.order[layer][index - 1], self.order[layer][index]);
                let cross = |a: usize, b: usize| {
                    let of = |all: &Vec<Vec<usize>>| {
                        let pairs = all[a]
                            .iter()
                            .flat_map(|x| all[b].iter().map(move |y| (*x, *y)));
                        pairs.filter(|(x, y)| places[*x] > places[*y]).count()
                    };
                    of(&self.before) + of(&self.after)
                };
                if cross(below, above) < cross(above, below) {
                    self.order[layer].swap(index - 1, index);
                    (places[above], places[below]) = (index, index - 1);
                }
            }
        }
    }

    pub(super) fn crossings(&self) -> usize {
        let places = self.places();
        let of_layer = |layer: &Vec<usize>| {
            // From above, where each edge ends: every pair that is the wrong way round is a crossing.
            let mut ends = Vec::new();
            for &node in layer {
                let mut to: Vec<usize> = self.after[node]
                    .iter()
                    .map(|other| places[*other])
                    .collect();
                to.sort_unstable();
                ends.extend(to);
            }
            let most = ends.iter().max().map_or(0, |most| most + 1);
            let (mut seen, mut crossings) = (vec![0_usize; most + 1], 0);
            for (index, end) in ends.iter().enumerate() {
                // How many before it end at or above it: a sum in a Fenwick tree.
                let (mut at, mut not_below) = (end + 1, 0);
                while at > 0 {
                    not_below += seen[at];
                    at &= at - 1;
                }
                crossings += index - not_below;
                let mut at = end + 1;
                while at < seen.len() {
                    seen[at] += 1;
                    at += at & at.wrapping_neg();
                }
            }
            crossings
        };
        self.order.iter().map(of_layer).sum()
    }
}
