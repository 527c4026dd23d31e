//! Queues whose tasks take turns: who floods a queue holds up nobody else, and no partition has more in hand than people have said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Cx, Intent, IntentFilter, IntentId, IntentState, Node, Partitions, Plan, Resources, StepResult,
    Worker, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Gate, on_both, start};

on_both! {
    one_intent_behind_a_flood_starts_within_a_few_steps;
    the_flood_may_have_been_there_before_anybody_said_so;
    what_one_does_not_use_goes_to_the_others;
    priorities_count_within_a_partition;
    no_partition_has_more_in_hand_than_it_may_across_all_workers;
    what_waits_for_something_else_is_not_counted;
    what_a_worker_that_died_had_in_hand_is_not_counted;
    a_suspect_is_tried_by_itself_and_is_not_counted;
    who_waits_for_a_full_partition_is_told_when_it_is_not_full_any_more;
    steps_in_another_queue_take_turns_by_their_intents;
    a_queue_is_partitioned_by_a_resource_or_by_a_field_of_the_input;
    what_was_filed_keeps_its_partition_when_people_say_otherwise;
    what_is_filed_is_seen_and_cancelled_as_ever;
    what_has_begun_and_is_filed_again_is_cancelled_as_ever;
    more_partitions_than_a_claim_looks_at_are_served_without_a_pause;
    a_queue_that_takes_no_turns_any_more_serves_in_the_order_of_requests;
    that_a_queue_takes_turns_is_said_once_and_seen;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mail {
    account: String,
    number: u64,
}

impl Intent for Mail {
    const KIND: &'static str = "mail.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
            .filter(|name| !name.is_empty())
            .map(String::as_str)
    }

    fn resources(&self) -> Resources {
        Resources::touched("server", self.number % 3)
    }
}

fn mail(account: &str, number: u64) -> Mail {
    Mail {
        account: account.to_owned(),
        number,
    }
}

/// What has begun, in order; how many of each account run, and how many did at most.
#[derive(Debug, Clone, Default)]
struct Post {
    begun: Arc<Mutex<Vec<(String, u64)>>>,
    now: Arc<Mutex<HashMap<String, u64>>>,
    most: Arc<Mutex<HashMap<String, u64>>>,
    gate: Gate,
}

impl Post {
    fn open() -> Self {
        let post = Self::default();
        post.gate.open();
        post
    }

    fn begun(&self) -> Vec<(String, u64)> {
        self.begun.lock().unwrap().clone()
    }

    /// How many had begun before this one.
    fn before(&self, account: &str, number: u64) -> Option<usize> {
        let begun = self.begun.lock().unwrap();
        begun
            .iter()
            .position(|one| *one == (account.to_owned(), number))
    }

    fn most(&self, account: &str) -> u64 {
        self.most
            .lock()
            .unwrap()
            .get(account)
            .copied()
            .unwrap_or_default()
    }

    fn step(&self, account: &str, more: i64) {
        let mut all = self.now.lock().unwrap();
        let now = all.entry(account.to_owned()).or_default();
        *now = now.saturating_add_signed(more);
        let mut most = self.most.lock().unwrap();
        let most = most.entry(account.to_owned()).or_default();
        *most = (*most).max(*now);
    }
}

async fn send(cx: Cx<Post>, mail: Mail) -> StepResult<u64> {
    let post = cx.state();
    post.begun
        .lock()
        .unwrap()
        .push((mail.account.clone(), mail.number));
    post.step(&mail.account, 1);
    post.gate.pass().await;
    // Long enough for all who could to be there at once.
    tokio::time::sleep(Duration::from_millis(2)).await;
    post.step(&mail.account, -1);
    Ok(mail.number)
}

impl Bench {
    fn post(&self, post: &Post) -> Worker<Post> {
        self.worker(post.clone()).register_step(send).concurrency(4)
    }

    async fn flood(&self, account: &str, count: u64) -> Result<Vec<IntentId>> {
        let mails = (0..count).map(|number| mail(account, number));
        Ok(self.intendant.request_all(mails).await?)
    }

