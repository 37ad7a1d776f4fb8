//! The corpus of certificates: each with what must come of it.
#![expect(clippy::too_many_lines, reason = "tables")]

use super::*;
use crate::clock::Clock;
use crate::identity::tests::{Files, NOW, judge, open, peer, settings};
use crate::identity::{Gate, Required, Settings, TlsFiles};
use http::HeaderMap;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use std::fmt::Write;
use std::time::Duration;
use time::OffsetDateTime;

const WEB: &str = "spiffe://example.org/ns/web/sa/api";
const IN: &str = "spiffe://example.org/ns/web/sa/api of web";

type Authority = CertifiedIssuer<'static, KeyPair>;
/// A case: its name, the chain that is shown, and what comes of it.
type Row = (String, Vec<Vec<u8>>, String);

fn at(minutes: i64) -> OffsetDateTime {
    OffsetDateTime::from(NOW + time::Duration::minutes(minutes))
}

fn blank(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(-60);
    params.not_after = at(60);
    params
}

fn authority(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = blank("authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = at(-600);
    params.not_after = at(600);
    change(&mut params);
    params
}

fn root() -> Authority {
    CertifiedIssuer::self_signed(authority(|_| {}), KeyPair::generate().unwrap()).unwrap()
}

fn below(issuer: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = authority(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "below");
    });
    change(&mut params);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

fn leaf(issuer: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = blank("caller");
    params.subject_alt_names = vec![uri(WEB)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, issuer).unwrap().der().to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(text).unwrap())
}

/// A gate that trusts `root`.
fn gate(root: &Authority, files: &Files, clock: Clock) -> Gate {
    let own = CertifiedIssuer::self_signed(
        {
            let mut params = blank("gateway");
            params.subject_alt_names = vec![dns("localhost")];
            params
        },
        KeyPair::generate().unwrap(),
    )
    .unwrap();
    files.put("own.pem", &own.pem());
    files.put("own.key", &own.key().serialize_pem());
    files.put("authorities.pem", &root.pem());
    files.put("denied", "");
    let tls = TlsFiles {
        certificate: "own.pem".to_owned(),
        key: "own.key".to_owned(),
        client_authorities: Some("authorities.pem".to_owned()),
    };
    let settings = Settings {
        tls: Some(tls),
        ..settings(files, Required::Certificate)
    };
    open(settings, clock)
}

/// Names, each alone in a certificate.
fn of_names(root: &Authority) -> Vec<Row> {
    let uris = [
        (WEB, IN),
        (
            "spiffe://example.org/ns/web/a",
            "spiffe://example.org/ns/web/a of web",
        ),
        (
            "spiffe://example.org/ns/other/sa/api",
            "spiffe://example.org/ns/other/sa/api of other",
        ),
        ("spiffe://example.org/ns/other/sa/api2", "no_organization"),
        ("spiffe://example.org/ns/other/sa", "no_organization"),
        ("spiffe://example.org/ns/webby/sa/api", "no_organization"),
        ("spiffe://example.org/ns/web", "no_organization"),
        ("spiffe://example.org.evil/ns/web/sa/api", "no_organization"),
        ("spiffe://evil.example.org/ns/web/sa/api", "no_organization"),
        ("spiffe://example.org/NS/web/sa/api", "no_organization"),
        ("spiffe://example.org/ns/web/", "certificate_names"),
        (
            "spiffe://example.org/ns/web/../other/sa/api",
            "certificate_names",
        ),
        ("spiffe://example.org/ns/web/./api", "certificate_names"),
        ("spiffe://example.org//ns/web/sa/api", "certificate_names"),
        (
            "spiffe://example.org/ns/web/sa/api?x=1",
            "certificate_names",
        ),
        ("spiffe://example.org/ns/web/sa/api#x", "certificate_names"),
        ("spiffe://example.org/ns/web%2fsa", "certificate_names"),
        (
            "spiffe://example.org:443/ns/web/sa/api",
            "certificate_names",
        ),
        ("spiffe://a@example.org/ns/web/sa/api", "certificate_names"),
        ("spiffe://EXAMPLE.org/ns/web/sa/api", "certificate_names"),
        ("SPIFFE://example.org/ns/web/sa/api", "certificate_names"),
        ("spiffe://example.org", "certificate_names"),
        ("spiffe:///ns/web/sa/api", "certificate_names"),
        ("spiffe:example.org/ns/web/sa/api", "certificate_names"),
        ("https://example.org/ns/web/sa/api", "certificate_names"),
        (" spiffe://example.org/ns/web/sa/api", "certificate_names"),
        ("spiffe://example.org/ns/web/sa/api ", "certificate_names"),
        ("spiffe://example.org/ns/web/sa/api\0", "certificate_names"),
        ("", "certificate_names"),
    ];
    let hosts = [
        ("api.web.example", "dns:api.web.example of web"),
        ("API.Web.example", "dns:api.web.example of web"),
        ("one.hosts.example", "dns:one.hosts.example of other"),
        ("a.b.hosts.example", "dns:a.b.hosts.example of other"),
        ("hosts.example", "no_organization"),
        ("evilhosts.example", "no_organization"),
        ("api.web.example.evil", "no_organization"),
        ("x.api.web.example", "no_organization"),
        ("*.hosts.example", "certificate_names"),
        ("*.web.example", "certificate_names"),
        ("api.web.example.", "certificate_names"),
        ("api..web.example", "certificate_names"),
        ("api.web.example\0.evil", "certificate_names"),
        ("spiffe://example.org/ns/web/sa/api", "certificate_names"),
        ("", "certificate_names"),
    ];
    let single = |name: SanType| leaf(root, |params| params.subject_alt_names = vec![name]);
    let uris = uris.map(|(text, says)| (format!("uri {text:?}"), vec![single(uri(text))], says));
    let hosts = hosts.map(|(text, says)| (format!("dns {text:?}"), vec![single(dns(text))], says));
    let rows = uris.into_iter().chain(hosts);
    rows.map(|(name, chain, says)| (name, chain, says.to_owned()))
        .collect()
}

