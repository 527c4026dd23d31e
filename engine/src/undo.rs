//! Undo: in which order steps are taken back, as a pure function of what each depends on.
//!
//! A step is taken back after all that depend on it. Those that have nothing to take back stand in the order like the
//! others, so that it costs one place for each edge, however many steps there are on both sides of one.

/// The steps in the order of taking back, each with the places in this list that come before it. `before`: what each step
/// depends on, without circles.
pub(crate) fn order(before: &[Vec<usize>]) -> Vec<(usize, Vec<usize>)> {
    let mut later: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    for (step, before) in before.iter().enumerate() {
        for &before in before {
            later[before].push(step);
        }
    }
    let mut open: Vec<usize> = later.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..before.len()).filter(|&step| open[step] == 0).collect();
    let mut place = vec![0; before.len()];
    let mut next = 0;
    while let Some(&step) = order.get(next) {
        place[step] = next;
        next += 1;
        for &before in &before[step] {
            open[before] -= 1;
            if open[before] == 0 {
                order.push(before);
            }
        }
    }
    let places = |step: &usize| later[*step].iter().map(|&later| place[later]).collect();
    order.iter().map(|step| (*step, places(step))).collect()
}

/// These steps, and all that depend on them. `before`: what each step depends on.
pub(crate) fn closure(before: &[Vec<usize>], from: &[usize]) -> Vec<bool> {
    let mut later: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    for (step, before) in before.iter().enumerate() {
        for &before in before {
            later[before].push(step);
        }
    }
    let mut found = vec![false; before.len()];
    let mut open: Vec<usize> = from.to_vec();
    while let Some(step) = open.pop() {
        if !std::mem::replace(&mut found[step], true) {
            open.extend(&later[step]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn with_a_step_go_all_that_depend_on_it() {
        let diamond = [vec![], vec![0], vec![0], vec![1, 2]];
        let from = |step: usize| closure(&diamond, &[step]);
        assert_eq!(from(0), [true; 4]);
        assert_eq!(from(1), [false, true, false, true]);
        assert_eq!(from(3), [false, false, false, true]);
        assert_eq!(closure(&diamond, &[]), [false; 4]);
    }

    fn check(before: &[&[usize]], expected: Expect) {
        let before: Vec<Vec<usize>> = before.iter().map(|before| before.to_vec()).collect();
        let order = order(&before);
        let line = order.iter().map(|(step, places)| {
            let after = places.iter().map(|&place| order[place].0.to_string());
            format!("{step} after [{}]", after.collect::<Vec<_>>().join(" "))
        });
        expected.assert_eq(&line.collect::<Vec<_>>().join(", "));
    }

    #[test]
    fn a_step_is_taken_back_after_all_that_depend_on_it() {
        check(
            &[&[], &[0], &[1]],
            expect!["2 after [], 1 after [2], 0 after [1]"],
        );
        // A diamond, of which the first step is named last.
        check(
            &[&[3], &[3], &[0, 1], &[]],
            expect!["2 after [], 0 after [2], 1 after [2], 3 after [0 1]"],
        );
        check(
            &[&[], &[], &[1]],
            expect!["0 after [], 2 after [], 1 after [2]"],
        );
    }
}
