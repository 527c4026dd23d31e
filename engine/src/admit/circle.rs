//! Circle: who would wait for ever, because those they wait for wait for them, as a pure function (PROTOCOL P5).
//!
//! Somebody in line waits for those who hold what it wants, and for earlier places in line. Who holds something waits for
//! its descendants, since it lets go when all of them have finished. So a circle runs through families: a child waits for
//! somebody whose own child waits, perhaps by way of others, for what the first one's parent holds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::id::IntentId;

/// One waits for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) other: IntentId,
    pub(crate) resource: Arc<str>,
    /// The other one holds it; if not, it stands before this one in line.
    pub(crate) held: bool,
}

/// Who waits for whom.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Of those in line.
    pub(crate) waits: HashMap<IntentId, Vec<Wait>>,
    /// Their parents, the parents of these, and so on.
    pub(crate) ancestors: HashMap<IntentId, Vec<IntentId>>,
    /// The descendants in line of those who are waited for.
    pub(crate) families: HashMap<IntentId, Vec<IntentId>>,
}

/// What becomes of somebody in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits, as everybody does.
    Waits,
    /// It would wait for ever: the links of the circle, its own first.
    Circular(Vec<(IntentId, Wait)>),
    /// Nobody holds what it wants, and who is before it in line waits for its family: it goes first.
    Passes,
    /// These are such as [`Passes`](Self::Passes): they are to try again.
    Lets(Vec<IntentId>),
}

/// What becomes of one of those in line.
pub(crate) fn turn(waits: &Waits, who: IntentId) -> Turn {
    if let Some(circle) = find(waits, who, |wait| wait.held) {
        return Turn::Circular(circle);
    }
    let Some(circle) = find(waits, who, |_| true) else {
        return Turn::Waits;
    };
    // A place in line is no more than an order: where it would hold up for ever, it is given up.
    let can_pass = |who: &IntentId| waits.of(*who).iter().all(|wait| !wait.held);
    if can_pass(&who) {
        return Turn::Passes;
    }
    let links = circle.iter().skip(1).filter(|(_, wait)| !wait.held);
    let passing = links.map(|(who, _)| *who).filter(can_pass);
    Turn::Lets(passing.collect())
}

/// Those of these who can be in a circle at all, first those who can be in one of holders alone. Nobody else is worth a [`turn`]: as
/// those in circles get their turns there are fewer waits, and not more.
pub(crate) fn in_circles(waits: &Waits, who: &[IntentId]) -> Vec<IntentId> {
    let (held, all) = (waits.tangled(|wait| wait.held), waits.tangled(|_| true));
    let of_holders = who.iter().filter(|who| held.contains(who));
    let of_places = who
        .iter()
        .filter(|who| all.contains(who) && !held.contains(who));
    let (passing, others): (Vec<&IntentId>, Vec<&IntentId>) =
        of_places.partition(|who| waits.of(**who).iter().all(|wait| !wait.held));
    of_holders.chain(passing).chain(others).copied().collect()
}

fn node(
    graph: &mut DiGraph<IntentId, ()>,
    nodes: &mut HashMap<IntentId, NodeIndex>,
    of: IntentId,
) -> NodeIndex {
    *nodes.entry(of).or_insert_with(|| graph.add_node(of))
}

/// A way from one back to itself, or to an ancestor, over such waits.
fn find(
    waits: &Waits,
    who: IntentId,
    over: impl Fn(&Wait) -> bool,
) -> Option<Vec<(IntentId, Wait)>> {
    let mut known = HashSet::from([who]);
    let mut came: HashMap<IntentId, (IntentId, Wait)> = HashMap::new();
    let mut next = vec![who];
    while let Some(waiting) = next.pop() {
        for wait in waits.of(waiting).iter().filter(|wait| over(wait)) {
            if wait.other == who || waits.is_ancestor(wait.other, who) {
                let mut links = vec![(waiting, wait.clone())];
                let mut at = waiting;
                while let Some((before, wait)) = came.get(&at) {
                    links.push((*before, wait.clone()));
                    at = *before;
                }
                links.reverse();
                return Some(links);
            }
            let family = waits.families.get(&wait.other).into_iter().flatten();
            for member in family.chain([&wait.other]) {
                if known.insert(*member) {
                    came.insert(*member, (waiting, wait.clone()));
                    next.push(*member);
                }
            }
        }
    }
    None
}

