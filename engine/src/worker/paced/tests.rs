//! Several workers with endless work in one queue with a rate, in a time that the test moves: with the worker's own decisions and
//! the store's, and everything else of chance: how long an ask takes to the row, how long its answer takes, who is held up.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::micros;
use crate::rate::{given_back, permits, until};

/// A tick on its way.
#[derive(Debug)]
struct Tick {
    ask: PermitAsk,
    asked: Duration,
    at_row: Duration,
    heard: Duration,
    answer: Option<PermitsGiven>,
}

#[derive(Debug, Default)]
struct Member {
    paced: Paced,
    tick: Option<Tick>,
    /// Steps in hand.
    waiting: usize,
    begun: usize,
    asks: usize,
}

#[derive(Debug)]
struct World {
    rate: Rate,
    now: Duration,
    tat: Option<Micros>,
    members: Vec<Member>,
    /// When steps began.
    begun: Vec<Duration>,
    /// SplitMix64.
    seed: u64,
}

impl World {
    fn new(rate: Rate, members: usize, seed: u64) -> Self {
        Self {
            rate,
            now: Duration::from_secs(10),
            tat: None,
            members: (0..members).map(|_| Member::default()).collect(),
            begun: Vec::new(),
            seed,
        }
    }

    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Up to so much.
    fn some(&mut self, most: Duration) -> Duration {
        let us = u64::try_from(most.as_micros()).unwrap() + 1;
        Duration::from_micros(self.random() % us)
    }

    fn row_time(&self) -> Micros {
        Micros(micros(self.now))
    }

    /// What a worker does now. `latency`: most that each way of a tick takes.
    fn step(&mut self, who: usize, latency: Duration) {
        let now = self.now;
        let random = self.random();
        let (there, back) = (self.some(latency), self.some(latency));
        let row_time = self.row_time();
        let member = &mut self.members[who];
        member.paced.wake(now);
        if member.tick.is_none()
            && let Some(ask) = member.paced.ask(
                &Arc::from("mail"),
                member.waiting,
                !member.paced.waits(),
                false,
                now,
            )
        {
            member.asks += 1;
            member.tick = Some(Tick {
                ask,
                asked: now,
                at_row: now + there,
                heard: now + there + back,
                answer: None,
            });
        }
        if let Some(tick) = &mut member.tick
            && tick.answer.is_none()
            && tick.at_row <= now
        {
            let tat = match tick.ask.given_back {
                Some(back) => given_back(self.tat, row_time, &self.rate, back),
                None => self.tat,
            };
            // There are always eight to claim.
            let claims = 8usize.saturating_sub(tick.ask.spare);
            let wanted = tick.ask.in_hand + claims;
            let granted = permits(tat, row_time, &self.rate, wanted);
            self.tat = granted.tat;
            member.waiting += granted.granted.saturating_sub(tick.ask.in_hand);
            tick.answer = Some(PermitsGiven {
                queue: tick.ask.queue.clone(),
                given: granted.granted,
                at: row_time,
                rate: Some(self.rate),
                missing: wanted - granted.granted,
                next_in: until(row_time, granted.next_at),
            });
        }
        if let Some(tick) = member
            .tick
            .take_if(|tick| tick.answer.is_some() && tick.heard <= now)
            && let Some(answer) = &tick.answer
        {
            member.paced.answered(answer, tick.asked, random);
        }
        while member.waiting > 0 && member.paced.take(now).is_some() {
            member.waiting -= 1;
            member.begun += 1;
            self.begun.push(now);
        }
    }

    /// Everybody works for a time, each with ticks that take up to so long each way.
    fn works(&mut self, time: Duration, latencies: &[Duration]) {
        let end = self.now + time;
        while self.now < end {
            for (who, latency) in latencies.iter().enumerate() {
                self.step(who, *latency);
            }
            self.now += Duration::from_micros(500);
        }
    }

