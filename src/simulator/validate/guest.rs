//! The rules for what is inside and around the machine: names, login, user data, tags, metadata.

use super::{invalid, missing};
use crate::simulator::catalog::{Catalog, Image};
use crate::simulator::names;
use crate::simulator::wire::{LoginSettings, Refusal, RunInstances, answer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use std::collections::BTreeSet;

/// Characters of InstanceName, patterns included (contract §6; the 2020 page says 60).
const INSTANCE_NAME_MAX: usize = 128;
/// Bytes of UserData after decoding.
const USER_DATA_MAX: usize = 16 * 1024;
const PASSWORD_MAX: usize = 30;
const PASSWORD_SPECIAL: &str = "()`~!@#$%^&*-+=|{}[]:;',.?/";
/// The longest private address, to check host names before addresses are known.
const LONGEST_ADDRESS: &str = "255.255.255.255";
const TAGS_MAX: usize = 50;
/// The bounds that the contract has from STS.
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
/// Tag keys of the platform itself; which ones is console documentation, not contract.
const RESERVED_TAG_PREFIXES: [&str; 3] = ["qcs:", "project", "项目"];
const METADATA_KEY_MAX: usize = 128;
const METADATA_VALUE_MAX: usize = 256 * 1024;

pub(super) fn check(
    catalog: &Catalog,
    image: &Image,
    request: &RunInstances,
    count: u32,
) -> Result<(), Refusal> {
    instance_name(request)?;
    host_names(image, request, count)?;
    if let Some(login) = &request.login_settings {
        self::login(catalog, image, login)?;
    }
    user_data(image, request)?;
    metadata(request)?;
    cam_role(catalog, request)
}

pub(super) fn instance_name(request: &RunInstances) -> Result<(), Refusal> {
    let name = request.instance_name.as_deref().unwrap_or_default();
    if name.chars().count() > INSTANCE_NAME_MAX {
        let message = "The specified InstanceName exceeds the maximum length of 128 characters.";
        return Err(Refusal::new("InvalidInstanceName.TooLong", message));
    }
    Ok(())
}

/// Of a login, the password alone.
pub(super) fn password_of(image: &Image, request: &RunInstances) -> Result<(), Refusal> {
    let login = request.login_settings.as_ref();
    match login.and_then(|login| login.password.as_ref()) {
        Some(password) => self::password(password.expose_secret(), image.windows),
        None => Ok(()),
    }
}

pub(super) fn key_ids(request: &RunInstances) -> Option<Vec<String>> {
    let login = request.login_settings.as_ref()?;
    login.key_ids.clone().filter(|ids| !ids.is_empty())
}

/// The tags that each machine gets; only resource type `instance` fits here.
pub(super) fn tags(request: &RunInstances) -> Result<Vec<answer::Tag>, Refusal> {
    let specifications = request.tag_specification.as_deref().unwrap_or_default();
    let mut tags = Vec::new();
    let mut keys = BTreeSet::new();
    for specification in specifications {
        if specification.resource_type != "instance" {
            return Err(invalid(
                "TagSpecification.ResourceType",
                "must be `instance`",
            ));
        }
        for tag in &specification.tags {
            check_tag(tag)?;
            if !keys.insert(&tag.key) {
                let message = format!("The tag key `{}` is given twice.", tag.key);
                return Err(Refusal::new("InvalidParameterValue.DuplicateTags", message));
            }
            tags.push(tag.clone());
        }
    }
    if tags.len() > TAGS_MAX {
        let message = format!("More than {TAGS_MAX} tags.");
        return Err(Refusal::new(
            "InvalidParameterValue.TagQuotaLimitExceeded",
            message,
        ));
    }
    Ok(tags)
}

fn check_tag(tag: &answer::Tag) -> Result<(), Refusal> {
    let printable = |text: &str| !text.chars().any(char::is_control);
    let length = tag.key.chars().count();
    if length == 0 || length > TAG_KEY_MAX || !printable(&tag.key) {
        let message = format!("The tag key must have 1 to {TAG_KEY_MAX} printable characters.");
        return Err(Refusal::new("FailedOperation.IllegalTagKey", message));
    }
    let lower = tag.key.to_lowercase();
    if RESERVED_TAG_PREFIXES
        .iter()
        .any(|prefix| lower.starts_with(prefix))
    {
        let message = format!("The tag key `{}` is reserved.", tag.key);
        return Err(Refusal::new("FailedOperation.TagKeyReserved", message));
    }
    if tag.value.chars().count() > TAG_VALUE_MAX || !printable(&tag.value) {
        let message = format!("A tag value has at most {TAG_VALUE_MAX} printable characters.");
        return Err(Refusal::new("FailedOperation.IllegalTagValue", message));
    }
    Ok(())
}

fn host_names(image: &Image, request: &RunInstances, count: u32) -> Result<(), Refusal> {
    let Some(pattern) = request.host_name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    // The numbers between them are of the same shape.
    let ends = [0, count - 1].map(|index| names::host_name(pattern, index, count, LONGEST_ADDRESS));
    let sound = if image.windows {
        is_windows_name
    } else {
        is_linux_name
    };
    let Some(last) = ends.iter().find(|name| !sound(name)) else {
        return Ok(());
    };
    let message =
        format!("The HostName `{pattern}` would name a machine `{last}`, which is illegal.");
    Err(Refusal::new(
        "InvalidParameterValue.IllegalHostName",
        message,
    ))
}

fn is_linux_name(name: &str) -> bool {
    (2..=60).contains(&name.len()) && name.split('.').all(is_label)
}

fn is_windows_name(name: &str) -> bool {
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit());
    (2..=15).contains(&name.len()) && is_label(name) && !numeric
}

