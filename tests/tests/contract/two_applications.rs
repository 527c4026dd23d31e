//! Two applications on one database: each has its own types and workers, and knows the other's intents by name only.

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentFilter, IntentState, Resources, StepResult, why::Reason};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::support::{Bench, Counter, Running, on_both, start};

on_both! {
    a_step_asks_for_the_other_applications_intent_by_name;
    whoever_asks_by_name_waits_for_the_other_application_to_be_deployed;
    what_cannot_be_asked_for_by_name_fails_the_step;
}

/// Of the shop.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sale {
    server: u64,
    /// Of the intent that it asks for.
    label: String,
}

impl Intent for Sale {
    const KIND: &'static str = "shop.sale";
    type Output = String;
}

async fn sell(cx: Cx<Counter>, sale: Sale) -> StepResult<String> {
    cx.state().add();
    let input = to_raw_value(&json!({"customer": "acme", "server": sale.server}));
    let invoice = cx
        .request_by_name("billing.invoice", &input.map_err(intendant::fail)?)
        .account("acme")
        .resources(Resources::touched("server", sale.server))
        .label("of", sale.label)
        .await?;
    Ok(invoice.to_string())
}

/// Of the book-keeping, which the shop's code does not have.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invoice {
    customer: String,
    server: u64,
}

impl Intent for Invoice {
    const KIND: &'static str = "billing.invoice";
    const QUEUE: &'static str = "billing";
    type Output = String;
}

async fn open(_: Cx<Counter>, invoice: Invoice) -> StepResult<String> {
    Ok(format!("{} for {}", invoice.server, invoice.customer))
}

impl Bench {
    fn shop(&self, sales: &Counter) -> Running {
        start(self.worker(sales.clone()).name("shop").register_step(sell))
    }

    fn billing(&self) -> Running {
        let worker = self.worker(Counter::default()).name("billing");
        start(worker.register_step(open))
    }

    /// The book-keeping has been deployed once.
    async fn billing_was_here(&self) -> Result<()> {
        let billing = self.billing();
        self.until(|| async { Ok(self.intendant.kind(Invoice::KIND).await.ok()) })
            .await?;
        billing.stop().await?;
        Ok(())
    }
}

fn sale(server: u64) -> Sale {
    Sale {
        server,
        label: "sale".to_owned(),
    }
}

async fn a_step_asks_for_the_other_applications_intent_by_name(bench: Bench) -> Result<()> {
    bench.billing_was_here().await?;
    let sales = Counter::default();
    let shop = bench.shop(&sales);
    let sold = bench.intendant.request(sale(42)).by("ada").await?;
    let invoice = sold.output().await?.parse()?;
    // The shop's worker has nothing else to do, and leaves it alone.
    let idle = bench.intendant.request(sale(43)).await?;
    idle.output().await?;
    let record = bench.intendant.get(invoice).await?;
    ensure!(record.state == IntentState::Ready, "{record:?}");
    let why = bench.intendant.why(invoice).await?;
    ensure!(matches!(why.reasons[0], Reason::NoWorker { .. }), "{why}");
    let billing = bench.billing();
    let record = bench.rest(invoice).await?;
    ensure!(
        record.state == IntentState::Succeeded && record.queue == "billing",
        "{record:?}"
    );
    ensure!(
        record.account.as_deref() == Some("acme") && record.requested_by.as_deref() == Some("ada"),
        "{record:?}"
    );
    let output = record.output.as_ref().map(|output| output.get());
    ensure!(output == Some("\"42 for acme\""), "{output:?}");
    // And by what it touches, whoever asked for it.
    let history = IntentFilter {
        resource: Some("server:42".to_owned()),
        ..IntentFilter::default()
    };
    let history = bench.intendant.list(history).await?;
    ensure!(
        history.len() == 1 && history[0].id == invoice,
        "{history:?}"
    );
    shop.stop().await?;
    billing.stop().await?;
    bench.check().await
}

async fn whoever_asks_by_name_waits_for_the_other_application_to_be_deployed(
    bench: Bench,
) -> Result<()> {
    let sales = Counter::default();
    let shop = bench.shop(&sales);
    let sold = bench.intendant.request(sale(42)).await?;
    bench
        .until(|| async {
            let attempts = bench.intendant.attempts(sold.id()).await?;
            Ok(attempts.into_iter().next())
        })
        .await
        .and_then(|attempt| {
            let says = "no worker has registered a kind `billing.invoice`";
            ensure!(attempt.error.contains(says), "{attempt:?}");
            Ok(())
        })?;
    let billing = bench.billing();
    let invoice = sold.output().await?.parse()?;
    ensure!(bench.rest(invoice).await?.state == IntentState::Succeeded);
    ensure!(sales.get() > 1);
    shop.stop().await?;
    billing.stop().await?;
    bench.check().await
}

async fn what_cannot_be_asked_for_by_name_fails_the_step(bench: Bench) -> Result<()> {
    bench.billing_was_here().await?;
    let sales = Counter::default();
    let shop = bench.shop(&sales);
    let wrong = Sale {
        label: "x".repeat(1_000),
        ..sale(42)
    };
    let sold = bench.intendant.request(wrong).await?;
    let record = bench.rest(sold.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(sales.get() == 1);
    ensure!(bench.number("select count(*) from @intent").await? == 1);
    shop.stop().await?;
    bench.check().await
}
