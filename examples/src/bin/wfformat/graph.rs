//! What the shape of a workflow alone says: an order of its tasks, and the time that it takes at best.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::replay::Task;

/// The chain of tasks that takes longest: with ever so many workers the workflow takes no less.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CriticalPath {
    pub(crate) time: Duration,
    /// Indices of its tasks, first to last.
    pub(crate) tasks: Vec<usize>,
}

/// The tasks' indices, parents before children (Kahn's algorithm), or an error that names a cycle.
pub(crate) fn order(tasks: &[Task]) -> Result<Vec<usize>> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        for &parent in &task.after {
            children[parent as usize].push(index);
        }
    }
    let mut open: Vec<usize> = tasks.iter().map(|task| task.after.len()).collect();
    let mut order: Vec<usize> = (0..tasks.len()).filter(|&index| open[index] == 0).collect();
    let mut next = 0;
    while let Some(&done) = order.get(next) {
        next += 1;
        for &child in &children[done] {
            open[child] -= 1;
            if open[child] == 0 {
                order.push(child);
            }
        }
    }
    if order.len() < tasks.len() {
        bail!(
            "these tasks wait for each other: {}",
            cycle(tasks, &open).join(", ")
        );
    }
    Ok(order)
}

/// A cycle among the tasks that are left: each of them has a parent that is left too, so going from parent to parent
/// comes back to where it has been.
fn cycle<'t>(tasks: &'t [Task], open: &[usize]) -> Vec<&'t str> {
    let mut walk: Vec<usize> = open.iter().position(|&open| open > 0).into_iter().collect();
    while let Some(&last) = walk.last() {
        let parents = tasks[last].after.iter().map(|&parent| parent as usize);
        let Some(parent) = parents.into_iter().find(|&parent| open[parent] > 0) else {
            break;
        };
        if let Some(seen) = walk.iter().position(|&index| index == parent) {
            walk.drain(..seen);
            break;
        }
        walk.push(parent);
    }
    let mut names: Vec<&str> = walk
        .into_iter()
        .map(|index| tasks[index].id.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// How many tasks the longest chain has.
pub(crate) fn depth(tasks: &[Task], order: &[usize]) -> usize {
    let mut depths = vec![1; tasks.len()];
    for &index in order {
        let before = tasks[index]
            .after
            .iter()
            .map(|&parent| depths[parent as usize])
            .max();
        depths[index] = before.unwrap_or(0) + 1;
    }
    depths.into_iter().max().unwrap_or(0)
}

/// The critical path, by the scaled runtimes.
pub(crate) fn critical_path(tasks: &[Task], order: &[usize]) -> CriticalPath {
    // For each task: when it ends at best, in microseconds, and the parent that it waits for longest.
    let mut ends: Vec<(u64, Option<usize>)> = vec![(0, None); tasks.len()];
    for &index in order {
        let last = tasks[index]
            .after
            .iter()
            .map(|&parent| parent as usize)
            .max_by_key(|&parent| ends[parent].0);
        ends[index] = (
            last.map_or(0, |parent| ends[parent].0) + tasks[index].us,
            last,
        );
    }
    let mut at = order.iter().copied().max_by_key(|&index| ends[index].0);
    let time = Duration::from_micros(at.map_or(0, |index| ends[index].0));
    let mut path = Vec::new();
    while let Some(index) = at {
        path.push(index);
        at = ends[index].1;
    }
    path.reverse();
    CriticalPath { time, tasks: path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(of: &[(u64, &[u32])]) -> Vec<Task> {
        let task = |(index, (us, after)): (usize, &(u64, &[u32]))| Task {
            id: format!("t{index}"),
            us: *us,
            after: after.to_vec(),
        };
        of.iter().enumerate().map(task).collect()
    }

    fn path(of: &[(u64, &[u32])]) -> (u64, Vec<usize>) {
        let tasks = tasks(of);
        let path = critical_path(&tasks, &order(&tasks).unwrap());
        (u64::try_from(path.time.as_micros()).unwrap(), path.tasks)
    }

    #[test]
    fn the_critical_path_is_the_longest_by_time_and_not_by_tasks() {
        assert_eq!(path(&[(5, &[])]), (5, vec![0]));
        assert_eq!(
            path(&[(1, &[]), (10, &[0]), (2, &[0]), (3, &[2]), (1, &[1, 3])]),
            (12, vec![0, 1, 4])
        );
        assert_eq!(
            path(&[(1, &[1]), (7, &[]), (9, &[])]),
            (9, vec![2]),
            "of two parts the longer one counts"
        );
    }

    #[test]
    fn tasks_may_stand_before_their_parents() {
        assert_eq!(
            order(&tasks(&[(1, &[2]), (1, &[]), (1, &[1])])).unwrap(),
            [1, 2, 0]
        );
        assert_eq!(
            depth(&tasks(&[(1, &[2]), (1, &[]), (1, &[1])]), &[1, 2, 0]),
            3
        );
    }

    #[test]
    fn a_cycle_is_named_without_what_hangs_on_it() {
        let error = order(&tasks(&[(1, &[]), (1, &[0, 2]), (1, &[1]), (1, &[2])])).unwrap_err();
        assert_eq!(error.to_string(), "these tasks wait for each other: t1, t2");
    }
}
