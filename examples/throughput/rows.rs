//! The output: a table, printed row by row, or one JSON object.

use std::io::{self, Write};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    CLIENTS, VALUE_BITS,
    openssl::PRODUCTS,
    shared::{
        cli::Output,
        escape::escaped,
        plural::count,
        table::{
            Align::{Left, Right},
            Table,
        },
    },
};

/// An operation of a backend.
pub(crate) struct Row {
    pub(crate) backend: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) per_second: f64,
    pub(crate) values_per_second: f64,
    pub(crate) bytes_per_value: f64,
    /// Operations in the time of the baseline.
    pub(crate) ratio: f64,
    /// The rate of a GPU's kernels, by their own time.
    pub(crate) kernel_per_second: Option<f64>,
    /// Fraction of [`Summary::peak`], or of [`Card::peak`].
    pub(crate) peak_fraction: Option<f64>,
}

/// Figures that are common to all rows.
pub(crate) struct Summary {
    pub(crate) product_ns: f64,
    /// Multiply-adds a second of all threads, if processor and backend have them.
    pub(crate) peak: Option<f64>,
    pub(crate) gpu: Option<Card>,
    pub(crate) openssl: Option<OpenSsl>,
}

/// A GPU.
pub(crate) struct Card {
    pub(crate) adapter: String,
    pub(crate) driver: String,
    /// Wide multiply-adds a second.
    pub(crate) peak: Option<f64>,
}

/// OpenSSL on one thread.
pub(crate) struct OpenSsl {
    /// Verifications of RSA signatures of 4096 bits, a second.
    pub(crate) verifications: f64,
}

/// Prints rows when they are complete, or keeps them for JSON.
pub(crate) struct Printer<'a> {
    key_bits: u32,
    threads: u16,
    json: bool,
    progress: &'a ProgressBar,
    out: &'a mut Output,
    table: Table<8>,
    rows: Vec<Row>,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(
        key_bits: u32,
        threads: u16,
        json: bool,
        progress: &'a ProgressBar,
        out: &'a mut Output,
    ) -> Self {
        let [operation, backend] = ["operation", "backend"].map(|heading| (heading, Left));
        let [per_second, values, bytes, ratio] =
            ["a second", "values/s", "B/value", "ratio"].map(|heading| (heading, Right));
        let [peak, kernels] = ["of peak", "kernels/s"].map(|heading| (heading, Right));
        let mut table = Table::new([operation, backend, per_second, values, bytes, ratio, peak, kernels]);
        // Wide enough for the rates of a large card.
        let wide = [
            "encrypt_short",
            "portable",
            "100000000",
            "10000000000",
            "10.00",
            "1000.0000",
            "100 %",
            "100000000",
        ];
        table.fit(&wide.map(str::to_owned));
        Self { key_bits, threads, json, progress, out, table, rows: Vec::new() }
    }

    /// Prints the row, after the heading if it is the first.
    pub(crate) fn row(&mut self, row: Row) -> io::Result<()> {
        let Self { key_bits, threads, progress, out, table, .. } = self;
        if !self.json {
            let heading = self.rows.is_empty().then(|| {
                let threads = count(*threads, "thread", "threads");
                let columns = table.heading();
                format!(
                    "{key_bits}-bit key, {threads}, values of {VALUE_BITS} bits, {CLIENTS} clients\n\n{columns}\n"
                )
            });
            let line = table.row(&row.cells());
            progress.suspend(|| writeln!(out, "{}{line}", heading.unwrap_or_default()))?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Prints the lines after the rows, or everything as JSON.
    pub(crate) fn end(self, summary: &Summary) -> io::Result<()> {
        self.progress.finish_and_clear();
        if self.json {
            return writeln!(self.out, "{}", self.object(summary));
        }
        let Summary { product_ns, peak, gpu, openssl } = summary;
        let out = self.out;
        writeln!(
            out,
            "\nA product modulo n² of crypto-bigint takes {product_ns:.0} ns: ratios are relative to it."
        )?;
        if let Some(peak) = peak {
            writeln!(out, "Peak: {:.2} billion multiply-adds of eight 52-bit limbs a second", peak / 1e9)?;
        }
        if let Some(OpenSsl { verifications }) = openssl {
            let products = verifications * PRODUCTS;
            writeln!(
                out,
                "OpenSSL verifies {verifications:.0} signatures of 4096 bits a second on one thread, of {PRODUCTS} products each."
            )?;
            for row in self.rows.iter().filter(|row| row.operation == "add") {
                let Row { backend, per_second, .. } = row;
                writeln!(
                    out,
                    "Additions on {backend} are {:.1} times as many as its products.",
                    per_second / products
                )?;
            }
        }
        if let Some(gpu) = gpu {
            writeln!(out, "GPU: {}, {}", escaped(&gpu.adapter), escaped(&gpu.driver))?;
            if let Some(peak) = gpu.peak {
                writeln!(out, "Its peak: {:.1} billion wide multiply-adds a second", peak / 1e9)?;
            }
        }
        Ok(())
    }

    fn object(&self, summary: &Summary) -> Value {
        let rows = self.rows.iter().map(|row| {
            let mut object = json!({
                "backend": row.backend,
                "operation": row.operation,
                "per_second": row.per_second,
                "values_per_second": row.values_per_second,
                "bytes_per_value": row.bytes_per_value,
                "ratio": row.ratio,
            });
            if let Some(fraction) = row.peak_fraction {
                object["peak_fraction"] = fraction.into();
            }
            if let Some(rate) = row.kernel_per_second {
                object["kernel_per_second"] = rate.into();
            }
            object
        });
        let mut object = json!({
            "key_bits": self.key_bits,
            "threads": self.threads,
            "product_ns": summary.product_ns,
            "rows": rows.collect::<Vec<_>>(),
        });
        if let Some(gpu) = &summary.gpu {
            object["gpu"] = json!({
                "adapter": gpu.adapter,
                "driver": gpu.driver,
                "multiply_adds_per_second": gpu.peak,
            });
        }
        if let Some(OpenSsl { verifications }) = &summary.openssl {
            object["openssl"] = json!({ "rsa4096_verifications_per_second": verifications });
        }
        object
    }
}

impl Row {
    fn cells(&self) -> [String; 8] {
        [
            self.operation.to_owned(),
            self.backend.to_owned(),
            format!("{:.0}", self.per_second),
            format!("{:.0}", self.values_per_second),
            format!("{:.2}", self.bytes_per_value),
            format!("{:.4}", self.ratio),
            self.peak_fraction.map_or(String::new(), |fraction| format!("{:.0} %", 100.0 * fraction)),
            self.kernel_per_second.map_or(String::new(), |rate| format!("{rate:.0}")),
        ]
    }
}
