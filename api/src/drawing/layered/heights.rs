//! The heights of nodes and places: as near to their neighbours' as the order and the distances allow.

use super::{Layers, Sizes};

const ROUNDS: usize = 16;

impl Layers {
    pub(super) fn heights(&self, sizes: Sizes) -> Vec<f64> {
        let step = sizes.height + sizes.gap_y;
        // Only an edge goes through a place: it needs less room than a box.
        let room = |above: usize, below: usize| match (above < self.real, below < self.real) {
            (true, true) => step,
            (false, false) => step * 0.35,
            _ => step * 0.7,
        };
        let mut y = vec![0.0; self.layer.len()];
        for layer in &self.order {
            let mut at = 0.0;
            for (index, &node) in layer.iter().enumerate() {
                if index > 0 {
                    at += room(layer[index - 1], node);
                }
                y[node] = at;
            }
        }
        for round in 0..ROUNDS {
            let count = self.order.len();
            for step in 0..count {
                let layer = if round % 2 == 0 {
                    step
                } else {
                    count - 1 - step
                };
                let wish = |node: usize| {
                    let (before, after) = (&self.before[node], &self.after[node]);
                    let near = match round % 2 {
                        0 if !before.is_empty() => before,
                        1 if !after.is_empty() => after,
                        _ if before.is_empty() => after,
                        _ => before,
                    };
                    match near.len() {
                        0 => y[node],
                        n => near.iter().map(|other| y[*other]).sum::<f64>() / n as f64,
                    }
                };
                let nodes = &self.order[layer];
                let wishes: Vec<f64> = nodes.iter().map(|node| wish(*node)).collect();
                let rooms: Vec<f64> = nodes
                    .windows(2)
                    .map(|pair| room(pair[0], pair[1]))
                    .collect();
                for (node, at) in nodes.iter().zip(nearest(&wishes, &rooms)) {
                    y[*node] = at;
                }
            }
        }
        let top = y.iter().copied().fold(f64::INFINITY, f64::min);
        y.iter().map(|at| at - top).collect()
    }
}

/// Heights as near to the wishes as the distances allow, in their order: the least sum of squares.
pub(super) fn nearest(wishes: &[f64], rooms: &[f64]) -> Vec<f64> {
    let mut offset = vec![0.0];
    for room in rooms {
        offset.push(offset.last().copied().unwrap_or_default() + room);
    }
    // Without the distances it is a regression to what never falls.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (wish, offset) in wishes.iter().zip(&offset) {
        let mut block = (wish - offset, 1);
        while let Some(&(mean, count)) = blocks.last() {
            if mean <= block.0 {
                break;
            }
            let sum = mean * count as f64 + block.0 * block.1 as f64;
            block = (sum / (count + block.1) as f64, count + block.1);
            blocks.pop();
        }
        blocks.push(block);
    }
    let flat = blocks
        .iter()
        .flat_map(|(mean, count)| std::iter::repeat_n(*mean, *count));
    flat.zip(&offset).map(|(at, offset)| at + offset).collect()
}
