//! The answers about what the cloud offers: prices, stock, quotas.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PriceAnswer {
    pub(crate) price: Price,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Price {
    pub(crate) instance_price: ItemPrice,
    pub(crate) bandwidth_price: ItemPrice,
}

/// Zero is what the API writes for a price that does not apply.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ItemPrice {
    pub(crate) unit_price: f64,
    pub(crate) charge_unit: &'static str,
    pub(crate) original_price: f64,
    pub(crate) discount_price: f64,
    pub(crate) discount: f64,
    pub(crate) unit_price_discount: f64,
    pub(crate) unit_price_second_step: f64,
    pub(crate) unit_price_discount_second_step: f64,
    pub(crate) unit_price_third_step: f64,
    pub(crate) unit_price_discount_third_step: f64,
    pub(crate) original_price_three_year: f64,
    pub(crate) discount_price_three_year: f64,
    pub(crate) discount_three_year: f64,
    pub(crate) original_price_five_year: f64,
    pub(crate) discount_price_five_year: f64,
    pub(crate) discount_five_year: f64,
    pub(crate) original_price_one_year: f64,
    pub(crate) discount_price_one_year: f64,
    pub(crate) discount_one_year: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceTypeQuotas {
    pub(crate) instance_type_quota_set: Vec<InstanceTypeQuota>,
}

/// One model of one zone with one way to pay it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceTypeQuota {
    pub(crate) zone: String,
    pub(crate) instance_type: String,
    pub(crate) instance_charge_type: &'static str,
    pub(crate) network_card: i64,
    pub(crate) externals: Externals,
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) instance_family: String,
    pub(crate) type_name: String,
    pub(crate) local_disk_type_list: Vec<LocalDiskType>,
    pub(crate) status: &'static str,
    pub(crate) price: ItemPrice,
    pub(crate) sold_out_reason: &'static str,
    pub(crate) instance_bandwidth: f64,
    pub(crate) instance_pps: i64,
    pub(crate) storage_block_amount: i64,
    pub(crate) cpu_type: &'static str,
    pub(crate) gpu: i64,
    pub(crate) fpga: i64,
    pub(crate) remark: &'static str,
    pub(crate) gpu_count: f64,
    pub(crate) frequency: &'static str,
    pub(crate) status_category: &'static str,
}

/// Nothing that a fake machine has.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Externals {}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LocalDiskType {
    #[serde(rename = "Type")]
    pub(crate) class: String,
    pub(crate) partition_type: &'static str,
    pub(crate) min_size: i64,
    pub(crate) max_size: i64,
    pub(crate) required: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountQuotaAnswer {
    pub(crate) app_id: u64,
    pub(crate) account_quota_overview: AccountQuotaOverview,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountQuotaOverview {
    pub(crate) region: String,
    pub(crate) account_quota: AccountQuota,
}

/// Sets that a filter leaves out are empty.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountQuota {
    pub(crate) post_paid_quota_set: Vec<ZoneQuota>,
    pub(crate) pre_paid_quota_set: Vec<PrePaidQuota>,
    pub(crate) spot_paid_quota_set: Vec<ZoneQuota>,
    pub(crate) image_quota_set: Vec<ImageQuota>,
    pub(crate) disaster_recover_group_quota_set: Vec<GroupQuota>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ZoneQuota {
    pub(crate) used_quota: u32,
    pub(crate) remaining_quota: u32,
    pub(crate) total_quota: u32,
    pub(crate) zone: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PrePaidQuota {
    pub(crate) used_quota: u32,
    pub(crate) once_quota: u32,
    pub(crate) remaining_quota: u32,
    pub(crate) total_quota: u32,
    pub(crate) zone: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ImageQuota {
    pub(crate) used_quota: usize,
    pub(crate) total_quota: u32,
}

/// How many placement groups there may be, and how many machines in one of each kind.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GroupQuota {
    pub(crate) group_quota: u32,
    pub(crate) current_num: usize,
    pub(crate) cvm_in_host_group_quota: u32,
    pub(crate) cvm_in_switch_group_quota: u32,
    pub(crate) cvm_in_rack_group_quota: u32,
}
