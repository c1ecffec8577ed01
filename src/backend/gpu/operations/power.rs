//! Powers of a batch's own bases.

use std::thread;

use crypto_bigint::Word;
use zeroize::Zeroizing;

use super::{modulus::ModulusOnDevice, results::Results};
use crate::{
    backend::gpu::{
        device::Fault,
        kernels::{self, Kernel},
        memory::{DeviceBuffer, write_words},
        stream::{BatchShape, Binding, run_batch},
    },
    residue::{self, Limbs, Pair},
};

/// Maximum bits of a window. An item's table has 2^5 entries.
const MAX_WINDOW: u32 = 5;

impl<U: Limbs> ModulusOnDevice<U> {
    /// `xs[i]^exponent(i)`, for the lowest `bits` bits of the exponents. With `shared`, all items
    /// have `exponent(0)`.
    pub(crate) fn pow<'e>(
        &self,
        xs: &[Pair<U>],
        exponent: &(dyn Fn(usize) -> &'e [Word] + Sync),
        shared: bool,
        bits: u32,
    ) -> Result<Vec<Pair<U>>, Fault> {
        if bits == 0 {
            return Ok(vec![Pair::one(); xs.len()]);
        }
        let (runtime, layout, n) = (&*self.runtime, self.layout, &*self.modulus);
        let pipeline = runtime.pipelines.get(Kernel::Pow, layout)?;
        let window = residue::pow::window_bits(bits).min(MAX_WINDOW);
        let steps = (bits.div_ceil(window) - 1) * (window + 1);
        let exponent_words = bits.div_ceil(32) as usize;
        let mut of_all = None;
        if shared {
            let mut words = Zeroizing::new(vec![0; exponent_words]);
            write_words(exponent(0), &mut words);
            of_all = Some(DeviceBuffer::new(&self.runtime.device, "exponent", &words, true)?);
        }
        let inputs: &[usize] =
            if shared { &[layout.packed_words()] } else { &[layout.packed_words(), exponent_words] };
        let shape = BatchShape {
            inputs,
            scratch: &[layout.loose_words() << window, layout.loose_words()],
            output: layout.packed_words(),
            resident_output: 0,
            is_secret: true,
        };
        let expected =
            |i: usize| n.from_mont(&n.pow(&n.to_mont(&xs[i]), exponent(if shared { 0 } else { i }), bits));
        thread::scope(|scope| {
            let mut results = Results::sampled(runtime, xs.len(), scope, &expected);
            run_batch(
                runtime,
                xs.len(),
                &shape,
                &|array, item, sink| match array {
                    0 => sink.pair(&xs[item]),
                    _ => sink.number(exponent(item), 4 * exponent_words),
                },
                &mut |_, piece, commands| {
                    let (powers, states) = (piece.scratch[0], piece.scratch[1]);
                    let (exponents, exponent_words) = match &of_all {
                        Some(exponent) => (Binding::whole(exponent), 0),
                        None => (piece.inputs[1], exponent_words as u32),
                    };
                    let bindings = [
                        Binding::whole(&self.constants),
                        piece.inputs[0],
                        Binding::whole(&self.factors),
                        powers,
                    ];
                    let products = (1 << window) - 1;
                    commands.dispatch(layout, &bindings, piece.items, products, |first, end| {
                        kernels::PowTable { first, end, window }
                    })?;
                    let bindings = [Binding::whole(&self.constants), powers, exponents, states];
                    let (mut step, mut is_begun) = (0, false);
                    while step < steps || !is_begun {
                        let end_step = steps.min(step + runtime.max_products(&pipeline, layout, piece.items));
                        let products = (end_step - step).max(1);
                        commands.dispatch(layout, &bindings, piece.items, products, |first, end| {
                            kernels::Pow { first, end, window, bits, exponent_words, step, end_step }
                        })?;
                        (step, is_begun) = (end_step, true);
                    }
                    let powers = piece.output.expect("the shape has an output");
                    self.finish(states, powers, piece.items, 1, &self.one, commands)
                },
                &mut results,
            )?;
            Ok(results.into_pairs())
        })
    }
}
