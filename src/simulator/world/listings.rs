//! Lists what there is: images, models, families, key pairs, and attributes of machines.

use super::offers::{each_value, passes, whole_gpus};
use super::{Call, World, query, region};
use crate::simulator::catalog::{Image, InstanceType};
use crate::simulator::validate::{self, has_shape, invalid, too_many};
use crate::simulator::wire::{
    DescribeImages, DescribeInstancesAttributes, DescribeKeyPairs, Filter, Filtered, Refusal,
    answer,
};
use std::collections::BTreeSet;

/// Ids of one listing.
const IDS_MAX: usize = 100;
/// One value for each filter.
const MODEL_FILTERS: query::Bounds = query::Bounds {
    filters: 10,
    values: 1,
};
/// When everything was made that was there before the world began.
const LONG_AGO: &str = "2020-10-22T00:00:00Z";

impl World {
    pub(in crate::simulator) fn describe_images(
        &self,
        call: &Call<'_>,
        request: &DescribeImages,
    ) -> Result<answer::Images, Refusal> {
        region(&self.catalog, call)?;
        let ids = request.image_ids.as_deref().unwrap_or_default();
        let filters = request.filters.as_deref().unwrap_or_default();
        if !ids.is_empty() && !filters.is_empty() {
            let code = "InvalidParameter.InvalidParameterCoexistImageIdsFilters";
            let message = "`ImageIds` and `Filters` exclude each other.";
            return Err(Refusal::new(code, message));
        }
        check_ids(ids, "ImageIds", "img-", "InvalidImageId.Malformed")?;
        query::bounded(filters, query::INSTANCES)?;
        for (filter, value) in each_value(filters) {
            let (sound, code) = match filter.name.as_str() {
                "image-id" => (has_shape(value, "img-"), "InvalidImageId.Malformed"),
                "image-type" | "image-name" | "platform" | "tag-key" | "tag-value" => (true, ""),
                name => (name.starts_with("tag:"), "InvalidFilter"),
            };
            query::refuse_unless(sound, code, &filter.name, value)?;
        }
        let kind = request.instance_type.as_deref();
        let kind = kind.map(|name| self.named_type(name)).transpose()?;
        let page = query::Page::new(request.offset, request.limit)?;
        let images = self.catalog.images.iter();
        let images = images.filter(|image| ids.is_empty() || ids.contains(&image.id));
        let images = images.filter(|image| kind.is_none_or(|kind| kind.arm == image.arm));
        let images = images.map(shown_image);
        let images: Vec<_> = images
            .filter(|image| image_passes(filters, image))
            .collect();
        Ok(answer::Images {
            total_count: images.len(),
            image_set: page.of(images).collect(),
        })
    }

    pub(in crate::simulator) fn describe_instance_type_configs(
        &self,
        call: &Call<'_>,
        request: &Filtered,
    ) -> Result<answer::InstanceTypeConfigs, Refusal> {
        let region = region(&self.catalog, call)?;
        let filters = request.filters.as_deref().unwrap_or_default();
        query::bounded(filters, MODEL_FILTERS)?;
        for (filter, value) in each_value(filters) {
            let (sound, code) = match filter.name.as_str() {
                "zone" => (region.zone(value).is_some(), "InvalidZone.MismatchRegion"),
                "instance-type" => {
                    let sound = validate::is_type_name(value);
                    (sound, "InvalidInstanceType.Malformed")
                }
                name => (name == "instance-family", "InvalidFilter"),
            };
            query::refuse_unless(sound, code, &filter.name, value)?;
        }
        let zones = region.zones.iter();
        let zones = zones.filter(|zone| zone.available && passes(filters, "zone", &zone.id));
        let models = zones.flat_map(|zone| {
            let kinds = self.catalog.instance_types.iter();
            let kinds = kinds.filter(|kind| kind.stock(&zone.id).is_some());
            kinds.map(|kind| shown_model(&zone.id, kind))
        });
        let models = models.filter(|model| {
            passes(filters, "instance-type", &model.instance_type)
                && passes(filters, "instance-family", &model.instance_family)
        });
        Ok(answer::InstanceTypeConfigs {
            instance_type_config_set: models.collect(),
        })
    }

    pub(in crate::simulator) fn describe_instance_family_configs(
        &self,
        call: &Call<'_>,
    ) -> Result<answer::InstanceFamilies, Refusal> {
        region(&self.catalog, call)?;
        let mut seen = BTreeSet::new();
        let kinds = self.catalog.instance_types.iter();
        let families = kinds.map(InstanceType::family);
        let families = families.filter(|family| seen.insert(*family));
        let families = families.map(|family| answer::InstanceFamily {
            instance_family_name: format!("Standard {family}"),
            instance_family: family.to_owned(),
        });
        Ok(answer::InstanceFamilies {
            instance_family_config_set: families.collect(),
        })
    }

