//! Powers of a public base with a table on the device, for encryption.

use std::{sync::Arc, thread};

use rayon::prelude::*;

use super::{
    modulus::{ModulusOnDevice, ResidentPieces},
    results::Results,
    sample::random_index,
};
use crate::{
    backend::gpu::{
        device::Fault,
        kernels::{self, LaneLayout},
        memory::{DeviceBuffer, read_pair, write_pair},
        stream::{BatchShape, Binding, Collect, Discard, InFlight, Readback, run_batch},
    },
    residue::{Limbs, Modulus, Pair},
};

/// Powers of a public base in the kernels' form: rows of 2^window packed pairs in Montgomery form.
///
/// The host computes the table and keeps a copy, in case the device is lost.
pub(crate) struct Table {
    pub(crate) words: Vec<u32>,
    pub(crate) window: u32,
    pub(crate) bits: u32,
}

impl Table {
    /// The table with the widest windows whose size is at most `budget` bytes. Uses all threads of
    /// the current rayon pool.
    pub(crate) fn new<U: Limbs>(
        layout: LaneLayout,
        modulus: &Modulus<U>,
        base: &Pair<U>,
        bits: u32,
        budget: usize,
    ) -> Self {
        let size = |window: u32| (bits.div_ceil(window) as usize * 4 * layout.packed_words()) << window;
        let window =
            (MIN_WINDOW..=MAX_WINDOW).rev().find(|window| size(*window) <= budget).unwrap_or(MIN_WINDOW);
        let r = layout.power_of_r(modulus, 1);
        let (mut table, rows) = Self::empty(layout, modulus, base, bits, window.min(bits));
        table.words.par_chunks_mut(table_row(layout, table.window)).zip(&rows).for_each(|(row, unit)| {
            fill_row(layout, modulus, &r, unit, row);
        });
        table
    }

    /// The table with the narrowest windows, made by this thread alone.
    pub(crate) fn narrow<U: Limbs>(
        layout: LaneLayout,
        modulus: &Modulus<U>,
        base: &Pair<U>,
        bits: u32,
    ) -> Self {
        let r = layout.power_of_r(modulus, 1);
        let (mut table, rows) = Self::empty(layout, modulus, base, bits, MIN_WINDOW);
        for (row, unit) in table.words.chunks_exact_mut(table_row(layout, MIN_WINDOW)).zip(&rows) {
            fill_row(layout, modulus, &r, unit, row);
        }
        table
    }

    /// An empty table, and `base^(2^(window·row))` for every row, in the host's Montgomery form.
    fn empty<U: Limbs>(
        layout: LaneLayout,
        modulus: &Modulus<U>,
        base: &Pair<U>,
        bits: u32,
        window: u32,
    ) -> (Self, Vec<Pair<U>>) {
        assert!(bits > 0, "exponents have at least one bit");
        let mut unit = modulus.to_mont(base);
        let units: Vec<Pair<U>> = (0..bits.div_ceil(window))
            .map(|_| {
                let row = unit;
                (0..window).for_each(|_| unit = modulus.square(&unit));
                row
            })
            .collect();
        let words = vec![0; units.len() * table_row(layout, window)];
        (Self { words, window, bits }, units)
    }

    pub(crate) fn rows(&self) -> u32 {
        self.bits.div_ceil(self.window)
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }
}

/// Minimum bits of a window.
const MIN_WINDOW: u32 = 2;

/// Maximum bits of a window. One more bit would double the table, and save at most one product in
/// ten. Tables for short exponents reach this maximum. A power then takes 22, 24 and 28 products at
/// 2048, 3072 and 4096 bits, and the table is no larger than for half-length exponents.
const MAX_WINDOW: u32 = 12;

fn table_row(layout: LaneLayout, window: u32) -> usize {
    layout.packed_words() << window
}

/// All powers of one row's unit, brought to the device's Montgomery form.
fn fill_row<U: Limbs>(
    layout: LaneLayout,
    modulus: &Modulus<U>,
    r: &Pair<U>,
    unit: &Pair<U>,
    row: &mut [u32],
) {
    // `unit` is in the host's form, so a product by it keeps the device's factor R.
    let mut power = *r;
    for entry in row.chunks_exact_mut(layout.packed_words()) {
        write_pair(&power, entry);
        power = modulus.mul(&power, unit);
    }
}

/// A table on a device.
pub(crate) struct TableOnDevice<U: Limbs> {
    pub(crate) modulus: ModulusOnDevice<U>,
    table: Arc<Table>,
    entries: DeviceBuffer,
    base: Pair<U>,
}

impl<U: Limbs> TableOnDevice<U> {
    pub(crate) fn new(modulus: ModulusOnDevice<U>, table: &Arc<Table>, base: Pair<U>) -> Result<Self, Fault> {
        let entries = DeviceBuffer::new(&modulus.runtime.device, "powers of the base", &table.words, false)?;
        Ok(Self { modulus, table: Arc::clone(table), entries, base })
    }

