//! The declaration of a round, from the model that it averages.

use cipherfold::{
    federated::{
        round::{EncryptionKey, RoundParameters, RoundSpec, SumSpec, TensorSpec},
        tensor::{Encoding, Structure},
    },
    files::{TensorInfo, UpdateFile},
    packing::Quantizer,
};

use super::model::{dtype, header};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    objects::Open,
};

/// A server's settings for a round.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The round's number.
    pub round: u64,
    /// Values beyond ± this bound are clipped.
    pub clip: f64,
    /// Bits of a quantised value.
    pub bits: u32,
    /// The maximum weight of a client, if clients have weights.
    pub max_weight: Option<u32>,
    /// The maximum number of clients.
    pub max_clients: u32,
    /// The minimum number of clients.
    pub min_clients: u32,
    /// Ciphertexts of a message.
    pub chunk_ciphertexts: u32,
    /// Number of objects of an update. By default each has about 4 MiB.
    pub shards: Option<u32>,
    /// The time at which the round closes, in seconds since 1970.
    pub deadline: u64,
}

/// Declares a round that averages the tensors of a model. Only the names, types and shapes of the
/// file are used.
///
/// # Errors
///
/// [`Error::TensorType`] for a tensor that is not of a floating-point type; those of
/// [`RoundSpec::new`]; [`Error::Setting`] for more shards than messages.
pub fn declare(
    declaration: &Declaration,
    session: Sha256,
    key: &EncryptionKey,
    model: &UpdateFile,
) -> Result<(RoundSpec, Open)> {
    let encoding = Encoding::Mean(Quantizer::symmetric(declaration.clip, declaration.bits)?);
    let tensor = |info: &TensorInfo| {
        let spec = TensorSpec::new(dtype(info)?, [info.values()], encoding);
        Ok((info.name().to_owned(), Structure::leaf(spec)))
    };
    let tensors = model.tensors().iter().map(tensor).collect::<Result<Vec<_>>>()?;
    let sum = SumSpec::new(Structure::named(tensors)?);
    let spec = RoundSpec::new(RoundParameters {
        session: key.offer().session(),
        round: declaration.round,
        key_bits: key.offer().key_bits(),
        key_holding: key.offer().key_holding(),
        offer: key.digest(),
        sums: vec![declaration.max_weight.map_or(sum.clone(), |max| sum.weighted(max))],
        max_clients: declaration.max_clients,
        min_clients: declaration.min_clients,
        chunk_ciphertexts: declaration.chunk_ciphertexts,
    })?;
    let costs = spec.costs();
    let suitable = costs.update_bytes.div_ceil(SHARD_BYTES).clamp(1, costs.messages.max(1));
    let shards = declaration.shards.map_or(suitable, u64::from);
    if shards == 0 || shards > costs.messages {
        let reason = format!("{shards} shards of {} messages", costs.messages);
        return Err(Error::Setting { setting: "--shards", reason });
    }
    let too_many = || Error::Setting { setting: "--shards", reason: "more than 32 bits count".to_owned() };
    let open = Open {
        session,
        spec: spec.to_bytes(),
        shards: u32::try_from(shards).map_err(|_| too_many())?,
        deadline: declaration.deadline,
        header: header(model.tensors()),
    };
    Ok((spec, open))
}

/// Approximate bytes of an object of an update.
const SHARD_BYTES: u64 = 4 << 20;