    pub(in crate::simulator) fn describe_key_pairs(
        &mut self,
        call: &Call<'_>,
        request: &DescribeKeyPairs,
    ) -> Result<answer::KeyPairs, Refusal> {
        self.settle(call.now);
        region(&self.catalog, call)?;
        let ids = request.key_ids.as_deref().unwrap_or_default();
        let filters = request.filters.as_deref().unwrap_or_default();
        if !ids.is_empty() && !filters.is_empty() {
            let message = "`KeyIds` and `Filters` exclude each other.";
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        check_ids(ids, "KeyIds", "skey-", "InvalidKeyPairId.Malformed")?;
        let keys = &self.catalog.account.login_keys;
        if let Some(id) = ids.iter().find(|id| !keys.contains(*id)) {
            let message = format!("The key pair `{id}` does not exist.");
            return Err(Refusal::new("InvalidKeyPairId.NotFound", message));
        }
        query::bounded(filters, query::INSTANCES)?;
        for (filter, value) in each_value(filters) {
            let name = filter.name.as_str();
            let plain = ["project-id", "key-name", "tag-key"].contains(&name);
            let sound = plain || name.starts_with("tag:");
            query::refuse_unless(sound, "InvalidFilter", name, value)?;
        }
        let page = query::Page::new(request.offset, request.limit)?;
        let keys = keys.iter().filter(|id| ids.is_empty() || ids.contains(id));
        let keys = keys.map(|id| self.shown_key(call, id));
        let keys: Vec<_> = keys.filter(|key| key_passes(filters, key)).collect();
        Ok(answer::KeyPairs {
            total_count: keys.len(),
            key_pair_set: page.of(keys).collect(),
        })
    }

    pub(in crate::simulator) fn describe_instances_attributes(
        &mut self,
        call: &Call<'_>,
        request: &DescribeInstancesAttributes,
    ) -> Result<answer::InstancesAttributes, Refusal> {
        self.settle(call.now);
        if request.attributes.is_empty() {
            return Err(validate::missing("Attributes"));
        }
        if request.attributes.iter().any(|name| name != "UserData") {
            return Err(invalid("Attributes", "must be `UserData`"));
        }
        let found = self.all_named(call, &request.instance_ids)?;
        let shown = found.into_iter().map(|machine| answer::InstanceAttributes {
            instance_id: machine.id().to_owned(),
            attributes: answer::Attributes {
                user_data: machine.user_data().to_owned(),
            },
        });
        Ok(answer::InstancesAttributes {
            instance_set: shown.collect(),
        })
    }

    fn named_type(&self, name: &str) -> Result<&InstanceType, Refusal> {
        if !validate::is_type_name(name) {
            let message = format!("The instance type `{name}` is malformed.");
            return Err(Refusal::new("InvalidInstanceType.Malformed", message));
        }
        self.catalog.instance_type(name).ok_or_else(|| {
            let message = format!("The instance type `{name}` does not exist.");
            Refusal::new("InvalidParameterValue.InstanceTypeNotFound", message)
        })
    }

    fn shown_key(&self, call: &Call<'_>, id: &str) -> answer::KeyPair {
        let here = self.alive.iter().filter_map(|index| self.machine(*index));
        let here = here.filter(|machine| machine.region == call.region);
        let with = here.filter(|machine| {
            let keys = machine.fixed().login_settings.key_ids.as_deref();
            machine.is_shown(call.now) && keys.unwrap_or_default().iter().any(|key| key == id)
        });
        answer::KeyPair {
            key_id: id.to_owned(),
            key_name: id.trim_start_matches("skey-").to_owned(),
            project_id: 0,
            description: "",
            public_key: format!("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABmadeup {id}"),
            private_key: None,
            associated_instance_ids: with.map(|machine| machine.id().to_owned()).collect(),
            created_time: LONG_AGO,
            tags: Vec::new(),
        }
    }
}

fn check_ids(
    ids: &[String],
    path: &str,
    prefix: &str,
    malformed: &'static str,
) -> Result<(), Refusal> {
    if ids.len() > IDS_MAX {
        return Err(too_many(path, IDS_MAX));
    }
    match ids.iter().find(|id| !has_shape(id, prefix)) {
        None => Ok(()),
        Some(id) => Err(Refusal::new(malformed, format!("`{id}` is malformed."))),
    }
}

fn shown_image(image: &Image) -> answer::Image {
    let platform = image.os.split(' ').next().unwrap_or_default();
    answer::Image {
        image_id: image.id.clone(),
        os_name: image.os.clone(),
        image_type: if image.custom {
            "PRIVATE_IMAGE"
        } else {
            "PUBLIC_IMAGE"
        },
        created_time: LONG_AGO,
        image_name: image.os.clone(),
        image_description: "",
        image_size: image.size_gib,
        architecture: if image.arm { "arm" } else { "x86_64" },
        image_state: if image.busy { "SYNCING" } else { "NORMAL" },
        platform: platform.to_owned(),
        image_creator: "",
        image_source: if image.custom {
            "CREATE_IMAGE"
        } else {
            "OFFICIAL"
        },
        sync_percent: None,
        is_support_cloudinit: image.cloud_init,
        snapshot_set: [],
        tags: Vec::new(),
        license_type: "TencentCloud",
        image_family: "",
        image_deprecated: false,
        cdc_cache_status: "",
    }
}

/// No image has tags.
fn image_passes(filters: &[Filter], image: &answer::Image) -> bool {
    let tagged = |filter: &Filter| filter.name.starts_with("tag");
    passes(filters, "image-id", &image.image_id)
        && passes(filters, "image-type", image.image_type)
        && passes(filters, "image-name", &image.image_name)
        && passes(filters, "platform", &image.platform)
        && !filters.iter().any(tagged)
}

fn shown_model(zone: &str, kind: &InstanceType) -> answer::InstanceTypeConfig {
    let gpu = kind.gpu.as_ref();
    let count = gpu.map_or(0.0, |gpu| gpu.count);
    answer::InstanceTypeConfig {
        zone: zone.to_owned(),
        instance_type: kind.name.clone(),
        instance_family: kind.family().to_owned(),
        gpu: whole_gpus(count),
        cpu: kind.cpu,
        memory: kind.memory_gib,
        fpga: 0,
        gpu_count: count,
        gpu_type: gpu.map(|gpu| gpu.model.clone()).unwrap_or_default(),
        gpu_memory: if count > 0.0 { 16.0 } else { 0.0 },
    }
}

/// No key pair has tags.
fn key_passes(filters: &[Filter], key: &answer::KeyPair) -> bool {
    let tagged = |filter: &Filter| filter.name.starts_with("tag");
    passes(filters, "key-name", &key.key_name)
        && passes(filters, "project-id", &key.project_id.to_string())
        && !filters.iter().any(tagged)
}

#[cfg(test)]
mod tests {
    use crate::simulator::world::tests::{Fixture, check_members};
    use serde_json::{Value, json};

