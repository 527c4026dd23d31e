//! Round: one pass through everything that is old enough, batch by batch, with pauses.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Pace, Pulse, Removed, What};
use crate::error::Error;
use crate::store::{LargeNext, LargeTree, Looked, Removal, Remover, Store, Target, ToRemove, Walk};

/// One pass. None of what it knows is needed after it.
struct Round<'a> {
    store: &'a Store,
    by: &'a Remover,
    pulse: &'a Pulse,
    pace: Pace,
    removed: Removed,
}

impl Store {
    /// Removes what is old enough, until there is nothing more or somebody else does it.
    pub(crate) async fn remove_all_old(
        &self,
        by: &Remover,
        pulse: &Pulse,
    ) -> Result<Removed, Error> {
        let mut round = Round {
            store: self,
            by,
            pulse,
            pace: Pace::default(),
            removed: Removed::default(),
        };
        let end = round.run().await;
        pulse.removing(false);
        match end {
            Ok(()) | Err(Stop::Left) => Ok(round.removed),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}

/// Why a pass ends before its end.
enum Stop {
    /// Somebody else removes, and a worker leaves all of it to that one.
    Left,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Asks for a transaction until it is its turn, if that is worth waiting for. Returns what it said, and when it began.
macro_rules! ours {
    ($round:ident, $call:expr) => {
        loop {
            let begun = $round.begin();
            match $call.await? {
                Some(answer) => break (answer, begun),
                None if $round.by.session.is_some() => return Err(Stop::Left),
                // A person who has it done waits for whoever is at a batch.
                None => $round.rest(begun).await,
            }
        }
    };
}

impl Round<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        let (to_remove, begun) = ours!(self, self.store.to_remove(self.by.clone()));
        let ToRemove {
            targets,
            mut keys,
            large,
        } = to_remove;
        if targets.is_empty() && !keys && !large {
            return Ok(());
        }
        self.rest(begun).await;
        while keys {
            let (more, begun) = ours!(self, self.store.purge_keys(self.by.clone()));
            keys = more;
            self.rest(begun).await;
        }
        // What was begun with is ended first, also where nothing is said any more. What goes wrong with it keeps nothing else.
        let begun_with = match large {
            true => self.large_trees().await,
            false => Ok(()),
        };
        if let Err(Stop::Left) = begun_with {
            return Err(Stop::Left);
        }
        for target in &targets {
            self.target(target).await?;
        }
        if targets.is_empty() {
            return begun_with;
        }
        self.kept().await?;
        begun_with?;
        self.large_trees().await
    }

    async fn target(&mut self, target: &Target) -> Result<(), Stop> {
        loop {
            let size = self.pace.size();
            let (removal, begun) = ours!(
                self,
                self.store
                    .remove_some(self.by.clone(), target.clone(), size)
            );
            match removal {
                Removal::Nothing => return Ok(()),
                Removal::Some(count) => self.count(target.what, count),
            }
            self.rest(begun).await;
        }
    }

    /// What had to stay, some of which may not have to any more.
    async fn kept(&mut self) -> Result<(), Stop> {
        loop {
            let size = self.pace.size();
            let (kept, begun) = ours!(self, self.store.remove_kept(self.by.clone(), size));
            let Some(gone) = kept else {
                return Ok(());
            };
            for (what, count) in gone {
                self.count(what, count);
            }
            self.rest(begun).await;
        }
    }

    /// Trees that take more than one transaction.
    async fn large_trees(&mut self) -> Result<(), Stop> {
        let mut after = None;
        loop {
            let (next, begun) = ours!(self, self.store.next_large(self.by.clone(), after));
            let Some(next) = next else {
                return Ok(());
            };
            self.rest(begun).await;
            let (tree, goes) = match next {
                LargeNext::Stay(tree) => (tree, false),
                LargeNext::Goes(tree) => (tree, true),
                LargeNext::Look(tree, look) => (tree, self.look(tree, look).await?),
            };
            if goes {
                self.large(tree).await?;
            }
            after = Some(tree);
        }
    }

    /// Whether all of a tree may go, which then does.
    async fn look(&mut self, tree: LargeTree, look: Uuid) -> Result<bool, Stop> {
        let mut walk = Walk::below(tree.root);
        while !walk.is_over() {
            let ((next, looked), begun) = ours!(
                self,
                self.store
                    .look_large(self.by.clone(), tree, look, walk.clone())
            );
            if looked == Looked::Ends {
                return Ok(false);
            }
            walk = next;
            self.rest(begun).await;
        }
        let (goes, _) = ours!(self, self.store.release_large(self.by.clone(), tree, look));
        Ok(goes)
    }

    /// Removes a tree that goes.
    async fn large(&mut self, tree: LargeTree) -> Result<(), Stop> {
        let mut walk = Walk::below(tree.root);
        loop {
            let ((next, removal), begun) = ours!(
                self,
                self.store.remove_large(self.by.clone(), tree, walk.clone())
            );
            match removal {
                Removal::Some(count) => self.count(tree.what, count),
                Removal::Nothing => return Ok(()),
            }
            walk = next;
            self.rest(begun).await;
        }
    }

    fn count(&mut self, what: What, count: usize) {
        match what {
            What::Rows => self.removed.intents += count as u64,
            What::Payloads => self.removed.payloads += count as u64,
        }
    }

    fn begin(&self) -> Instant {
        self.pulse.removing(true);
        Instant::now()
    }

    async fn rest(&mut self, begun: Instant) {
        let took: Duration = begun.elapsed();
        let (pace, pause) = self.pace.after(took, self.pulse.ticks());
        self.pace = pace;
        tokio::time::sleep(pause).await;
    }
}
