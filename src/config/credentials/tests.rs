//! Accounts with keys in files and variables, and what is wrong with them.

use crate::cloud::credentials::Source;
use crate::config::{Config, ConfigError, Problem, create_file, fresh_folder, write_text};
use crate::domain::names::AccountName;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder with files of keys.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = Self(fresh_folder("cvm-gateway-credentials-test").unwrap());
        folder.put("id", "AKIDfile\n", 0o600);
        folder.put("key", "canary-key\n", 0o640);
        folder.put("token", "canary-token", 0o400);
        folder.put("open", "canary-key", 0o644);
        folder.put("writable", "canary-key", 0o620);
        folder.put(
            "ini",
            "[default]\nsecret_id = AKIDini\nsecret_key = canary-key\n",
            0o600,
        );
        folder.put(
            "bad-ini",
            "[default]\nsecret_id = i\nsecret_key = canary key\n",
            0o600,
        );
        folder.put(
            "json",
            r#"{"secretId":"AKIDjson","secretKey":"canary-key"}"#,
            0o600,
        );
        folder.put("huge", &"k".repeat(20_000), 0o600);
        folder
    }

    fn put(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.join(name);
        create_file(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn parse(&self, account: &str) -> Result<Config, ConfigError> {
        let text = format!(
            "[organizations.development]\ndefault_account = \"main\"\n\
             [organizations.development.accounts.main]\n{account}\n"
        );
        Config::parse("gw.toml", &text, &self.0)
    }

    /// The id of the key that the gateway takes, or what is wrong.
    fn told(&self, account: &str) -> String {
        match self.parse(account) {
            Ok(config) => {
                let main = AccountName::parse("main").unwrap();
                match &config.credentials.accounts[&main].source {
                    Source::Local(local) => local.read().unwrap().secret_id().to_owned(),
                    other @ (Source::MachineRole(_) | Source::WebIdentity(_)) => {
                        format!("{other:?}")
                    }
                }
            }
            Err(ConfigError::Invalid(problems)) => {
                let told: Vec<_> = problems.iter().map(Problem::to_string).collect();
                told.join("\n")
            }
            Err(error @ ConfigError::Unreadable { .. }) => panic!("{error}"),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Cargo sets two variables that look like parts of a key.
const ENVIRONMENT: &str = "environment = { secret_id = \"CARGO_PKG_NAME\", \
                           secret_key = \"CARGO_PKG_VERSION\" }";

const SOUND: &[(&str, &str)] = &[
    ("secret_id = \"AKIDx\"\nsecret_key = \"k\"", "AKIDx"),
    ("secret_id = \"AKIDx\"\nsecret_key_file = \"key\"", "AKIDx"),
    (
        "secret_id_file = \"id\"\nsecret_key_file = \"key\"\ntoken_file = \"token\"",
        "AKIDfile",
    ),
    ("credentials_file = \"ini\"", "AKIDini"),
    (
        "credentials_file = \"ini\"\nprofile = \"default\"",
        "AKIDini",
    ),
    ("credentials_file = \"json\"", "AKIDjson"),
    (ENVIRONMENT, env!("CARGO_PKG_NAME")),
];

const MAIN: &str = "organizations.development.accounts.main";

/// Each says what follows the place and the name of the account.
const WRONG: &[(&str, &str)] = &[
    (
        "",
        ": no key; set `secret_id` and `secret_key_file`, or one of credentials_file, environment, machine_role, web_identity",
    ),
    ("secret_key = \"canary\"", ": `secret_id` is missing"),
    ("token_file = \"token\"", ": `secret_id` is missing"),
    (
        "secret_id = \"i\"\nsecret_id_file = \"id\"\nsecret_key = \"canary\"",
        ": has both `secret_id` and `secret_id_file`; keep one",
    ),
    (
        "secret_id = \"i\"\nsecret_key = \"canary\"\ncredentials_file = \"ini\"",
        ": has keys by secret_id and credentials_file; keep one",
    ),
    (
        "credentials_file = \"ini\"\nenvironment = {}",
        ": has keys by credentials_file and environment; keep one",
    ),
    (
        "secret_id = \"i\"\nsecret_key_file = \"open\"",
        ".secret_key_file: cannot read open: others may read or change it, its mode is 644; chmod 600, or 640",
    ),
    (
        "secret_id = \"i\"\nsecret_key_file = \"writable\"",
        ".secret_key_file: cannot read writable: others may read or change it, its mode is 620",
    ),
    (
        "credentials_file = \"none\"",
        ".credentials_file: cannot read none: No such file",
    ),
    (
        "credentials_file = \"huge\"",
        ".credentials_file: cannot read huge: is larger than 16384 bytes",
    ),
    (
        "credentials_file = \"bad-ini\"",
        ".credentials_file: bad-ini:3: `secret_key`: cloud credential: the secret key is malformed",
    ),
    (
        "credentials_file = \"ini\"\nprofile = \"prod\"",
        ".credentials_file: ini: has no section [prod]",
    ),
    (
        "profile = \"prod\"\nenvironment = {}",
        ": `profile` is a section of a `credentials_file`",
    ),
    (
        "environment = { secret_id = \"CVM_GATEWAY_NOBODY_SETS_THIS\" }",
        ".environment: the environment has no variable CVM_GATEWAY_NOBODY_SETS_THIS",
    ),
    (
        "environment = { secret_id = \"CARGO_PKG_DESCRIPTION\", secret_key = \"CARGO_PKG_NAME\" }",
        ".environment: the variable CARGO_PKG_DESCRIPTION: cloud credential: the secret id is malformed",
    ),
    (
        "environment = \"yes\"",
        ".environment: is text, not a table",
    ),
    ("environment = { id = \"X\" }", "unknown key `id`"),
];

#[test]
fn keys_are_taken_from_each_source() {
    let folder = Folder::new();
    for (account, id) in SOUND {
        assert_eq!(folder.told(account), *id, "{account}");
    }
}

#[test]
fn wrong_sources_are_named_by_place_key_and_remedy() {
    let folder = Folder::new();
    for (account, expected) in WRONG {
        let told = folder.told(account);
        let named = format!("{MAIN}{expected}");
        assert!(
            told.contains(&named) || expected.starts_with("unknown") && told.contains(expected),
            "{account}\ngave {told}\nnot {named}"
        );
        assert!(told.starts_with("gw.toml:"), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

/// What the page of credentials says, with files that are there.
#[test]
fn the_set_ups_of_the_documentation_are_sound() {
    let page = include_str!("../../../docs/credentials.md");
    let folder = Folder::new();
    let mut set_ups = 0;
    for after in page.split("```toml\n").skip(1) {
        let (text, _) = after.split_once("```").unwrap();
        let mut text = text.to_owned();
        for (from, to) in [
            ("/etc/cvm-gateway/main/id", "id"),
            ("/etc/cvm-gateway/main/key", "key"),
            ("/etc/cvm-gateway/main/token", "token"),
            ("~/.tencentcloud/credentials", "ini"),
            ("/home/gateway/.tccli/default.credential", "json"),
            ("/var/run/secrets/cloud.tencent.com/token", "id"),
            ("launch.json", "json"),
            (
                "web_identity = {}",
                "web_identity = { provider_id = \"p\", token_file = \"id\", \
                 role_arn = \"qcs::cam::uin/1:roleName/r\" }",
            ),
            ("\"TENCENTCLOUD_SECRET_ID\"", "\"CARGO_PKG_NAME\""),
            ("\"TENCENTCLOUD_SECRET_KEY\"", "\"CARGO_PKG_VERSION\""),
        ] {
            text = text.replace(from, to);
        }
        if !text.contains("[organizations.web]") {
            text = format!("[organizations.web]\ndefault_account = \"main\"\n{text}");
        }
        let rest = "[identity]\ndevelopment_organization = \"web\"\n";
        let config = Config::parse("gw.toml", &format!("{rest}{text}"), &folder.0);
        assert!(config.is_ok(), "{}\n{text}", config.unwrap_err());
        set_ups += 1;
    }
    assert_eq!(set_ups, 7);
}

#[test]
fn a_home_is_where_files_may_begin() {
    let beside = |path| crate::config::file::beside(Path::new("folder"), path);
    assert_eq!(beside("a/b"), Path::new("folder/a/b"));
    assert_eq!(beside("/a"), Path::new("/a"));
    let home = super::variable("HOME").map(|home| {
        let home = secrecy::ExposeSecret::expose_secret(&home).to_owned();
        Path::new(&home).join(".tccli/x")
    });
    assert_eq!(
        beside("~/.tccli/x"),
        home.unwrap_or("folder/~/.tccli/x".into())
    );
}

/// A home is a folder, and there is no file `~`.
#[test]
fn files_of_roles_may_begin_there_too() {
    let folder = Folder::new();
    let arn = "role_arn = \"qcs::cam::uin/1:roleName/r\"";
    for account in [
        format!("{ENVIRONMENT}\nassume_role = {{ {arn}, policy_file = \"~/\" }}"),
        format!("web_identity = {{ {arn}, provider_id = \"p\", token_file = \"~/\" }}"),
    ] {
        let told = folder.told(&account);
        assert!(told.contains("cannot read ~/: Is a directory"), "{told}");
    }
}

#[test]
fn a_source_reads_anew() {
    let folder = Folder::new();
    let path = folder.0.join("ini");
    let text = "[default]\nsecret_id = AKIDnew\nsecret_key = canary\n";
    assert_eq!(folder.told("credentials_file = \"ini\""), "AKIDini");
    write_text(&path, text).unwrap();
    assert_eq!(folder.told("credentials_file = \"ini\""), "AKIDnew");
}
