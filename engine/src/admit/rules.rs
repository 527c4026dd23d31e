//! What conflict rules make of applicants, and that everybody has their turn whatever the rules are.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

fn intent(number: usize) -> IntentId {
    IntentId(Uuid::from_u128(number as u128))
}

fn number(intent: IntentId) -> usize {
    usize::try_from(intent.0.as_u128()).unwrap()
}

/// Intent 9 of kind `new` wants `a` for itself, and its rule about kind `old` is this one. The others are of kind `old`, and
/// even ones have the same input: `1 h` holds `a`, `2 l` stands in line for it, `3 c` is on its way. Nobody has an account.
fn check(conflicts: Conflicts, others: &str, is_new: bool, expected: Expect) {
    check_of("", conflicts, others, is_new, expected);
}

/// The same for intent 9 of an account, where `1 h acme` is one of account `acme`.
fn check_of(own: &str, conflicts: Conflicts, others: &str, is_new: bool, expected: Expect) {
    let kind: Arc<str> = Arc::from("old");
    let mut accounts: HashMap<IntentId, Arc<str>> = HashMap::from([(intent(9), Arc::from(own))]);
    let mut kinds = HashMap::from([(intent(9), Arc::from("new"))]);
    let (mut holders, mut line, mut coming) = (Vec::new(), Vec::new(), Vec::new());
    for other in others.split(", ").filter(|other| !other.is_empty()) {
        let (id, place) = other.split_once(' ').unwrap();
        let (place, account) = place.split_once(' ').unwrap_or((place, ""));
        let id = intent(id.parse().unwrap());
        accounts.insert(id, Arc::from(account));
        kinds.insert(id, kind.clone());
        let resource = "a".to_owned();
        if place == "h" {
            holders.push(Holder {
                intent: id,
                resource,
                mode: Mode::Exclusive,
                beside: false,
                covered: false,
            });
        } else {
            let place_of = if place == "l" { &mut line } else { &mut coming };
            place_of.push(Place {
                intent: id,
                resource,
                mode: Mode::Exclusive,
                position: number(id) as i64,
                among: Among::All,
                ancestors: Vec::new(),
                sharing: false,
            });
        }
    }
    let applicant = Applicant {
        intent: intent(9),
        position: 9,
        ancestors: Vec::new(),
        kin: false,
        wants: vec![Want {
            intent: intent(9),
            resource: "a".to_owned(),
            mode: Mode::Exclusive,
        }],
        rules: Some(Rules {
            // Only intents of one kind can be the same.
            kind: if conflicts.mentions(Rule::Join) {
                kind
            } else {
                Arc::from("new")
            },
            conflicts: Arc::new(conflicts),
        }),
        is_new,
    };
    let scene = Scene {
        holders: &holders,
        line: &line,
        coming: &coming,
        kinds: &kinds,
        accounts: &accounts,
        passed: 0,
        is_same: &|_, other| number(other).is_multiple_of(2),
    };
    let admission = admit(vec![applicant], &scene);
    let mut said = Vec::new();
    for taken in &admission.taken {
        said.push(if taken.beside { "goes beside" } else { "goes" }.to_owned());
    }
    said.extend(
        admission
            .rejected
            .iter()
            .map(|(_, by)| format!("rejected by {}", number(by.intent))),
    );
    said.extend(
        admission
            .joined
            .iter()
            .map(|(_, to)| format!("joins {}", number(to.intent))),
    );
    said.extend(
        admission
            .superseding
            .iter()
            .map(|(_, old)| format!("supersedes {}", number(old.intent))),
    );
    if !admission.blocked.is_empty() {
        let places = admission
            .places
            .iter()
            .map(|place| number(place.intent).to_string());
        said.push(format!(
            "waits, places of {}",
            places.collect::<Vec<_>>().join(" ")
        ));
    }
    expected.assert_eq(&said.join(", "));
}

