//! The parameters of kernels. `Params` in each kernel's file has the same fields, and a test
//! compares the two.

use super::kernel::Kernel;

/// The parameters of a kernel: words that each dispatch passes as immediate data.
pub(crate) trait Parameters {
    /// The kernel that reads them.
    const KERNEL: Kernel;

    /// The words, in the order of `Params`.
    fn words(&self) -> Vec<u32>;
}

macro_rules! parameters {
    ($($(#[$attribute:meta])* $name:ident { $($field:ident),* })*) => {
        $(
            /// See the kernel's file.
            $(#[$attribute])*
            pub(crate) struct $name { $(pub(crate) $field: u32),* }

            $(#[$attribute])*
            impl Parameters for $name {
                const KERNEL: Kernel = Kernel::$name;

                fn words(&self) -> Vec<u32> {
                    vec![$(self.$field),*]
                }
            }
        )*

        #[cfg(test)]
        const NAMES: &[(Kernel, &[&str])] = &[$($(#[$attribute])* (Kernel::$name, &[$(stringify!($field)),*])),*];
    };
}

parameters! {
    Mul { first, end, plain }
    Fold { slots, residues, resume, first, end }
    ResidentFold { contributions, resume, first, end }
    Finish { slots, segments, first, end }
    FixedBase { first, end, window, bits, exponent_words, plain }
    PowTable { first, end, window }
    Pow { first, end, window, bits, exponent_words, step, end_step }
    #[cfg(feature = "diagnostics")]
    MultiplyAdd { rounds }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{exchange::Exchange, kernel::compose, layout::LaneLayout},
        *,
    };
    use wgpu::naga::{AddressSpace, TypeInner, front::wgsl};

    #[test]
    fn parameters_have_the_fields_that_each_kernel_reads() {
        assert_eq!(NAMES.iter().map(|(kernel, _)| *kernel).collect::<Vec<_>>(), Kernel::ALL);
        for (kernel, names) in NAMES {
            let text = compose(*kernel, LaneLayout::new(2048), Exchange::Subgroup);
            let module = wgsl::parse_str(&text).expect("another test shows why not");
            let immediates: Vec<_> = module
                .global_variables
                .iter()
                .filter(|(_, variable)| variable.space == AddressSpace::Immediate)
                .collect();
            let [(_, params)] = immediates[..] else { panic!("{kernel:?} has one block of parameters") };
            let TypeInner::Struct { members, span } = &module.types[params.ty].inner else {
                panic!("{kernel:?}: a struct")
            };
            let found: Vec<_> = members.iter().map(|member| member.name.as_deref().expect("named")).collect();
            assert_eq!(found, *names, "{kernel:?}");
            assert_eq!(*span as usize, size_of::<u32>() * names.len(), "{kernel:?}: only words");
        }
    }
}
