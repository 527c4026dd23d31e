//! Round: one pass through everything that is old enough, batch by batch, with pauses.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Pace, Pulse, Removed, What};
use crate::error::Error;
use crate::store::{LargeNext, LargeTree, Looked, Removal, Remover, Store, Target, Walk};

/// One pass. None of what it knows is needed after it.
struct Round<'a> {
    store: &'a Store,
    by: &'a Remover,
    pulse: &'a Pulse,
    pace: Pace,
    removed: Removed,
}

/// Whether a pass goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Goes,
    /// Somebody else removes.
    Ends,
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
        end.map(|()| round.removed)
    }
}

impl Round<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let targets = loop {
            let begun = self.begin();
            if let Some(targets) = self.store.removal_targets(self.by.clone()).await? {
                break targets;
            }
            if self.left_to_others() == Then::Ends {
                return Ok(());
            }
            self.rest(begun).await;
        };
        while self.store.purge_keys(self.by.clone()).await? {
            let begun = self.begin();
            self.rest(begun).await;
        }
        // What was begun with is ended first, also where nothing is said any more.
        self.large_trees().await?;
        for target in &targets {
            if self.target(target).await? == Then::Ends {
                return Ok(());
            }
        }
        if !targets.is_empty() {
            self.kept().await?;
            self.large_trees().await?;
        }
        Ok(())
    }

    async fn target(&mut self, target: &Target) -> Result<Then, Error> {
        loop {
            let begun = self.begin();
            let size = self.pace.size();
            let some = self
                .store
                .remove_some(self.by.clone(), target.clone(), size);
            match some.await? {
                Removal::NotOurs if self.left_to_others() == Then::Ends => return Ok(Then::Ends),
                Removal::NotOurs => {}
                Removal::Nothing => return Ok(Then::Goes),
                Removal::Some(count) => self.count(target.what, count),
            }
            self.rest(begun).await;
        }
    }

    /// What had to stay, some of which may not have to any more.
    async fn kept(&mut self) -> Result<(), Error> {
        loop {
            let begun = self.begin();
            let kept = self.store.remove_kept(self.by.clone(), self.pace.size());
            let Some(removed) = kept.await? else {
                return Ok(());
            };
            for (what, count) in removed {
                self.count(what, count);
            }
            self.rest(begun).await;
        }
    }

    /// Trees that take more than one transaction.
    async fn large_trees(&mut self) -> Result<(), Error> {
        let mut after = None;
        while let Some(next) = self.store.next_large(self.by.clone(), after).await? {
            let tree = match next {
                LargeNext::Stay(tree) => tree,
                LargeNext::Look(tree, look) => {
                    if self.look(tree, look).await? {
                        self.large(tree).await?;
                    }
                    tree
                }
                LargeNext::Goes(tree) => {
                    self.large(tree).await?;
                    tree
                }
            };
            after = Some(tree);
        }
        Ok(())
    }

    /// Whether all of a tree may go, which then does.
    async fn look(&mut self, tree: LargeTree, look: Uuid) -> Result<bool, Error> {
        let (store, by) = (self.store, self.by);
        let mut walk = Walk::below(tree.root);
        while !walk.is_over() {
            let begun = self.begin();
            let (next, looked) = store.look_large(by.clone(), tree, look, walk).await?;
            if looked == Looked::Ends {
                return Ok(false);
            }
            walk = next;
            self.rest(begun).await;
        }
        store.release_large(by.clone(), tree, look).await
    }

    /// Removes a tree that goes.
    async fn large(&mut self, tree: LargeTree) -> Result<(), Error> {
        let (store, by) = (self.store, self.by);
        let mut walk = Walk::below(tree.root);
        loop {
            let begun = self.begin();
            let (next, removal) = store.remove_large(by.clone(), tree, walk).await?;
            match removal {
                Removal::Some(count) => self.count(tree.what, count),
                Removal::Nothing => {
                    self.count(tree.what, 1);
                    return Ok(());
                }
                Removal::NotOurs => return Ok(()),
            }
            walk = next;
            self.rest(begun).await;
        }
    }

    /// Somebody else is at a batch just now. A worker leaves all of it to that one; a person who has it done waits for it.
    fn left_to_others(&self) -> Then {
        match self.by.session {
            Some(_) => Then::Ends,
            None => Then::Goes,
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
