//! The five parties of a round. Each is a function of the party's data and of the mailbox.
//!
//! ```text
//! key holder   offer ─────────────▶ everyone (its digest is pinned)
//! everyone     announcement ──────▶ everyone (session keys, signed by identities that the roster has)
//! server       specification ─────▶ everyone
//! client       messages ──────────▶ aggregator
//! aggregator   sums ──────────────▶ server
//! server       masked sums ───────▶ key holder
//! key holder   masked totals ─────▶ server
//! ```

use std::sync::Arc;

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, KeyHolding, Party, SessionId,
        channel::{Announcement, Channel, HpkeChannel, Identity, Organisation, Roster, SessionKeys},
        round::{
            Aggregator, Client, EncryptionKey, KeyHolder, KeyOwner, RoundParameters, RoundResult, RoundSpec,
            Server, SessionOffer, SessionParameters, SumSpec, TensorSpec, Update,
        },
        tensor::{DType, Encoding, Scalar, Structure, Tensor},
    },
    packing::Quantizer,
};
use ndarray::ArrayD;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use crate::mailbox::{Failure, Mailbox};

/// All parties.
pub(crate) const ALL: [Party; 5] =
    [Party::Client(0), Party::Client(1), Party::Aggregator, Party::Server, Party::KeyHolder];

/// Values of a client's update.
pub(crate) const VALUES: usize = 1000;

/// The party with this name.
pub(crate) fn named(name: &str) -> Option<Party> {
    ALL.into_iter().find(|party| name_of(*party) == name)
}

/// A party's name.
pub(crate) fn name_of(party: Party) -> String {
    party.to_string().replace(' ', "-")
}

/// The set-up, once and out of band: creates identities, and gives everyone the same roster and the
/// session's name.
///
/// In practice, each organisation creates its own identity and keeps it secret. Here one function
/// creates all of them.
pub(crate) fn set_up(mailbox: &Mailbox) -> Result<(), Failure> {
    let mut rng = UnwrapErr(SysRng);
    let mut organisations = Vec::new();
    for party in ALL {
        let identity = Identity::generate(&mut rng);
        mailbox.post(&format!("secret/{}", name_of(party)), &*identity.expose_bytes())?;
        organisations.push(Organisation { name: name_of(party), party, key: identity.key() });
    }
    mailbox.post("trusted/roster", &Roster::new(organisations)?.to_bytes())?;
    mailbox.post("trusted/session", &SessionId::random(&mut rng).to_bytes())?;
    Ok(())
}

/// A party's trusted knowledge of the others, independent of a relay: the roster, and the session's
/// name.
struct Member<'m> {
    party: Party,
    session: SessionId,
    roster: Roster,
    mailbox: &'m Mailbox,
}

impl<'m> Member<'m> {
    fn new(party: Party, mailbox: &'m Mailbox) -> Result<Self, Failure> {
        let session = mailbox.wait_for_bytes("trusted/session")?;
        let roster = Roster::from_bytes(&mailbox.wait_for("trusted/roster")?)?;
        Ok(Self { party, session: SessionId::from_bytes(session), roster, mailbox })
    }

    /// Makes a key for this session, announces it, and reads the keys of these other parties.
    fn channel(&self, others: &[Party]) -> Result<Arc<dyn Channel>, Failure> {
        let secret = self.mailbox.wait_for_bytes(&format!("secret/{}", name_of(self.party)))?;
        let identity = Identity::from_bytes(&secret);
        let keys = SessionKeys::new(self.session, self.party, &mut UnwrapErr(SysRng));
        let announcement = keys.announce(&identity);
        self.mailbox.post(&format!("announcements/{}", name_of(self.party)), &announcement.to_bytes())?;
        let mut channel = HpkeChannel::for_party(keys);
        for other in others {
            let announced = self.mailbox.wait_for(&format!("announcements/{}", name_of(*other)))?;
            let key = self.roster.verify(&Announcement::from_bytes(&announced)?, self.session, *other)?;
            channel = channel.with_peer(*other, key);
        }
        Ok(Arc::new(channel))
    }

    /// The session's public key, if it matches the pin.
    fn key(&self) -> Result<EncryptionKey, Failure> {
        let offer = SessionOffer::from_bytes(&self.mailbox.wait_for("offer")?)?;
        // For example by telephone.
        let pinned = self.mailbox.wait_for_bytes("trusted/pin")?;
        Ok(EncryptionKey::new(&offer, Digest::from_bytes(pinned), BackendChoice::Auto)?)
    }

