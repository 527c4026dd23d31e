//! Children: a month's invoices are intents of their own, each with its steps, and some ask for more intents.
//!
//! ```text
//! month.close  "2026-10"
//!   customers ── bill ── report
//!                 ├── invoice  Ada      collect ── convert ── send
//!                 │                                  └── rate  EUR
//!                 ├── invoice  Grace    …
//!                 └── …
//! ```

use std::collections::BTreeMap;
use std::pin::Pin;

use anyhow::{Context, Result};
use intendant::{
    Cx, Intendant, Intent, IntentId, Node, Plan, Resources, StepResult, Worker, fail, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Who buys what, in which currency; where there is no address, nothing can be sent.
const ORDERS: [(&str, &str, Option<&str>, &[u64]); 4] = [
    ("Ada", "EUR", Some("ada@example.com"), &[1_200, 800]),
    ("Edsger", "EUR", None, &[99]),
    ("Grace", "USD", Some("grace@example.com"), &[5_000]),
    ("Hedy", "EUR", Some("hedy@example.com"), &[150, 150, 300]),
];

/// A run over all customers.
#[derive(Serialize, Deserialize)]
struct CloseMonth {
    month: String,
}

impl Intent for CloseMonth {
    const KIND: &'static str = "month.close";
    type Output = String;

    /// A month is closed by one run at a time.
    fn resources(&self) -> Resources {
        Resources::exclusive("month", &self.month)
    }
}

fn close_month(run: &CloseMonth, plan: &mut Plan<()>) -> Node<String> {
    let customers = plan.step("customers", customers).input(());
    let sent = plan
        .step("bill", bill)
        .input((customers, value(run.month.clone())));
    plan.step("report", report).input(sent)
}

/// What the children are asked for by is the output of a step of its own, so it is the same whenever `bill` runs.
async fn customers(_: Cx<()>, (): ()) -> StepResult<Vec<String>> {
    Ok(ORDERS
        .iter()
        .map(|(customer, ..)| (*customer).to_owned())
        .collect())
}

#[derive(Serialize, Deserialize)]
struct Billed {
    cents: BTreeMap<String, u64>,
    failed: BTreeMap<String, String>,
}

/// All invoices at once. The step holds no worker while they are made, and one that fails does not stop the others: it is
/// asked for once more, and then it is in the report.
async fn bill(cx: Cx<()>, (customers, month): (Vec<String>, String)) -> StepResult<Billed> {
    let invoices = customers.iter().map(|customer| {
        let invoice = Invoice {
            customer: customer.clone(),
            month: month.clone(),
        };
        (customer.as_str(), invoice)
    });
    let ended = cx.named_children(invoices).attempts(2).await?;
    let mut billed = Billed {
        cents: BTreeMap::new(),
        failed: BTreeMap::new(),
    };
    for (customer, invoice) in customers.into_iter().zip(ended) {
        match invoice {
            Ok(cents) => {
                billed.cents.insert(customer, cents);
            }
            Err(failed) => {
                billed.failed.insert(customer, failed.error);
            }
        }
    }
    Ok(billed)
}

async fn report(_: Cx<()>, billed: Billed) -> StepResult<String> {
    let total: u64 = billed.cents.values().sum();
    let failed: Vec<_> = billed
        .failed
        .iter()
        .map(|(who, why)| format!("{who}: {why}"))
        .collect();
    Ok(format!(
        "{} invoices, {total} cents; not sent: {}",
        billed.cents.len(),
        failed.join(", ")
    ))
}

/// One customer's invoice: in the history it is the customer's own.
#[derive(Serialize, Deserialize)]
struct Invoice {
    customer: String,
    month: String,
}

impl Intent for Invoice {
    const KIND: &'static str = "invoice";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some(&self.customer)
    }
}

fn invoice(invoice: &Invoice, plan: &mut Plan<()>) -> Node<u64> {
    let cents = plan
        .step("collect", collect)
        .input(value(invoice.customer.clone()));
    let cents = plan
        .step("convert", convert)
        .input((cents, value(invoice.month.clone())));
    plan.step("send", send)
        .input((cents, value(invoice.customer.clone())))
}

