//! What was hit how often: a storm that has hit nothing shows nothing.
//!
//! In its usual time on each database the least that has to be hit comes, on both together, to 510 workers killed, 40 paused, 20
//! crashes of the database, 200 cuts, 100 of them at a COMMIT (of half of these the answer), 20,000 intents and 100,000 steps.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::tell;

/// How often each thing has happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Workers killed.
    pub(crate) killed: u64,
    /// Of these, those of which a step was running.
    pub(crate) amid_a_step: u64,
    /// Workers stopped for longer than their lease, and woken.
    pub(crate) paused: u64,
    /// Ticks that were refused, of workers that lived to tell it.
    pub(crate) refused: u64,
    /// Servers killed.
    pub(crate) servers: u64,
    /// Crashes of the database.
    pub(crate) crashes: u64,
    /// Silences of the network.
    pub(crate) silences: u64,
    /// What was passed on late.
    pub(crate) delayed: u64,
    /// Notifications that were not passed on.
    pub(crate) notifications: u64,
    /// Attempts that began by a clock that is five minutes off.
    pub(crate) off_clock: u64,
    /// Connections cut at a message that is no COMMIT.
    pub(crate) resets: u64,
    /// COMMITs of ticks, steps and requests whose answer was lost.
    pub(crate) answers_lost: u64,
    /// And those that were never sent.
    pub(crate) never_sent: u64,
    /// Intents asked for.
    pub(crate) intents: u64,
    /// Their steps.
    pub(crate) steps: u64,
    /// Of the intents, those that a server has acknowledged.
    pub(crate) acknowledged: u64,
}

/// How often at least, in a minute of faults on two cores.
const ON_POSTGRES: Counts = Counts {
    killed: 210,
    amid_a_step: 20,
    paused: 15,
    // Who wakes finds its connection gone as often as not.
    refused: 0,
    servers: 6,
    crashes: 14,
    silences: 2,
    delayed: 50,
    notifications: 5,
    off_clock: 1_000,
    resets: 80,
    answers_lost: 34,
    never_sent: 34,
    intents: 850,
    steps: 4_250,
    acknowledged: 50,
};

const ON_SQLITE: Counts = Counts {
    killed: 130,
    amid_a_step: 40,
    paused: 12,
    refused: 1,
    servers: 6,
    crashes: 0,
    silences: 0,
    delayed: 0,
    notifications: 0,
    off_clock: 0,
    resets: 0,
    answers_lost: 0,
    never_sent: 0,
    intents: 12_500,
    steps: 62_500,
    acknowledged: 50,
};

/// How often at least, in a minute.
fn least(kind: StoreKind) -> &'static Counts {
    match kind {
        StoreKind::Sqlite => &ON_SQLITE,
        StoreKind::Postgres => &ON_POSTGRES,
    }
}

impl Counts {
    /// Prints all of them, and fails if something has not happened often enough.
    pub(crate) fn check(&self, kind: StoreKind, lasts: Duration) -> Result<()> {
        for (what, found, least) in self.beside_least(kind, lasts) {
            tell!("{}: {what}: {found} (at least {least})", kind.as_str());
        }
        let short = self.short(kind, lasts);
        ensure!(short.is_empty(), "not enough was hit: {short:?}");
        Ok(())
    }

    /// What has not happened often enough for faults that last so long.
    pub(crate) fn short(&self, kind: StoreKind, lasts: Duration) -> Vec<String> {
        let all = self.beside_least(kind, lasts);
        let short = all.filter(|(_, found, least)| found < least);
        short
            .map(|(what, found, least)| format!("{what}: {found} of {least}"))
            .collect()
    }

    /// Each thing, how often it has happened, and how often it has to.
    fn beside_least(
        &self,
        kind: StoreKind,
        lasts: Duration,
    ) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let least = least(kind).named().into_iter();
        let all = self.named().into_iter().zip(least);
        all.map(move |((what, found), (_, least))| (what, found, least * lasts.as_secs() / 60))
    }

    fn named(&self) -> [(&'static str, u64); 16] {
        [
            ("workers killed", self.killed),
            ("of these amid a step", self.amid_a_step),
            ("workers paused beyond their lease", self.paused),
            ("stale ticks tried and refused", self.refused),
            ("servers killed", self.servers),
            ("crashes of the database", self.crashes),
            ("silences of the network", self.silences),
            ("passed on late", self.delayed),
            ("notifications lost", self.notifications),
            ("attempts by a clock five minutes off", self.off_clock),
            ("connections reset", self.resets),
            ("answers to COMMITs lost", self.answers_lost),
            ("COMMITs never sent", self.never_sent),
            ("intents", self.intents),
            ("steps of these", self.steps),
            ("intents acknowledged by a server", self.acknowledged),
        ]
    }
}
