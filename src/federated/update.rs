//! What an iterator over clients yields.

use core::fmt::Display;

use super::Tensors;
use crate::Result;

/// What an iterator over clients yields: [`Tensors`], or a `Result` with some where making them can fail.
pub trait IntoUpdate: Send {
    /// The client's tensors.
    type Update: Tensors;

    /// The tensors, or why there are none.
    ///
    /// # Errors
    ///
    /// The text of whatever kept the client from making them.
    fn into_update(self) -> Result<Self::Update, String>;
}

impl<T: Tensors> IntoUpdate for T {
    type Update = T;

    fn into_update(self) -> Result<T, String> {
        Ok(self)
    }
}

impl<T: Tensors, E: Display + Send> IntoUpdate for Result<T, E> {
    type Update = T;

    fn into_update(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}
