//! The operations on a device, each of them for a whole batch; with a sample of the results checked.

use std::{ops::Range, sync::Arc};

use crypto_bigint::Word;
use zeroize::Zeroizing;

use super::{
    commands::{Binding, Commands},
    device::{Context, Fault},
    host::{self, Sink},
    kept::Kept,
    layout::{self, Layout},
    parameters,
    shader::Kernel,
    transfer::{self, Freight},
};
use crate::residue::{self, Limbs, Modulus, Pair};

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
    pub(super) fn collect(
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
        let window = residue::pow::window_bits(bits).min(MAX_WINDOW);
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
