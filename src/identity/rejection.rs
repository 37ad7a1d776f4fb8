//! Why a caller is not let in: for metrics and logs. The caller itself is told one neutral text.

/// What is wrong with what a caller presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// A certificate is required, and there is none.
    NoCertificate,
    /// It is no certificate that can be read.
    CertificateMalformed,
    /// No certification authority of the bundle vouches for it.
    CertificateUntrusted,
    /// Its time is over.
    CertificateExpired,
    /// Its time has not come.
    CertificateNotYetValid,
    /// It is not for clients.
    CertificatePurpose,
    /// It names nobody, or more than one.
    CertificateNames,
    /// The deny list names it, or whom it names.
    Denied,
    /// A token is required, and there is none.
    NoToken,
    /// It is no token that can be read, or there are two.
    TokenMalformed,
    /// It is larger than any that is read.
    TokenTooLarge,
    /// Nobody configured its issuer.
    TokenIssuer,
    /// It is signed in a way that its issuer is not configured for.
    TokenAlgorithm,
    /// Its issuer has no such key.
    TokenKey,
    /// The signature is not that of the key.
    TokenSignature,
    /// It is meant for somebody else.
    TokenAudience,
    /// Its time is over.
    TokenExpired,
    /// Its time has not come.
    TokenNotYetValid,
    /// A claim that it needs is missing, or makes no sense.
    TokenClaims,
    /// The keys of its issuer could not be had for too long.
    KeysUnavailable,
    /// No rule gives it an organisation.
    NoOrganization,
    /// The certificate belongs to one organisation and the token to another.
    TwoOrganizations,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::NoCertificate,
        Self::CertificateMalformed,
        Self::CertificateUntrusted,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::CertificatePurpose,
        Self::CertificateNames,
        Self::Denied,
        Self::NoToken,
        Self::TokenMalformed,
        Self::TokenTooLarge,
        Self::TokenIssuer,
        Self::TokenAlgorithm,
        Self::TokenKey,
        Self::TokenSignature,
        Self::TokenAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenClaims,
        Self::KeysUnavailable,
        Self::NoOrganization,
        Self::TwoOrganizations,
    ];

    /// The metrics' label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::CertificateMalformed => "certificate_malformed",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::CertificatePurpose => "certificate_purpose",
            Self::CertificateNames => "certificate_names",
            Self::Denied => "denied",
            Self::NoToken => "no_token",
            Self::TokenMalformed => "token_malformed",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenIssuer => "token_issuer",
            Self::TokenAlgorithm => "token_algorithm",
            Self::TokenKey => "token_key",
            Self::TokenSignature => "token_signature",
            Self::TokenAudience => "token_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenClaims => "token_claims",
            Self::KeysUnavailable => "keys_unavailable",
            Self::NoOrganization => "no_organization",
            Self::TwoOrganizations => "two_organizations",
        }
    }
}