/// Letters, digits and single hyphens, none at either end.
fn is_label(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.split('-').all(word)
}

fn login(catalog: &Catalog, image: &Image, login: &LoginSettings) -> Result<(), Refusal> {
    let keys = login.key_ids.as_deref().unwrap_or_default();
    let keep = match login
        .keep_image_login
        .as_deref()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            return Err(invalid(
                "LoginSettings.KeepImageLogin",
                "must be `true` or `false`",
            ));
        }
    };
    let ways = [login.password.is_some(), !keys.is_empty(), keep];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        let message = "`Password`, `KeyIds` and `KeepImageLogin` exclude each other.";
        return Err(Refusal::new("InvalidParameter.ParameterConflict", message));
    }
    if keep && !image.custom {
        return Err(invalid(
            "LoginSettings.KeepImageLogin",
            "needs a custom, shared or imported image",
        ));
    }
    if !keys.is_empty() && image.windows {
        let message = "Key-pair login is not available to Windows instances.";
        return Err(Refusal::new(
            "UnsupportedOperation.KeyPairUnsupportedWindows",
            message,
        ));
    }
    for id in keys {
        login_key(catalog, id)?;
    }
    match &login.password {
        Some(password) => self::password(password.expose_secret(), image.windows),
        None => Ok(()),
    }
}

fn login_key(catalog: &Catalog, id: &str) -> Result<(), Refusal> {
    if !super::has_shape(id, "skey-") {
        let message = format!("The key pair ID `{id}` is malformed.");
        return Err(Refusal::new("InvalidKeyPairId.Malformed", message));
    }
    if !catalog.account.login_keys.contains(id) {
        let message = format!("The key pair `{id}` does not exist.");
        return Err(Refusal::new(
            "InvalidParameterValue.KeyPairNotFound",
            message,
        ));
    }
    Ok(())
}

/// Linux: 8 to 30 characters of 2 classes; Windows: 12 to 30 of 3.
fn password(password: &str, windows: bool) -> Result<(), Refusal> {
    let (length_min, classes_min) = if windows { (12, 3) } else { (8, 2) };
    let special = |c: char| PASSWORD_SPECIAL.contains(c);
    let is: [&dyn Fn(char) -> bool; 4] = [
        &|c| c.is_ascii_lowercase(),
        &|c| c.is_ascii_uppercase(),
        &|c| c.is_ascii_digit(),
        &special,
    ];
    let classes = is
        .iter()
        .filter(|class| password.chars().any(class))
        .count();
    let allowed = password.chars().all(|c| is.iter().any(|class| class(c)));
    if allowed && classes >= classes_min && (length_min..=PASSWORD_MAX).contains(&password.len()) {
        return Ok(());
    }
    let message = format!(
        "The password needs {length_min} to {PASSWORD_MAX} characters of at least {classes_min} classes."
    );
    Err(Refusal::new("InvalidPassword", message))
}

fn user_data(image: &Image, request: &RunInstances) -> Result<(), Refusal> {
    let Some(encoded) = request.user_data.as_deref().filter(|data| !data.is_empty()) else {
        return Ok(());
    };
    let data = STANDARD.decode(encoded).ok().ok_or_else(|| {
        let message = "Incorrect UserData format. Use the Base64-encoded format.";
        Refusal::new("InvalidParameterValue.InvalidUserDataFormat", message)
    })?;
    if data.len() > USER_DATA_MAX {
        let message = format!("`UserData` has more than {USER_DATA_MAX} bytes.");
        return Err(Refusal::new("InvalidParameterValue.TooLarge", message));
    }
    if !image.cloud_init {
        let message = format!(
            "`UserData` needs cloud-init, which the image `{}` has not.",
            image.id
        );
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    Ok(())
}

fn metadata(request: &RunInstances) -> Result<(), Refusal> {
    let items = request
        .metadata
        .as_ref()
        .map(|metadata| metadata.items.as_slice());
    for item in items.unwrap_or_default() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let length = item.key.len();
        if length == 0 || length > METADATA_KEY_MAX || !item.key.bytes().all(plain) {
            return Err(invalid(
                "Metadata.Items.Key",
                "must be 1 to 128 of A-Z a-z 0-9 _ -",
            ));
        }
        if item.value.len() > METADATA_VALUE_MAX {
            let message = "`Metadata.Items.Value` has more than 256 KiB.";
            return Err(Refusal::new("InvalidParameterValue.TooLarge", message));
        }
    }
    Ok(())
}

fn cam_role(catalog: &Catalog, request: &RunInstances) -> Result<(), Refusal> {
    let Some(role) = request
        .cam_role_name
        .as_deref()
        .filter(|role| !role.is_empty())
    else {
        return Ok(());
    };
    if !role
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c))
    {
        let message = format!("The CAM role name `{role}` is malformed.");
        return Err(Refusal::new(
            "InvalidParameterValue.CamRoleNameMalformed",
            message,
        ));
    }
    if !catalog.account.cam_roles.contains(role) {
        let message = format!("The CAM role `{role}` does not exist or does not trust CVM.");
        return Err(Refusal::new(
            "AuthFailure.CamRoleNameAuthenticateFailed",
            message,
        ));
    }
    if request.virtual_private_cloud.is_none() && request.network_interfaces.is_none() {
        return Err(missing("VirtualPrivateCloud")); // a role is handed out inside a VPC only
    }
    Ok(())
}