    fn contract() -> Value {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/testdata/contract/cvm-contract.json"
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// The ids that DescribeImages shows.
    fn images(body: Value) -> Result<Vec<String>, &'static str> {
        let answer = Fixture::new().ask("DescribeImages", &body)?;
        let set = answer["ImageSet"].as_array().unwrap();
        for image in set {
            check_members(&contract(), "Image", image);
        }
        let ids = set
            .iter()
            .map(|image| image["ImageId"].as_str().unwrap().to_owned());
        Ok(ids.collect())
    }

    fn filter(name: &str, value: &str) -> Value {
        json!({"Filters": [{"Name": name, "Values": [value]}]})
    }

    #[test]
    fn images_are_found() {
        assert_eq!(images(json!({})).unwrap().len(), 10);
        assert_eq!(images(json!({"Offset": 9})).unwrap().len(), 1);
        let ids = json!({"ImageIds": ["img-pmqg1cw7", "img-00000000"]});
        assert_eq!(images(ids), Ok(vec!["img-pmqg1cw7".to_owned()]));
        assert_eq!(
            images(filter("platform", "Windows")),
            Ok(vec!["img-9id7emv7".to_owned()])
        );
        assert_eq!(
            images(filter("image-type", "PRIVATE_IMAGE")).unwrap().len(),
            4
        );
        assert_eq!(images(filter("tag:env", "dev")).unwrap().len(), 0);
        let arm = images(json!({"InstanceType": "SR1.MEDIUM4"}));
        assert_eq!(arm, Ok(vec!["img-arm64aaa".to_owned()]));
        let rows = [
            (
                json!({"InstanceType": "S99.SMALL1"}),
                "InvalidParameterValue.InstanceTypeNotFound",
            ),
            (
                json!({"InstanceType": "S99"}),
                "InvalidInstanceType.Malformed",
            ),
            (json!({"ImageIds": ["image"]}), "InvalidImageId.Malformed"),
            (json!({"Limit": 101}), "InvalidParameterValue"),
            (filter("colour", "red"), "InvalidFilter"),
            (
                json!({"ImageIds": ["img-pmqg1cw7"], "Filters": [{"Name": "platform", "Values": ["CentOS"]}]}),
                "InvalidParameter.InvalidParameterCoexistImageIdsFilters",
            ),
        ];
        for (body, code) in rows {
            assert_eq!(images(body.clone()), Err(code), "{body}");
        }
    }

