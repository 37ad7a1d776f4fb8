//! What the certificates in a file say of themselves, for people who check them.

use super::MaterialError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::UtcDateTime;

/// A certificate, read but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// When it begins to count.
    pub not_before: UtcDateTime,
    /// When it ends.
    pub not_after: UtcDateTime,
}

/// The certificates of a PEM file, in its order.
///
/// # Errors
/// [`MaterialError::Chain`].
pub fn certificates(pem: &str) -> Result<Vec<Certificate>, MaterialError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| read(&der.ok()?))
        .collect::<Option<Vec<_>>>()
        .filter(|certificates| !certificates.is_empty())
        .ok_or(MaterialError::Chain)
}

fn read(der: &[u8]) -> Option<Certificate> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let validity = certificate.validity();
    let time =
        |at: x509_parser::time::ASN1Time| UtcDateTime::from_unix_timestamp(at.timestamp()).ok();
    Some(Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
    })
}
