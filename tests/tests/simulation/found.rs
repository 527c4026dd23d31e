//! What the dice have found once, played by hand: seeds mean other runs when a run changes.

use std::time::Duration;

use intendant::testing::Kit;
use intendant::testing::troupe::{Fate, Move, Troupe};

use crate::people::ACTOR;
use crate::program::{self, DEFAULT, Hold, Program};
use crate::run::is_idle;
use crate::world::World;

async fn make(troupe: &mut Troupe<World>, it: &Move) {
    troupe.make(it, Fate::Done, None).await.unwrap();
}

/// A worker looks, and writes all that comes of it; nothing begins. Whether something could.
async fn looks(troupe: &mut Troupe<World>, worker: usize) -> bool {
    make(troupe, &Move::Look(worker)).await;
    loop {
        let moves = troupe.moves();
        let commit = moves.iter().find(|it| matches!(it, Move::Commit(..)));
        match commit {
            Some(commit) => make(troupe, &commit.clone()).await,
            None => return moves.iter().any(|it| matches!(it, Move::Begin(..))),
        }
    }
}

async fn plays_out(troupe: &mut Troupe<World>) {
    while let Some(next) = troupe.moves().into_iter().find(|it| !is_idle(it)) {
        make(troupe, &next).await;
    }
}

/// A queue lends one slot to three workers that all wait for it, and what waits in it is a suspect alone. Each of them that came
/// first in line asked for ordinary tasks, found none, and lost its place to the next one.
#[tokio::test]
async fn a_suspect_is_taken_by_who_is_first_in_line_for_a_slot() {
    for order in [
        [0, 1, 2],
        [2, 1, 0],
        [1, 0, 2],
        [1, 2, 0],
        [0, 2, 1],
        [2, 0, 1],
    ] {
        let kit = Kit::new(World::default, |worker| worker.register(program::hold));
        let mut troupe = kit.troupe(3).await.unwrap();
        for worker in 0..3 {
            troupe.start(worker).await.unwrap();
        }
        let intendant = troupe.intendant().clone();
        let limit = intendant.limit_queue(DEFAULT, Some(1), ACTOR, None);
        limit.await.unwrap();
        let suspect = intendant.request(Hold(Program::acting())).by(ACTOR);
        let suspect = suspect.await.unwrap().id();
        assert!(looks(&mut troupe, 0).await);
        let other = intendant.request(Hold(Program::acting())).by(ACTOR);
        let other = other.await.unwrap().id();
        for worker in [1, 2] {
            looks(&mut troupe, worker).await;
        }
        intendant.cancel(other, ACTOR, None).await.unwrap();
        let name = troupe.name(0);
        troupe.kill(0).await;
        troupe.start(0).await.unwrap();
        troupe.reap(1, &name).await.unwrap();
        let mut rounds = 0;
        while !intendant.state(suspect).await.unwrap().is_finished() {
            rounds += 1;
            assert!(rounds < 20, "nobody takes it, by turns {order:?}");
            for worker in order {
                troupe.advance(Duration::from_millis(10));
                looks(&mut troupe, worker).await;
            }
            plays_out(&mut troupe).await;
        }
    }
}