    async fn turns(&self, partitions: Option<Partitions>) -> Result<bool> {
        let said = self
            .intendant
            .partition_queue("mail", partitions, "ada", None);
        Ok(said.await?)
    }

    async fn sent(&self, mails: &[IntentId]) -> Result<()> {
        for mail in mails {
            let record = self.rest(*mail).await?;
            ensure!(record.state == IntentState::Succeeded, "{record:?}");
        }
        Ok(())
    }

    async fn nothing_is_counted(&self) -> Result<()> {
        self.until(|| async {
            let counted =
                "select (select count(*) from @partition_task) + (select count(*) from @partition)";
            Ok((self.number(counted).await? == 0).then_some(()))
        })
        .await
    }
}

/// How many others may begin between the request of one and its start: what a worker of four has in hand and ahead, with
/// what ends while a claim is on its way.
const FEW: usize = 40;

async fn one_intent_behind_a_flood_starts_within_a_few_steps(bench: Bench) -> Result<()> {
    let post = Post::open();
    let flood = intendant_tests::size(3_000, 100_000) as u64;
    bench.flood("ada", flood).await?;
    bench.turns(Some(Partitions::by_account())).await?;
    let running = start(bench.post(&post));
    bench
        .until(|| async { Ok((post.begun().len() > 10).then_some(())) })
        .await?;
    for number in 0..5 {
        let (before, asked) = (post.begun().len(), Instant::now());
        let bob = bench.intendant.request(mail("bob", number)).await?;
        bob.output().await?;
        let began = post.before("bob", number).context("it has begun")?;
        let passed = began.saturating_sub(before);
        println!(
            "{passed} of {flood} began first, done in {:?}",
            asked.elapsed()
        );
        ensure!(passed <= FEW, "{passed} others began first");
    }
    ensure!(
        bench.intendant.unfinished().await?.ready > 1_000,
        "the flood is still there"
    );
    running.stop().await?;
    bench.check().await
}

async fn the_flood_may_have_been_there_before_anybody_said_so(bench: Bench) -> Result<()> {
    let post = Post::open();
    let half = intendant_tests::size(6_000, 50_000) as u64;
    bench.flood("ada", half).await?;
    let bob = bench.intendant.request(mail("bob", 0)).await?;
    // Behind it there is more of the flood: it stands in the middle.
    bench.flood("ada", half).await?;
    let running = start(bench.post(&post));
    bench
        .until(|| async { Ok((post.begun().len() > 10).then_some(())) })
        .await?;
    let said = Instant::now();
    bench.turns(Some(Partitions::by_account())).await?;
    bob.output().await?;
    println!("behind {half}: done in {:?}", said.elapsed());
    let ready = bench.intendant.unfinished().await?.ready;
    ensure!(
        ready > i64::try_from(half)?,
        "{ready} of the flood are left"
    );
    running.stop().await?;
    bench.check().await
}

async fn what_one_does_not_use_goes_to_the_others(bench: Bench) -> Result<()> {
    let post = Post::default();
    let mails = bench.flood("ada", 40).await?;
    bench.turns(Some(Partitions::by_account())).await?;
    let running = start(bench.post(&post));
    bench
        .until(|| async { Ok((post.most("ada") == 4).then_some(())) })
        .await?;
    post.gate.open();
    bench.sent(&mails).await?;
    running.stop().await?;
    bench.check().await
}

async fn priorities_count_within_a_partition(bench: Bench) -> Result<()> {
    let post = Post::open();
    let mut mails = Vec::new();
    for number in 0..4 {
        let mail = bench.intendant.request(mail("ada", number));
        mails.push(mail.priority(i32::try_from(number)?).await?.id());
    }
    bench.turns(Some(Partitions::by_account())).await?;
    let running = start(bench.post(&post).concurrency(1));
    bench.sent(&mails).await?;
    let order: Vec<u64> = post.begun().into_iter().map(|(_, number)| number).collect();
    ensure!(order == [3, 2, 1, 0], "{order:?}");
    running.stop().await?;
    bench.check().await
}

