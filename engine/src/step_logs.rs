//! Step logs: what a step says through `tracing` is kept with its attempt.
//!
//! The engine opens a span around every attempt. Where this layer is among the subscriber's, it puts a buffer into that
//! span; what is logged within the span, or within spans in it, goes there. The buffer's end is in the attempt's context,
//! and its lines go to the disk with the attempt's end.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;
use crate::cx::StepContext;
use crate::limits;
use crate::notes::StepLog;
use crate::secret::Mask;
use crate::trace;

/// A layer for `tracing_subscriber` that keeps what steps log with their attempts: the last 200 lines, the last 32 KiB, and
/// how much was cut before that. [`Intendant::logs`](crate::Intendant::logs) and `intendant logs ID` show it.
///
/// Kept is what is logged while the step's function runs, and within the span that the engine opens around it (target
/// `intendant::step`, level `INFO`): a filter in front of this layer has to let that span through. A task that the step
/// spawns logs for it if it runs in that span (`tracing::Instrument::in_current_span`). The lines are written when the
/// attempt ends; those of a process that was killed meanwhile are lost. Steps that log nothing cost nothing, and so do
/// all steps where this layer is not added.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// let subscriber = tracing_subscriber::registry().with(intendant::StepLogs::new().level(tracing::Level::DEBUG));
/// // As a rule: subscriber.init();
/// tracing::subscriber::with_default(subscriber, || tracing::info!("no step's"));
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is added to a subscriber"]
pub struct StepLogs {
    level: Level,
}

impl Default for StepLogs {
    fn default() -> Self {
        Self::new()
    }
}

impl StepLogs {
    /// Keeps what is logged at `INFO`, `WARN` and `ERROR`.
    pub fn new() -> Self {
        Self { level: Level::INFO }
    }

    /// Keeps what is logged at this level and above.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
}

/// The engine's span around an attempt, and what is logged in it.
const TARGET: &str = "intendant::step";

thread_local! {
    /// Set while the span of an attempt is opened, and only then: so nobody else's span is taken for one.
    static OPENING: RefCell<Opening> = const { RefCell::new(Opening::No) };
}

enum Opening {
    No,
    /// With what its lines' times are made from, and what they are not to say.
    Yes(Arc<dyn Clock>, Instant, Mask),
    /// A layer keeps what is logged in it.
    Kept(Arc<StepLog>),
}

/// Opens the span of an attempt; if there is a layer that keeps what is logged in it, it is kept in the attempt's notes.
pub(crate) fn open(context: &StepContext) -> Span {
    let clock = context.intendant.store().clock().clone();
    let mask = context.intent.mask.clone();
    OPENING.set(Opening::Yes(clock, context.started, mask));
    let once = &context.once;
    macro_rules! span {
        ($($more:tt)*) => {
            tracing::info_span!(
                target: TARGET,
                "step",
                $($more)*
                kind = &*context.intent.kind,
                intent = %context.intent.id,
                root = %context.intent.root,
                step = &*once.step,
                attempt = once.attempt,
                correlation_id = context.intent.correlation_id.as_deref(),
            )
        };
    }
    // In a trace, spans are read by their names.
    #[cfg(feature = "opentelemetry")]
    let span = span!(otel.name = %format_args!("{}: {}", context.intent.kind, once.step),);
    #[cfg(not(feature = "opentelemetry"))]
    let span = span!();
    trace::follow(&span, context.intent.traceparent);
    if let Opening::Kept(log) = OPENING.replace(Opening::No) {
        context.notes.set_log(log);
    }
    span
}

/// What is in the extensions of an attempt's span.
struct LogOf(Arc<StepLog>);

impl<C> Layer<C> for StepLogs
where
    C: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, C>) {
        if attributes.metadata().target() != TARGET {
            return;
        }
        OPENING.with_borrow_mut(|opening| {
            let Opening::Yes(clock, began, mask) = &*opening else {
                return;
            };
            let Some(span) = context.span(id) else {
                return;
            };
            let log = Arc::new(StepLog::new(clock.clone(), *began, mask.clone()));
            span.extensions_mut().replace(LogOf(log.clone()));
            *opening = Opening::Kept(log);
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, C>) {
        let metadata = event.metadata();
        if *metadata.level() > self.level {
            return;
        }
        let Some(scope) = context.event_scope(event) else {
            return;
        };
        // From the innermost span outwards: a step may open spans of its own.
        for span in scope {
            if let Some(LogOf(log)) = span.extensions().get::<LogOf>() {
                let mut text = Text::default();
                event.record(&mut text);
                log.add(metadata.level().as_str(), metadata.target(), text.done());
                return;
            }
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // The attempts' spans have to come through, whatever is kept of the events.
        Some(LevelFilter::from_level(self.level.max(Level::INFO)))
    }
}

/// A message with its fields, as one line.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn done(mut self) -> String {
        self.message.push_str(&self.fields);
        self.message
    }

    fn is_full(&self) -> bool {
        self.message.len() + self.fields.len() > 2 * limits::LOG_LINE_BYTES
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.is_full() {
            return;
        }
        // Writing to a `String` cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