/// Several names, or none of use.
fn of_mixtures(root: &Authority) -> Vec<Row> {
    let ip = || SanType::IpAddress("127.0.0.1".parse().unwrap());
    let mail = || SanType::Rfc822Name(Ia5String::try_from("a@example.org").unwrap());
    let other = || uri("spiffe://example.org/ns/other/sa/api");
    let rows: [(&str, Vec<SanType>, &str); 14] = [
        ("no name", vec![], "certificate_names"),
        ("an address", vec![ip()], "certificate_names"),
        ("a mailbox", vec![mail()], "certificate_names"),
        (
            "a mailbox and an address",
            vec![mail(), ip()],
            "certificate_names",
        ),
        (
            "two SPIFFE ids",
            vec![uri(WEB), other()],
            "certificate_names",
        ),
        (
            "two SPIFFE ids, turned",
            vec![other(), uri(WEB)],
            "certificate_names",
        ),
        (
            "the same SPIFFE id twice",
            vec![uri(WEB), uri(WEB)],
            "certificate_names",
        ),
        (
            "a SPIFFE id and a URL",
            vec![uri(WEB), uri("https://a.example/")],
            "certificate_names",
        ),
        (
            "a URL and a good host",
            vec![uri("https://a/"), dns("api.web.example")],
            "certificate_names",
        ),
        (
            "two hosts",
            vec![dns("api.web.example"), dns("one.hosts.example")],
            "certificate_names",
        ),
        (
            "a SPIFFE id and hosts",
            vec![dns("one.hosts.example"), uri(WEB), dns("b.example")],
            IN,
        ),
        ("a SPIFFE id and an address", vec![ip(), uri(WEB)], IN),
        (
            "a host and an address",
            vec![dns("api.web.example"), ip()],
            "dns:api.web.example of web",
        ),
        (
            "a host and a mailbox",
            vec![mail(), dns("api.web.example")],
            "dns:api.web.example of web",
        ),
    ];
    let rows = rows.into_iter().map(|(name, names, says)| {
        let chain = vec![leaf(root, |params| params.subject_alt_names = names)];
        (name.to_owned(), chain, says.to_owned())
    });
    rows.collect()
}

/// Times in minutes from now.
fn of_times(root: &Authority) -> Vec<Row> {
    let rows = [
        (-60, 60, IN),
        (-1, 1, IN),
        (0, 60, IN),
        (-60, 0, IN),
        (-60, -1, "certificate_expired"),
        (-600, -500, "certificate_expired"),
        (-1_000_000, -1, "certificate_expired"),
        (1, 60, "certificate_not_yet_valid"),
        (60, 600, "certificate_not_yet_valid"),
        (-60, 10_000_000, IN),
    ];
    let rows = rows.map(|(from, to, says)| {
        let change = |params: &mut CertificateParams| {
            params.not_before = at(from);
            params.not_after = at(to);
        };
        (
            format!("from {from} to {to}"),
            vec![leaf(root, change)],
            says.to_owned(),
        )
    });
    rows.into()
}