async fn no_partition_has_more_in_hand_than_it_may_across_all_workers(bench: Bench) -> Result<()> {
    let post = Post::default();
    let mut mails = bench.flood("ada", 60).await?;
    mails.extend(bench.flood("bob", 60).await?);
    mails.extend(bench.flood("eve", 3).await?);
    // What cannot be told apart has no limit.
    let nobodys = bench.flood("", 60).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(2)))
        .await?;
    let elsewhere = bench.database.connect().await?;
    let other = Worker::new(&elsewhere, post.clone())
        .poll(Duration::from_millis(20))
        .lease(Duration::from_secs(1))
        .register_step(send);
    let running = [
        start(bench.post(&post)),
        start(bench.post(&post)),
        start(other),
    ];
    // As many of each as may run, whoever runs them; what cannot be told apart has the rest.
    bench
        .until(|| async {
            let most = ["ada", "bob", "eve"].map(|account| post.most(account));
            Ok((most == [2; 3] && post.most("") > 2).then_some(()))
        })
        .await?;
    post.gate.open();
    // Some come while it is worked on, too.
    for number in 100..130 {
        mails.push(bench.intendant.request(mail("bob", number)).await?.id());
    }
    bench.sent(&mails).await?;
    bench.sent(&nobodys).await?;
    let most = ["ada", "bob", "eve"].map(|account| post.most(account));
    ensure!(most == [2; 3], "{most:?}");
    bench.nothing_is_counted().await?;
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parcel {
    account: String,
    number: u64,
}

impl Intent for Parcel {
    const KIND: &'static str = "parcel.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }

    fn resources(&self) -> Resources {
        Resources::exclusive("parcel", self.number)
    }
}

/// It waits for its stamp, in nobody's hands.
async fn stamped(cx: Cx<Post>, parcel: Parcel) -> StepResult<u64> {
    cx.signal::<u64>("stamp").await?;
    send(cx, mail(&parcel.account, parcel.number)).await
}

async fn what_waits_for_something_else_is_not_counted(bench: Bench) -> Result<()> {
    let post = Post::open();
    let parcels = (0..3).map(|number| Parcel {
        account: "ada".to_owned(),
        number,
    });
    let parcels = bench.intendant.request_all(parcels).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(1)))
        .await?;
    let running = start(bench.post(&post).register_step(stamped));
    for parcel in &parcels {
        bench.reach(*parcel, IntentState::Waiting).await?;
    }
    bench.nothing_is_counted().await?;
    let mails = bench.flood("ada", 3).await?;
    bench.sent(&mails).await?;
    for parcel in &parcels {
        bench.intendant.signal(*parcel, "stamp", &1_u64).await?;
    }
    bench.sent(&parcels).await?;
    ensure!(post.most("ada") == 1, "{} at once", post.most("ada"));
    bench.nothing_is_counted().await?;
    running.stop().await?;
    bench.check().await
}

async fn what_a_worker_that_died_had_in_hand_is_not_counted(bench: Bench) -> Result<()> {
    let stuck = Post::default();
    let mails = bench.flood("ada", 6).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(2)))
        .await?;
    let first = start(bench.post(&stuck).concurrency(2));
    bench
        .until(|| async { Ok((stuck.begun().len() == 2).then_some(())) })
        .await?;
    let post = Post::open();
    let second = start(bench.post(&post));
    let bob = bench.intendant.request(mail("bob", 1)).await?;
    bob.output().await?;
    let why = bench.intendant.why(mails[5]).await?.to_string();
    let says =
        "queue `mail` has a limit of 2 of `ada` in the hands of workers at once, and they have 2";
    ensure!(why.contains(says), "{why}");
    ensure!(post.most("ada") == 0);
    first.kill().await;
    bench.sent(&mails).await?;
    ensure!(post.begun().len() == 7, "{:?}", post.begun());
    bench.nothing_is_counted().await?;
    second.stop().await?;
    bench.check().await
}

