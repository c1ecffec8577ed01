//! Each value is read with the token of its placement, and a message is sent to an allowed
//! placement.

use cipherfold::{
    Error, Result,
    federated::{Aggregator, At, Clients, LocalExecutor, Party, Placed, Server, channel::Payload},
    packing::IntegerRange,
    paillier::{Encryptor, Plaintext, hazmat::InsecureBits512},
};
use ndarray::array;

type Executor = LocalExecutor<InsecureBits512>;

fn read<'a>(update: &'a Placed<Vec<u32>, Clients>, here: &At<Clients>) -> &'a [u32] {
    update.get(here)
}

pub(crate) fn main() -> Result<()> {
    let executor = Executor::builder().build()?;

    let update = executor.run_at(|here| Placed::new(vec![1, 2, 3], here));
    assert_eq!(executor.run_at(|here| read(&update, here).len()), 3);

    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let encryptor = Encryptor::new(&executor.public_key()?, &mut rng)?;
    let ciphertexts = encryptor.encrypt_batch(&[Plaintext::from(7u64)], &mut rng)?;
    let sum = executor.run_at(|here: &At<Aggregator>| Placed::new(Payload(ciphertexts.to_bytes()), here));
    let sum = executor.transfer::<_, Aggregator, Server>(sum, Party::Aggregator, Party::Server)?;
    let plaintexts = executor.run_at(|here: &At<Server>| {
        let Payload(sum) = sum.into_inner(here);
        let sum = executor.public_key()?.batch_from_bytes(&sum)?;
        executor
            .secret_key()?
            .expect("the server has the key")
            .get(here)
            .decrypt_batch(&sum)
            .map_err(Error::from)
    })?;
    assert_eq!(plaintexts[0].to_u64(), Some(7));

    let sum = executor.secure_sum([array![1i32], array![2]], IntegerRange::up_to(7))?;
    assert_eq!(sum.value, array![3]);
    Ok(())
}
