//! A map whose values are made when first needed.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Values that are each made once, by the first thread that needs them. Other threads wait only for
/// that value.
pub(super) struct OnceMap<K, V>(RwLock<BTreeMap<K, Arc<OnceLock<V>>>>);

// The map's own operations run no foreign code, so a poisoned lock still guards a valid map.
impl<K: Ord + Copy, V> OnceMap<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<Arc<OnceLock<V>>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.get(key).cloned()
    }

    pub(super) fn slot(&self, key: K) -> Arc<OnceLock<V>> {
        self.get(&key).unwrap_or_else(|| {
            let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(map.entry(key).or_default())
        })
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let map = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        map.insert(key, Arc::new(OnceLock::from(value)));
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let map = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        map.retain(|key, _| keep(key));
    }

    pub(super) fn keys(&self) -> Vec<K> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.keys().copied().collect()
    }
}

impl<K, V> Default for OnceMap<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}
