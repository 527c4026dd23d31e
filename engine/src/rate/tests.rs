//! What a rate permits, whoever asks for how many and when.

use proptest::prelude::*;

use super::*;

fn s(seconds: i64) -> Micros {
    Micros(seconds * 1_000_000)
}

/// How many fit into a time, one more than whole intervals, and what may come at once besides.
fn most(rate: &Rate, within_us: i64) -> i128 {
    let intervals = i128::from(within_us) * i128::from(rate.steps);
    i128::from(rate.burst) - 1 + (intervals + rate.period_us() - 1) / rate.period_us()
}

#[test]
fn permits_come_at_even_intervals_and_a_few_at_once_after_a_pause() {
    let rate = Rate::per_minute(60).burst(3);
    let first = permits(None, s(100), &rate, 10);
    assert_eq!((first.granted, first.next_at), (3, s(101)));
    let none = permits(first.tat, Micros(100_999_999), &rate, 10);
    assert_eq!((none.granted, none.next_at), (0, s(101)));
    let one = permits(first.tat, s(101), &rate, 10);
    assert_eq!((one.granted, one.next_at), (1, s(102)));
    // As few as are wanted, and the others are kept, but for no more than a burst.
    let few = permits(one.tat, s(200), &rate, 2);
    assert_eq!((few.granted, few.next_at), (2, s(200)));
    assert_eq!(permits(few.tat, s(200), &rate, 10).granted, 1);
    assert_eq!(permits(few.tat, s(900), &rate, 10).granted, 3);
}

#[test]
fn a_clock_that_was_set_back_keeps_nobody_for_longer_than_an_interval() {
    let rate = Rate::per_minute(1);
    let before = permits(None, s(100_000), &rate, 1);
    let after = permits(before.tat, s(50_000), &rate, 1);
    assert_eq!((after.granted, after.next_at), (0, s(50_060)));
    // However often it is asked for meanwhile.
    let again = permits(after.tat, s(50_030), &rate, 1);
    assert_eq!((again.granted, again.next_at), (0, s(50_060)));
    assert_eq!(permits(again.tat, s(50_060), &rate, 1).granted, 1);
    // Nor does a rate that was lower before.
    let faster = Rate::per_second(10).burst(1);
    let then = permits(before.tat, s(100_001), &faster, 1);
    assert_eq!(
        (then.granted, then.next_at),
        (0, Micros(100_001_100_000)),
        "{then:?}"
    );
}

#[test]
fn what_comes_back_can_be_had_again_but_for_what_has_passed_since() {
    let rate = Rate::per_hour(2).burst(2);
    let (tat, since) = (permits(None, s(0), &rate, 2).tat, s(0));
    let back = |count, now| {
        let tat = given_back(tat, s(now), &rate, GivenBack { count, since });
        permits(tat, s(now), &rate, 2)
    };
    assert_eq!(back(0, 1).granted, 0);
    // In a second a second of one of them is paid off, and no more than that.
    let one = back(1, 1);
    assert_eq!((one.granted, one.next_at), (1, s(1_801)));
    assert_eq!((back(1, 0).granted, back(2, 0).granted), (1, 2));
    assert_eq!(back(2, 1).granted, 2);
    // When all is paid off there is nothing to give back.
    assert_eq!(back(2, 3_600), permits(None, s(3_600), &rate, 2));
}

#[test]
fn rates_are_said_in_words_and_only_sensible_ones_are_taken() {
    for text in ["100/s", "30/min", "500/h", "2/d", "7/90s", "1/250ms"] {
        let rate: Rate = text.parse().unwrap();
        assert_eq!(rate.to_string(), text);
        assert!(rate.check().is_ok(), "{text}");
    }
    assert_eq!("30/m".parse(), Ok(Rate::per_minute(30)));
    assert_eq!("30/1min".parse(), Ok(Rate::per_minute(30)));
    for text in [
        "",
        "100",
        "/s",
        "x/s",
        "1/",
        "1/s2",
        "-1/s",
        "1/99999999999999999999s",
    ] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
    let bursts = [
        (Rate::per_second(1_000), 100),
        (Rate::per_second(19), 1),
        (Rate::per_minute(6_000), 10),
        (Rate::per_hour(1), 1),
    ];
    for (rate, burst) in bursts {
        assert_eq!(rate.at_once(), burst, "{rate}");
    }
    let too_long = Rate::new(1, limits::RATE_PERIOD + Duration::from_millis(1));
    for rate in [
        Rate::per_second(0),
        Rate::per_second(1).burst(0),
        Rate::new(1, Duration::ZERO),
        Rate::per_second(limits::RATE_STEPS + 1),
        too_long,
    ] {
        assert!(rate.check().is_err(), "{rate}");
    }
}

