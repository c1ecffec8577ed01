//! The operations on a device, each of them for a whole batch; with a sample of the results checked.

use std::{ops::Range, sync::Arc};

use crypto_bigint::Word;
use rayon::prelude::*;
use wgpu::{Buffer, BufferUsages};
use zeroize::Zeroizing;

use super::{
    commands::{Binding, Commands},
    device::{Context, Fault},
    host::{self, Sink},
    layout::{self, Layout},
    parameters,
    pool::Purpose,
    shader::{Kernel, WORKGROUP},
    transfer::{self, Freight},
};
use crate::residue::{self, Limbs, Modulus, Pair};

/// A buffer that stays on the device for a while, cleared when dropped if it held secrets.
pub(in crate::backend) struct Kept {
    pub(super) buffer: Buffer,
    context: Arc<Context>,
    is_secret: bool,
}

impl Kept {
    pub(super) fn new(
        context: &Arc<Context>,
        label: &str,
        words: &[u32],
        is_secret: bool,
    ) -> Result<Self, Fault> {
        let buffer = context.buffer_of(label, words)?;
        Ok(Self { buffer, context: Arc::clone(context), is_secret })
    }

    pub(super) fn empty(context: &Arc<Context>, label: &str, bytes: u64) -> Result<Self, Fault> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffer = context.buffer(label, bytes, usage)?;
        Ok(Self { buffer, context: Arc::clone(context), is_secret: false })
    }

    pub(super) fn whole(&self) -> Binding<'_> {
        Binding::whole(&self.buffer)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_secret {
            // Of a device that is gone nobody can reach what it held.
            let _ = self.context.clear(Purpose::Device, &self.buffer);
        }
    }
}

/// A modulus on a device.
pub(super) struct OnDevice<U: Limbs> {
    pub(super) context: Arc<Context>,
    pub(super) layout: Layout,
    pub(super) modulus: Arc<Modulus<U>>,
    pub(super) constants: Kept,
    /// R and R² mod n².
    factors: Kept,
    r2: Kept,
    /// One, as a factor that leaves Montgomery form.
    one: Kept,
    is_secret: bool,
}

impl<U: Limbs> OnDevice<U> {
    pub(super) fn new(
        context: &Arc<Context>,
        modulus: &Arc<Modulus<U>>,
        is_secret: bool,
    ) -> Result<Self, Fault> {
        let layout = context.layout(U::WORDS as u32 * Word::BITS);
        let constants = Zeroizing::new(layout.modulus_words(modulus));
        let r2 = Zeroizing::new(layout.loose(&layout.power_of_r(modulus, 2)));
        let mut factors = Zeroizing::new(Vec::with_capacity(2 * layout.loose_words()));
        factors.extend(&*Zeroizing::new(layout.loose(&layout.power_of_r(modulus, 1))));
        factors.extend(&*r2);
        Ok(Self {
            context: Arc::clone(context),
            layout,
            modulus: Arc::clone(modulus),
            constants: Kept::new(context, "modulus", &constants, is_secret)?,
            factors: Kept::new(context, "powers of R", &factors, is_secret)?,
            r2: Kept::new(context, "R²", &r2, is_secret)?,
            one: Kept::new(context, "one", &layout.loose(&Pair::<U>::one()), false)?,
            is_secret,
        })
    }

    /// A constant residue for kernels to multiply with.
    pub(super) fn constant(&self, pair: &Pair<U>) -> Result<Kept, Fault> {
        Kept::new(&self.context, "factor", &self.layout.loose(pair), self.is_secret)
    }

    /// Appends results as pairs, and checks one of them.
    fn collect(
        &self,
        out: &mut Vec<Pair<U>>,
        items: &Range<usize>,
        words: &[u32],
        expected: &dyn Fn(usize) -> Pair<U>,
    ) -> Result<(), Fault> {
        debug_assert_eq!(out.len(), items.start, "pieces come in order");
        host::read_pairs(&self.context, words, out);
        let sample = transfer::sample(items);
        self.context.confirm(out[sample] == expected(sample), "the results")
    }