impl Waits {
    /// How many waits there are.
    pub(crate) fn len(&self) -> usize {
        self.waits.values().map(Vec::len).sum()
    }

    /// Who can come back to itself over such waits.
    fn tangled(&self, over: impl Fn(&Wait) -> bool) -> HashSet<IntentId> {
        let mut graph: DiGraph<IntentId, ()> = DiGraph::with_capacity(self.waits.len(), self.len());
        let mut nodes: HashMap<IntentId, NodeIndex> = HashMap::new();
        for (waiting, its) in &self.waits {
            let from = node(&mut graph, &mut nodes, *waiting);
            for wait in its.iter().filter(|wait| over(wait)) {
                let other = node(&mut graph, &mut nodes, wait.other);
                graph.add_edge(from, other, ());
            }
        }
        // Who is waited for waits for its family, if it holds anything.
        let families = self.families.iter();
        let families = families.flat_map(|(parent, family)| family.iter().map(|of| (*parent, *of)));
        let above = self.ancestors.iter();
        let above = above.flat_map(|(of, ancestors)| ancestors.iter().map(|above| (*above, *of)));
        for (parent, member) in families.chain(above) {
            let parent = node(&mut graph, &mut nodes, parent);
            let member = node(&mut graph, &mut nodes, member);
            graph.add_edge(parent, member, ());
        }
        // Not Tarjan's: that one is recursive here, and a line may be longer than a stack is deep.
        let circles = kosaraju_scc(&graph).into_iter();
        let tangled = circles.filter(|circle| circle.len() > 1).flatten();
        tangled.map(|node| graph[node]).collect()
    }

