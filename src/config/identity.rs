//! Who may call: the tables `identity` and `grpc.tls`.

use super::issuers;
use super::read::{file_beside, secret_file};
use super::section::Section;
use crate::domain::ids::{OrganizationId, Principal};
pub(super) use crate::identity::Settings;
use crate::identity::callers::{Callers, Pattern};
use crate::identity::denied::{self, Denied};
use crate::identity::{
    Material, MaterialError, PEM_BYTES_MAX, Reader, Required, TlsFiles, TokenRules,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a listener is for this machine only, and what may be done about it.
pub(super) const ANONYMOUS: &str = "all who reach it count as the one caller of [identity]: set identity.require, \
     or identity.allow_anonymous_on_any_address";
const PLAINTEXT: &str = "what is sent there is not encrypted: set [grpc.tls], \
     or grpc.allow_plaintext_on_any_address if something else encrypts it";
/// What a rule may name.
const PATTERNS: [&str; 6] = [
    "spiffe_id",
    "spiffe_id_prefix",
    "dns_name",
    "dns_name_suffix",
    "subject",
    "subject_prefix",
];
const CERTIFICATE: &str = "mtls";
const TOKEN: &str = "jwt";
/// Clocks that are further apart are wrong.
const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);
/// A change counts within so long, at most.
const RELOAD_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// Whether nobody needs to know who calls from other machines.
pub(super) type AnonymousAnywhere = bool;

/// What the callers' settings mean for the listener.
#[derive(Clone, Copy)]
pub(super) struct Exposure {
    /// Whether callers must have a certificate.
    pub(super) certificate: bool,
    /// Whether nobody may know who calls, and that is not for other machines.
    anonymous: bool,
}

impl Exposure {
    pub(super) fn of(callers: Option<&(Settings, AnonymousAnywhere)>) -> Self {
        let (required, anywhere) = callers
            .map(|(callers, anywhere)| (&callers.required, *anywhere))
            .unzip();
        Self {
            certificate: matches!(required, Some(Required::Certificate | Required::Both)),
            anonymous: matches!(required, Some(Required::Nothing(_))) && anywhere == Some(false),
        }
    }