#[test]
fn each_rule_does_what_it_says() {
    let about = |rule| Conflicts::default().with("old", rule);
    check(
        about(Rule::Wait),
        "1 h, 2 l",
        true,
        expect!["waits, places of 9"],
    );
    check(
        about(Rule::Reject),
        "1 h, 2 l",
        true,
        expect!["rejected by 1"],
    );
    check(about(Rule::Join), "2 l", true, expect!["joins 2"]);
    check(
        about(Rule::Supersede),
        "1 h, 2 l",
        true,
        expect!["supersedes 1, supersedes 2, waits, places of 9"],
    );
    check(about(Rule::Share), "1 h, 2 l", true, expect!["goes beside"]);
    check(about(Rule::Share), "2 l", true, expect!["goes"]);
    check(about(Rule::Reject), "", true, expect!["goes"]);
}

#[test]
fn one_joins_the_same_that_has_not_started_and_waits_for_the_others() {
    let join = || Conflicts::default().with("old", Rule::Join);
    check(join(), "2 h", true, expect!["waits, places of 9"]);
    check(join(), "3 l", true, expect!["waits, places of 9"]);
    check(join(), "1 h, 3 l, 4 l", true, expect!["joins 4"]);
    check(
        join().once_started("old", Rule::Join),
        "2 h",
        true,
        expect!["joins 2"],
    );
}

#[test]
fn who_is_on_the_way_is_overtaken_unless_a_rule_has_to_do_with_it() {
    let about = |rule| Conflicts::default().with("old", rule);
    check(about(Rule::Wait), "3 c", true, expect!["goes"]);
    check(about(Rule::Share), "3 c", true, expect!["goes"]);
    check(about(Rule::Reject), "3 c", true, expect!["rejected by 3"]);
    check(about(Rule::Join), "4 c", true, expect!["joins 4"]);
    // The one that is to stop has a place in line from now on, before the one that stops it.
    check(
        about(Rule::Supersede),
        "3 c",
        true,
        expect!["supersedes 3, waits, places of 3 9"],
    );
}

#[test]
fn who_has_a_place_in_line_is_not_judged_again() {
    let about = |rule| Conflicts::default().with("old", rule);
    check(
        about(Rule::Reject),
        "1 h",
        false,
        expect!["waits, places of 9"],
    );
    check(
        about(Rule::Supersede),
        "1 h",
        false,
        expect!["waits, places of 9"],
    );
    check(about(Rule::Share), "1 h", false, expect!["goes beside"]);
    // Who is on the way has no place behind which it could wait.
    check(about(Rule::Reject), "3 c", false, expect!["goes"]);
    check(about(Rule::Supersede), "3 c", false, expect!["goes"]);
}

#[test]
fn what_is_of_another_account_is_waited_for_and_not_stopped() {
    for rule in [Rule::Supersede, Rule::SupersedeAnyway] {
        let about = || Conflicts::default().with("old", rule);
        check_of(
            "acme",
            about(),
            "1 h acme, 2 l other, 3 c other, 4 l, 5 c acme",
            true,
            expect!["supersedes 1, supersedes 5, waits, places of 5 9"],
        );
        check_of(
            "acme",
            about(),
            "1 h other",
            true,
            expect!["waits, places of 9"],
        );
        // One that is on its way is overtaken, as by anybody who waits.
        check_of("acme", about(), "3 c other", true, expect!["goes"]);
        check_of(
            "",
            about(),
            "1 h acme, 2 l other",
            true,
            expect!["supersedes 1, supersedes 2, waits, places of 9"],
        );
    }
    check_of(
        "acme",
        Conflicts::default().with("old", Rule::Share),
        "1 h other",
        true,
        expect!["goes beside"],
    );
}

/// Everything about an intent of the model.
#[derive(Debug, Clone)]
struct Actor {
    kind: usize,
    /// Of three, the first of which is none.
    account: usize,
    wants: Vec<(usize, Mode)>,
    /// Which body it has, of two.
    body: bool,
}