#[test]
fn who_waits_sleeps_until_the_next_permit_and_for_a_high_rate_until_there_are_some() {
    let ms = Duration::from_millis;
    assert_eq!(Rate::per_minute(1).pause(5, ms(7_000)), ms(7_000));
    assert_eq!(Rate::per_second(100).pause(64, ms(3)), ms(50));
    assert_eq!(Rate::per_second(100).pause(2, ms(3)), ms(20));
    assert_eq!(Rate::per_second(10).pause(64, ms(3)), ms(3));
    let much = Rate::per_hour(10).burst(1_000);
    assert_eq!(much.pause(64, ms(3)), limits::PERMIT_QUANTUM);
}

fn rates() -> impl Strategy<Value = Rate> {
    (1u32..2_000, 1u64..100_000, 1u32..40).prop_map(|(steps, period_ms, burst)| {
        Rate::new(steps, Duration::from_millis(period_ms)).burst(burst)
    })
}

proptest! {
    /// Whoever asks, for however many, whenever: in no time, however long, more than there may be.
    #[test]
    fn no_more_than_the_rate_in_any_time(
        rate in rates(),
        asks in prop::collection::vec((0i64..400_000, 0usize..60, 0usize..5), 1..120),
    ) {
        let (mut now, mut tat) = (s(1_000), None);
        let mut used: Vec<(i64, usize)> = Vec::new();
        let mut before: Option<GivenBack> = None;
        for (passed, wanted, unused) in asks {
            now.0 += passed;
            if let Some(back) = before.take() {
                tat = given_back(tat, now, &rate, back);
            }
            let asked = permits(tat, now, &rate, wanted);
            prop_assert!(asked.granted <= wanted);
            prop_assert!(asked.next_at >= now);
            tat = asked.tat;
            let unused = unused.min(asked.granted);
            if unused > 0 {
                before = Some(GivenBack { count: unused, since: now });
            }
            used.push((now.0, asked.granted - unused));
        }
        for (nth, (from, _)) in used.iter().enumerate() {
            let mut count = 0i128;
            for (at, granted) in &used[nth..] {
                count += *granted as i128;
                // From the first to the last of them, both counted.
                prop_assert!(count <= most(&rate, at - from + 1), "{count} in {} us of {rate:?}", at - from);
            }
        }
    }

    /// However an ask is cut into several, they get the same.
    #[test]
    fn several_get_what_one_would(rate in rates(), ahead in 0i64..10_000_000, parts in prop::collection::vec(0usize..10, 1..10)) {
        let (now, tat) = (s(1_000), Some(Micros(s(1_000).0 + ahead)));
        let whole = permits(tat, now, &rate, parts.iter().sum());
        let mut given = 0;
        let mut then = tat;
        for part in parts {
            let asked = permits(then, now, &rate, part);
            given += asked.granted;
            then = asked.tat;
        }
        // Each is rounded up to a microsecond.
        prop_assert!(given <= whole.granted && given + 1 >= whole.granted, "{given} {whole:?}");
    }

    /// With enough demand the rate is reached: who asks again when it is told to gets something then, and over a long time there
    /// is no less than the rate.
    #[test]
    fn with_enough_demand_the_rate_is_reached(steps in 1u32..2_000, period_ms in 1_000u64..100_000) {
        let rate = Rate::new(steps, Duration::from_millis(period_ms));
        let (mut now, mut tat, mut given) = (s(1_000), None, 0i128);
        let until = s(1_000).0 + i64::try_from(rate.period_us()).unwrap() * 3;
        for _ in 0..20_000 {
            if now.0 >= until {
                break;
            }
            let asked = permits(tat, now, &rate, 1_000);
            prop_assert!(asked.granted > 0, "{rate:?} at {now:?}");
            tat = asked.tat;
            given += asked.granted as i128;
            let pause = rate.pause(1_000, super::until(now, asked.next_at));
            now.0 += micros(pause);
        }
        let passed = i128::from(now.0 - s(1_000).0);
        let due = passed * i128::from(rate.steps) / rate.period_us();
        // A microsecond of each ask is lost by rounding.
        prop_assert!(given * 1_000 >= due * 990, "{given} of {due}");
    }
}