async fn a_suspect_is_tried_by_itself_and_is_not_counted(bench: Bench) -> Result<()> {
    let crashing = Post::default();
    let mails = bench.flood("ada", 2).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(1)))
        .await?;
    let first = start(bench.post(&crashing));
    bench
        .until(|| async { Ok((crashing.begun().len() == 1).then_some(())) })
        .await?;
    first.kill().await;
    let post = Post::default();
    let second = start(bench.post(&post));
    // The other one has the only place of the partition, and the suspect runs beside it.
    bench
        .until(|| async { Ok((post.most("ada") == 2).then_some(())) })
        .await?;
    let counted = bench.number("select count(*) from @partition_task").await?;
    ensure!(counted == 1, "{counted}");
    post.gate.open();
    bench.sent(&mails).await?;
    bench.nothing_is_counted().await?;
    second.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Postcard;

impl Intent for Postcard {
    const KIND: &'static str = "postcard.send";
    const QUEUE: &'static str = "mail";
    type Output = ();

    fn account(&self) -> Option<&str> {
        Some("ada")
    }
}

async fn send_postcard(_: Cx<()>, _: Postcard) -> StepResult<()> {
    Ok(())
}

async fn who_waits_for_a_full_partition_is_told_when_it_is_not_full_any_more(
    bench: Bench,
) -> Result<()> {
    let post = Post::default();
    let mails = bench.flood("ada", 1).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(1)))
        .await?;
    let first = start(bench.post(&post));
    bench
        .until(|| async { Ok((post.begun().len() == 1).then_some(())) })
        .await?;
    // It alone knows the kind, and looks by itself so rarely that nothing may depend on it.
    let elsewhere = bench.database.connect().await?;
    let second = Worker::new(&elsewhere, ())
        .poll(Duration::from_secs(60))
        .lease(Duration::from_secs(1))
        .register_step(send_postcard);
    let second = start(second);
    let postcard = bench.intendant.request(Postcard).await?;
    bench
        .until(|| async {
            let filed = "select count(*) from @ready where crashes = -1";
            Ok((bench.number(filed).await? == 1).then_some(()))
        })
        .await?;
    // By then the first one has heard that the second has nothing to do.
    let beats = "select min(beat) from @session";
    let before = bench.number(beats).await?;
    bench
        .until(|| async { Ok((bench.number(beats).await? > before + 3).then_some(())) })
        .await?;
    post.gate.open();
    bench.sent(&mails).await?;
    bench
        .until(|| async {
            let state = bench.intendant.state(postcard.id()).await?;
            Ok((state == IntentState::Succeeded).then_some(()))
        })
        .await?;
    first.stop().await?;
    second.stop().await?;
    bench.nothing_is_counted().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Campaign {
    account: String,
}

impl Intent for Campaign {
    const KIND: &'static str = "campaign";
    type Output = Vec<u64>;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
}

fn letters(campaign: &Campaign, plan: &mut Plan<Post>) -> Node<Vec<u64>> {
    let sent: Vec<Node<u64>> = (0..6)
        .map(|number| {
            let step = plan.step(format!("send-{number}"), send).queue("mail");
            step.input(value(mail(&campaign.account, number)))
        })
        .collect();
    plan.step("done", done).input(sent)
}

async fn done(_: Cx<Post>, sent: Vec<u64>) -> StepResult<Vec<u64>> {
    Ok(sent)
}