    /// `xs[i]·ys[i]`.
    pub(super) fn mul(&self, xs: &[Pair<U>], ys: &[Pair<U>]) -> Result<Vec<Pair<U>>, Fault> {
        let n = &*self.modulus;
        self.product(xs, self.layout.packed_words(), false, &|i, sink| sink.pair(&ys[i]), &|i| {
            n.mul(&n.to_mont(&xs[i]), &ys[i])
        })
    }

    /// `xs[i]·(1 + ms[i]·n)`.
    pub(super) fn add_plain(&self, xs: &[Pair<U>], ms: &[U]) -> Result<Vec<Pair<U>>, Fault> {
        let n = &*self.modulus;
        self.product(xs, self.layout.half_words(), true, &|i, sink| sink.half(&ms[i]), &|i| {
            n.mul(&n.to_mont(&xs[i]), &Pair::new(Pair::<U>::one().lo, ms[i]))
        })
    }

    fn product(
        &self,
        xs: &[Pair<U>],
        other_words: usize,
        is_plain: bool,
        write_other: &(dyn Fn(usize, &mut Sink<'_>) + Sync),
        expected: &dyn Fn(usize) -> Pair<U>,
    ) -> Result<Vec<Pair<U>>, Fault> {
        let (context, layout) = (&self.context, self.layout);
        let up = [layout.packed_words(), other_words];
        let freight = Freight {
            up: &up,
            scratch: &[],
            down: layout.packed_words(),
            stay: 0,
            is_secret: is_plain || self.is_secret,
        };
        let mut out = Zeroizing::new(Vec::with_capacity(xs.len()));
        transfer::stream(
            context,
            xs.len(),
            &freight,
            &|section, item, sink| match section {
                0 => sink.pair(&xs[item]),
                _ => write_other(item, sink),
            },
            &mut |_, space, commands| {
                let results = space.down.expect("results come down");
                let bindings = [self.constants.whole(), space.up[0], space.up[1], self.r2.whole(), results];
                let plain = u32::from(is_plain);
                commands.dispatch(layout, &bindings, space.items, 2, |first, end| parameters::Mul {
                    first,
                    end,
                    plain,
                })
            },
            &mut |items, words| self.collect(&mut out, &items, words, expected),
        )?;
        Ok(core::mem::take(&mut *out))
    }

    /// `xs[i]^exponent(i)`, of which `bits` bits are read. With `shared`, all have exponent 0's.
    pub(super) fn pow<'e>(
        &self,
        xs: &[Pair<U>],
        exponent: &(dyn Fn(usize) -> &'e [Word] + Sync),
        shared: bool,
        bits: u32,
    ) -> Result<Vec<Pair<U>>, Fault> {
        if bits == 0 {
            return Ok(vec![Pair::one(); xs.len()]);
        }
        let (context, layout, n) = (&self.context, self.layout, &*self.modulus);
        let pipeline = context.pipeline(Kernel::Pow, layout)?;
        let window = residue::window_bits(bits).min(MAX_WINDOW);
        let steps = (bits.div_ceil(window) - 1) * (window + 1);
        let exponent_words = bits.div_ceil(32) as usize;
        let mut of_all = None;
        if shared {
            let mut words = Zeroizing::new(vec![0; exponent_words]);
            layout::write_words(exponent(0), &mut words);
            of_all = Some(Kept::new(&self.context, "exponent", &words, true)?);
        }
        let up: &[usize] =
            if shared { &[layout.packed_words()] } else { &[layout.packed_words(), exponent_words] };
        let freight = Freight {
            up,
            scratch: &[layout.loose_words() << window, layout.loose_words()],
            down: layout.packed_words(),
            stay: 0,
            is_secret: true,
        };
        let expected =
            |i: usize| n.from_mont(&n.pow(&n.to_mont(&xs[i]), exponent(if shared { 0 } else { i }), bits));
        let mut out = Zeroizing::new(Vec::with_capacity(xs.len()));
        transfer::stream(
            context,
            xs.len(),
            &freight,
            &|section, item, sink| match section {
                0 => sink.pair(&xs[item]),
                _ => sink.number(exponent(item), 4 * exponent_words),
            },
            &mut |_, space, commands| {
                let (powers, states) = (space.scratch[0], space.scratch[1]);
                let results = space.down.expect("results come down");
                let (exponents, exponent_words) = match &of_all {
                    Some(exponent) => (exponent.whole(), 0),
                    None => (space.up[1], exponent_words as u32),
                };
                let bindings = [self.constants.whole(), space.up[0], self.factors.whole(), powers];
                let products = (1 << window) - 1;
                commands.dispatch(layout, &bindings, space.items, products, |first, end| {
                    parameters::PowTable { first, end, window }
                })?;
                let bindings = [self.constants.whole(), powers, exponents, states];
                let (mut step, mut is_begun) = (0, false);
                while step < steps || !is_begun {
                    let end_step = steps.min(step + context.run_length(&pipeline, layout, space.items));
                    let products = (end_step - step).max(1);
                    commands.dispatch(layout, &bindings, space.items, products, |first, end| {
                        parameters::Pow { first, end, window, bits, exponent_words, step, end_step }
                    })?;
                    (step, is_begun) = (end_step, true);
                }
                self.finish(states, results, space.items, 1, &self.one, commands)
            },
            &mut |items, words| self.collect(&mut out, &items, words, &expected),
        )?;
        Ok(core::mem::take(&mut *out))
    }

    /// Joins the accumulators of a fold that lie in `products`, `segments` for each of `slots` slots, times `factor`.
    pub(super) fn finish(
        &self,
        products: Binding<'_>,
        results: Binding<'_>,
        slots: u32,
        segments: u32,
        factor: &Kept,
        commands: &mut Commands<'_>,
    ) -> Result<(), Fault> {
        let bindings = [self.constants.whole(), products, factor.whole(), results];
        commands.dispatch(self.layout, &bindings, slots, segments, |first, end| parameters::Finish {
            slots,
            segments,
            first,
            end,
        })
    }
}

/// Widest window of general powers: a table has 2^5 entries an item.
const MAX_WINDOW: u32 = 5;

/// Powers of a public base, as the kernels read them: rows of 2^window packed pairs in Montgomery form.
///
/// Computed on the host, and kept there as well: a device may be lost.
pub(super) struct Table {
    pub(super) words: Vec<u32>,
    pub(super) window: u32,
    pub(super) bits: u32,
}

impl Table {
    /// The table with the widest windows that take `budget` bytes at most. Works on all threads of the current rayon pool.
    pub(super) fn new<U: Limbs>(
        layout: Layout,
        modulus: &Modulus<U>,
        base: &Pair<U>,
        bits: u32,
        budget: usize,
    ) -> Self {
        let size = |window: u32| (bits.div_ceil(window) as usize * 4 * layout.packed_words()) << window;
        let window = (NARROWEST..=8).rev().find(|window| size(*window) <= budget).unwrap_or(NARROWEST);
        let r = layout.power_of_r(modulus, 1);
        let (mut table, rows) = Self::empty(layout, modulus, base, bits, window.min(bits));
        table.words.par_chunks_mut(table_row(layout, table.window)).zip(&rows).for_each(|(row, unit)| {
            fill_row(layout, modulus, &r, unit, row);
        });
        table
    }

    /// The table with the narrowest windows, made by this thread alone.
    pub(super) fn narrow<U: Limbs>(layout: Layout, modulus: &Modulus<U>, base: &Pair<U>, bits: u32) -> Self {
        let r = layout.power_of_r(modulus, 1);
        let (mut table, rows) = Self::empty(layout, modulus, base, bits, NARROWEST);
        for (row, unit) in table.words.chunks_exact_mut(table_row(layout, NARROWEST)).zip(&rows) {
            fill_row(layout, modulus, &r, unit, row);
        }
        table
    }

    /// Room for the table, and `base^(2^(window·row))` for every row, in the host's Montgomery form.
    fn empty<U: Limbs>(
        layout: Layout,
        modulus: &Modulus<U>,
        base: &Pair<U>,
        bits: u32,
        window: u32,
    ) -> (Self, Vec<Pair<U>>) {
        assert!(bits > 0, "exponents are not empty");
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

    pub(super) fn rows(&self) -> u32 {
        self.bits.div_ceil(self.window)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }
}

/// Least bits of a window.
const NARROWEST: u32 = 2;

fn table_row(layout: Layout, window: u32) -> usize {
    layout.packed_words() << window
}

/// All powers of one row's unit, brought to the device's Montgomery form.
fn fill_row<U: Limbs>(layout: Layout, modulus: &Modulus<U>, r: &Pair<U>, unit: &Pair<U>, row: &mut [u32]) {
    let mut power = *modulus.one_mont();
    for entry in row.chunks_exact_mut(layout.packed_words()) {
        layout::write_pair(&modulus.mul(&power, r), entry);
        power = modulus.mul(&power, unit);
    }
}

/// A table on a device.
pub(super) struct TableOnDevice<U: Limbs> {
    pub(super) modulus: OnDevice<U>,
    table: Arc<Table>,
    entries: Kept,
    base: Pair<U>,
}

/// Pieces of a batch that stay on the device, each with its number of residues.
pub(in crate::backend) type Pieces = Vec<(Kept, usize)>;

impl<U: Limbs> TableOnDevice<U> {
    pub(super) fn new(modulus: OnDevice<U>, table: &Arc<Table>, base: Pair<U>) -> Result<Self, Fault> {
        let entries = Kept::new(&modulus.context, "powers of the base", &table.words, false)?;
        Ok(Self { modulus, table: Arc::clone(table), entries, base })
    }

    /// `base^exponents[i]·(1 + ms[i]·n)`, without the second factor if there are no ms.
    pub(super) fn pow<E: Limbs>(&self, ms: Option<&[U]>, exponents: &[E]) -> Result<Vec<Pair<U>>, Fault> {
        let mut out = Zeroizing::new(Vec::with_capacity(exponents.len()));
        self.run(ms, exponents, None, &mut |items, words| {
            let expected = |i: usize| self.expected(ms, exponents, i);
            self.modulus.collect(&mut out, &items, words, &expected)
        })?;
        Ok(core::mem::take(&mut *out))
    }

    /// [`Self::pow`], with the results left where they are.
    pub(super) fn pow_resident<E: Limbs>(&self, ms: Option<&[U]>, exponents: &[E]) -> Result<Pieces, Fault> {
        let mut pieces = Vec::new();
        self.run(ms, exponents, Some(&mut pieces), &mut |_, _| Ok(()))?;
        let context = &self.modulus.context;
        // One of them is fetched and checked.
        let sample = transfer::sample(&(0..exponents.len()));
        let words = self.modulus.layout.packed_words();
        let mut at = sample;
        for (piece, items) in &pieces {
            if at < *items {
                let mut found = Vec::new();
                fetch(context, &piece.buffer, at * words, words, &mut |words| {
                    host::read_pairs(context, words, &mut found);
                })?;
                context.confirm(found == [self.expected(ms, exponents, sample)], "the results")?;
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
        mut stay: Option<&mut Pieces>,
        collect: &mut transfer::Collect<'_>,
    ) -> Result<(), Fault> {
        let (context, layout) = (&self.modulus.context, self.modulus.layout);
        let exponent_words = E::WORDS * size_of::<Word>() / 4;
        let m_words = if ms.is_some() { layout.half_words() } else { 0 };
        let freight = Freight {
            up: &[exponent_words, m_words],
            scratch: &[],
            down: if stay.is_some() { 0 } else { layout.packed_words() },
            stay: if stay.is_some() { layout.packed_words() } else { 0 },
            is_secret: true,
        };
        let table = &*self.table;
        transfer::stream(
            context,
            exponents.len(),
            &freight,
            &|section, item, sink| match section {
                0 => sink.half(&exponents[item]),
                _ => sink.half(&ms.expect("there are plaintexts")[item]),
            },
            &mut |_, space, commands| {
                let kept;
                let results = match &mut stay {
                    None => space.down.expect("results come down"),
                    Some(pieces) => {
                        let bytes = 4 * layout.packed_words() as u64 * u64::from(space.items);
                        kept = Kept::empty(&self.modulus.context, "ciphertexts", bytes)?;
                        pieces.push((kept, space.items as usize));
                        pieces.last().expect("just pushed").0.whole()
                    }
                };
                // Without plaintexts nothing reads them, but something must be bound.
                let plaintexts = if ms.is_some() { space.up[1] } else { space.up[0] };
                let bindings =
                    [self.modulus.constants.whole(), self.entries.whole(), space.up[0], plaintexts, results];
                commands.dispatch(layout, &bindings, space.items, table.rows(), |first, end| {
                    parameters::FixedBase {
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
}

impl<U: Limbs> TableOnDevice<U> {
    /// Fetches what has stayed on the device.
    pub(super) fn fetch(&self, pieces: &Pieces, len: usize) -> Result<Vec<Pair<U>>, Fault> {
        let (context, words) = (&self.modulus.context, self.modulus.layout.packed_words());
        let mut out = Vec::with_capacity(len);
        for (piece, items) in pieces {
            fetch(context, &piece.buffer, 0, words * items, &mut |words| {
                host::read_pairs(context, words, &mut out);
            })?;
        }
        Ok(out)
    }
}

/// Brings words of a buffer on the device to `take`.
pub(super) fn fetch(
    context: &Arc<Context>,
    buffer: &Buffer,
    first: usize,
    words: usize,
    take: &mut dyn FnMut(&[u32]),
) -> Result<(), Fault> {
    let bytes = 4 * words as u64;
    let download = context.take(Purpose::Download, bytes, false)?;
    let mut encoder = context.encoder();
    encoder.copy_buffer_to_buffer(buffer, 4 * first as u64, &download, 0, bytes);
    let index = context.queue.submit([encoder.finish()]);
    context.wait(index)?;
    context.map(&download, wgpu::MapMode::Read, bytes)?;
    transfer::read(context, &download, bytes, &mut |words| {
        take(words);
        Ok(())
    })?;
    download.unmap();
    download.give()
}

/// Wide multiply-adds a second, by the device's clock.
pub(super) fn multiply_add_rate(context: &Arc<Context>) -> Result<Option<f64>, Fault> {
    if !context.report.has_timestamps {
        return Ok(None);
    }
    let layout = Layout::new(2048); // of no importance here
    let invocations: u32 = if context.report.is_software { 1 << 12 } else { 1 << 20 };
    let sums = Kept::empty(context, "sums", 4 * u64::from(invocations))?;
    let mut best = 0.0_f64;
    let mut rounds = 8;
    for _ in 0..12 {
        let mut commands = Commands::new(context)?;
        let parameters = parameters::MultiplyAdd { rounds };
        commands.dispatch_whole(layout, &[sums.whole()], invocations / WORKGROUP, &parameters)?;
        let (index, timing) = commands.submit()?;
        context.wait(index)?;
        let nanos = timing.finish(context)?;
        let invocation = transfer::sample(&(0..invocations as usize));
        let mut found = Vec::new();
        fetch(context, &sums.buffer, invocation, 1, &mut |words| found.extend_from_slice(words))?;
        context.confirm(found == [multiply_adds(invocation as u32, rounds)], "multiply-adds")?;
        let done = f64::from(invocations) * f64::from(rounds) * 256.0;
        if nanos > 0 {
            best = best.max(done / (nanos as f64 * 1e-9));
        }
        if nanos < 20_000_000 && rounds < 20_000 {
            rounds *= 2;
        }
    }
    Ok((best > 0.0).then_some(best))
}

/// What an invocation of `multiply_add` gives.
fn multiply_adds(id: u32, rounds: u32) -> u32 {
    let factor = |k: usize| id.wrapping_mul(32).wrapping_add(k as u32).wrapping_mul(2_654_435_761);
    let mut a: [u32; 16] = core::array::from_fn(factor);
    let mut b: [u32; 16] = core::array::from_fn(|k| factor(k + 16));
    let mut t = [0_u64; 16];
    for _ in 0..rounds {
        for r in 0..16 {
            for k in 0..16 {
                t[k] = t[k].wrapping_add(u64::from(a[r]) * u64::from(b[(k + r) & 15]));
            }
        }
        for k in 0..16 {
            a[k] ^= t[k] as u32;
            b[k] ^= (t[k] >> 32) as u32;
        }
    }
    let sum = t.iter().fold(0, |sum, t| sum ^ t);
    sum as u32 ^ (sum >> 32) as u32
}