    fn of(&self, who: IntentId) -> &[Wait] {
        self.waits.get(&who).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_ancestor(&self, ancestor: IntentId, of: IntentId) -> bool {
        let ancestors = self.ancestors.get(&of);
        ancestors.is_some_and(|ancestors| ancestors.contains(&ancestor))
    }

    /// It stands in line no more, and has what it wanted: who stood behind it waits for that.
    pub(crate) fn take(&mut self, who: IntentId) {
        self.waits.remove(&who);
        let waits = self.waits.values_mut().flatten();
        for wait in waits.filter(|wait| wait.other == who) {
            wait.held = true;
        }
    }

    /// It stands in line no more.
    pub(crate) fn leave(&mut self, who: IntentId) {
        self.waits.remove(&who);
        for waits in self.waits.values_mut() {
            waits.retain(|wait| wait.held || wait.other != who);
        }
    }
}

/// A circle in words, for the error of the one that closes it.
pub(crate) fn in_words(circle: &[(IntentId, Wait)]) -> String {
    let links = circle.iter().map(|(who, wait)| {
        let Wait {
            other, resource, ..
        } = wait;
        format!("intent {who} waits for {resource}, which intent {other} holds")
    });
    let links: Vec<String> = links.collect();
    format!(
        "{}; who holds something waits for all of its family, so none of them could ever go on",
        links.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn intent(number: u128) -> IntentId {
        IntentId(Uuid::from_u128(number))
    }

    /// Intent 10·n is the parent of those from 10·n + 1. `1 > 2` waits for what 2 holds, `1 - 2` for its place.
    fn waits(rows: &str) -> Waits {
        let mut waits = Waits::default();
        let parent = |who: u128| (!who.is_multiple_of(10)).then(|| who / 10 * 10);
        for row in rows.split(',') {
            let words: Vec<&str> = row.split_whitespace().collect();
            let (who, other): (u128, u128) = (words[0].parse().unwrap(), words[2].parse().unwrap());
            let wait = Wait {
                other: intent(other),
                resource: format!("r:{other}").into(),
                held: words[1] == ">",
            };
            waits.waits.entry(intent(who)).or_default().push(wait);
            if let Some(parent) = parent(who).map(intent) {
                waits.ancestors.insert(intent(who), vec![parent]);
                let family = waits.families.entry(parent).or_default();
                if !family.contains(&intent(who)) {
                    family.push(intent(who));
                }
            }
        }
        waits
    }

    fn said(rows: &str, who: u128) -> String {
        match turn(&waits(rows), intent(who)) {
            Turn::Waits => "waits".to_owned(),
            Turn::Passes => "passes".to_owned(),
            Turn::Circular(circle) => {
                let links = circle.iter().map(|(who, _)| who.0.as_u128().to_string());
                format!("circle {}", links.collect::<Vec<_>>().join(" "))
            }
            Turn::Lets(others) => {
                let others = others.iter().map(|who| who.0.as_u128().to_string());
                format!("lets {}", others.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn who_waits_for_somebody_who_goes_on_waits() {
        assert_eq!(said("11 > 20", 11), "waits");
        assert_eq!(said("11 > 20, 21 > 30", 11), "waits");
        assert_eq!(said("11 > 20, 21 > 30, 41 > 10", 11), "waits");
    }

    #[test]
    fn a_wait_that_comes_back_to_its_own_family_is_a_circle() {
        assert_eq!(said("11 > 20, 21 > 10", 11), "circle 11 21");
        assert_eq!(said("11 > 20, 21 > 10", 21), "circle 21 11");
        assert_eq!(said("11 > 20, 21 > 30, 31 > 10", 21), "circle 21 31 11");
        // Others of the same families go on.
        assert_eq!(said("11 > 20, 21 > 10, 12 > 40", 12), "waits");
    }

    #[test]
    fn a_place_in_line_that_would_hold_up_for_ever_is_given_up() {
        // 21 stands behind 11, which waits for what the parent of 21 holds.
        assert_eq!(said("11 > 20, 21 - 11", 21), "passes");
        assert_eq!(said("11 > 20, 21 - 11", 11), "lets 21");
        // As long as somebody holds what it wants, it does not matter.
        assert_eq!(said("11 > 20, 21 - 11, 21 > 30", 21), "lets ");
        assert_eq!(said("11 > 20, 21 - 11, 21 > 30", 11), "lets ");
    }

    #[test]
    fn only_who_can_come_back_to_itself_is_in_a_circle() {
        let in_circles = |rows: &str| {
            let waits = waits(rows);
            let mut all: Vec<IntentId> = waits.waits.keys().copied().collect();
            all.sort();
            let mut tangled = in_circles(&waits, &all);
            tangled.sort();
            tangled
                .iter()
                .map(|who| who.0.as_u128())
                .collect::<Vec<_>>()
        };
        assert_eq!(in_circles("11 > 20, 21 > 30, 41 > 10"), Vec::<u128>::new());
        assert_eq!(in_circles("11 > 20, 21 > 10, 12 > 40, 51 > 10"), [11, 21]);
        assert_eq!(in_circles("11 > 20, 21 - 11, 31 - 21"), [11, 21]);
    }

    /// Of a large family not everybody is read, and a member that was resumed by itself may be none of those.
    #[test]
    fn a_circle_runs_through_ancestors_whose_family_was_not_read() {
        let mut waits = waits("11 > 20, 21 > 10");
        waits.families.remove(&intent(10));
        assert!(matches!(turn(&waits, intent(11)), Turn::Circular(_)));
        assert!(in_circles(&waits, &[intent(11)]).contains(&intent(11)));
    }

    /// A look for circles holds up a database for as long as this takes.
    #[test]
    fn a_long_line_is_judged_in_a_moment() {
        let mut waits = Waits::default();
        let resource: Arc<str> = "r:1".into();
        for who in 1..1_500 {
            let behind = (who.max(400) - 400..who).map(|other| Wait {
                other: intent(other),
                resource: resource.clone(),
                held: other == 0,
            });
            waits.waits.insert(intent(who), behind.collect());
        }
        let all: Vec<IntentId> = waits.waits.keys().copied().collect();
        let begin = std::time::Instant::now();
        assert_eq!(in_circles(&waits, &all), Vec::new());
        assert!(
            begin.elapsed() < std::time::Duration::from_secs(5),
            "{:?}",
            begin.elapsed()
        );
    }

    #[test]
    fn who_has_left_the_line_closes_no_circle() {
        let mut waits = waits("11 > 20, 21 > 10");
        waits.leave(intent(11));
        assert_eq!(turn(&waits, intent(21)), Turn::Waits);
    }

    #[test]
    fn behind_one_that_passes_its_siblings_wait() {
        let mut waits = waits("11 > 20, 21 - 11, 22 - 11, 22 - 21");
        assert_eq!(turn(&waits, intent(21)), Turn::Passes);
        waits.take(intent(21));
        assert_eq!(turn(&waits, intent(22)), Turn::Lets(Vec::new()));
    }
}
