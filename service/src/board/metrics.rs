//! Counts for Prometheus. Labels are names of parties, methods, and kinds of answers.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::traffic::Traffic;

pub(super) struct Metrics {
    registry: Registry,
    pub(super) requests: Family<Request, Counter>,
    pub(super) refusals: Family<Refused, Counter>,
    pub(super) received: Family<ByParty, Counter>,
    pub(super) sent: Family<ByParty, Counter>,
    pub(super) connections: Gauge,
    pub(super) handshakes_failed: Counter,
    pub(super) seconds: Histogram,
    /// Bytes of all objects, where they are limited.
    pub(super) stored: Gauge,
    /// For the status page.
    pub(super) traffic: Traffic,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Refused {
    pub(super) party: String,
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByParty {
    pub(super) party: String,
}

impl Metrics {
    pub(super) fn new(capacity: Option<u64>) -> Self {
        let mut registry = Registry::with_prefix("cipherfold_board");
        let metrics = Self {
            requests: Family::default(),
            refusals: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            connections: Gauge::default(),
            handshakes_failed: Counter::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
            stored: Gauge::default(),
            traffic: Traffic::new(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests by method and status", metrics.requests.clone());
        registry.register("refusals", "Refused requests by party and kind", metrics.refusals.clone());
        registry.register("received_bytes", "Bytes of objects written, by party", metrics.received.clone());
        registry.register("sent_bytes", "Bytes of objects read, by party", metrics.sent.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register(
            "handshakes_failed",
            "Connections that did not get as far as a request",
            metrics.handshakes_failed.clone(),
        );
        registry.register("request_seconds", "Time that requests took", metrics.seconds.clone());
        if let Some(capacity) = capacity {
            registry.register("stored_bytes", "Bytes of all objects of the store", metrics.stored.clone());
            let limit = ConstGauge::new(i64::try_from(capacity).unwrap_or(i64::MAX));
            registry.register("capacity_bytes", "Bytes that the store may hold", limit);
        }
        Self { registry, ..metrics }
    }

    /// Bytes of objects that a party has written and read.
    pub(super) fn bytes(&self, party: &str) -> (u64, u64) {
        let party = ByParty { party: party.to_owned() };
        let count = |family: &Family<ByParty, Counter>| family.get(&party).map_or(0, |count| count.get());
        (count(&self.received), count(&self.sent))
    }

    /// Counts a refused request.
    pub(super) fn refuse(&self, party: String, kind: &'static str) {
        self.traffic.refused(party.clone(), kind);
        self.refusals.get_or_create(&Refused { party, kind }).inc();
    }

    /// All counts in Prometheus' text format.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("texts grow");
        text
    }
}
