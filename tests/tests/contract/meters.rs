//! A recorder for the `metrics` facade that remembers everything, for tests. One for the process: tests tell their own
//! series by the name of a step that nobody else has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// What was recorded, by series: `name{label=value,…}`.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    series: Mutex<BTreeMap<String, Vec<f64>>>,
}

impl Meters {
    /// The process's recorder.
    pub(crate) fn get() -> &'static Self {
        static METERS: OnceLock<&'static Meters> = OnceLock::new();
        METERS.get_or_init(|| {
            let meters: &'static Meters = Box::leak(Box::default());
            metrics::set_global_recorder(Handle(meters)).expect("nobody else installs one");
            meters
        })
    }

    /// All series in which this stands, with what was recorded.
    pub(crate) fn of(&self, label: &str) -> BTreeMap<String, Vec<f64>> {
        let series = self.series.lock().unwrap();
        let own = series.iter().filter(|(name, _)| name.contains(label));
        own.map(|(name, values)| (name.clone(), values.clone()))
            .collect()
    }
}

struct Handle(&'static Meters);

struct Series {
    meters: &'static Meters,
    name: String,
}

impl Series {
    fn of(meters: &'static Meters, key: &Key) -> Arc<Self> {
        let mut labels: Vec<String> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        labels.sort();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(Self { meters, name })
    }

    fn push(&self, value: f64) {
        let mut series = self.meters.series.lock().unwrap();
        series.entry(self.name.clone()).or_default().push(value);
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.push(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.push(value as f64);
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.push(value);
    }

    fn decrement(&self, value: f64) {
        self.push(-value);
    }

    fn set(&self, value: f64) {
        self.push(value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.push(value);
    }
}

impl Recorder for Handle {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Series::of(self.0, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Series::of(self.0, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Series::of(self.0, key))
    }
}
