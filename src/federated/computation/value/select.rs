//! Parts of a server's value for each client, selected by the client's keys.

use std::sync::Arc;

use super::Value;
use crate::federated::{
    Clients, Result, Server,
    computation::{
        self,
        erased::reveal,
        graph::{Operation, Select, Uses},
        operation::{Transferable, Wire},
    },
};

impl<D: Send + Sync + 'static> Value<D, Server> {
    /// Applies `pick` to the server's value for each of a client's keys, in their order (TFF's
    /// `federated_select`).
    ///
    /// The keys travel to the server **in the clear**, and the picked parts travel back. A client's
    /// traffic is as small as its selection, but the server sees the keys. Keys above `max_key` are
    /// refused at the client with [`computation::Error::KeyTooLarge`].
    pub fn select<U: Transferable>(
        &self,
        keys: &Value<Vec<u32>, Clients>,
        max_key: u32,
        pick: impl Fn(&D, u32) -> U + Send + Sync + 'static,
    ) -> Value<Vec<U>, Clients> {
        let select = Select {
            keys: Wire::of::<Vec<u32>>(),
            answer: Wire::of::<Vec<U>>(),
            function: Box::new(move |data, keys| {
                let (data, keys) = (reveal(data), reveal::<Vec<u32>>(keys));
                let picked: Vec<U> = keys.iter().map(|key| pick(data, *key)).collect();
                Arc::new(picked)
            }),
        };
        let keys = keys.checked(max_key);
        Value::of(vec![self.node(), keys.node()], Operation::Select(select))
    }

    /// The same result as [`select`](Self::select), without a message to the server (TFF's
    /// `federated_secure_select`).
    ///
    /// The server picks for all keys from zero to `max_key` and broadcasts everything. Each client
    /// keeps only the parts for its keys.
    pub fn secure_select<U: Transferable + Clone>(
        &self,
        keys: &Value<Vec<u32>, Clients>,
        max_key: u32,
        pick: impl Fn(&D, u32) -> U + Send + Sync + 'static,
    ) -> Value<Vec<U>, Clients> {
        let all = self.map(move |data| (0..=max_key).map(|key| pick(data, key)).collect::<Vec<U>>());
        let inputs = vec![all.broadcast().node(), keys.checked(max_key).node()];
        Value::local("secure_select", Uses::Values, inputs, |values, _| {
            let (all, keys) = (reveal::<Vec<U>>(&values[0]), reveal::<Vec<u32>>(&values[1]));
            Ok(keys.iter().map(|key| all[*key as usize].clone()).collect())
        })
    }
}

impl Value<Vec<u32>, Clients> {
    /// These keys, or an error if one of them is too large.
    fn checked(&self, max_key: u32) -> Self {
        Value::local("keys", Uses::Values, vec![self.node()], move |values, _| -> Result<Vec<u32>> {
            let keys: &Vec<u32> = reveal(&values[0]);
            if keys.iter().any(|key| *key > max_key) {
                return Err(computation::Error::KeyTooLarge { max: max_key }.into());
            }
            Ok(keys.clone())
        })
    }
}
