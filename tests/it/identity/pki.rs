//! Certification authorities of the tests, and what they issue.

use crate::canary;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime, UtcDateTime};
use tonic::transport::Identity;

/// An authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Issued {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = blank(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `localhost`.
    pub(crate) fn server(&self) -> Issued {
        let key = KeyPair::from_pem(canary::tls_key()).unwrap();
        self.issue_for(key, |params| {
            params.subject_alt_names = vec![dns("localhost")];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A caller's certificate with these names.
    pub(crate) fn client(&self, names: Vec<SanType>) -> Issued {
        self.issue(|params| params.subject_alt_names = names)
    }

    /// A caller's certificate, changed by `change`.
    pub(crate) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        self.issue_for(KeyPair::generate().unwrap(), change)
    }

    fn issue_for(&self, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = blank("a certificate");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from(vec![0x1f, 0x2e]));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn blank(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = from_now(-1);
    params.not_after = from_now(24);
    params
}

/// So many hours from now.
pub(crate) fn from_now(hours: i64) -> OffsetDateTime {
    let now: UtcDateTime = cvm_gateway::clock::Clock::system().now();
    OffsetDateTime::from(now + Duration::hours(hours))
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

pub(crate) fn dns(text: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(text).unwrap())
}
