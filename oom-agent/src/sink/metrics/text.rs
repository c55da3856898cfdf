//! Families of metrics, and the text format 0.0.4.

use prometheus::{
    Encoder as _, TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

/// Families as text, one after the other: only one is held in memory in the encoder's form.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
}

impl Text {
    /// With room for a text that is about as long as the last one.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// A counter with these samples.
    pub(super) fn counter(&mut self, name: &str, help: &str, samples: impl Iterator<Item = Sample>) {
        let metrics = samples.map(|Sample { labels, value }| {
            let mut counter = Counter::default();
            counter.set_value(value);
            let mut metric = Metric::from_label(labels);
            metric.set_counter(counter);
            metric
        });
        self.family(name, help, MetricType::COUNTER, metrics.collect());
    }

    /// A gauge with these samples.
    pub(super) fn gauge(&mut self, name: &str, help: &str, samples: impl Iterator<Item = Sample>) {
        let metrics = samples.map(|Sample { labels, value }| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::from_label(labels);
            metric.set_gauge(gauge);
            metric
        });
        self.family(name, help, MetricType::GAUGE, metrics.collect());
    }

    fn family(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families(&[family]);
    }

    /// Those that something else has made.
    pub(super) fn families(&mut self, families: &[MetricFamily]) {
        for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
            // It fails for a family without a name and for a writer that fails; a `Vec` does not.
            let _ = TextEncoder::new().encode(std::slice::from_ref(family), &mut self.bytes);
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A value with its labels.
pub(super) struct Sample {
    labels: Vec<LabelPair>,
    value: f64,
}

/// A value without labels.
pub(super) fn plain(value: impl Into<Value>) -> std::iter::Once<Sample> {
    std::iter::once(sample([], value))
}

/// A value with labels.
pub(super) fn sample<const N: usize>(labels: [(&str, &str); N], value: impl Into<Value>) -> Sample {
    labelled(&labels, value)
}

/// The same, however many they are.
pub(super) fn labelled(labels: &[(&str, &str)], value: impl Into<Value>) -> Sample {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Sample { labels: labels.iter().map(pair).collect(), value: value.into().0 }
}

/// A number as the format has it. Exact up to 2^53.
pub(super) struct Value(f64);

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self(value as f64)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self(value as f64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(f64::from(u8::from(value)))
    }
}
