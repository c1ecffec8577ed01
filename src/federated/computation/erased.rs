//! Values whose types are hidden behind the typed handles.

use core::any::Any;
use std::sync::Arc;

/// A value whose type is hidden. Shared, because several operations may read it.
pub(super) type Erased = Arc<dyn Any + Send + Sync>;

/// The value as what the typed handles say it is.
pub(super) fn reveal<T: 'static>(value: &Erased) -> &T {
    value.downcast_ref().expect("a node's values have the type of its handle")
}

/// The value itself: moved if nobody else will read it, else cloned.
pub(super) fn take<T: Clone + Send + Sync + 'static>(value: Erased) -> T {
    Arc::unwrap_or_clone(value.downcast().expect("a node's values have the type of its handle"))
}

/// A value that nobody else reads, as one that just arrived.
pub(super) fn own<T: Send + Sync + 'static>(value: Erased) -> T {
    let value: Arc<T> = value.downcast().expect("a node's values have the type of its handle");
    Arc::into_inner(value).expect("what just arrived has one reader")
}