#[derive(Serialize, Deserialize)]
struct Amount {
    cents: u64,
    currency: String,
}

async fn collect(_: Cx<()>, customer: String) -> StepResult<Amount> {
    let order = ORDERS.iter().find(|(who, ..)| *who == customer);
    let (_, currency, _, cents) = order.ok_or_else(|| fail("there is no such customer"))?;
    Ok(Amount {
        cents: cents.iter().sum(),
        currency: (*currency).to_owned(),
    })
}

/// A child may ask for children of its own: here for the rate of a currency.
async fn convert(cx: Cx<()>, (amount, month): (Amount, String)) -> StepResult<u64> {
    if amount.currency == "EUR" {
        return Ok(amount.cents);
    }
    let rate = FetchRate {
        currency: amount.currency,
        month,
    };
    let per_mille = cx.child("rate", rate).await?;
    Ok(amount.cents * per_mille / 1_000)
}

async fn send(_: Cx<()>, (cents, customer): (u64, String)) -> StepResult<u64> {
    let order = ORDERS.iter().find(|(who, ..)| *who == customer);
    match order.and_then(|(_, _, address, _)| *address) {
        Some(_) => Ok(cents),
        None => Err(fail("no address")),
    }
}

#[derive(Serialize, Deserialize)]
struct FetchRate {
    currency: String,
    month: String,
}

impl Intent for FetchRate {
    const KIND: &'static str = "rate.fetch";
    /// Whoever knows the bank serves this queue.
    const QUEUE: &'static str = "bank";
    type Output = u64;
}

async fn fetch_rate(_: Cx<()>, rate: FetchRate) -> StepResult<u64> {
    match rate.currency.as_str() {
        "USD" => Ok(900),
        other => Err(fail(format!("no rate for {other}"))),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let intendant = Intendant::open("sqlite::memory:").await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ())
        .register(close_month)
        .register(invoice);
    let worker = worker.register_step(fetch_rate);
    let working = tokio::spawn(worker.run(async { stopped.await.unwrap_or(()) }));

    let run = CloseMonth {
        month: "2026-10".to_owned(),
    };
    let run = intendant
        .request(run)
        .by("ada")
        .correlation_id("web-request-7")
        .await?;
    println!("{}\n", run.output().await?);
    print_tree(&intendant, run.id(), 0).await?;

    stop.send(()).ok();
    working.await??;
    Ok(())
}

type Tree<'i> = Pin<Box<dyn Future<Output = Result<()>> + 'i>>;

/// The whole tree has the run's correlation id, down to the last grandchild.
fn print_tree(intendant: &Intendant, id: IntentId, depth: usize) -> Tree<'_> {
    Box::pin(async move {
        let record = intendant.get(id).await?;
        let correlation = record.correlation_id.context("one for the whole tree")?;
        let account = record.account.unwrap_or_else(|| "-".to_owned());
        println!(
            "{:indent$}{} {account} {} {correlation}",
            "",
            record.kind,
            record.state,
            indent = depth * 2
        );
        for child in intendant.children(id).await? {
            print_tree(intendant, child.id, depth + 1).await?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::testing::Kit;

    fn kit() -> Kit<()> {
        Kit::new(
            || (),
            |worker| {
                let worker = worker.register(close_month).register(invoice);
                worker.register_step(fetch_rate)
            },
        )
    }

    fn month() -> CloseMonth {
        CloseMonth {
            month: "2026-10".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_month_is_closed_in_the_same_way_whatever_happens() -> Result<()> {
        let report = kit().check_idempotent(month, async |_| ()).await?;
        report.assert_clean();
        Ok(())
    }

    #[tokio::test]
    async fn the_month_can_be_closed_whatever_fails_on_the_way() -> Result<()> {
        let report = kit().check_recovery(month, async |_| ()).await?;
        report.assert_clean();
        Ok(())
    }

    #[tokio::test]
    async fn an_invoice_can_be_made_whatever_fails_on_the_way() -> Result<()> {
        let invoice = || Invoice {
            customer: "Grace".to_owned(),
            month: "2026-10".to_owned(),
        };
        let report = kit().check_recovery(invoice, async |_| ()).await?;
        report.assert_clean();
        Ok(())
    }
}
