//! Several workers that lend from one queue, with the worker's own decisions and the store's, and everything else of chance:
//! when a tick is sent, when it is on disk, when its answer is heard, when steps end, and what people say meanwhile.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::Lent;
use crate::clock::Micros;
use crate::id::{SessionId, TaskId};
use crate::limits;
use crate::slots::{Budget, Holder, Hunger, SlotAsk, SlotsHeld, grant, settled};
use crate::store::QueueSeen;
use crate::worker::lane::{LaneState, UseFor, Waiting};

/// A tick on its way.
#[derive(Debug)]
struct Tick {
    ask: Option<SlotAsk>,
    room: usize,
    version: u64,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    version: u64,
    state: u64,
    has: Option<SlotsHeld>,
    took: usize,
    drained: bool,
}

#[derive(Debug)]
struct Member {
    lane: LaneState,
    /// The one sort of task that it knows.
    kind: usize,
    tick: Option<Tick>,
    /// The limit of which it has heard.
    version: u64,
    /// Its steps have been counted as slots since it heard of a limit.
    counted: bool,
    /// The state of affairs of its last answer.
    state: u64,
    done: usize,
}

/// A queue, its rows, and who works for it.
#[derive(Debug)]
struct World {
    now: Duration,
    version: u64,
    /// Changes with the limit, and when somebody who has heard of it late already runs more than there are.
    state: u64,
    limit: Option<i64>,
    lent: i64,
    rows: Vec<Holder>,
    ready: Vec<usize>,
    members: Vec<Member>,
    asks: usize,
}

const CONCURRENCY: usize = 6;

impl World {
    fn new(kinds: &[usize]) -> Self {
        let member = |(nth, kind): (usize, &usize)| {
            let lane = LaneState::new(Arc::from("mail"), vec![], CONCURRENCY);
            let row = Holder {
                session: SessionId(Uuid::from_u128(nth as u128 + 1)),
                held: 0,
                hungry_at: None,
            };
            let member = Member {
                lane,
                kind: *kind,
                tick: None,
                version: 0,
                counted: false,
                state: 0,
                done: 0,
            };
            (row, member)
        };
        let (rows, members) = kinds.iter().enumerate().map(member).unzip();
        Self {
            now: Duration::from_secs(1),
            version: 0,
            state: 0,
            limit: None,
            lent: 0,
            rows,
            ready: vec![0; kinds.len()],
            members,
            asks: 0,
        }
    }

    fn limit(&mut self, limit: i64) {
        self.limit = Some(limit);
        self.version += 1;
        self.state += 1;
    }

    fn send(&mut self, who: usize) {
        let (now, version) = (self.now, self.version);
        let member = &mut self.members[who];
        if member.tick.is_some() {
            return;
        }
        let lane = &mut member.lane;
        let room = match lane.hint {
            true => lane.room(now, limits::PREFETCH_BYTES),
            false => 0,
        };
        let use_for = match lane.hint {
            true => UseFor::More,
            false => UseFor::InHand,
        };
        let ask = lane.slot_ask(use_for, now);
        if ask.is_some() || room > 0 {
            self.asks += usize::from(ask.is_some());
            member.tick = Some(Tick {
                ask,
                room,
                version: member.version.min(version),
                answer: None,
            });
        }
    }

    fn budget(&self, who: usize) -> Budget {
        let others = self.rows.iter().enumerate();
        let others =
            others.filter(|(nth, row)| *nth != who && (row.held > 0 || row.hungry_at.is_some()));
        Budget {
            limit: self.limit,
            lent: self.lent,
            own: self.rows[who],
            others: others.map(|(_, row)| *row).collect(),
        }
    }

    fn commit(&mut self, who: usize) {
        let budget = self.budget(who);
        let (limit, lent, running) = (self.limit, self.lent, self.members[who].lane.running);
        let (version, at) = (self.version, Micros(self.now.as_micros() as i64));
        let member = &mut self.members[who];
        let Some(tick) = member.tick.as_mut().filter(|tick| tick.answer.is_none()) else {
            return;
        };
        let mut room = tick.room;
        let mut granted = 0;
        match (&tick.ask, limit) {
            (Some(ask), _) => {
                granted = grant(&budget, ask);
                room = room.min((granted as usize).saturating_sub(ask.in_hand));
            }
            // A limit of which it has not known.
            (None, Some(_)) if version > tick.version => room = 0,
            (None, _) => {}
        }
        let took = room.min(self.ready[member.kind]);
        self.ready[member.kind] -= took;
        let drained = took < room;
        let mut has = None;
        if let Some(ask) = &tick.ask {
            let settled = settled(&budget, granted, ask, took);
            let row = &mut self.rows[who];
            self.lent += settled.held - row.held;
            row.held = settled.held;
            row.hungry_at = match settled.hunger {
                Hunger::No => None,
                Hunger::Waits => row.hungry_at.or(Some(at)),
                Hunger::Anew => Some(at),
            };
            has = Some(SlotsHeld {
                queue: ask.queue.clone(),
                held: settled.held as usize,
                usable: settled.usable as usize,
                denied: settled.hunger != Hunger::No,
                awaited: settled.awaited,
            });
            let limit = limit.unwrap();
            self.state += u64::from(self.lent > limit.max(lent));
            let of_late = lent - budget.own.held + ask.running as i64;
            assert!(
                self.lent <= limit.max(lent).max(of_late),
                "{ask:?} of {budget:?}"
            );
            assert!(running <= settled.held as usize, "{ask:?} of {budget:?}");
            member.counted = true;
        }
        tick.answer = Some(Answer {
            version,
            state: self.state,
            has,
            took,
            drained,
        });
    }

