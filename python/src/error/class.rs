//! The exception classes of `cipherfold.errors`, by name.

macro_rules! classes {
    ($($class:ident),* $(,)?) => {
        /// A class of `cipherfold.errors`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Class {
            $($class),*
        }

        impl Class {
            /// The class's name.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$class => stringify!($class)),*
                }
            }
        }
    };
}

classes!(
    Error,
    ConfigError,
    OpenChannel,
    UpdateError,
    DtypeError,
    KeyMismatch,
    PinMismatch,
    MessageError,
    WrongRound,
    Replayed,
    BoxError,
    TooFewClients,
    TooManyClients,
    AlreadyOpened,
    DecryptError,
    Cancelled,
    BackendError,
);
