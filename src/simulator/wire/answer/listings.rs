//! The answers that list what there is: images, models, key pairs, attributes of machines.

use super::Tag;
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Images {
    pub(crate) image_set: Vec<Image>,
    pub(crate) total_count: usize,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Image {
    pub(crate) image_id: String,
    pub(crate) os_name: String,
    pub(crate) image_type: &'static str,
    pub(crate) created_time: &'static str,
    pub(crate) image_name: String,
    pub(crate) image_description: &'static str,
    pub(crate) image_size: i64,
    pub(crate) architecture: &'static str,
    pub(crate) image_state: &'static str,
    pub(crate) platform: String,
    pub(crate) image_creator: &'static str,
    pub(crate) image_source: &'static str,
    pub(crate) sync_percent: Option<i64>,
    pub(crate) is_support_cloudinit: bool,
    pub(crate) snapshot_set: [(); 0],
    pub(crate) tags: Vec<Tag>,
    pub(crate) license_type: &'static str,
    pub(crate) image_family: &'static str,
    pub(crate) image_deprecated: bool,
    pub(crate) cdc_cache_status: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceTypeConfigs {
    pub(crate) instance_type_config_set: Vec<InstanceTypeConfig>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceTypeConfig {
    pub(crate) zone: String,
    pub(crate) instance_type: String,
    pub(crate) instance_family: String,
    #[serde(rename = "GPU")]
    pub(crate) gpu: i64,
    #[serde(rename = "CPU")]
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    #[serde(rename = "FPGA")]
    pub(crate) fpga: i64,
    pub(crate) gpu_count: f64,
    pub(crate) gpu_type: String,
    pub(crate) gpu_memory: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceFamilies {
    pub(crate) instance_family_config_set: Vec<InstanceFamily>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceFamily {
    pub(crate) instance_family_name: String,
    pub(crate) instance_family: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyPairs {
    pub(crate) total_count: usize,
    pub(crate) key_pair_set: Vec<KeyPair>,
}

/// The cloud keeps no private key.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyPair {
    pub(crate) key_id: String,
    pub(crate) key_name: String,
    pub(crate) project_id: i64,
    pub(crate) description: &'static str,
    pub(crate) public_key: String,
    pub(crate) private_key: Option<String>,
    pub(crate) associated_instance_ids: Vec<String>,
    pub(crate) created_time: &'static str,
    pub(crate) tags: Vec<Tag>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstancesAttributes {
    pub(crate) instance_set: Vec<InstanceAttributes>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceAttributes {
    pub(crate) instance_id: String,
    pub(crate) attributes: Attributes,
}

/// User data may hold secrets: nothing of this is ever printed.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attributes {
    pub(crate) user_data: String,
}