    fn hear_limit(&mut self, who: usize, version: u64) {
        let member = &mut self.members[who];
        if version > member.version {
            member.version = version;
            member.lane.lent.get_or_insert(Lent::NEW).doubt();
        }
    }

    fn hear(&mut self, who: usize) {
        let heard = |tick: &mut Tick| tick.answer.is_some();
        let Some(tick) = self.members[who].tick.take_if(heard) else {
            return;
        };
        let Some(answer) = tick.answer else { return };
        self.hear_limit(who, answer.version);
        let now = self.now;
        let member = &mut self.members[who];
        if let (Some(lent), Some(has)) = (member.lane.lent.as_mut(), &answer.has) {
            lent.answered(has, now);
            member.state = answer.state;
            if member.version > answer.version {
                lent.doubt();
            }
        }
        member.lane.hint &= !answer.drained;
        let waiting = Waiting {
            task: TaskId(Uuid::nil()),
            step: 0,
            since: now,
        };
        member.lane.waiting.extend(vec![waiting; answer.took]);
        self.start(who);
    }

    fn start(&mut self, who: usize) {
        loop {
            let lane = &mut self.members[who].lane;
            if lane.running >= lane.slots(self.now) || lane.waiting.pop_front().is_none() {
                return;
            }
            lane.running += 1;
            let known = |member: &Member| member.state == self.state || member.lane.running == 0;
            let running: usize = self.members.iter().map(|member| member.lane.running).sum();
            if let Some(limit) = self.limit
                && self.members.iter().all(known)
            {
                assert!(
                    running as i64 <= limit,
                    "{who} makes it {running} of {limit}"
                );
            }
        }
    }

    fn end(&mut self, who: usize) {
        let member = &mut self.members[who];
        if member.lane.running > 0 {
            member.lane.ended(self.now);
            member.done += 1;
            self.start(who);
        }
    }

    fn look(&mut self, who: usize) {
        self.hear_limit(who, self.version);
        let to_be_had = self.budget(who).to_be_had() > 0;
        let ready = self.ready[self.members[who].kind] > 0;
        let lane = &mut self.members[who].lane;
        let seen = QueueSeen {
            queue: lane.queue.clone(),
            ready,
            suspects: false,
            slot: to_be_had,
            permit_in: None,
        };
        lane.seen(&seen, self.now);
        self.start(who);
    }

    /// Whatever the events are; then all that was on its way has arrived.
    fn played(kinds: &[usize], events: Vec<(u8, usize, usize)>) -> Self {
        let mut world = World::new(kinds);
        for (what, who, many) in events {
            match what {
                0..=3 => world.send(who),
                4..=6 => world.commit(who),
                7..=9 => world.hear(who),
                10..=11 => world.end(who),
                12 => world.look(who),
                13 => world.ready[kinds[who]] += many,
                14 => world.now += Duration::from_millis(150 * many as u64),
                // People cancel it.
                15 => world.ready[kinds[who]] = 0,
                _ => world.limit(many as i64),
            }
            world.check();
        }
        if world.limit.is_none() {
            world.limit(2);
        }
        (0..4).for_each(|who| {
            world.commit(who);
            world.hear(who);
        });
        world.comes_to_rest();
        world
    }

    fn tick(&mut self, who: usize) {
        self.send(who);
        self.commit(who);
        self.hear(who);
    }

    fn check(&self) {
        let held: i64 = self.rows.iter().map(|row| row.held).sum();
        assert_eq!(held, self.lent);
        for (row, member) in self.rows.iter().zip(&self.members) {
            assert!(!member.counted || member.lane.running as i64 <= row.held);
        }
    }

    /// Everybody looks and ticks, again and again, while no step ends and no time passes: after a while nobody asks.
    fn comes_to_rest(&mut self) {
        for round in 0..60 {
            self.asks = 0;
            for who in 0..self.members.len() {
                self.tick(who);
                self.look(who);
                self.check();
            }
            if round >= 50 {
                assert_eq!(self.asks, 0, "somebody asks for ever: {self:#?}");
            }
        }
    }

