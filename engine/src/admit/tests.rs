//! Who is let in, as text.

use super::*;
use expect_test::{Expect, expect};
use std::collections::HashSet;
use uuid::Uuid;

fn intent(number: u128) -> IntentId {
    IntentId(Uuid::from_u128(number))
}

fn mode(letter: &str) -> Mode {
    if letter == "x" {
        Mode::Exclusive
    } else {
        Mode::Shared
    }
}

/// `1 a x` a line: intent, resource, mode. Applicants, holders and places; the position is the intent's number.
fn check(applicants: &str, holders: &str, line: &str, expected: Expect) {
    let rows = |text: &str| -> Vec<(IntentId, String, Mode, i64)> {
        text.split(',')
            .filter(|row| !row.trim().is_empty())
            .map(|row| {
                let words: Vec<_> = row.split_whitespace().collect();
                let number: u32 = words[0].parse().unwrap();
                (
                    intent(number.into()),
                    words[1].to_owned(),
                    mode(words[2]),
                    i64::from(number),
                )
            })
            .collect()
    };
    let holding: HashSet<IntentId> = rows(holders).iter().map(|row| row.0).collect();
    let is_kin = |intent| holding.contains(&intent_parent(intent));
    let mut wanting: Vec<Applicant> = Vec::new();
    for (intent, resource, mode, position) in rows(applicants) {
        let want = Want {
            intent,
            resource,
            mode,
        };
        match wanting
            .iter_mut()
            .find(|applicant| applicant.intent == intent)
        {
            Some(applicant) => applicant.wants.push(want),
            None => wanting.push(Applicant {
                intent,
                position,
                ancestors: vec![intent_parent(intent)],
                kin: is_kin(intent),
                wants: vec![want],
                rules: None,
                is_new: true,
            }),
        }
    }
    let holders: Vec<_> = rows(holders)
        .into_iter()
        .map(|(intent, resource, mode, _)| Holder {
            intent,
            resource,
            mode,
            beside: false,
            covered: false,
        })
        .collect();
    let line: Vec<_> = rows(line)
        .into_iter()
        .map(|(intent, resource, mode, position)| Place {
            intent,
            mode,
            position,
            among: Among::of(&[intent_parent(intent)], is_kin(intent), |owner| {
                let owns = |h: &Holder| h.resource == resource && h.mode == Mode::Exclusive;
                holders.iter().any(|h| h.intent == owner && owns(h))
            }),
            resource,
            ancestors: vec![intent_parent(intent)],
            sharing: false,
        })
        .collect();
    let admission = admit_by_modes(wanting, &holders, &line);
    let taken: Vec<_> = admission
        .taken
        .iter()
        .map(|t| format!("{}:{}", t.intent.0.as_u128(), t.resource))
        .collect();
    let blocked: Vec<_> = admission
        .blocked
        .iter()
        .map(|b| b.0.as_u128().to_string())
        .collect();
    let resources = line.iter().map(|place| place.resource.clone()).collect();
    let mut next: Vec<_> = next_in_line(&resources, &holders, &line, &Sharing::default())
        .iter()
        .map(|i| i.0.as_u128())
        .collect();
    next.sort_unstable();
    expected.assert_eq(&format!(
        "taken {} | blocked {} | next {next:?}",
        taken.join(" "),
        blocked.join(" ")
    ));
}

/// Without any rules.
fn admit_by_modes(applicants: Vec<Applicant>, holders: &[Holder], line: &[Place]) -> Admission {
    let scene = Scene {
        holders,
        line,
        coming: &[],
        kinds: &HashMap::new(),
        accounts: &HashMap::new(),
        passed: 0,
        is_same: &|_, _| false,
    };
    admit(applicants, &scene)
}

/// Intent 100·n is the parent of intent n.
fn intent_parent(child: IntentId) -> IntentId {
    intent(child.0.as_u128() * 100)
}

#[test]
fn the_first_takes_it_and_the_second_waits() {
    check(
        "1 a x, 2 a x",
        "",
        "",
        expect!["taken 1:a | blocked 2 | next []"],
    );
    check(
        "2 a x",
        "1 a x",
        "",
        expect!["taken  | blocked 2 | next []"],
    );
    check(
        "1 a s, 2 a s, 3 a x, 4 a s",
        "",
        "",
        expect!["taken 1:a 2:a | blocked 3 4 | next []"],
    );
}

#[test]
fn nobody_overtakes_an_earlier_place_that_excludes_it() {
    check(
        "5 a x",
        "",
        "3 a x",
        expect!["taken  | blocked 5 | next [3]"],
    );
    check(
        "3 a x",
        "",
        "3 a x",
        expect!["taken 3:a | blocked  | next [3]"],
    );
    check(
        "5 a s",
        "",
        "3 a s",
        expect!["taken 5:a | blocked  | next [3]"],
    );
}

