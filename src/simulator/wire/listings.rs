//! The requests about machines that exist, and those that list what there is.

use super::Filter;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct StartInstances {
    pub(in crate::simulator) instance_ids: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct StopInstances {
    pub(in crate::simulator) instance_ids: Vec<String>,
    pub(in crate::simulator) force_stop: Option<bool>,
    pub(in crate::simulator) stop_type: Option<String>,
    pub(in crate::simulator) stopped_mode: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct RebootInstances {
    pub(in crate::simulator) instance_ids: Vec<String>,
    pub(in crate::simulator) force_reboot: Option<bool>,
    pub(in crate::simulator) stop_type: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeInstancesAttributes {
    pub(in crate::simulator) attributes: Vec<String>,
    pub(in crate::simulator) instance_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeImages {
    pub(in crate::simulator) image_ids: Option<Vec<String>>,
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
    pub(in crate::simulator) instance_type: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(in crate::simulator) struct DescribeKeyPairs {
    pub(in crate::simulator) key_ids: Option<Vec<String>>,
    pub(in crate::simulator) filters: Option<Vec<Filter>>,
    pub(in crate::simulator) offset: Option<i64>,
    pub(in crate::simulator) limit: Option<i64>,
}
