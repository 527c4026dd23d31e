//! Round: one pass through everything that is old enough, batch by batch, with pauses.

use std::time::{Duration, Instant};

use super::{Pace, Pulse, Removed, What};
use crate::error::Error;
use crate::store::{Removal, Remover, Root, Store, Target, Walk};

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
        for target in &targets {
            if self.target(target).await? == Then::Ends {
                return Ok(());
            }
        }
        if targets.is_empty() {
            return Ok(());
        }
        loop {
            let begun = self.begin();
            let kept = self.store.remove_kept(self.by.clone(), self.pace.size());
            let Some(again) = kept.await? else {
                return Ok(());
            };
            for (what, count) in again.removed {
                self.count(what, count);
            }
            self.rest(begun).await;
            for (target, root) in again.large {
                if self.large(&target, root).await? == Then::Ends {
                    return Ok(());
                }
            }
        }
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
                Removal::Large(root) => {
                    if self.large(target, root).await? == Then::Ends {
                        return Ok(Then::Ends);
                    }
                }
            }
            self.rest(begun).await;
        }
    }

    /// A tree that takes more than one transaction.
    async fn large(&mut self, target: &Target, root: Root) -> Result<Then, Error> {
        let (store, by) = (self.store, self.by);
        if !store.begin_large(by.clone(), target.clone(), root).await? {
            return Ok(Then::Goes);
        }
        let mut walk = Walk::below(root.id);
        while !walk.is_over() {
            let begun = self.begin();
            let (next, stays) = store
                .check_large(by.clone(), target.clone(), root, walk)
                .await?;
            if stays {
                return Ok(Then::Goes);
            }
            walk = next;
            self.rest(begun).await;
        }
        walk = Walk::below(root.id);
        loop {
            let begun = self.begin();
            let some = store.remove_large(by.clone(), target.clone(), root, walk);
            let (next, removal) = some.await?;
            match removal {
                Removal::Some(count) => self.count(target.what, count),
                Removal::Nothing => {
                    self.count(target.what, 1);
                    return Ok(Then::Goes);
                }
                Removal::NotOurs | Removal::Large(_) => return Ok(self.left_to_others()),
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