async fn steps_in_another_queue_take_turns_by_their_intents(bench: Bench) -> Result<()> {
    let post = Post::open();
    bench.flood("ada", 0).await?;
    let worker = || bench.post(&post).register(letters).queue("mail", 8);
    let running = [start(worker()), start(worker())];
    let turns = Partitions::by_account().at_once(2);
    bench
        .until(|| async { Ok(bench.turns(Some(turns.clone())).await.ok()) })
        .await?;
    // Both workers have heard of it when they have served one after it.
    bench
        .intendant
        .request(mail("eve", 1))
        .await?
        .output()
        .await?;
    let campaigns = ["ada", "bob", "ada"].map(|account| Campaign {
        account: account.to_owned(),
    });
    let mut handles = Vec::new();
    for campaign in campaigns {
        handles.push(bench.intendant.request(campaign).await?);
    }
    for campaign in handles {
        ensure!(campaign.output().await? == [0, 1, 2, 3, 4, 5]);
    }
    bench.nothing_is_counted().await?;
    ensure!(post.most("ada") <= 4, "{}", post.most("ada"));
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

async fn a_queue_is_partitioned_by_a_resource_or_by_a_field_of_the_input(
    bench: Bench,
) -> Result<()> {
    // Of seven mails over three servers; of seven with different numbers; of seven without such a field.
    let cases = [
        (Partitions::by_resource("server"), 3),
        (Partitions::by_input("/number"), 7),
        (Partitions::by_input("/not/there"), 7),
        (Partitions::by_input("/account"), 1),
    ];
    for (turns, at_once) in cases {
        let post = Post::default();
        let mails = bench.flood("ada", 7).await?;
        bench.turns(Some(turns.clone().at_once(1))).await?;
        let running = start(bench.post(&post).concurrency(16));
        bench
            .until(|| async { Ok((post.begun().len() == at_once).then_some(())) })
            .await?;
        let waits = bench.number("select count(*) from @ready").await?;
        ensure!(usize::try_from(waits)? == 7 - at_once, "{turns:?}: {waits}");
        post.gate.open();
        bench.sent(&mails).await?;
        running.stop().await?;
    }
    bench.check().await
}

async fn what_was_filed_keeps_its_partition_when_people_say_otherwise(bench: Bench) -> Result<()> {
    let post = Post::default();
    let mut mails = bench.flood("ada", 3).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(1)))
        .await?;
    let running = start(bench.post(&post));
    bench
        .until(|| async { Ok((post.begun().len() == 1).then_some(())) })
        .await?;
    let by_server = Partitions::by_resource("server").at_once(1);
    bench.turns(Some(by_server)).await?;
    // Three of three servers, of which nothing is in hand by that name.
    mails.extend(bench.flood("bob", 3).await?);
    bench
        .until(|| async { Ok((post.begun().len() == 4).then_some(())) })
        .await?;
    let left = bench
        .number("select count(*) from @ready where partition = 'ada'")
        .await?;
    ensure!(left == 2, "{left} of ada");
    post.gate.open();
    bench.sent(&mails).await?;
    bench.nothing_is_counted().await?;
    running.stop().await?;
    bench.check().await
}

async fn what_is_filed_is_seen_and_cancelled_as_ever(bench: Bench) -> Result<()> {
    let stuck = Post::default();
    let mails = bench.flood("ada", 30).await?;
    bench.turns(Some(Partitions::by_account())).await?;
    let running = start(bench.post(&stuck));
    bench
        .until(|| async { Ok((stuck.begun().len() == 4).then_some(())) })
        .await?;
    // What is not in hand is filed.
    let filed = bench
        .number("select count(*) from @ready where crashes = -1")
        .await?;
    let ready = bench.intendant.unfinished().await?.ready;
    ensure!(filed == ready && ready > 20, "{filed} {ready}");
    let seen = bench
        .number("select count(*) from @intents where state = 'ready'")
        .await?;
    ensure!(seen == filed, "{seen}");
    let queues = bench.intendant.queues().await?;
    let queue = queues.iter().find(|queue| queue.name == "mail");
    let queue = queue.context("it is there")?;
    ensure!(
        queue.ready == ready.unsigned_abs() && queue.oldest_s.is_some(),
        "{queue:?}"
    );
    let filter = IntentFilter {
        state: Some(IntentState::Ready),
        ..IntentFilter::default()
    };
    let found = bench.intendant.list(filter).await?;
    ensure!(i64::try_from(found.len())? == ready, "{}", found.len());
    let why = bench.intendant.why(mails[29]).await?.to_string();
    let says = "queue `mail` takes turns by account: its turn is that of `ada`";
    let behind = format!("behind {} in line", ready - 1);
    ensure!(why.contains(says) && why.contains(&behind), "{why}");
    bench.intendant.cancel(mails[29], "ada", None).await?;
    bench.reach(mails[29], IntentState::Cancelled).await?;
    ensure!(bench.intendant.unfinished().await?.ready == ready - 1);
    stuck.gate.open();
    bench.sent(&mails[..29]).await?;
    running.stop().await?;
    bench.check().await
}

