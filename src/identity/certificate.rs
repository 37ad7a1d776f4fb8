//! What a caller's certificate says: whom it names, and when it counts.

use super::proven::{Proven, SpiffeId, dns_name};
use super::rejection::Rejection;
use sha2::{Digest, Sha256};
use time::UtcDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// A certificate of a caller, read but not yet trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Whom it names.
    pub(super) names: Result<Proven, Rejection>,
    pub(super) serial: Vec<u8>,
    /// Of the whole certificate.
    pub(super) sha256: [u8; 32],
    /// When it ends.
    pub(super) not_after: UtcDateTime,
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`Rejection::CertificateMalformed`].
    pub(super) fn read(der: &[u8]) -> Result<Self, Rejection> {
        let malformed = Rejection::CertificateMalformed;
        let (rest, certificate) = x509_parser::parse_x509_certificate(der).or(Err(malformed))?;
        let not_after = certificate.validity().not_after.timestamp();
        let not_after = UtcDateTime::from_unix_timestamp(not_after).or(Err(malformed))?;
        if !rest.is_empty() {
            return Err(malformed);
        }
        Ok(Self {
            names: names(&certificate),
            serial: certificate.raw_serial().to_vec(),
            sha256: Sha256::digest(der).into(),
            not_after,
        })
    }
}

/// By the X.509-SVID standard: with a URI among its names, a certificate has no other one, it is the
/// SPIFFE id, and the certificate is no CA. Without one it must name exactly one host.
fn names(certificate: &X509Certificate<'_>) -> Result<Proven, Rejection> {
    let nobody = Rejection::CertificateNames;
    if certificate.is_ca() {
        return Err(nobody);
    }
    let names = certificate.subject_alternative_name().or(Err(nobody))?;
    let names = names.ok_or(nobody)?;
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    for name in &names.value.general_names {
        if let GeneralName::URI(uri) = name {
            uris.push(*uri);
        } else if let GeneralName::DNSName(host) = name {
            hosts.push(*host);
        }
    }
    match (uris.as_slice(), hosts.as_slice()) {
        ([uri], _) => SpiffeId::parse(uri).map(Proven::Spiffe).ok_or(nobody),
        ([], [host]) => dns_name(host).map(Proven::Dns).ok_or(nobody),
        (_, _) => Err(nobody),
    }
}

#[cfg(test)]
mod tests;
