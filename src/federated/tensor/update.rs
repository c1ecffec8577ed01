//! What an iterator over clients yields.

use core::fmt::Display;

use crate::Result;
use crate::federated::Tensors;

/// What an iterator over clients yields: [`Tensors`], a `Result` with some where making them can fail, or an `Option` of either
/// where clients may drop out.
pub trait IntoUpdate: Send {
    /// The client's tensors.
    type Update: Tensors;

    /// The tensors, if the client has not dropped out.
    ///
    /// # Errors
    ///
    /// The text of whatever kept the client from making them.
    fn into_update(self) -> Result<Option<Self::Update>, String>;
}

impl<T: Tensors> IntoUpdate for T {
    type Update = T;

    fn into_update(self) -> Result<Option<T>, String> {
        Ok(Some(self))
    }
}

impl<T: Tensors, E: Display + Send> IntoUpdate for Result<T, E> {
    type Update = T;

    fn into_update(self) -> Result<Option<T>, String> {
        self.map(Some).map_err(|error| error.to_string())
    }
}

impl<U: IntoUpdate> IntoUpdate for Option<U> {
    type Update = U::Update;

    fn into_update(self) -> Result<Option<U::Update>, String> {
        self.map_or(Ok(None), IntoUpdate::into_update)
    }
}
