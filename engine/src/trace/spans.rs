//! The engine's spans in the traces of callers (the feature `opentelemetry`).
//!
//! Whether they go anywhere is for the program's subscriber to say: without a layer of `tracing-opentelemetry` nothing of this
//! has an effect.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::TraceParent;

/// A span becomes the child of the caller's, which another process has recorded.
pub(crate) fn follow(span: &Span, trace: Option<TraceParent>) {
    let Some(TraceParent {
        trace,
        span: of,
        flags,
    }) = trace
    else {
        return;
    };
    let (trace, of) = (TraceId::from(trace), SpanId::from(of));
    let state = TraceState::default();
    let caller = SpanContext::new(trace, of, TraceFlags::new(flags), true, state);
    // It fails where there is no layer, or where the span is not recorded: then nobody asks for its parent.
    let _ = span.set_parent(Context::new().with_remote_span_context(caller));
}

/// Where the code is that runs now, if it is in a span that is recorded.
pub(crate) fn here() -> Option<TraceParent> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    let trace = u128::from_be_bytes(span.trace_id().to_bytes());
    let of = u64::from_be_bytes(span.span_id().to_bytes());
    TraceParent::new(trace, of, span.trace_flags().to_u8())
}

/// What the current span is about has failed.
pub(crate) fn failed(error: &str) {
    Span::current().set_status(Status::error(error.to_owned()));
}