    #[test]
    fn models_and_families_are_found() {
        let mut cloud = Fixture::new();
        let mut models = |body: &Value| {
            let answer = cloud.ask("DescribeInstanceTypeConfigs", body)?;
            Ok(answer["InstanceTypeConfigSet"].as_array().unwrap().clone())
        };
        let gpu = models(&filter("instance-family", "GN7")).unwrap();
        assert_eq!(gpu.len(), 2);
        check_members(&contract(), "InstanceTypeConfig", &gpu[0]);
        assert_eq!(
            (&gpu[0]["GPU"], &gpu[0]["GpuType"]),
            (&json!(1), &json!("Tesla T4"))
        );
        assert_eq!(
            models(&filter("instance-type", "S5.SMALL1")).unwrap().len(),
            4
        );
        for (name, value, code) in [
            ("zone", "ap-guangzhou-3", "InvalidZone.MismatchRegion"),
            ("instance-type", "S5", "InvalidInstanceType.Malformed"),
            ("instance-charge-type", "PREPAID", "InvalidFilter"),
        ] {
            assert_eq!(models(&filter(name, value)), Err(code), "{name}");
        }
        let two =
            json!({"Filters": [{"Name": "zone", "Values": ["ap-shanghai-2", "ap-shanghai-4"]}]});
        assert_eq!(models(&two), Err("InvalidFilterValue.LimitExceeded"));
        let families = cloud
            .ask("DescribeInstanceFamilyConfigs", &json!({}))
            .unwrap();
        let families = families["InstanceFamilyConfigSet"].as_array().unwrap();
        let first = json!({"InstanceFamilyName": "Standard S1", "InstanceFamily": "S1"});
        assert_eq!(families[0], first);
        let s5 = families
            .iter()
            .filter(|family| family["InstanceFamily"] == "S5");
        assert_eq!(s5.count(), 1);
    }

    #[test]
    fn key_pairs_tell_their_machines() {
        let mut cloud = Fixture::new();
        let with_key = json!({"LoginSettings": {"KeyIds": ["skey-laptop01"]}, "InstanceCount": 2});
        let ids = cloud.run(with_key).unwrap();
        let mut keys = |body: Value| {
            let answer = cloud.ask("DescribeKeyPairs", &body)?;
            let set = answer["KeyPairSet"].as_array().unwrap().clone();
            assert_eq!(answer["TotalCount"], set.len());
            Ok(set)
        };
        assert_eq!(keys(json!({})).unwrap().len(), 2);
        let laptop = keys(filter("key-name", "laptop01")).unwrap();
        assert_eq!(laptop[0]["AssociatedInstanceIds"], json!(ids));
        assert_eq!(laptop[0]["PrivateKey"], Value::Null);
        let rows = [
            (json!({"KeyIds": ["key"]}), "InvalidKeyPairId.Malformed"),
            (
                json!({"KeyIds": ["skey-00000000"]}),
                "InvalidKeyPairId.NotFound",
            ),
            (filter("colour", "red"), "InvalidFilter"),
        ];
        for (body, code) in rows {
            assert_eq!(keys(body.clone()), Err(code), "{body}");
        }
    }

    #[test]
    fn user_data_comes_back_only_to_who_asks_for_it() {
        let mut cloud = Fixture::new();
        let ids = cloud.run(json!({"UserData": "Q2FuYXJ5"})).unwrap();
        let mut ask = |attribute: &str, ids: &[&str]| {
            let body = json!({"Attributes": [attribute], "InstanceIds": ids});
            cloud.ask("DescribeInstancesAttributes", &body)
        };
        let told = ask("UserData", &[&ids[0]]).unwrap();
        let expected = json!([{"InstanceId": ids[0], "Attributes": {"UserData": "Q2FuYXJ5"}}]);
        assert_eq!(told["InstanceSet"], expected);
        assert_eq!(ask("Password", &[&ids[0]]), Err("InvalidParameterValue"));
        assert_eq!(
            ask("UserData", &["ins-00000000"]),
            Err("InvalidInstanceId.NotFound")
        );
        assert!(!format!("{:?}", cloud.world()).contains("Q2FuYXJ5"));
    }
}