async fn what_has_begun_and_is_filed_again_is_cancelled_as_ever(bench: Bench) -> Result<()> {
    let post = Post::default();
    bench.flood("ada", 0).await?;
    let running = start(bench.post(&post).register_step(stamped));
    let parcel = bench.intendant.request(Parcel {
        account: "ada".to_owned(),
        number: 1,
    });
    let parcel = parcel.await?.id();
    bench.reach(parcel, IntentState::Waiting).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(1)))
        .await?;
    // It may run only after this one, which does not end.
    let mails = bench.flood("ada", 1).await?;
    bench
        .until(|| async { Ok((post.begun().len() == 1).then_some(())) })
        .await?;
    bench.intendant.signal(parcel, "stamp", &1_u64).await?;
    bench
        .until(|| async {
            let filed = "select count(*) from @ready where crashes = -1";
            Ok((bench.number(filed).await? == 1).then_some(()))
        })
        .await?;
    bench.intendant.cancel(parcel, "ada", None).await?;
    post.gate.open();
    bench.reach(parcel, IntentState::Cancelled).await?;
    bench.sent(&mails).await?;
    bench.nothing_is_counted().await?;
    running.stop().await?;
    bench.check().await
}

async fn more_partitions_than_a_claim_looks_at_are_served_without_a_pause(
    bench: Bench,
) -> Result<()> {
    let post = Post::open();
    let mails = (0..600).map(|number| mail(&format!("account-{number}"), number));
    let mails = bench.intendant.request_all(mails).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(1)))
        .await?;
    // It looks by itself so rarely that nothing may depend on it.
    let worker = bench.post(&post).concurrency(512);
    let running = start(worker.poll(Duration::from_secs(60)));
    bench.sent(&mails).await?;
    running.stop().await?;
    bench.check().await
}

async fn a_queue_that_takes_no_turns_any_more_serves_in_the_order_of_requests(
    bench: Bench,
) -> Result<()> {
    let stuck = Post::default();
    let mut mails = bench.flood("ada", 20).await?;
    bench
        .turns(Some(Partitions::by_account().at_once(1)))
        .await?;
    let running = start(bench.post(&stuck).concurrency(1));
    bench
        .until(|| async { Ok((stuck.begun().len() == 1).then_some(())) })
        .await?;
    ensure!(bench.turns(None).await? && !bench.turns(None).await?);
    mails.extend(bench.flood("bob", 20).await?);
    stuck.gate.open();
    bench.sent(&mails).await?;
    // What was filed before goes first, and then what has come.
    let accounts: Vec<String> = stuck
        .begun()
        .into_iter()
        .map(|(account, _)| account)
        .collect();
    let (first, last) = accounts.split_at(20);
    ensure!(
        first.iter().all(|account| account == "ada") && last.iter().all(|account| account == "bob")
    );
    bench.nothing_is_counted().await?;
    running.stop().await?;
    bench.check().await
}

async fn that_a_queue_takes_turns_is_said_once_and_seen(bench: Bench) -> Result<()> {
    bench.flood("ada", 3).await?;
    let turns = || Some(Partitions::by_account().at_once(3));
    ensure!(bench.turns(turns()).await? && !bench.turns(turns()).await?);
    let all = bench.intendant.queues().await?;
    let mail = all.iter().find(|queue| queue.name == "mail").unwrap();
    let by = mail.partition_by.as_deref();
    ensure!(
        by == Some("account") && mail.partition_limit == Some(3),
        "{mail:?}"
    );
    let wrong = bench.turns(Some(Partitions::by_input("number"))).await;
    let wrong = wrong.unwrap_err().to_string();
    ensure!(wrong.contains("such as `/customer/id`"), "{wrong}");
    ensure!(bench.turns(None).await?);
    let all = bench.intendant.queues().await?;
    ensure!(
        all.iter().all(|queue| queue.partition_by.is_none()),
        "{all:?}"
    );
    let changes = bench.intendant.queue_changes("mail").await?;
    ensure!(changes.len() == 2 && changes.iter().all(|change| change.verb == "partition"));
    bench.check().await
}
