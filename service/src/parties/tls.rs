//! TLS between parties with known keys. Certificates only contain keys, and the keys are compared.

use std::sync::Arc;

use cipherfold::federated::Party;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use zeroize::Zeroizing;

use super::{
    consortium::Consortium,
    error::{Error, Result},
    home::Home,
    names::label,
};

/// The server's side of TLS. Each client must have the TLS key of a party. TLS 1.3 only.
///
/// # Errors
///
/// [`Error::Tls`] for keys that cannot make a certificate.
pub fn server(home: &Home, consortium: &Consortium) -> Result<Arc<ServerConfig>> {
    let (certificate, key) = certificate(home)?;
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).and_then(
        |builder| {
            let parties = Arc::new(Parties::new(consortium, |_| true));
            builder.with_client_cert_verifier(parties).with_single_cert(vec![certificate], key)
        },
    );
    Ok(Arc::new(config.map_err(refused)?))
}

/// A client's side of TLS. The board must have the TLS key of a party that is not a client. TLS 1.3
/// only.
///
/// # Errors
///
/// [`Error::Tls`] for keys that cannot make a certificate.
pub fn client(home: &Home, consortium: &Consortium) -> Result<ClientConfig> {
    let (certificate, key) = certificate(home)?;
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).and_then(
        |builder| {
            let parties = Parties::new(consortium, |party| !matches!(party, Party::Client(_)));
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(parties));
            builder.with_client_auth_cert(vec![certificate], key)
        },
    );
    config.map_err(refused)
}

/// The party whose TLS key is in a certificate.
pub(crate) fn party(consortium: &Consortium, certificate: &CertificateDer<'_>) -> Option<Party> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    consortium.party_with_tls_key(parsed.subject_public_key_info().as_ref().strip_prefix(SPKI)?)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::Tls { reason: error.to_string() }
}

/// A certificate that its own key has signed.
fn certificate(home: &Home) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let key = Zeroizing::new([PKCS8, home.tls_secret()].concat());
    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(&key[..])).map_err(refused)?;
    let mut params = CertificateParams::new(vec![label(home.party())]).map_err(refused)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, label(home.party()));
    let certificate = params.self_signed(&pair).map_err(refused)?;
    // Rustls has its own copy for the lifetime of the configuration.
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.to_vec()).into()))
}

/// The bytes before the 32 bytes of an Ed25519 secret key in PKCS #8 (RFC 8410).
const PKCS8: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The bytes before the 32 bytes of an Ed25519 public key in a certificate (RFC 8410).
const SPKI: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// Verifies that the other end has the TLS key of one of these parties. It ignores names, dates and
/// issuers of certificates.
#[derive(Debug)]
struct Parties {
    consortium: Consortium,
    accepted: fn(Party) -> bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Parties {
    fn new(consortium: &Consortium, accepted: fn(Party) -> bool) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self { consortium: consortium.clone(), accepted, algorithms }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> std::result::Result<(), rustls::Error> {
        let unknown = rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        party(&self.consortium, certificate).filter(|party| (self.accepted)(*party)).map(drop).ok_or(unknown)
    }

    fn schemes() -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

type Verified = std::result::Result<HandshakeSignatureValid, rustls::Error>;

fn only_tls13() -> Verified {
    Err(rustls::Error::General("only TLS 1.3 is spoken here".to_owned()))
}

impl ServerCertVerifier for Parties {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Verified {
        only_tls13()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Verified {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

impl ClientCertVerifier for Parties {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Verified {
        only_tls13()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Verified {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}
