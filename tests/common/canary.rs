//! Secrets that are known again: what each is, the forms in which it could come out, and one search for all
//! of them in everything that the tests see of the product.
//!
//! Whoever holds a [`Watch`] fails at its end when something was found. What was found while nobody watches
//! ends the process, so that no finding is lost.
//!
//! Not searched is where a secret must be: what the cloud, an issuer or a proxy is sent, the caller's own
//! request, and files that the operator writes. The cloud's ledger knows keys by their id.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use cvm_gateway::pb::v1 as pb;
use rcgen::KeyPair;
use serde_json::json;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::collections::BTreeMap;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

/// The password of a launch: every letter that some form must escape.
pub(crate) const PASSWORD: &str = "Canary&Pass/w0rd?=7+'x";
/// What is in the user data of a launch.
pub(crate) const SCRIPT: &str = "#!/bin/sh\necho canary-user-data \"42\"";
/// A value of the metadata of a launch.
pub(crate) const METADATA: &str = "canary \"meta\\data\"\n/value?é";
/// What the ids of the keys in the simulator's catalogue begin with.
const SECRET_ID: &str = "AKIDfakeForLoopbackTestsOnly000000";
/// What those keys begin with.
const SECRET_KEY: &str = "fakeSecretKeyLoopbackTestsOnly00";
/// What their tokens begin with.
const SESSION_TOKEN: &str = "fake-session-token-00";
/// A claim that is only in callers' tokens, which are base64 of it.
pub(crate) const CLAIM: &str = "canary-claim/of?a=token&7";
/// By which plans are known again.
pub(crate) const PLAN_KEY: &str = "canary+plan/key=7&of more than 32 letters";
/// What journals are sealed with.
pub(crate) const JOURNAL_KEY: &str =
    "ca9a7ede5b1c4f80d3e26a91b7c8550f4e1d9a3b6c2f7e8801d4c5b6a7f8e9d0";
/// What the gateway shows an issuer of tokens.
pub(crate) const ISSUER_TOKEN: &str = "canary/issuer+token=7";
/// Of the database's user; it stands in a URL.
pub(crate) const DATABASE_PASSWORD: &str = "canary.database-password_7";
/// Of the proxy's user, likewise.
pub(crate) const PROXY_PASSWORD: &str = "canary.proxy-password_7";
/// What a pod shows STS.
pub(crate) const WEB_IDENTITY_TOKEN: &str = "canary-web.identity-token.of-a-pod_7";
/// What the gateway names when it assumes a role.
pub(crate) const EXTERNAL_ID: &str = "canary-external-id_7";

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Password,
    UserData,
    Metadata,
    SecretId,
    SecretKey,
    SessionToken,
    CallerToken,
    TlsKey,
    PlanKey,
    JournalKey,
    IssuerToken,
    DatabasePassword,
    ProxyPassword,
    WebIdentityToken,
    ExternalId,
}

/// The user data of a launch, as it is sent.
pub(crate) fn user_data() -> String {
    BASE64_STANDARD.encode(SCRIPT)
}

/// What is secret of a launch.
pub(crate) fn secretive() -> pb::InstanceSpec {
    let item = pb::MetadataItem {
        key: "canary".to_owned(),
        value: METADATA.to_owned(),
    };
    let mut spec = pb::InstanceSpec {
        user_data: Some(user_data()),
        ..pb::InstanceSpec::default()
    };
    spec.login_settings.get_or_insert_default().password = Some(PASSWORD.to_owned());
    spec.metadata.get_or_insert_default().items = vec![item];
    spec
}

/// A private key of TLS in PEM. There are two, which take turns.
pub(crate) fn tls_key() -> &'static str {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    &TLS_KEYS[turn % TLS_KEYS.len()].1
}

/// The bytes that are secret of each, and its PEM.
static TLS_KEYS: LazyLock<[(Vec<u8>, String); 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        let key = KeyPair::generate().unwrap();
        // PKCS #8 of a key on P-256 begins with 36 bytes that say so, and ends with what is public.
        (key.serialize_der()[36..68].to_vec(), key.serialize_pem())
    })
});

/// Every secret that the tests give the product.
pub(crate) fn secrets() -> Vec<(Kind, Vec<u8>)> {
    let texts = [
        (Kind::Password, PASSWORD),
        (Kind::UserData, SCRIPT),
        (Kind::Metadata, METADATA),
        (Kind::SecretId, SECRET_ID),
        (Kind::SecretKey, SECRET_KEY),
        (Kind::SessionToken, SESSION_TOKEN),
        (Kind::CallerToken, CLAIM),
        (Kind::PlanKey, PLAN_KEY),
        (Kind::JournalKey, JOURNAL_KEY),
        (Kind::IssuerToken, ISSUER_TOKEN),
        (Kind::DatabasePassword, DATABASE_PASSWORD),
        (Kind::ProxyPassword, PROXY_PASSWORD),
        (Kind::WebIdentityToken, WEB_IDENTITY_TOKEN),
        (Kind::ExternalId, EXTERNAL_ID),
    ];
    let mut all: Vec<_> = texts.map(|(kind, text)| (kind, text.into())).into();
    // What the product has of them in memory.
    all.push((Kind::JournalKey, hex::decode(JOURNAL_KEY).unwrap()));
    // Its base64, which is sent, in base64 once more.
    all.push((Kind::UserData, core(SCRIPT.as_bytes(), 0, &BASE64_STANDARD)));
    for (secret, pem) in &*TLS_KEYS {
        all.push((Kind::TlsKey, secret.clone()));
        all.push((Kind::TlsKey, pem.lines().nth(1).unwrap().into()));
    }
    all
}