#[test]
fn a_wait_that_would_close_a_circle_is_told_apart() {
    let (child, parent) = (intent(1), intent(100));
    let want = |intent, mode| Want {
        intent,
        resource: "a:1".to_owned(),
        mode,
    };
    let applicant = Applicant {
        intent: child,
        position: 1,
        ancestors: vec![parent],
        kin: true,
        wants: vec![want(child, Mode::Exclusive)],
        rules: None,
        is_new: true,
    };
    let holder = Holder {
        intent: parent,
        resource: "a:1".to_owned(),
        mode: Mode::Shared,
        beside: false,
        covered: false,
    };
    let admission = admit_by_modes(vec![applicant], &[holder], &[]);
    assert_eq!(admission.circular, [(child, "a:1".to_owned())]);
    assert!(admission.blocked.is_empty() && admission.taken.is_empty());
}

#[test]
fn who_holds_a_resource_already_needs_no_turn_for_it() {
    check(
        "5 a x",
        "5 a x",
        "3 a x",
        expect!["taken 5:a | blocked  | next []"],
    );
}

#[test]
fn several_resources_have_one_place_in_line() {
    check(
        "2 a x, 2 b x, 3 b x",
        "1 a x",
        "",
        expect!["taken  | blocked 2 3 | next []"],
    );
}

#[test]
fn a_childs_resource_is_covered_by_its_ancestors_lock() {
    check(
        "1 a x",
        "100 a x",
        "",
        expect!["taken 1:a | blocked  | next []"],
    );
    check(
        "1 a x",
        "200 a x",
        "",
        expect!["taken  | blocked 1 | next []"],
    );
}

/// Intents 1 and 101 are not siblings, so the family is made by hand: 10 holds it, 1, 2 and 3 are its children, and 4 a
/// child of 1.
#[test]
fn members_of_a_family_wait_for_each_other_only() {
    let ancestors = |who: u128| match who {
        1..=3 => vec![intent(10)],
        4 => vec![intent(1), intent(10)],
        _ => Vec::new(),
    };
    let holder = |who: u128, covered| Holder {
        intent: intent(who),
        resource: "a".to_owned(),
        mode: Mode::Exclusive,
        beside: false,
        covered,
    };
    let place = |who: u128| Place {
        intent: intent(who),
        resource: "a".to_owned(),
        mode: Mode::Exclusive,
        position: who as i64,
        among: ancestors(who)
            .last()
            .map_or(Among::All, |parent| Among::Family(*parent)),
        ancestors: ancestors(who),
        sharing: false,
    };
    let applicant = |who: u128| Applicant {
        intent: intent(who),
        position: who as i64,
        ancestors: ancestors(who),
        kin: !ancestors(who).is_empty(),
        wants: vec![Want {
            intent: intent(who),
            resource: "a".to_owned(),
            mode: Mode::Exclusive,
        }],
        rules: None,
        is_new: true,
    };
    let goes = |who: u128, holders: &[Holder], line: &[Place]| {
        let admission = admit_by_modes(vec![applicant(who)], holders, line);
        assert!(admission.taken.iter().all(|taken| taken.covered));
        !admission.taken.is_empty()
    };
    let (parent, first) = (holder(10, false), holder(1, true));
    // Somebody else's place in line is behind the whole family, whatever it is.
    assert!(goes(2, std::slice::from_ref(&parent), &[place(0)]));
    assert!(!goes(2, &[parent.clone(), first.clone()], &[]));
    assert!(goes(4, &[parent.clone(), first.clone()], &[place(2)]));
    // The line of the family moves on by itself, behind a stranger.
    let next = |holders: &[Holder]| {
        let line = [place(0), place(2), place(3)];
        next_in_line(
            &HashSet::from(["a".to_owned()]),
            holders,
            &line,
            &Sharing::default(),
        )
    };
    assert_eq!(next(&[parent.clone(), first]), HashSet::new());
    assert_eq!(next(&[parent]), HashSet::from([intent(2)]));
    assert_eq!(next(&[]), HashSet::from([intent(0), intent(2)]));
}

#[test]
fn kin_of_a_holder_pass_those_who_hold_nothing_and_nobody_else() {
    check(
        "5 a x, 5 b x",
        "500 a x",
        "3 a x, 3 b x",
        expect!["taken 5:a 5:b | blocked  | next [3]"],
    );
    check(
        "5 b x",
        "500 a x, 400 a x",
        "4 b x",
        expect!["taken  | blocked 5 | next [4]"],
    );
    check(
        "",
        "500 a x",
        "3 b x, 5 b x, 6 b x",
        expect!["taken  | blocked  | next [3, 5]"],
    );
}

#[test]
fn freeing_readies_the_head_of_the_line_and_who_goes_along_with_it() {
    check(
        "",
        "",
        "1 a x, 2 a x",
        expect!["taken  | blocked  | next [1]"],
    );
    check(
        "",
        "",
        "1 a s, 2 a s, 3 a x, 4 a s",
        expect!["taken  | blocked  | next [1, 2]"],
    );
    check(
        "",
        "9 a s",
        "1 a x, 2 a s",
        expect!["taken  | blocked  | next []"],
    );
    check(
        "",
        "9 a s",
        "1 a s, 2 a x",
        expect!["taken  | blocked  | next [1]"],
    );
}