    fn spec(&self) -> Result<RoundSpec, Failure> {
        Ok(RoundSpec::from_bytes(&self.mailbox.wait_for("spec")?)?)
    }
}

/// Makes the session's keys, and decrypts masked numbers.
pub(crate) fn key_holder(mailbox: &Mailbox) -> Result<(), Failure> {
    let member = Member::new(Party::KeyHolder, mailbox)?;
    let mut rng = UnwrapErr(SysRng);
    let parameters = SessionParameters {
        session: member.session,
        key_bits: 2048,
        key_holding: KeyHolding::KeyHolder,
        roster: member.roster.digest(),
        backend: BackendChoice::Auto,
    };
    let owner = KeyOwner::generate(parameters, &mut rng)?;
    mailbox.post("trusted/pin", &owner.offer().digest().to_bytes())?;
    mailbox.post("offer", &owner.offer().to_bytes())?;

    let key_holder = KeyHolder::new(&owner, member.channel(&[Party::Server])?);
    let spec = member.spec()?;
    for number in 0..spec.costs().messages {
        let masked = mailbox.wait_for(&format!("masked/{number}"))?;
        let totals = key_holder.decrypt_masked(&spec, &masked, &mut rng)?;
        mailbox.post(&format!("totals/{number}"), &totals)?;
    }
    Ok(())
}

/// Declares the round, and receives its result.
pub(crate) fn server(mailbox: &Mailbox) -> Result<RoundResult, Failure> {
    let member = Member::new(Party::Server, mailbox)?;
    let key = member.key()?;
    let encoding = Encoding::Mean(Quantizer::symmetric(1.0, 16)?);
    let spec = RoundSpec::new(RoundParameters {
        session: member.session,
        round: 0,
        key_bits: key.offer().key_bits(),
        key_holding: key.offer().key_holding(),
        offer: key.digest(),
        sums: vec![SumSpec::new(Structure::leaf(TensorSpec::new(DType::F32, [VALUES], encoding)))],
        max_clients: 2,
        min_clients: 2,
        chunk_ciphertexts: 4,
    })?;
    mailbox.post("spec", &spec.to_bytes())?;

    let channel = member.channel(&[Party::Aggregator, Party::KeyHolder])?;
    let mut server = Server::with_key_holder(&spec, &key, Arc::clone(&channel), channel)?;
    for number in 0..spec.costs().messages {
        let sum = mailbox.wait_for(&format!("sums/{number}"))?;
        let masked = server.mask(&sum, &mut UnwrapErr(SysRng))?;
        mailbox.post(&format!("masked/{number}"), &masked)?;
    }
    for number in 0..spec.costs().messages {
        server.unmask(&mailbox.wait_for(&format!("totals/{number}"))?)?;
    }
    Ok(server.finish()?)
}

/// The only tensor of a result.
pub(crate) fn mean<T: Scalar>(result: RoundResult) -> ArrayD<T> {
    let sum = result.sums.into_iter().next().expect("one sum");
    sum.tensors.into_leaf().and_then(Tensor::into_array).expect("one tensor of this type")
}

/// Sends an update, message by message.
pub(crate) fn client(number: u32, update: &[f32], mailbox: &Mailbox) -> Result<(), Failure> {
    let member = Member::new(Party::Client(number), mailbox)?;
    let channel = member.channel(&[Party::Aggregator])?;
    let client = Client::new(number, &member.spec()?, &member.key()?, channel)?;
    let update = client.encode(&[Update::new(update)?])?;
    for message in 0..update.messages() {
        let sealed = client.message(&update, message, &mut UnwrapErr(SysRng))?;
        mailbox.post(&format!("client-{number}/{message}"), &sealed)?;
    }
    Ok(())
}

/// Adds the clients' messages.
pub(crate) fn aggregator(mailbox: &Mailbox) -> Result<(), Failure> {
    let member = Member::new(Party::Aggregator, mailbox)?;
    let channel = member.channel(&[Party::Client(0), Party::Client(1), Party::Server])?;
    let (spec, key) = (member.spec()?, member.key()?);
    let aggregator = Aggregator::new(&spec, &key, Arc::clone(&channel))?;
    for client in [0, 1] {
        for message in 0..spec.costs().messages {
            aggregator.accept(client, &mailbox.wait_for(&format!("client-{client}/{message}"))?)?;
        }
        aggregator.commit(client)?;
    }
    let mut sum = aggregator.close()?.for_server()?;
    for number in 0..sum.messages() {
        let sealed = sum.message(number, &*channel, &mut UnwrapErr(SysRng))?;
        mailbox.post(&format!("sums/{number}"), &sealed)?;
    }
    Ok(())
}