/// Where everybody is: the tables, in memory.
#[derive(Default)]
struct Model {
    ready: Vec<usize>,
    blocked: Vec<usize>,
    holders: Vec<Holder>,
    line: Vec<Place>,
    asked_to_stop: Vec<usize>,
    met: Vec<usize>,
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Wait),
        Just(Rule::Reject),
        Just(Rule::Join),
        Just(Rule::Supersede),
        Just(Rule::SupersedeAnyway),
        Just(Rule::Share),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    let wants = proptest::collection::btree_map(0..3usize, any::<bool>(), 1..3);
    (0..3usize, 0..3usize, wants, any::<bool>()).prop_map(|(kind, account, wants, body)| Actor {
        kind,
        account,
        wants: wants
            .into_iter()
            .map(|(resource, shared)| {
                (
                    resource,
                    if shared {
                        Mode::Shared
                    } else {
                        Mode::Exclusive
                    },
                )
            })
            .collect(),
        body,
    })
}

/// Rules of three kinds about three kinds, for both stages.
fn rules() -> impl Strategy<Value = Vec<Arc<Conflicts>>> {
    let row = proptest::collection::vec((rule(), rule()), 3);
    proptest::collection::vec(row, 3).prop_map(|kinds| {
        let of = |(own, row): (usize, Vec<(Rule, Rule)>)| {
            let mut conflicts = Conflicts::default();
            for (other, (before, after)) in row.into_iter().enumerate() {
                let allowed = |rule| {
                    if rule == Rule::Join && own != other {
                        Rule::Wait
                    } else {
                        rule
                    }
                };
                conflicts = conflicts
                    .not_started(other.to_string(), allowed(before))
                    .once_started(other.to_string(), allowed(after));
            }
            Arc::new(conflicts)
        };
        kinds.into_iter().enumerate().map(of).collect()
    })
}

impl Model {
    fn places(&self, actors: &[Actor], who: usize) -> impl Iterator<Item = Place> {
        let wants = actors[who].wants.clone().into_iter();
        wants.map(move |(resource, mode)| Place {
            intent: intent(who),
            resource: resource.to_string(),
            mode,
            position: who as i64,
            among: Among::All,
            ancestors: Vec::new(),
            sharing: false,
        })
    }

    /// One tick claims these.
    fn claim(&mut self, actors: &[Actor], rules: &[Arc<Conflicts>], claimed: Vec<usize>) {
        self.ready.retain(|who| !claimed.contains(who));
        let kinds: HashMap<IntentId, Arc<str>> = actors
            .iter()
            .enumerate()
            .map(|(who, actor)| (intent(who), Arc::from(actor.kind.to_string())))
            .collect();
        let accounts = actors.iter().enumerate().map(|(who, actor)| {
            let account = ["", "acme", "other"][actor.account];
            (intent(who), Arc::from(account))
        });
        let accounts: HashMap<IntentId, Arc<str>> = accounts.collect();
        let applicants = claimed.iter().map(|&who| Applicant {
            intent: intent(who),
            position: who as i64,
            ancestors: Vec::new(),
            kin: false,
            wants: self
                .places(actors, who)
                .map(|place| Want {
                    intent: place.intent,
                    resource: place.resource,
                    mode: place.mode,
                })
                .collect(),
            rules: Some(Rules {
                kind: Arc::from(actors[who].kind.to_string()),
                conflicts: rules[actors[who].kind].clone(),
            }),
            is_new: !self.line.iter().any(|place| place.intent == intent(who)),
        });
        let applicants: Vec<_> = applicants.collect();
        let in_line = |who: &usize| self.line.iter().any(|place| place.intent == intent(*who));
        let coming = self.ready.iter().filter(|who| !in_line(who));
        let coming: Vec<_> = coming.flat_map(|who| self.places(actors, *who)).collect();
        let admission = admit(
            applicants,
            &Scene {
                holders: &self.holders,
                line: &self.line,
                coming: &coming,
                kinds: &kinds,
                accounts: &accounts,
                passed: 0,
                is_same: &|a, b| {
                    let body = |who| (actors[number(who)].account, actors[number(who)].body);
                    body(a) == body(b)
                },
            },
        );
        for (next, old) in &admission.superseding {
            let (own, old) = (
                actors[number(*next)].account,
                actors[number(old.intent)].account,
            );
            assert!(own == 0 || own == old, "account {own} stops account {old}");
        }
        let gone = admission.taken.iter().map(|taken| taken.intent);
        let gone: HashSet<IntentId> = gone.collect();
        self.line.retain(|place| !gone.contains(&place.intent));
        self.holders.extend(admission.taken);
        for place in admission.places {
            let same =
                |known: &Place| known.intent == place.intent && known.resource == place.resource;
            if !self.line.iter().any(same) {
                self.line.push(place);
            }
        }
        self.blocked
            .extend(admission.blocked.into_iter().map(number));
        let lost = admission.rejected.into_iter().chain(admission.joined);
        self.met.extend(lost.map(|(loser, _)| number(loser)));
        self.asked_to_stop.extend(
            admission
                .superseding
                .into_iter()
                .map(|(_, old)| number(old.intent)),
        );
    }