/// What certificates are for.
fn of_purposes(root: &Authority) -> Vec<Row> {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, EmailProtection, ServerAuth};
    let rows: [(Vec<ExtendedKeyUsagePurpose>, &str); 8] = [
        (vec![], IN),
        (vec![ClientAuth], IN),
        (vec![ServerAuth, ClientAuth], IN),
        (vec![ServerAuth], "certificate_purpose"),
        (vec![CodeSigning], "certificate_purpose"),
        (vec![EmailProtection, ServerAuth], "certificate_purpose"),
        (vec![Any], "certificate_purpose"),
        (vec![Any, ClientAuth], IN),
    ];
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|(purposes, says)| {
            let name = format!("for {purposes:?}");
            let chain = vec![leaf(root, |params| params.extended_key_usages = purposes)];
            (name, chain, says.to_owned())
        })
        .collect();
    let itself = leaf(root, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    rows.push((
        "an authority".to_owned(),
        vec![itself],
        "certificate_untrusted".to_owned(),
    ));
    rows
}

/// Who vouches for them.
fn of_chains(root: &Authority) -> Vec<Row> {
    let untrusted = "certificate_untrusted";
    let strange = self::root();
    let middle = below(root, |_| {});
    let old = below(root, |params| params.not_after = at(-1));
    let bound = below(root, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))
    });
    let deeper = below(&bound, |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "deeper");
    });
    let none = below(root, |params| params.is_ca = IsCa::NoCa);
    let of = |authority: &Authority| leaf(authority, |_| {});
    let der = |authority: &Authority| authority.der().to_vec();
    let alone = {
        let key = KeyPair::generate().unwrap();
        let mut params = blank("caller");
        params.subject_alt_names = vec![uri(WEB)];
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let sound = of(root);
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let rows: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("of the root", vec![sound.clone()], IN),
        (
            "of the root, which is shown",
            vec![sound.clone(), der(root)],
            IN,
        ),
        (
            "with somebody else's behind it",
            vec![sound.clone(), der(&strange)],
            IN,
        ),
        ("of one below", vec![of(&middle), der(&middle)], IN),
        (
            "of one below, that is not shown",
            vec![of(&middle)],
            untrusted,
        ),
        (
            "of one below, another is shown",
            vec![of(&middle), der(&bound)],
            untrusted,
        ),
        (
            "of one below that has ended",
            vec![of(&old), der(&old)],
            "certificate_expired",
        ),
        (
            "of one too deep",
            vec![of(&deeper), der(&deeper), der(&bound)],
            untrusted,
        ),
        (
            "of one that is no authority",
            vec![of(&none), der(&none)],
            untrusted,
        ),
        ("of a stranger", vec![of(&strange)], untrusted),
        (
            "of a stranger who is shown",
            vec![of(&strange), der(&strange)],
            untrusted,
        ),
        (
            "of a stranger, with the root",
            vec![of(&strange), der(root)],
            untrusted,
        ),
        ("of itself", vec![alone.clone()], untrusted),
        (
            "of itself, with the root",
            vec![alone, der(root)],
            untrusted,
        ),
        ("the root itself", vec![der(root)], untrusted),
        (
            "with a bit of the signature changed",
            vec![flipped],
            untrusted,
        ),
        ("turned around", vec![der(&middle), of(&middle)], untrusted),
        ("none", vec![], "no_certificate"),
        (
            "no certificate",
            vec![b"hello".to_vec()],
            "certificate_malformed",
        ),
        ("nothing", vec![vec![]], "certificate_malformed"),
        (
            "half of one",
            vec![sound[..sound.len() / 2].to_vec()],
            "certificate_malformed",
        ),
        (
            "more than one",
            vec![[sound.as_slice(), b"x"].concat()],
            "certificate_malformed",
        ),
        ("with rubbish behind it", vec![sound, b"x".to_vec()], IN),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, chain, says)| (name.to_owned(), chain, says.to_owned()))
        .collect()
}

fn corpus(root: &Authority) -> Vec<Row> {
    [of_names, of_mixtures, of_times, of_purposes, of_chains]
        .into_iter()
        .flat_map(|rows| rows(root))
        .collect()
}

