//! The requests of the neighbouring services: disks, tags, networks, temporary keys.

use super::{Filter, answer::Tag};
use secrecy::SecretString;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeDisks {
    pub(in crate::simulator) disk_ids: Option<Vec<String>>,
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
    #[expect(dead_code, reason = "disks are shown in the order of their machines")]
    order_field: Option<String>,
    #[expect(dead_code, reason = "disks are shown in the order of their machines")]
    order: Option<String>,
    #[expect(dead_code, reason = "no fake disk has a policy")]
    return_bind_auto_snapshot_policy: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeResourceTagsByResourceIds {
    pub(in crate::simulator) service_type: String,
    pub(in crate::simulator) resource_prefix: String,
    pub(in crate::simulator) resource_ids: Vec<String>,
    pub(in crate::simulator) resource_region: String,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
    #[expect(dead_code, reason = "all fake tags are of one category")]
    category: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeUsedIpAddress {
    pub(in crate::simulator) vpc_id: String,
    pub(in crate::simulator) subnet_id: Option<String>,
    pub(in crate::simulator) ip_addresses: Option<Vec<String>>,
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeVpcs {
    pub(in crate::simulator) vpc_ids: Option<Vec<String>>,
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeSubnets {
    pub(in crate::simulator) subnet_ids: Option<Vec<String>>,
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeSecurityGroups {
    pub(in crate::simulator) security_group_ids: Option<Vec<String>>,
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
    #[expect(dead_code, reason = "groups are shown in the catalogue's order")]
    order_field: Option<String>,
    #[expect(dead_code, reason = "groups are shown in the catalogue's order")]
    order_direction: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct AssumeRole {
    pub(in crate::simulator) role_arn: String,
    pub(in crate::simulator) role_session_name: String,
    pub(in crate::simulator) duration_seconds: Option<i64>,
    #[expect(dead_code, reason = "the fake account forbids nothing")]
    policy: Option<String>,
    #[expect(dead_code, reason = "roles trust everybody here")]
    external_id: Option<String>,
    #[expect(dead_code, reason = "no fake policy looks at tags")]
    tags: Option<Vec<Tag>>,
    #[expect(dead_code, reason = "no fake audit asks for it")]
    source_identity: Option<String>,
    #[expect(dead_code, reason = "no fake role asks for a second factor")]
    serial_number: Option<String>,
    #[expect(dead_code, reason = "no fake role asks for a second factor")]
    token_code: Option<SecretString>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct AssumeRoleWithWebIdentity {
    #[expect(dead_code, reason = "every provider is known")]
    provider_id: String,
    pub(in crate::simulator) web_identity_token: SecretString,
    pub(in crate::simulator) role_arn: String,
    pub(in crate::simulator) role_session_name: String,
    pub(in crate::simulator) duration_seconds: Option<i64>,
}
