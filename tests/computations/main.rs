//! Computations through the public API: every intrinsic, rounds, leaks, inputs. The key is short,
//! for tests only. Seeds are fixed.
#![allow(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small test numbers, exact in floating point"
)]

mod declared;
mod inputs;
mod intrinsics;
mod leaks;
mod mixed;
mod numeric;
mod owners;
mod rounds;
mod secure;
mod support;
