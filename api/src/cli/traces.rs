//! Traces: spans of requests and steps go to a collector, by OTLP over HTTP, where the environment names one.
//!
//! The variables are those of OpenTelemetry: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`), `…_HEADERS`, `…_TIMEOUT`,
//! `…_PROTOCOL` (`http/protobuf` unless said, or `http/json`), `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
//! `OTEL_TRACES_SAMPLER`, `OTEL_SDK_DISABLED`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    HttpExporterBuilderSet, Protocol, SpanExporter, SpanExporterBuilder, WithExportConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, Filtered, LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

/// Whose spans are sent: the engine's, and those within them.
const LEVEL: LevelFilter = LevelFilter::INFO;

/// How long the last spans may take on their way.
const PATIENCE: Duration = Duration::from_secs(3);

/// What sends spans. What has ended is sent, at the latest, when it goes.
pub(super) struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(PATIENCE)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

type Sent<S> = Filtered<OpenTelemetryLayer<S, Tracer>, FilterFn, S>;

/// Nothing is recorded.
pub(super) fn none<S>() -> (Option<Sent<S>>, Traces) {
    (None, Traces(None))
}

/// The layer that records spans, if there is somebody to send them to.
pub(super) fn layer<S>(name: &str) -> Result<(Option<Sent<S>>, Traces)>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    if !is_wanted() {
        return Ok(none());
    }
    let exporter = by_http(protocol()?).build().context("sending spans")?;
    let (layer, traces) = recording(exporter, name);
    Ok((Some(layer), traces))
}

/// What sends them.
fn by_http(protocol: Protocol) -> SpanExporterBuilder<HttpExporterBuilderSet> {
    // Whoever was first in this process has chosen; any choice will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    SpanExporter::builder().with_http().with_protocol(protocol)
}

/// Records spans, and sends them by this exporter.
fn recording<S>(exporter: SpanExporter, name: &str) -> (Sent<S>, Traces)
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(name.to_owned());
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("intendant"));
    // Spans, and not what is said in them: log lines are nobody's business beyond this machine. Nor those of the exporter's
    // own client, which would be sent by it, and make others.
    let ours = |metadata: &tracing::Metadata<'_>| {
        let own = ["hyper", "reqwest", "h2", "opentelemetry", "tower"];
        let is_own = own.iter().any(|one| metadata.target().starts_with(one));
        metadata.is_span() && *metadata.level() <= LEVEL && !is_own
    };
    let layer = layer.with_filter(filter_fn(ours as fn(&tracing::Metadata<'_>) -> bool));
    (layer, Traces(Some(provider)))
}

fn is_wanted() -> bool {
    let said = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let disabled = std::env::var("OTEL_SDK_DISABLED");
    let disabled = disabled.is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let named = said("OTEL_EXPORTER_OTLP_ENDPOINT") || said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    named && !disabled
}

fn protocol() -> Result<Protocol> {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let said =
        said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| said("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match said.as_deref() {
        None | Some("http/protobuf") => Ok(Protocol::HttpBinary),
        Some("http/json") => Ok(Protocol::HttpJson),
        Some(other) => bail!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`; spans are sent by http/protobuf or http/json"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use axum::Router;
    use axum::extract::State;
    use axum::routing::post;
    use intendant::{Cx, Intendant, Intent, StepResult, TraceParent, Worker, fail};
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};
    use tracing::Instrument as _;
    use tracing_subscriber::prelude::*;

    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[derive(Serialize, Deserialize)]
    struct Ring;

    impl Intent for Ring {
        const KIND: &'static str = "bell.ring";
        type Output = Option<TraceParent>;
    }

    async fn ring(cx: Cx<()>, _: Ring) -> StepResult<Option<TraceParent>> {
        match cx.traceparent() {
            Some(here) if cx.attempt() == 1 => Err(fail(here)),
            here => Ok(here),
        }
    }

    type Came = Arc<Mutex<Vec<Value>>>;

    /// A collector with a thread of its own: whoever sends the last spans waits for it.
    fn collector() -> (String, Came) {
        let came = Came::default();
        let (tell, told) = mpsc::channel();
        let take = async |State(came): State<Came>, body: String| {
            let batch = serde_json::from_str(&body).unwrap();
            came.lock().unwrap().push(batch);
            "{}"
        };
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(came.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        let address = told.recv().unwrap();
        (format!("http://{address}/v1/traces"), came)
    }

    #[tokio::test]
    async fn requests_and_steps_are_spans_in_their_callers_trace() {
        let (url, came) = collector();
        let exporter = by_http(Protocol::HttpJson).with_endpoint(url);
        let (layer, traces) = recording(exporter.build().unwrap(), "bells");
        let recorded = tracing_subscriber::registry().with(layer).set_default();

        let intendant = Intendant::open("sqlite::memory:").await.unwrap();
        let trace: TraceParent = CALLER.parse().unwrap();
        let asked = intendant.request(Ring).traceparent(trace).await.unwrap();
        let within = async { intendant.request(Ring).await.unwrap().id() };
        let within = within.instrument(tracing::info_span!("web request")).await;
        let within = intendant.get(within).await.unwrap().traceparent.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = Worker::new(&intendant, ()).register_step(ring);
        let working = tokio::spawn(worker.run(async {
            stopped.await.ok();
        }));
        let failed = tokio::time::timeout(Duration::from_secs(30), asked.output());
        let failed = failed.await.unwrap().unwrap_err().to_string();
        stop.send(()).ok();
        working.await.unwrap().unwrap();
        drop(recorded);
        drop(traces);

        let came = came.lock().unwrap();
        let all = came
            .iter()
            .flat_map(|batch| batch["resourceSpans"].as_array().unwrap());
        let all: Vec<&Value> = all.collect();
        let service = json!({"key": "service.name", "value": {"stringValue": "bells"}});
        let attributes = all[0]["resource"]["attributes"].as_array().unwrap();
        assert!(attributes.contains(&service), "{attributes:?}");
        let spans = all
            .iter()
            .flat_map(|of| of["scopeSpans"].as_array().unwrap());
        let spans: Vec<&Value> = spans
            .flat_map(|of| of["spans"].as_array().unwrap())
            .collect();
        let of_caller = |span: &&&Value| span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736";
        let (mut spans, others): (Vec<&Value>, Vec<&Value>) =
            spans.iter().partition(|span| of_caller(span));
        spans.extend(others);
        let span = |name: &str| *spans.iter().find(|span| span["name"] == name).unwrap();
        for name in ["request", "bell.ring: run"] {
            let span = span(name);
            assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(span["parentSpanId"], "00f067aa0ba902b7");
        }
        // One that was asked for within a span of the program.
        let web = span("web request");
        assert_eq!(web["traceId"], within.trace_id());
        assert_eq!(web["spanId"], within.span_id());
        // The step told where it was, and failed with that.
        let step = span("bell.ring: run");
        let here = format!(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01",
            step["spanId"].as_str().unwrap()
        );
        assert!(failed.contains(&here), "{failed}");
        assert_eq!(step["status"]["code"], 2);
        assert!(step["status"]["message"].as_str().unwrap().contains(&here));
    }
}