    /// One comes to its end, wherever it is.
    fn end(&mut self, actors: &[Actor], rules: &[Arc<Conflicts>], who: usize) {
        if self.met.contains(&who) {
            return;
        }
        self.met.push(who);
        self.ready.retain(|other| *other != who);
        self.blocked.retain(|other| *other != who);
        self.holders.retain(|holder| holder.intent != intent(who));
        self.line.retain(|place| place.intent != intent(who));
        let freed: HashSet<String> = self
            .places(actors, who)
            .map(|place| place.resource)
            .collect();
        let kind = |actor: &Actor| Arc::from(actor.kind.to_string());
        let kinds = actors.iter().enumerate();
        let rules = rules.iter().enumerate();
        let sharing = Sharing {
            kinds: kinds
                .map(|(who, actor)| (intent(who), kind(actor)))
                .collect(),
            rules: rules
                .map(|(kind, rules)| (Arc::from(kind.to_string()), rules.clone()))
                .collect(),
        };
        for next in next_in_line(&freed, &self.holders, &self.line, &sharing) {
            if let Some(at) = self.blocked.iter().position(|other| *other == number(next)) {
                self.ready.push(self.blocked.swap_remove(at));
            }
        }
    }

    /// I4, as the invariant in SQL states it.
    fn check(&self) {
        let mut by_resource: BTreeMap<&str, Vec<&Holder>> = BTreeMap::new();
        for holder in &self.holders {
            by_resource
                .entry(&holder.resource)
                .or_default()
                .push(holder);
        }
        for holders in by_resource.values() {
            for (at, one) in holders.iter().enumerate() {
                for other in &holders[at + 1..] {
                    let may = one.mode.is_compatible(other.mode) || one.beside || other.beside;
                    assert!(may, "{one:?} and {other:?}");
                }
            }
            let alone = holders
                .iter()
                .filter(|h| h.mode == Mode::Exclusive && !h.beside);
            assert!(alone.count() <= 1, "{holders:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_the_rules_everybody_has_their_turn_and_no_two_that_exclude_each_other_are_in(
        actors in proptest::collection::vec(actor(), 1..12),
        rules in rules(),
        moves in proptest::collection::vec((0..4u8, any::<prop::sample::Index>()), 0..60),
    ) {
        let mut model = Model::default();
        let mut asked = 0;
        // Nobody asks any more from here on; everything that is possible happens until nothing is.
        let rest = (0..200).map(|at: usize| ((at % 3) as u8 + 1, None));
        let moves = moves.into_iter().map(|(what, which)| (what, Some(which))).chain(rest);
        for (what, which) in moves {
            if which.is_none() {
                model.ready.extend(asked..actors.len());
                asked = actors.len();
            }
            let pick = |from: &[usize]| -> Option<usize> {
                (!from.is_empty()).then(|| which.map_or(from[0], |which| *which.get(from)))
            };
            match what {
                0 if asked < actors.len() => {
                    model.ready.push(asked);
                    asked += 1;
                }
                0 | 1 => {
                    let first = pick(&model.ready);
                    let mut claimed: Vec<usize> = first.into_iter().collect();
                    claimed.extend(model.ready.iter().copied().filter(|who| Some(*who) != first).take(2));
                    model.claim(&actors, &rules, claimed);
                }
                2 => {
                    let stopping = pick(&model.asked_to_stop);
                    if let Some(who) = stopping {
                        model.asked_to_stop.retain(|other| *other != who);
                        model.end(&actors, &rules, who);
                    }
                }
                _ => {
                    let holding: Vec<usize> = model.holders.iter().map(|holder| number(holder.intent)).collect();
                    if let Some(who) = pick(&holding) {
                        model.end(&actors, &rules, who);
                    }
                }
            }
            model.check();
        }
        prop_assert_eq!(&model.blocked, &Vec::<usize>::new());
        prop_assert_eq!(&model.ready, &Vec::<usize>::new());
        prop_assert_eq!(model.met.len(), actors.len());
    }
}

/// The numbers of those whose turn it is, after the first in `kinds` has got `a` and the others stand in line for it. Those of a
/// kind in upper case go side by side with kinds of its letter, once these have started if it is `S`.
fn next_of(kinds: &str) -> Vec<usize> {
    let mut sharing = Sharing::default();
    for (number, kind) in kinds.chars().enumerate() {
        let name: Arc<str> = kind.to_string().into();
        let others = [kind.to_string(), kind.to_ascii_lowercase().to_string()];
        let about = others
            .into_iter()
            .fold(Conflicts::default(), |about, other| match kind {
                'S' => about.once_started(other, Rule::Share),
                _ => about.with(other, Rule::Share),
            });
        if kind.is_ascii_uppercase() {
            sharing.rules.insert(name.clone(), Arc::new(about));
        }
        sharing.kinds.insert(intent(number), name);
    }
    let holder = Holder {
        intent: intent(0),
        resource: "a".to_owned(),
        mode: Mode::Exclusive,
        beside: false,
        covered: false,
    };
    let place = |(number, kind): (usize, char)| Place {
        intent: intent(number),
        resource: "a".to_owned(),
        mode: Mode::Exclusive,
        position: number as i64,
        among: Among::All,
        ancestors: Vec::new(),
        sharing: kind.is_ascii_uppercase(),
    };
    let line: Vec<Place> = kinds.chars().enumerate().skip(1).map(place).collect();
    let freed = HashSet::from(["a".to_owned()]);
    let next = next_in_line(&freed, &[holder], &line, &sharing);
    let mut next: Vec<usize> = next.into_iter().map(number).collect();
    next.sort_unstable();
    next
}

#[test]
fn who_goes_side_by_side_has_its_turn_when_all_before_it_are_such_and_not_before() {
    assert_eq!(next_of("aA"), [1]);
    assert_eq!(next_of("AAAA"), [1, 2, 3]);
    assert_eq!(next_of("aAaA"), [1, 3]);
    // Behind one with which it does not go, and behind a holder with which it does not.
    assert_eq!(next_of("abA"), Vec::<usize>::new());
    assert_eq!(next_of("aAbA"), [1]);
    assert_eq!(next_of("bA"), Vec::<usize>::new());
    // Beside those that have started, and not past those that wait.
    assert_eq!(next_of("sS"), [1]);
    assert_eq!(next_of("ssS"), Vec::<usize>::new());
}