    /// In no time more than are permitted in it and in the term before it.
    fn is_kept(&self) -> Result<(), String> {
        let interval = self.rate.period().as_secs_f64() / f64::from(self.rate.steps());
        for (nth, from) in self.begun.iter().enumerate() {
            for (count, to) in self.begun[nth..].iter().enumerate() {
                let within = (*to - *from + limits::PERMIT_TERM).as_secs_f64();
                let most = f64::from(self.rate.at_once()) + within / interval;
                if (count + 1) as f64 > most + 1e-6 {
                    return Err(format!("{} in {within} s of {:?}", count + 1, self.rate));
                }
            }
        }
        Ok(())
    }
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_rate_is_reached_and_nobody_is_left_out_and_nobody_asks_all_the_time() {
    for (rate, members) in [
        (Rate::per_second(10), 1),
        (Rate::per_second(10), 2),
        (Rate::per_second(100), 1),
        (Rate::per_second(100), 3),
        (Rate::per_second(500), 2),
        (Rate::per_minute(120), 3),
    ] {
        let mut world = World::new(rate, members, 7);
        let time = Duration::from_secs(20);
        world.works(time, &vec![MS * 5; members]);
        world.is_kept().unwrap();
        let due = time.as_secs_f64() * f64::from(rate.steps()) / rate.period().as_secs_f64();
        let begun = world.begun.len() as f64;
        assert!(
            begun >= due * 0.8,
            "{begun} of {due} with {members} at {rate}"
        );
        for member in &world.members {
            let part = member.begun as f64 * members as f64 / begun;
            assert!(part > 0.5, "{part} of its share with {members} at {rate}");
            // At most so often as there is a quantum, or something to be had.
            let most = (time.as_secs_f64() / limits::PERMIT_QUANTUM.as_secs_f64()).max(due) * 2.5;
            assert!(
                (member.asks as f64) < most,
                "{} asks at {rate}",
                member.asks
            );
        }
    }
}

#[test]
fn a_permit_that_is_not_used_is_void_and_goes_back_if_it_is_worth_anything() {
    let given = |rate| PermitsGiven {
        queue: Arc::from("mail"),
        given: 2,
        at: Micros(5),
        rate: Some(rate),
        missing: 0,
        next_in: Duration::ZERO,
    };
    let (asked, queue) = (MS * 100, Arc::from("mail"));
    let mut paced = Paced::default();
    paced.answered(&given(Rate::per_minute(10).burst(2)), asked, 0);
    assert_eq!(
        (paced.usable(asked), paced.take(asked)),
        (2, paced.void_at())
    );
    let late = asked + limits::PERMIT_TERM;
    assert_eq!(paced.usable(late - MS), 1);
    assert_eq!((paced.usable(late), paced.take(late)), (0, None));
    assert!(paced.ask(&queue, 0, false, false, late - MS).is_none());
    let back = paced.ask(&queue, 0, false, false, late).unwrap().given_back;
    assert_eq!(
        back,
        Some(GivenBack {
            count: 1,
            since: Micros(5)
        })
    );
    assert_eq!(paced.void_at(), None, "once");
    // By now it is paid off, and is nobody's.
    paced.answered(&given(Rate::per_second(10).burst(2)), asked, 0);
    assert!(paced.ask(&queue, 0, false, false, late).is_none());
    assert_eq!(paced.void_at(), None);
    // Who stops gives back at once, and asks for nothing.
    paced.answered(&given(Rate::per_minute(10).burst(2)), asked, 0);
    let back = paced.ask(&queue, 5, false, true, asked + MS).unwrap();
    assert_eq!((back.in_hand, back.given_back.unwrap().count), (0, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever ticks take, also where workers are held up for longer than a permit is one.
    #[test]
    fn no_more_begin_than_are_permitted(
        steps in 1u32..300,
        burst in 1u32..20,
        seed in any::<u64>(),
        latencies in prop::collection::vec(0u32..800, 1..4),
    ) {
        let rate = Rate::per_second(steps).burst(burst);
        let mut world = World::new(rate, latencies.len(), seed);
        let latencies: Vec<Duration> = latencies.into_iter().map(|ms| MS * ms).collect();
        world.works(Duration::from_secs(4), &latencies);
        prop_assert_eq!(world.is_kept(), Ok(()));
    }
}
