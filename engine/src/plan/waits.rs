//! Steps without code of their own: they wait for a time, or for a message.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Plan, StepBuilder};
use crate::cx::Cx;

impl<S: Send + Sync + 'static> Plan<S> {
    /// Adds a step that is done when its time has come: so long after all that it comes after, give or take the wait for a
    /// slot. What goes in comes out, so it can stand between two steps; `.input(())` where nothing goes through.
    ///
    /// It holds no worker meanwhile, lasts from seconds to ten years, and survives everything that the database survives
    /// ([`Cx::sleep`]).
    ///
    /// ```
    /// # use intendant::{Cx, Node, Plan, StepResult, value};
    /// # use std::time::Duration;
    /// # struct Trial { customer: u64 }
    /// # async fn begin(_: Cx<()>, customer: u64) -> StepResult<u64> { Ok(customer) }
    /// # async fn bill(_: Cx<()>, customer: u64) -> StepResult<u64> { Ok(customer) }
    /// fn trial(trial: &Trial, plan: &mut Plan<()>) -> Node<u64> {
    ///     let begun = plan.step("begin", begin).input(value(trial.customer));
    ///     let over = plan.sleep("trial", Duration::from_secs(30 * 24 * 3600)).input(begun);
    ///     plan.step("bill", bill).input(over)
    /// }
    /// ```
    pub fn sleep<T>(
        &mut self,
        name: impl Into<Arc<str>>,
        time: Duration,
    ) -> StepBuilder<'_, S, T, T>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.step(name, move |cx: Cx<S>, input: T| async move {
            cx.sleep(cx.step_name(), time).await?;
            Ok(input)
        })
    }

    /// Adds a step that waits for a message from outside, which is its output: [`Cx::signal`] with the step's name as the
    /// message's.
    ///
    /// ```
    /// # use intendant::{Cx, Node, Plan, StepResult, value};
    /// # use serde::{Deserialize, Serialize};
    /// # struct Invoice { number: u64 }
    /// # #[derive(Serialize, Deserialize)] struct Approval { granted: bool }
    /// # async fn draft(_: Cx<()>, number: u64) -> StepResult<u64> { Ok(number) }
    /// # async fn send(_: Cx<()>, parts: (u64, Approval)) -> StepResult<u64> { Ok(parts.0) }
    /// fn invoice(invoice: &Invoice, plan: &mut Plan<()>) -> Node<u64> {
    ///     let drafted = plan.step("draft", draft).input(value(invoice.number));
    ///     let approval = plan.signal::<Approval>("approve").after(drafted).input(());
    ///     plan.step("send", send).input((drafted, approval))
    /// }
    /// ```
    pub fn signal<T>(&mut self, name: impl Into<Arc<str>>) -> StepBuilder<'_, S, (), T>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        self.step(name, |cx: Cx<S>, (): ()| async move {
            cx.signal::<T>(cx.step_name()).await
        })
    }

    /// [`signal`](Self::signal) with a time-out: when no message has come by then, the output is `None`.
    pub fn signal_within<T>(
        &mut self,
        name: impl Into<Arc<str>>,
        time: Duration,
    ) -> StepBuilder<'_, S, (), Option<T>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        self.step(name, move |cx: Cx<S>, (): ()| async move {
            cx.signal::<T>(cx.step_name()).within(time).await
        })
    }
}
