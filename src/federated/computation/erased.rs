//! Type-erased values behind the typed handles.

use core::any::Any;
use std::sync::Arc;

/// A type-erased value. It is shared, because several operations may read it.
pub(super) type Erased = Arc<dyn Any + Send + Sync>;

/// The value with the type of its handle.
pub(super) fn reveal<T: 'static>(value: &Erased) -> &T {
    value.downcast_ref().expect("a node's values have the type of its handle")
}

/// The value: moved if this is its only reference, otherwise cloned.
pub(super) fn take<T: Clone + Send + Sync + 'static>(value: Erased) -> T {
    Arc::unwrap_or_clone(value.downcast().expect("a node's values have the type of its handle"))
}

/// A value with only one reference, such as one that just arrived.
pub(super) fn own<T: Send + Sync + 'static>(value: Erased) -> T {
    let value: Arc<T> = value.downcast().expect("a node's values have the type of its handle");
    Arc::into_inner(value).expect("a value that just arrived has one reference")
}
