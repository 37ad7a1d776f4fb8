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
mod tests {
    use super::*;
    use rcgen::string::Ia5String;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};

    fn read(names: Vec<SanType>, is_ca: IsCa) -> Leaf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        Leaf::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(Ia5String::try_from(text).unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(Ia5String::try_from(text).unwrap())
    }

    #[test]
    fn a_certificate_names_one_caller_or_nobody() {
        let id = "spiffe://example.org/a";
        let ip = SanType::IpAddress("10.0.0.1".parse().unwrap());
        let mail = SanType::Rfc822Name(Ia5String::try_from("a@example.org").unwrap());
        let rows = [
            (vec![uri(id)], Some(id)),
            (vec![uri(id), dns("a.example")], Some(id)),
            (vec![dns("a.example"), dns("b.example"), uri(id)], Some(id)),
            (vec![dns("A.example")], Some("dns:a.example")),
            (
                vec![dns("a.example"), ip.clone(), mail.clone()],
                Some("dns:a.example"),
            ),
            (vec![], None),
            (vec![ip, mail], None),
            (vec![uri(id), uri(id)], None),
            (vec![uri(id), uri("https://a.example/")], None),
            (vec![uri("https://a.example/"), dns("a.example")], None),
            (vec![uri("spiffe://example.org")], None),
            (vec![uri("spiffe://example.org/a/")], None),
            (vec![dns("a.example"), dns("b.example")], None),
            (vec![dns("a.example"), dns("a.example")], None),
            (vec![dns("*.example")], None),
        ];
        for (names, expected) in rows {
            let told = format!("{names:?}");
            let leaf = read(names, IsCa::NoCa)
                .names
                .map(|proven| proven.to_string());
            assert_eq!(leaf.ok().as_deref(), expected, "{told}");
        }
        let authority = IsCa::Ca(BasicConstraints::Unconstrained);
        let leaf = read(vec![uri(id)], authority);
        assert_eq!(leaf.names, Err(Rejection::CertificateNames));
    }

    #[test]
    fn what_is_no_certificate_is_malformed() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        assert!(Leaf::read(&der).is_ok());
        let longer = [der.as_slice(), &[0]].concat();
        for bytes in [&[][..], b"PEM?", &der[..der.len() - 1], &longer] {
            let read = Leaf::read(bytes);
            assert_eq!(read, Err(Rejection::CertificateMalformed), "{bytes:?}");
        }
    }
}