#[tokio::test]
async fn every_certificate_of_the_corpus_gets_what_it_says() {
    let (root, files) = (root(), Files::default());
    let gate = gate(&root, &files, Clock::manual(NOW));
    let (rows, mut wrong) = (corpus(&root), String::new());
    for (name, chain, says) in &rows {
        let peer = (!chain.is_empty()).then(|| peer(chain));
        let said = judge(&gate, peer.as_ref(), &HeaderMap::new()).await;
        if said != *says {
            writeln!(wrong, "{name}: {said}, not {says}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(rows.len() > 90, "only {} cases", rows.len());
    for rejection in Rejection::ALL.map(Rejection::as_str) {
        let has = rows.iter().any(|(_, _, says)| says == rejection);
        assert!(
            has || !rejection.contains("certificate"),
            "no case of {rejection}"
        );
    }
}

#[tokio::test]
async fn any_changed_byte_of_a_certificate_is_noticed() {
    let (root, files) = (root(), Files::default());
    let gate = gate(&root, &files, Clock::manual(NOW));
    let sound = leaf(&root, |_| {});
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x55;
        let said = judge(&gate, Some(&peer(&[bytes])), &HeaderMap::new()).await;
        assert!(said.starts_with("certificate_"), "byte {at}: {said}");
    }
}

#[tokio::test]
async fn denials_of_each_kind_count_at_once() {
    let (root, files) = (root(), Files::default());
    let gate = gate(&root, &files, Clock::manual(NOW));
    let der = leaf(&root, |params| {
        params.serial_number = Some(vec![0xab, 0xcd].into())
    });
    let print = hex::encode(Leaf::read(&der).unwrap().sha256);
    let shown = peer(&[der]);
    let rows = [
        ("", IN),
        ("serial abcd", "denied"),
        ("serial abce", IN),
        ("serial 00:AB:CD", "denied"),
        (&format!("sha256 {print}"), "denied"),
        (&format!("sha256 {}", "0".repeat(64)), IN),
        ("spiffe spiffe://example.org/ns/web/sa/api", "denied"),
        ("spiffe spiffe://example.org/ns/web/sa/ap", IN),
        ("dns api.web.example", IN),
    ];
    for (line, says) in rows {
        files.put("denied", line);
        assert!(gate.reload().is_empty());
        let said = judge(&gate, Some(&shown), &HeaderMap::new()).await;
        assert_eq!(said, says, "{line}");
    }
    files.put("denied", "serial abcd");
    gate.reload();
    for (line, rule) in [
        ("serial xyz", "`xyz` is no number in hex digits"),
        (
            "subject cluster api",
            "no issuer `cluster`; add [identity.issuers.cluster]",
        ),
    ] {
        files.put("denied", &format!("# left\n{line}\n"));
        let errors = gate.reload();
        assert_eq!(errors[0].to_string(), format!("denied: line 2: {rule}"));
        assert!(gate.reload().is_empty(), "it is told once");
        let said = judge(&gate, Some(&shown), &HeaderMap::new()).await;
        assert_eq!(said, "denied", "what was denied before stays denied");
    }
}

#[tokio::test]
async fn time_and_other_authorities_end_an_open_connection() {
    let (root, files) = (root(), Files::default());
    let clock = Clock::manual(NOW);
    let gate = gate(&root, &files, clock.clone());
    let [long, short, below] = [
        vec![leaf(&root, |params| params.not_after = at(600))],
        vec![leaf(&root, |_| {})],
        {
            let middle = below(&root, |params| params.not_after = at(30));
            vec![leaf(&middle, |_| {}), middle.der().to_vec()]
        },
    ]
    .map(|chain| peer(&chain));
    let none = HeaderMap::new();
    for shown in [&long, &short, &below] {
        assert_eq!(judge(&gate, Some(shown), &none).await, IN);
    }
    clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(
        judge(&gate, Some(&below), &none).await,
        "certificate_expired"
    );
    assert_eq!(judge(&gate, Some(&short), &none).await, IN);
    clock.advance(Duration::from_secs(29 * 60 + 1));
    assert_eq!(
        judge(&gate, Some(&short), &none).await,
        "certificate_expired"
    );
    assert_eq!(judge(&gate, Some(&long), &none).await, IN);
    let new = self::root();
    files.put("authorities.pem", &new.pem());
    assert!(gate.reload().is_empty());
    assert_eq!(
        judge(&gate, Some(&long), &none).await,
        "certificate_untrusted"
    );
    files.put("authorities.pem", &format!("{}{}", new.pem(), root.pem()));
    assert!(gate.reload().is_empty());
    assert_eq!(judge(&gate, Some(&long), &none).await, IN);
    files.put("authorities.pem", "# empty");
    let error = gate.reload()[0].to_string();
    assert!(
        error.contains("holds no certificates of authorities"),
        "{error}"
    );
    assert_eq!(judge(&gate, Some(&long), &none).await, IN);
}

fn read(names: Vec<SanType>, is_ca: IsCa) -> Leaf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names;
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    Leaf::read(params.self_signed(&key).unwrap().der()).unwrap()
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
