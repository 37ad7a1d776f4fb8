//! Keys that are lent: those of the role of a machine or of a pod, and of a role that is assumed.

use super::file::{beside, read_text, variable};
use super::section::Section;
use crate::cloud::credentials::{
    METADATA_HOST, MachineRole, Role, SessionOf, Source, Token, WebIdentity, is_role,
};
use crate::domain::names::Region;
use crate::domain::secret::Secret;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// What TKE calls the variables of a pod that may assume a role.
const PROVIDER: &str = "TKE_PROVIDER_ID";
const ROLE: &str = "TKE_ROLE_ARN";
const TOKEN_FILE: &str = "TKE_WEB_IDENTITY_TOKEN_FILE";
const REGION: &str = "TKE_REGION";
const TOKEN_BYTES_MAX: u64 = 16 << 10;
/// Of the texts that name a role or a provider.
const NAME_BYTES_MAX: usize = 512;
const POLICY_BYTES_MAX: u64 = 16 << 10;
/// The cloud's own default and most; under a minute nothing could be renewed in time.
const LIFE: Duration = Duration::from_secs(2 * 60 * 60);
const LIFE_MIN: Duration = Duration::from_secs(60);
const LIFE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// The role that is bound to this machine.
pub(super) fn machine_role(table: &mut Section<'_>) -> Option<Source> {
    table.table("machine_role", |table| {
        let role = table.if_set("role", |text| {
            let rule = "is no name of a role; write the one that the console shows, not its ARN";
            is_role(text).then(|| text.to_owned()).ok_or(rule)
        });
        let usual = format!("http://{METADATA_HOST}");
        let judge = |text: &str| {
            MachineRole::endpoint(text)
                .map_err(|rule| format!("`{text}` {rule}; leave it out to take {usual}"))
        };
        let endpoint = match table.is_set("endpoint") {
            true => table.text_as("endpoint", judge),
            false => {
                table.if_set("endpoint", judge);
                MachineRole::endpoint(&usual).ok()
            }
        };
        let endpoint = endpoint?;
        Some(Source::MachineRole(MachineRole { role, endpoint }))
    })
}

/// The role that the token of a pod stands for, its ARN, and the region that STS is asked in.
pub(super) fn web_identity(
    table: &mut Section<'_>,
    folder: &Path,
) -> Option<(Source, String, Option<Region>)> {
    table.table("web_identity", |table| {
        let provider_id = or_variable(table, "provider_id", PROVIDER);
        let role_arn = or_variable(table, "role_arn", ROLE);
        let file = or_variable(table, "token_file", TOKEN_FILE);
        let region = region(table).or_else(|| {
            let named = variable(REGION)?;
            Region::parse(named.expose_secret()).ok()
        });
        let (provider_id, role_arn, file) = (provider_id?, role_arn?, file?);
        if let Err(rule) = arn(&role_arn) {
            table.refuse(format_args!("`{role_arn}` {rule}"));
        }
        let path = beside(folder, &file);
        // The token of a pod is for everybody in it, so that its mode says nothing.
        let read = move || {
            let text = read_text(&path, TOKEN_BYTES_MAX);
            let text = text.map_err(|error| format!("cannot read {file}: {error}"))?;
            Ok::<_, String>(SecretString::from(text.trim()))
        };
        read().map_err(|rule| table.refuse(rule)).ok()?;
        let source = Source::WebIdentity(WebIdentity {
            provider_id,
            role_arn: role_arn.clone(),
            token: Token::new(read),
        });
        Some((source, role_arn, region))
    })
}

/// The role that is assumed with an account's keys, and the region that STS is asked in.
pub(super) fn assume_role(
    table: &mut Section<'_>,
    folder: &Path,
) -> Option<(Role, Option<Region>)> {
    table.table("assume_role", |table| {
        let arn = table.text_as("role_arn", |text| arn(text).map(|()| text.to_owned()));
        let external_id = table.if_set("external_id", |text| {
            let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 128;
            let rule = "is no external id: at most 128 characters without spaces";
            plain.then(|| Secret::new(text.to_owned())).ok_or(rule)
        });
        let life = match table.is_set("duration") {
            true => table.duration_within("duration", LIFE_MIN..=LIFE_MAX),
            false => LIFE,
        };
        let session = table.if_set("session", |text| match text {
            "organization" => Ok(SessionOf::Organization),
            "caller" => Ok(SessionOf::Caller),
            _ => Err(format!(
                "`{text}` is neither \"organization\" nor \"caller\""
            )),
        });
        let policy = table.if_set("policy_file", |path| policy(&beside(folder, path), path));
        let region = region(table);
        let role = Role {
            arn: arn?,
            external_id,
            duration_seconds: u32::try_from(life.as_secs()).unwrap_or(u32::MAX),
            policy,
            session: session.unwrap_or(SessionOf::Organization),
        };
        Some((role, region))
    })
}

fn region(table: &mut Section<'_>) -> Option<Region> {
    table.if_set("region", Region::parse)
}

/// The value of a key, or else of a variable.
fn or_variable(table: &mut Section<'_>, key: &str, name: &str) -> Option<String> {
    let judge = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let sound = plain && (1..=NAME_BYTES_MAX).contains(&text.len());
        let rule = "is empty, has spaces or is too long";
        sound.then(|| text.to_owned()).ok_or(rule)
    };
    if table.is_set(key) {
        return table.text_as(key, judge);
    }
    table.if_set(key, judge);
    let Some(value) = variable(name) else {
        let rule = format!("`{key}` is missing, and the environment has no variable {name}");
        table.refuse(rule);
        return None;
    };
    let value = judge(value.expose_secret());
    let value = value.map_err(|rule| table.refuse(format_args!("the variable {name} {rule}")));
    value.ok()
}

/// Whether a text is the name of a role in the whole cloud.
fn arn(text: &str) -> Result<(), &'static str> {
    let role = text.strip_prefix("qcs::cam::uin/").and_then(|rest| {
        let (uin, role) = rest.split_once(':')?;
        let digits = !uin.is_empty() && uin.bytes().all(|byte| byte.is_ascii_digit());
        role.strip_prefix("roleName/").filter(|_| digits)
    });
    let sound = role.is_some_and(is_role);
    let rule = "is no ARN of a role; write it like qcs::cam::uin/100000000001:roleName/gateway";
    sound.then_some(()).ok_or(rule)
}

/// The account's number in the ARN of a role.
pub(super) fn uin_of(arn: &str) -> Option<String> {
    let (uin, _) = arn.strip_prefix("qcs::cam::uin/")?.split_once(':')?;
    Some(uin.to_owned())
}

/// What a file of a policy says, as it is sent: without what is only for people.
fn policy(path: &Path, name: &str) -> Result<String, String> {
    let text = read_text(path, POLICY_BYTES_MAX);
    let text = text.map_err(|error| format!("cannot read {name}: {error}"))?;
    match serde_json::from_str::<Value>(&text) {
        Ok(policy @ Value::Object(_)) => Ok(policy.to_string()),
        Ok(_) => Err(format!("{name}:1: is no policy: not an object of JSON")),
        Err(error) => Err(format!("{name}:{}: not JSON: {error}", error.line())),
    }
}