    /// Why only this machine may reach the listener that `table` configures.
    pub(super) fn why(self, table: &mut Section<'_>, tls: bool) -> Option<&'static str> {
        let plaintext = !table.flag("allow_plaintext_on_any_address") && !tls;
        match (self.anonymous, plaintext) {
            (true, _) => Some(ANONYMOUS),
            (false, true) => Some(PLAINTEXT),
            (false, false) => None,
        }
    }
}

/// Everything but TLS; `organizations` are the configured ones, sound or not.
pub(super) fn callers(
    table: &mut Section<'_>,
    folder: &Path,
    organizations: &[String],
) -> Option<(Settings, AnonymousAnywhere)> {
    let proofs = table.texts("require", |text| match text {
        CERTIFICATE | TOKEN => Ok(text.to_owned()),
        _ => Err(format!(
            "is no proof; write \"{CERTIFICATE}\" or \"{TOKEN}\""
        )),
    });
    let anonymous = anonymous(table, organizations, proofs.is_empty());
    let anywhere = table.flag("allow_anonymous_on_any_address");
    let proves = |proof: &str| proofs.iter().any(|one| one == proof);
    let leeway = table.duration_within("token_leeway", Duration::ZERO..=LEEWAY_MAX);
    let mut names = Vec::new();
    let issuers = table.table("issuers", |table| {
        names = table.names();
        issuers::read(table, folder, leeway)
    });
    if proves(TOKEN) && names.is_empty() {
        table.refuse("no token could be verified; add its issuer: [identity.issuers.NAME]");
    }
    let callers = table.table("callers", |table| rules(table, organizations, &names));
    if !proofs.is_empty() && callers.is_empty() {
        table.refuse("nobody could call; add a rule: [identity.callers.NAME]");
    }
    let denied_file = table.if_set("denied_file", |path| {
        let text = file_beside(folder, path, denied::BYTES_MAX)?;
        // One that is wrong is there, too: it is told by itself.
        let mut known: denied::Issuers<'_> =
            names.iter().map(|name| (name.as_str(), None)).collect();
        let sound = issuers.iter().map(|issuer| &issuer.rules);
        known.extend(sound.map(|rules| (rules.name.as_str(), rules.trust_domain.as_deref())));
        Denied::parse(&text, &known).map_err(|rule| format!("{path}: {rule}"))?;
        Ok::<_, String>(path.to_owned())
    });
    let intervals = Duration::from_millis(10)..=RELOAD_INTERVAL_MAX;
    let reload_interval = table.duration_within("reload_interval", intervals);
    let settings = Settings {
        required: match (proves(CERTIFICATE), proves(TOKEN)) {
            (false, false) => Required::Nothing(anonymous?),
            (true, false) => Required::Certificate,
            (false, true) => Required::Token,
            (true, true) => Required::Both,
        },
        tls: None,
        denied_file,
        reload_interval,
        issuers,
        callers,
        reader: reader(folder),
    };
    Some((settings, anywhere))
}

/// Who everybody is when nobody proves anything.
fn anonymous(table: &mut Section<'_>, organizations: &[String], needed: bool) -> Option<Principal> {
    let name = table.text_as("development_principal", |text| match text {
        "" => Err("is empty; give the caller a name"),
        name => Ok(name.to_owned()),
    });
    let organization = table.text_as("development_organization", |text| {
        if needed {
            known(text, organizations).map(Some)
        } else {
            Ok(None)
        }
    });
    Some(Principal {
        name: name?,
        organization: organization??,
    })
}

fn known(text: &str, organizations: &[String]) -> Result<OrganizationId, String> {
    let id = OrganizationId::parse(text).map_err(|rule| rule.to_string())?;
    let known = organizations.iter().any(|name| name == id.as_str());
    known.then(|| id.clone()).ok_or_else(|| {
        format!("no organisation `{id}`; add [organizations.{id}], or name another one")
    })
}

fn rules(table: &mut Section<'_>, organizations: &[String], issuers: &[String]) -> Callers {
    let mut callers = Callers::default();
    for name in table.names() {
        table.table(&name, |table| {
            let organization = table.text_as("organization", |text| known(text, organizations));
            let Some((pattern, organization)) = pattern(table, issuers).zip(organization) else {
                return;
            };
            if !callers.add(pattern, organization) {
                table.refuse("another rule is about the same callers; keep one");
            }
        });
    }
    callers
}

/// What a rule is about: one of several keys. Subjects are those of an issuer.
fn pattern(table: &mut Section<'_>, issuers: &[String]) -> Option<Pattern> {
    let mut set = PATTERNS.into_iter().filter(|key| table.is_set(key));
    let key = set.next();
    if key.is_none() || set.next().is_some() {
        table.refuse(format_args!("set one of {}", PATTERNS.join(", ")));
    }
    let of_subject = key.is_some_and(|key| key.starts_with("subject"));
    if of_subject != table.is_set("issuer") {
        table.refuse("`issuer` and `subject` or `subject_prefix` go together");
    }
    let issuer = table.if_set("issuer", |text| {
        let known = issuers.iter().any(|name| name == text);
        let rule = || format!("no issuer `{text}`; add [identity.issuers.{text}]");
        known.then(|| text.to_owned()).ok_or_else(rule)
    });
    let issuer = issuer.unwrap_or_default();
    let patterns = [
        table.if_set("spiffe_id", Pattern::spiffe),
        table.if_set("spiffe_id_prefix", Pattern::spiffe_below),
        table.if_set("dns_name", Pattern::dns),
        table.if_set("dns_name_suffix", Pattern::dns_below),
        table.if_set("subject", |text| Pattern::subject(&issuer, text)),
        table.if_set("subject_prefix", |text| {
            Pattern::subject_below(&issuer, text)
        }),
    ];
    patterns.into_iter().flatten().next()
}

/// TLS of the table that configures a listener; `clients` says whether callers need certificates.
pub(super) fn tls(table: &mut Section<'_>, folder: &Path, clients: bool) -> Option<TlsFiles> {
    table.table("tls", |table| {
        let keys = ["certificate_file", "key_file", "client_ca_file"];
        let [certificate, key, authorities] = keys.map(|key| table.is_set(key));
        if !certificate && (key || authorities || clients) {
            let why = if clients {
                format!("identity.require has \"{CERTIFICATE}\", so ")
            } else {
                String::new()
            };
            table.refuse(format_args!("{why}`certificate_file` is missing"));
        }
        if certificate && !key {
            table.refuse("`key_file` is missing");
        }
        if certificate && clients && !authorities {
            table.refuse("`client_ca_file` is missing, without which no certificate is trusted");
        }
        let certificate = table.if_set("certificate_file", |path| {
            checked(file_beside(folder, path, PEM_BYTES_MAX)?, path, |text| {
                Material::check_chain(text)
            })
        });
        let key = table.if_set("key_file", |path| {
            checked(secret_file(folder, path)?, path, Material::check_key)
        });
        let authorities = table.if_set("client_ca_file", |path| {
            checked(file_beside(folder, path, PEM_BYTES_MAX)?, path, |text| {
                Material::check_authorities(text)
            })
        });
        let ((certificate, chain), (key, secret)) = certificate.zip(key)?;
        let pem = authorities.as_ref().map(|(_, text)| text.as_str());
        let material = Material::read(&chain, &secret, pem).and_then(Material::check);
        if let Err(rule) = material {
            table.refuse(format_args!("{certificate}, {key}: {rule}"));
        }
        Some(TlsFiles {
            certificate,
            key,
            client_authorities: authorities.map(|(path, _)| path),
        })
    })
}

/// The name of a file and what it holds, if that is sound.
fn checked<T>(
    text: T,
    path: &str,
    check: impl Fn(&T) -> Result<(), MaterialError>,
) -> Result<(String, T), String> {
    check(&text).map_err(|rule| format!("{path} {rule}"))?;
    Ok((path.to_owned(), text))
}

/// Reads files beside the configuration.
fn reader(folder: &Path) -> Reader {
    let folder: PathBuf = folder.to_owned();
    Reader::new(move |path, bytes_max| file_beside(&folder, path, bytes_max).map(Into::into))
}

/// Who may call, for people.
pub(super) fn summary(settings: &Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &settings.required {
        Required::Nothing(Principal { name, organization }) => {
            writeln!(f, "callers       all are {name} of {organization}")
        }
        Required::Certificate => needs(settings, "a certificate", f),
        Required::Token => needs(settings, "a token", f),
        Required::Both => needs(settings, "a certificate and a token", f),
    }
}

fn needs(settings: &Settings, proof: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let rules = settings.callers.len();
    writeln!(
        f,
        "callers       need {proof}; whose they are is said by {rules} rules"
    )?;
    for issuer in &settings.issuers {
        let TokenRules { name, issuer, .. } = &issuer.rules;
        writeln!(f, "issuer        {name}: {issuer}")?;
    }
    Ok(())
}
