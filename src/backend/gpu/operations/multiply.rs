//! Products of residues, and additions of plaintexts.

use std::thread;

use super::{
    modulus::ModulusOnDevice,
    results::{Expected, Results},
};
use crate::{
    backend::gpu::{
        device::Fault,
        kernels,
        memory::Sink,
        stream::{BatchShape, Binding, run_batch},
    },
    residue::{Limbs, Pair},
};

impl<U: Limbs> ModulusOnDevice<U> {
    /// `xs[i]·ys[i]`.
    pub(crate) fn mul(&self, xs: &[Pair<U>], ys: &[Pair<U>]) -> Result<Vec<Pair<U>>, Fault> {
        let n = &*self.modulus;
        self.product(xs, self.layout.packed_words(), false, &|i, sink| sink.pair(&ys[i]), &|i| {
            n.mul(&n.to_mont(&xs[i]), &ys[i])
        })
    }

    /// `xs[i]·(1 + ms[i]·n)`.
    pub(crate) fn add_plain(&self, xs: &[Pair<U>], ms: &[U]) -> Result<Vec<Pair<U>>, Fault> {
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
        expected: &Expected<'_, U>,
    ) -> Result<Vec<Pair<U>>, Fault> {
        let layout = self.layout;
        let inputs = [layout.packed_words(), other_words];
        let shape = BatchShape {
            inputs: &inputs,
            scratch: &[],
            output: layout.packed_words(),
            resident_output: 0,
            is_secret: is_plain || self.is_secret,
        };
        thread::scope(|scope| {
            let mut results = Results::sampled(&self.runtime, xs.len(), scope, expected);
            run_batch(
                &self.runtime,
                xs.len(),
                &shape,
                &|array, item, sink| match array {
                    0 => sink.pair(&xs[item]),
                    _ => write_other(item, sink),
                },
                &mut |_, piece, commands| {
                    let bindings = [
                        Binding::whole(&self.constants),
                        piece.inputs[0],
                        piece.inputs[1],
                        Binding::whole(&self.r2),
                        piece.output.expect("the shape has an output"),
                    ];
                    let plain = u32::from(is_plain);
                    commands.dispatch(layout, &bindings, piece.items, 2, |first, end| kernels::Mul {
                        first,
                        end,
                        plain,
                    })
                },
                &mut results,
            )?;
            Ok(results.into_pairs())
        })
    }
}