    /// A step of each worker ends, a twentieth of a second passes, and everybody looks and ticks.
    fn goes_on(&mut self) {
        for who in 0..self.members.len() {
            self.end(who);
            self.tick(who);
            self.look(who);
            self.tick(who);
            self.check();
        }
        self.now += Duration::from_millis(50);
    }
}

#[test]
fn a_limit_that_is_lowered_amid_a_backlog_is_kept_from_then_on() {
    let mut world = World::new(&[0, 0]);
    world.ready[0] = 1_000;
    for who in [0, 1] {
        world.tick(who);
    }
    let running =
        |world: &World| -> usize { world.members.iter().map(|member| member.lane.running).sum() };
    assert_eq!(running(&world), 2 * CONCURRENCY);
    world.limit(3);
    let mut most = Vec::new();
    for _ in 0..20 {
        world.goes_on();
        most.push(running(&world));
    }
    assert!(
        most.windows(2).all(|two| two[1] <= two[0].max(3)),
        "{most:?}"
    );
    assert!(most[10..].iter().all(|running| *running == 3), "{most:?}");
    world.limit(1);
    for _ in 0..10 {
        world.goes_on();
    }
    assert_eq!(running(&world), 1);
    world.limit(5);
    for _ in 0..10 {
        world.goes_on();
    }
    assert_eq!(running(&world), 5);
}

#[test]
fn who_waits_for_a_slot_has_one_although_the_others_never_run_out_of_work() {
    for limit in [1, 2, 5] {
        let mut world = World::new(&[0, 0, 1]);
        world.limit(limit);
        world.ready[0] = 100_000;
        for _ in 0..20 {
            world.goes_on();
        }
        world.ready[1] = 3;
        for _ in 0..200 {
            world.goes_on();
        }
        assert_eq!(world.members[2].done, 3, "of {limit}");
        assert!(world.members[0].done > 0 && world.members[1].done > 0);
    }
}

#[test]
fn long_steps_keep_their_slots_and_nobody_asks_for_them_again_and_again() {
    let mut world = World::new(&[0, 1]);
    world.limit(2);
    world.ready[0] = 100;
    world.tick(0);
    world.ready[1] = 1;
    for _ in 0..100 {
        world.now += Duration::from_secs(1);
        world.comes_to_rest();
    }
    assert_eq!(world.rows[0].held, 2);
    world.end(0);
    world.comes_to_rest();
    assert_eq!((world.rows[0].held, world.rows[1].held), (1, 1));
}

#[test]
fn who_finds_a_slot_and_nothing_to_use_it_for_leaves_the_line() {
    let mut world = World::new(&[0, 1]);
    world.limit(1);
    (0..2).for_each(|who| world.look(who));
    world.ready[1] = 1;
    world.tick(1);
    assert_eq!(world.members[1].lane.running, 1);
    world.ready[0] = 1;
    world.tick(0);
    assert!(world.rows[0].hungry_at.is_some());
    // People cancel it, and the slot is given back before anybody has looked.
    world.ready[0] = 0;
    world.end(1);
    (0..3).for_each(|_| world.tick(1));
    assert_eq!(world.lent, 0);
    world.look(0);
    world.tick(0);
    world.ready[1] = 1;
    for _ in 0..10 {
        world.goes_on();
    }
    assert_eq!(world.members[1].done, 2);
}

fn event() -> impl Strategy<Value = (u8, usize, usize)> {
    (0u8..17, 0usize..4, 1usize..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_more_runs_than_may_everybody_has_a_turn_and_nobody_spins(
        events in prop::collection::vec(event(), 1..250),
        kinds in prop::collection::vec(0usize..3, 4),
    ) {
        let mut world = World::played(&kinds, events);
        // One kind never runs out.
        world.ready[kinds[0]] += 1_000_000;
        for _ in 0..800 {
            world.goes_on();
        }
        for kind in 0..4 {
            let known = kinds.contains(&kind) && kind != kinds[0];
            prop_assert!(!known || world.ready[kind] == 0, "{} of {kind} are left: {world:#?}", world.ready[kind]);
        }
        world.comes_to_rest();
    }

    #[test]
    fn nobody_stands_in_line_who_has_no_use_for_a_slot(
        events in prop::collection::vec(event(), 1..250),
        kinds in prop::collection::vec(0usize..3, 4),
    ) {
        let mut world = World::played(&kinds, events);
        for _ in 0..400 {
            world.goes_on();
        }
        for kind in kinds {
            prop_assert!(world.ready[kind] == 0, "{} of {kind} are left: {world:#?}", world.ready[kind]);
        }
        let waits = |member: &Member| member.lane.in_hand() > 0;
        prop_assert!(!world.members.iter().any(waits), "{world:#?}");
    }
}
