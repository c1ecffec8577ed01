//! With the feature `tracing`, rounds and phases are spans, with the same names as in the report.
#![cfg(feature = "tracing")]

use std::{
    collections::BTreeSet,
    fmt::{Debug, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::hazmat::InsecureBits512};
use ndarray::array;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Records every span and event with its name and fields.
#[derive(Clone, Default)]
struct Notebook {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Notebook {
    fn note(&self, name: &str, visit: impl FnOnce(&mut Fields)) {
        let mut fields = Fields(name.to_owned());
        visit(&mut fields);
        self.lines.lock().unwrap().push(fields.0);
    }
}

impl Subscriber for Notebook {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cipherfold")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.note(span.metadata().name(), |fields| span.record(fields));
        Id::from_u64(1 + self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: &Event<'_>) {
        self.note("event", |fields| event.record(fields));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn spans_have_the_names_of_the_report() {
    let notebook = Notebook::default();
    tracing::subscriber::set_global_default(notebook.clone()).unwrap();
    let executor = LocalExecutor::<InsecureBits512>::builder().min_clients(1).build().unwrap();
    let clients = [Some(array![1_u8]), None, Some(array![200])];
    let report = executor.secure_sum(clients, IntegerRange::up_to(100)).unwrap().report().clone();

    let lines = notebook.lines.lock().unwrap().clone();
    let round = format!("round session={} round=0 clients=3", report.session);
    assert!(lines.contains(&round), "{lines:?}");
    let phases: BTreeSet<_> = lines.iter().filter(|line| line.starts_with("phase ")).cloned().collect();
    let reported = report
        .phases
        .iter()
        .map(|entry| format!("phase phase={:?} placement={:?}", entry.phase.name(), entry.placement.name()));
    for phase in reported {
        assert!(phases.contains(&phase), "{phase} is missing");
    }
    let left_out: Vec<_> = lines.iter().filter(|line| line.contains("does not take part")).collect();
    assert_eq!(left_out.len(), 2, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("participants=1") && line.contains("absent=2")));
    // None of a client's data.
    assert!(!lines.iter().any(|line| line.contains("200")));
}