/// The forms of a secret, each with its name.
pub(crate) fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let list = format!("{secret:?}");
    let mut forms = vec![
        ("itself", secret.to_vec()),
        ("a list", list[1..list.len() - 1].into()),
        ("hex", hex::encode(secret).into()),
        ("upper-case hex", hex::encode_upper(secret).into()),
        ("URL-escaped", url_escaped(secret, false).into()),
        ("form-escaped", url_escaped(secret, true).into()),
    ];
    let mut written = vec![secret.to_vec()];
    if let Ok(text) = str::from_utf8(secret) {
        let quoted = inside(&json!(text).to_string());
        forms.push(("JSON", quoted.clone().into()));
        forms.push(("debug", inside(&format!("{text:?}")).into()));
        forms.push(("debug of JSON", inside(&format!("{quoted:?}")).into()));
        written.push(quoted.into());
    }
    for (text, before) in written
        .iter()
        .flat_map(|text| (0..3).map(move |at| (text, at)))
    {
        forms.push(("base64", core(text, before, &BASE64_STANDARD)));
        forms.push(("base64 for URLs", core(text, before, &BASE64_URL_SAFE)));
    }
    forms
}

fn inside(quoted: &str) -> String {
    quoted[1..quoted.len() - 1].to_owned()
}

/// What base64 makes of `text` after `before` other bytes, without what its neighbours have a say in.
fn core(text: &[u8], before: usize, engine: &impl Engine) -> Vec<u8> {
    let bytes = [&vec![0; before], text].concat();
    let encoded = engine.encode(&bytes);
    encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].into()
}

fn url_escaped(text: &[u8], form: bool) -> String {
    let escape = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(*byte).to_string()
        }
        b'~' if !form => "~".to_owned(),
        b' ' if form => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    };
    text.iter().map(escape).collect()
}

/// All forms of all secrets at once.
pub(crate) struct Search {
    patterns: AhoCorasick,
    of: Vec<(Kind, &'static str)>,
}

impl Search {
    pub(crate) fn new(secrets: &[(Kind, Vec<u8>)]) -> Self {
        let forms = secrets.iter().flat_map(|(kind, secret)| {
            let forms = forms(secret).into_iter();
            forms.map(|(form, bytes)| ((*kind, form), bytes))
        });
        let (of, patterns): (Vec<_>, Vec<_>) = forms.unzip();
        let patterns = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(patterns)
            .unwrap();
        Self { patterns, of }
    }

    /// What is somewhere in `bytes`, in which form, and where.
    pub(crate) fn find<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (Kind, &'static str, usize)> + 'a {
        self.patterns.find_iter(bytes).map(|found| {
            let (kind, form) = self.of[found.pattern().as_usize()];
            (kind, form, found.start())
        })
    }

    /// The longest form.
    fn longest(&self) -> usize {
        self.patterns.max_pattern_len()
    }
}

static SEARCH: LazyLock<Search> = LazyLock::new(|| Search::new(&secrets()));

/// What was found, and who is there to tell.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    found: Vec<String>,
    watchers: usize,
    /// How many bytes were searched at each place.
    searched: BTreeMap<&'static str, u64>,
}

/// Of this process.
pub(crate) static ALL: LazyLock<Findings> = LazyLock::new(Findings::default);

impl Findings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Searches what came out at `place`, where some kinds may be.
    pub(crate) fn examine(&self, place: &'static str, bytes: &[u8], but: &[Kind]) {
        let found: Vec<_> = SEARCH
            .find(bytes)
            .filter(|(kind, ..)| !but.contains(kind))
            .map(|(kind, form, at)| told(place, bytes, kind, form, at))
            .collect();
        let mut state = self.state();
        *state.searched.entry(place).or_default() += u64::try_from(bytes.len()).unwrap();
        if found.is_empty() {
            return;
        }
        if state.watchers == 0 {
            tell(&found);
            std::process::abort();
        }
        state.found.extend(found);
    }

    /// How many bytes were searched at a place.
    pub(crate) fn searched(&self, place: &str) -> u64 {
        self.state().searched.get(place).copied().unwrap_or(0)
    }