    /// `base^exponents[i]·(1 + ms[i]·n)`, or without the second factor if `ms` is `None`.
    pub(crate) fn pow<E: Limbs>(&self, ms: Option<&[U]>, exponents: &[E]) -> Result<Vec<Pair<U>>, Fault> {
        let expected = |i: usize| self.expected(ms, exponents, i);
        thread::scope(|scope| {
            let mut results = Results::sampled(&self.modulus.runtime, exponents.len(), scope, &expected);
            self.run(ms, exponents, None, &mut results)?;
            Ok(results.into_pairs())
        })
    }

    /// [`Self::pow`], but the results stay on the device.
    pub(crate) fn pow_resident<E: Limbs>(
        &self,
        ms: Option<&[U]>,
        exponents: &[E],
    ) -> Result<ResidentPieces, Fault> {
        let mut pieces = Vec::new();
        self.run(ms, exponents, Some(&mut pieces), &mut Discard)?;
        let runtime = &self.modulus.runtime;
        // Fetches and checks one result.
        let sample = random_index(&(0..exponents.len()));
        let words = self.modulus.layout.packed_words();
        let mut at = sample;
        for (piece, items) in &pieces {
            if at < *items {
                let mut found = Pair::default();
                runtime.read_back(piece, at * words, words, &mut |words| read_pair(words, &mut found))?;
                let expected = self.expected(ms, exponents, sample);
                runtime.device.check_sample(found == expected, "the results")?;
                break;
            }
            at -= items;
        }
        Ok(pieces)
    }

    fn expected<E: Limbs>(&self, ms: Option<&[U]>, exponents: &[E], i: usize) -> Pair<U> {
        let n = &*self.modulus.modulus;
        let power = n.pow(&n.to_mont(&self.base), exponents[i].words(), self.table.bits);
        n.mul(&power, &Pair::new(Pair::<U>::one().lo, ms.map_or(U::zero(), |ms| ms[i])))
    }

    fn run<E: Limbs>(
        &self,
        ms: Option<&[U]>,
        exponents: &[E],
        mut resident: Option<&mut ResidentPieces>,
        collect: &mut dyn Collect,
    ) -> Result<(), Fault> {
        let layout = self.modulus.layout;
        // The words that hold the exponents' bits. Short exponents have fewer words than the type.
        let exponent_words = self.table.bits.div_ceil(32) as usize;
        let m_words = if ms.is_some() { layout.half_words() } else { 0 };
        let shape = BatchShape {
            inputs: &[exponent_words, m_words],
            scratch: &[],
            output: if resident.is_some() { 0 } else { layout.packed_words() },
            resident_output: if resident.is_some() { layout.packed_words() } else { 0 },
            is_secret: true,
        };
        let table = &*self.table;
        run_batch(
            &self.modulus.runtime,
            exponents.len(),
            &shape,
            &|array, item, sink| match array {
                0 => sink.number(exponents[item].words(), 4 * exponent_words),
                _ => sink.half(&ms.expect("there are plaintexts")[item]),
            },
            &mut |_, piece, commands| {
                let results = match &mut resident {
                    None => piece.output.expect("the shape has an output"),
                    Some(pieces) => {
                        let bytes = 4 * layout.packed_words() as u64 * u64::from(piece.items);
                        let piece_results =
                            DeviceBuffer::zeroed(&self.modulus.runtime.device, "ciphertexts", bytes)?;
                        pieces.push((piece_results, piece.items as usize));
                        Binding::whole(&pieces.last().expect("just pushed").0)
                    }
                };
                // Without plaintexts the kernel does not read this binding, but it must exist.
                let plaintexts = if ms.is_some() { piece.inputs[1] } else { piece.inputs[0] };
                let bindings = [
                    Binding::whole(&self.modulus.constants),
                    Binding::whole(&self.entries),
                    piece.inputs[0],
                    plaintexts,
                    results,
                ];
                commands.dispatch(layout, &bindings, piece.items, table.rows(), |first, end| {
                    kernels::FixedBase {
                        first,
                        end,
                        window: table.window,
                        bits: table.bits,
                        exponent_words: exponent_words as u32,
                        plain: u32::from(ms.is_some()),
                    }
                })
            },
            collect,
        )
    }

    /// Fetches resident results.
    pub(crate) fn fetch(&self, pieces: &ResidentPieces, len: usize) -> Result<Vec<Pair<U>>, Fault> {
        let (runtime, words) = (&self.modulus.runtime, self.modulus.layout.packed_words());
        let (mut results, mut in_flight) = (Results::new(runtime, len), InFlight::default());
        let mut first = 0;
        for (piece, count) in pieces {
            let items = first..first + count;
            first = items.end;
            let readback = Readback { buffer: piece, items, words: words * count };
            in_flight.read_back(runtime, readback, &mut results)?;
        }
        in_flight.collect_all(runtime, &mut results)?;
        Ok(results.into_pairs())
    }
}