    pub(crate) fn watch(&'static self) -> Watch {
        self.state().watchers += 1;
        Watch(self)
    }
}

/// A finding in words, with what is around it.
fn told(place: &str, bytes: &[u8], kind: Kind, form: &str, at: usize) -> String {
    let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + 200)];
    let around = String::from_utf8_lossy(around);
    format!("{place}: the {kind:?} as {form} in {around:?}")
}

#[expect(clippy::print_stderr, reason = "the test fails, or the process ends")]
fn tell(found: &[String]) {
    for found in found {
        eprintln!("A SECRET CAME OUT: {found}");
    }
}

/// Fails at its end when a secret came out anywhere in this process.
#[derive(Debug)]
pub(crate) struct Watch(&'static Findings);

impl Watch {
    pub(crate) fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(search_panics);
        ALL.watch()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.watchers -= 1;
        let found = std::mem::take(&mut state.found);
        drop(state);
        tell(&found);
        // A second panic would end all tests.
        if !std::thread::panicking() {
            assert!(found.is_empty(), "secrets came out: {found:#?}");
        }
    }
}

/// What the product says when it panics. Tests that fail say what they like.
fn search_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let of_a_test = info
            .location()
            .is_some_and(|location| location.file().starts_with("tests/"));
        if !of_a_test {
            examine("a panic", info.to_string());
        }
        before(info);
    }));
}

/// Searches what came out at a place.
pub(crate) fn examine(place: &'static str, bytes: impl AsRef<[u8]>) {
    ALL.examine(place, bytes.as_ref(), &[]);
}

/// Searches the cloud's ledger, which names keys, and what is asked for a role.
pub(crate) fn examine_ledger(bytes: impl AsRef<[u8]>) {
    let known = [Kind::SecretId, Kind::ExternalId];
    ALL.examine("the ledger", bytes.as_ref(), &known);
}

/// Searches what comes in pieces.
#[derive(Debug)]
pub(crate) struct Pieces {
    findings: &'static Findings,
    kept: Vec<u8>,
}

impl Pieces {
    pub(crate) fn of(findings: &'static Findings) -> Self {
        let kept = Vec::new();
        Self { findings, kept }
    }

    pub(crate) fn examine(&mut self, place: &'static str, piece: &[u8]) {
        self.kept.extend_from_slice(piece);
        self.findings.examine(place, &self.kept, &[]);
        // The end of it may be the beginning of a secret.
        let over = self.kept.len().saturating_sub(SEARCH.longest() - 1);
        self.kept.drain(..over);
    }
}

/// Runs a program to its end, and searches what it says.
pub(crate) fn output(command: &mut std::process::Command) -> std::process::Output {
    let output = command.output().unwrap();
    examine_output(&output);
    output
}

/// Searches what a program said.
pub(crate) fn examine_output(output: &std::process::Output) {
    examine("stdout", &output.stdout);
    examine("stderr", &output.stderr);
}

/// Searches every row of a database of PostgreSQL.
pub(crate) async fn examine_database(url: &str) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let tables = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
        WHERE table_schema = 'public'";
    let tables = sqlx::query_scalar::<_, String>(tables).fetch_all(&mut connection);
    for table in tables.await.unwrap() {
        let rows = format!("SELECT CAST(to_jsonb(t) AS TEXT) FROM \"{table}\" t");
        let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(rows));
        for row in rows.fetch_all(&mut connection).await.unwrap() {
            examine("a row", row);
        }
    }
}

/// A folder that is removed with everything in it, once that is searched.
#[derive(Debug)]
pub(crate) struct Folder(
    pub(crate) PathBuf,
    #[expect(dead_code, reason = "it fails")] Watch,
);

impl Folder {
    pub(crate) fn new() -> Self {
        Self::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    pub(crate) fn in_folder(parent: &Path) -> Self {
        let watch = Watch::new();
        let folder = parent.join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder, watch)
    }
}

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        examine_files(&self.0);
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Searches every file in a folder but those that the operator writes: configuration, keys and tokens.
fn examine_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            examine_files(&path);
        } else if !is_the_operator_s(&path)
            && let Ok(bytes) = std::fs::read(&path)
        {
            examine("a file", bytes);
        }
    }
}

/// Files that [`put_secret`] wrote.
static PUT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn is_the_operator_s(path: &Path) -> bool {
    let kind = path.extension().and_then(|kind| kind.to_str());
    let put = PUT.lock().unwrap_or_else(PoisonError::into_inner);
    matches!(kind, Some("toml" | "key")) || put.iter().any(|known| known == path)
}

/// Writes a file of a secret, which nobody else may read, in the place of one that is there.
pub(crate) fn put_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, text).unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&fresh, private).unwrap();
    let mut put = PUT.lock().unwrap_or_else(PoisonError::into_inner);
    put.push(path.to_owned());
    drop(put);
    std::fs::rename(fresh, path).unwrap();
}
