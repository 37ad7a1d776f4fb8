//! The fields of a launch that layers can speak of, by their names in the proto.

use super::value::{Kind, Value};
use crate::domain::request::{Alternative, Wish};
use crate::domain::secret::Secret;
use crate::domain::spec::{InstanceSpec, Tag, TagSpecification};

/// A field of `InstanceSpec`.
#[derive(Debug)]
pub(super) struct Field {
    /// From the specification on, as in `system_disk.encrypt`.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    find: Find,
}

/// How to find a field in a specification.
#[derive(Debug)]
enum Find {
    /// With `true` what it is part of is made where it is missing.
    One(for<'a> fn(&'a mut InstanceSpec, bool) -> Option<Slot<'a>>),
    /// The alternatives of a launch may replace it, by this member.
    Place(
        for<'a> fn(&'a mut InstanceSpec, bool) -> Option<Slot<'a>>,
        &'static str,
        fn(&mut Alternative) -> &mut Option<String>,
    ),
    /// It is one of each message in a list, of which there may be none.
    Each(for<'a> fn(&'a mut InstanceSpec) -> Vec<Slot<'a>>),
}

/// What a layer speaks of.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Field(&'static Field),
    /// The tag with this key.
    Tag(String),
}

/// One place of a field in a request.
pub(super) struct Found<'a> {
    /// As in `spec.data_disks[1].encrypt`.
    pub(super) path: String,
    pub(super) slot: Slot<'a>,
}

/// Where a value is.
pub(super) enum Slot<'a> {
    Text(&'a mut Option<String>),
    /// Required where it is: empty means unset.
    Required(&'a mut String),
    Number(&'a mut Option<i64>),
    /// Required where it is: zero means unset.
    Count(&'a mut i64),
    Natural(&'a mut Option<u64>),
    Flag(&'a mut Option<bool>),
    Texts(&'a mut Vec<String>),
    Secret(&'a mut Option<Secret>),
    Tag(&'a mut TagSpecification, &'a str),
}

impl Target {
    /// Its name in a file of a layer.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Field(field) => field.path.to_owned(),
            Self::Tag(key) => format!("tags.{key}"),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Field(field) => field.kind,
            Self::Tag(_) => Kind::Text,
        }
    }

    /// The key, of a tag.
    pub(super) fn tag(&self) -> Option<&str> {
        match self {
            Self::Field(_) => None,
            Self::Tag(key) => Some(key),
        }
    }

    pub(super) fn is_each(&self) -> bool {
        matches!(self, Self::Field(field) if matches!(field.find, Find::Each(_)))
    }

    /// Where it is in a request; with `make` also where it would be.
    pub(super) fn find<'a>(&'a self, wish: &'a mut Wish, make: bool) -> Vec<Found<'a>> {
        match self {
            Self::Field(field) => field.find(wish, make),
            Self::Tag(key) => tag(&mut wish.spec, key, make),
        }
    }
}

impl Field {
    /// The one of that path.
    pub(super) fn named(path: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|field| field.path == path)
    }

    /// Whether it is a message, of which layers know fields.
    pub(super) fn is_message(path: &str) -> bool {
        let part = format!("{path}.");
        FIELDS.iter().any(|field| field.path.starts_with(&part))
    }

    fn find<'a>(&self, wish: &'a mut Wish, make: bool) -> Vec<Found<'a>> {
        let Wish {
            spec, alternatives, ..
        } = wish;
        match self.find {
            Find::One(find) => self.one(find(spec, make)).collect(),
            Find::Place(find, name, member) => {
                let others = alternatives.iter_mut().map(member).enumerate();
                let others = others.filter(|(_, value)| value.is_some());
                let others = others.map(|(index, value)| Found {
                    path: format!("alternatives[{index}].{name}"),
                    slot: Slot::Text(value),
                });
                self.one(find(spec, make)).chain(others).collect()
            }
            Find::Each(find) => {
                let (list, member) = self.path.split_once('.').unwrap_or_default();
                let slots = find(spec).into_iter().enumerate();
                let found = slots.map(|(index, slot)| Found {
                    path: format!("spec.{list}[{index}].{member}"),
                    slot,
                });
                found.collect()
            }
        }
    }

    fn one<'a>(&self, slot: Option<Slot<'a>>) -> impl Iterator<Item = Found<'a>> {
        let name = match self.kind == Kind::Prefix {
            true => self.path.trim_end_matches("_prefix"),
            false => self.path,
        };
        let path = format!("spec.{name}");
        slot.into_iter().map(move |slot| Found {
            path: path.clone(),
            slot,
        })
    }
}

impl Slot<'_> {
    /// What is there; nothing when it is unset.
    pub(super) fn get(&self) -> Option<Value> {
        match self {
            Self::Text(text) => (**text).clone().map(Value::Text),
            Self::Required(text) => Some((**text).clone())
                .filter(|text| !text.is_empty())
                .map(Value::Text),
            Self::Number(number) => (**number).map(Value::Number),
            Self::Count(number) => Some(**number)
                .filter(|number| *number != 0)
                .map(Value::Number),
            Self::Natural(number) => {
                number.map(|number| Value::Number(i64::try_from(number).unwrap_or(i64::MAX)))
            }
            Self::Flag(flag) => (**flag).map(Value::Flag),
            Self::Texts(texts) => Some((**texts).clone())
                .filter(|texts| !texts.is_empty())
                .map(Value::Texts),
            Self::Secret(secret) => (**secret).clone().map(Value::Secret),
            Self::Tag(of, key) => {
                let tag = of.tags.iter().find(|tag| tag.key == *key);
                tag.map(|tag| Value::Text(tag.value.clone()))
            }
        }
    }

    /// Puts a value there. One of another type changes nothing: types are checked when layers are read.
    pub(super) fn put(self, value: Value) {
        match (self, value) {
            (Self::Text(slot), Value::Text(text)) => *slot = Some(text),
            (Self::Required(slot), Value::Text(text)) => *slot = text,
            (Self::Number(slot), Value::Number(number)) => *slot = Some(number),
            (Self::Count(slot), Value::Number(number)) => *slot = number,
            (Self::Natural(slot), Value::Number(number)) => *slot = u64::try_from(number).ok(),
            (Self::Flag(slot), Value::Flag(flag)) => *slot = Some(flag),
            (Self::Texts(slot), Value::Texts(texts)) => *slot = texts,
            (Self::Secret(slot), Value::Secret(secret)) => *slot = Some(secret),
            (Self::Tag(of, key), Value::Text(value)) => {
                match of.tags.iter_mut().find(|tag| tag.key == key) {
                    Some(tag) => tag.value = value,
                    None => of.tags.push(Tag {
                        key: key.to_owned(),
                        value,
                    }),
                }
            }
            (_, _) => {}
        }
    }
}

fn tag<'a>(spec: &'a mut InstanceSpec, key: &'a str, make: bool) -> Vec<Found<'a>> {
    let specifications = &mut spec.tag_specification;
    if make && specifications.is_empty() {
        specifications.push(TagSpecification {
            resource_type: "instance".to_owned(),
            tags: Vec::new(),
        });
    }
    let found = specifications.first_mut().map(|of| {
        let at = of.tags.iter().position(|tag| tag.key == key);
        let (index, member) = match at {
            Some(index) => (index, ".value"),
            None => (of.tags.len(), ""),
        };
        Found {
            path: format!("spec.tag_specification[0].tags[{index}]{member}"),
            slot: Slot::Tag(of, key),
        }
    });
    found.into_iter().collect()
}

/// The message in `of`, made if it is to be.
fn part<T: Default>(of: &mut Option<T>, make: bool) -> Option<&mut T> {
    if make {
        Some(of.get_or_insert_default())
    } else {
        of.as_mut()
    }
}

/// A field by its path, of that kind, in a slot of that name.
macro_rules! field {
    ($kind:ident $slot:ident $member:ident) => {
        Field {
            path: stringify!($member),
            kind: Kind::$kind,
            find: Find::One(|spec, _| Some(Slot::$slot(&mut spec.$member))),
        }
    };
    ($kind:ident $slot:ident $message:ident.$member:ident) => {
        Field {
            path: concat!(stringify!($message), ".", stringify!($member)),
            kind: Kind::$kind,
            find: Find::One(|spec, make| {
                Some(Slot::$slot(&mut part(&mut spec.$message, make)?.$member))
            }),
        }
    };
    ($kind:ident $slot:ident $outer:ident.$message:ident.$member:ident) => {
        Field {
            path: concat!(
                stringify!($outer),
                ".",
                stringify!($message),
                ".",
                stringify!($member)
            ),
            kind: Kind::$kind,
            find: Find::One(|spec, make| {
                let outer = part(&mut spec.$outer, make)?;
                Some(Slot::$slot(&mut part(&mut outer.$message, make)?.$member))
            }),
        }
    };
}

/// The same, of each message in a list.
macro_rules! each {
    ($kind:ident $slot:ident $list:ident.$member:ident) => {
        Field {
            path: concat!(stringify!($list), ".", stringify!($member)),
            kind: Kind::$kind,
            find: Find::Each(|spec| {
                let slots = spec.$list.iter_mut();
                slots.map(|of| Slot::$slot(&mut of.$member)).collect()
            }),
        }
    };
}

/// Every field that has a value of its own, in the order of the proto.
pub(super) static FIELDS: &[Field] = &[
    field!(Text Text instance_charge_type),
    field!(Number Count instance_charge_prepaid.period),
    field!(Text Text instance_charge_prepaid.renew_flag),
    Field {
        path: "placement.zone",
        kind: Kind::Text,
        find: Find::Place(
            |spec, make| Some(Slot::Required(&mut part(&mut spec.placement, make)?.zone)),
            "zone",
            |alternative| &mut alternative.zone,
        ),
    },
    field!(Number Number placement.project_id),
    field!(Texts Texts placement.host_ids),
    field!(Text Text placement.dedicated_resource_pack_tenancy),
    field!(Texts Texts placement.dedicated_resource_pack_ids),
    Field {
        path: "instance_type",
        kind: Kind::Text,
        find: Find::Place(
            |spec, _| Some(Slot::Text(&mut spec.instance_type)),
            "instance_type",
            |alternative| &mut alternative.instance_type,
        ),
    },
    field!(Text Text image_id),
    field!(Text Text system_disk.disk_type),
    field!(Number Number system_disk.disk_size),
    field!(Text Text system_disk.cdc_id),
    field!(Text Text system_disk.disk_name),
    field!(Flag Flag system_disk.encrypt),
    field!(Text Text system_disk.kms_key_id),
    each!(Number Count data_disks.disk_size),
    each!(Text Text data_disks.disk_type),
    each!(Flag Flag data_disks.delete_with_instance),
    each!(Text Text data_disks.snapshot_id),
    each!(Flag Flag data_disks.encrypt),
    each!(Text Text data_disks.kms_key_id),
    each!(Number Number data_disks.throughput_performance),
    each!(Text Text data_disks.cdc_id),
    each!(Flag Flag data_disks.burst_performance),
    each!(Text Text data_disks.disk_name),
    field!(Text Required virtual_private_cloud.vpc_id),
    Field {
        path: "virtual_private_cloud.subnet_id",
        kind: Kind::Text,
        find: Find::Place(
            |spec, make| {
                Some(Slot::Required(
                    &mut part(&mut spec.virtual_private_cloud, make)?.subnet_id,
                ))
            },
            "subnet_id",
            |alternative| &mut alternative.subnet_id,
        ),
    },
    field!(Flag Flag virtual_private_cloud.as_vpc_gateway),
    field!(Texts Texts virtual_private_cloud.private_ip_addresses),
    field!(Number Natural virtual_private_cloud.ipv6_address_count),
    field!(Text Text internet_accessible.internet_charge_type),
    field!(Number Number internet_accessible.internet_max_bandwidth_out),
    field!(Flag Flag internet_accessible.public_ip_assigned),
    field!(Text Text internet_accessible.bandwidth_package_id),
    field!(Text Text internet_accessible.internet_service_provider),
    field!(Text Text internet_accessible.ipv4_address_type),
    field!(Text Text internet_accessible.ipv6_address_type),
    field!(Text Text internet_accessible.anti_ddos_package_id),
    field!(Number Number instance_count),
    field!(Number Number min_count),
    field!(Text Text instance_name),
    Field {
        path: "instance_name_prefix",
        kind: Kind::Prefix,
        find: Find::One(|spec, _| Some(Slot::Text(&mut spec.instance_name))),
    },
    field!(Secret Secret login_settings.password),
    field!(Texts Texts login_settings.key_ids),
    field!(Text Text login_settings.keep_image_login),
    field!(Texts Texts security_group_ids),
    field!(Flag Flag enhanced_service.security_service.enabled),
    field!(Flag Flag enhanced_service.monitor_service.enabled),
    field!(Flag Flag enhanced_service.automation_service.enabled),
    field!(Text Text host_name),
    field!(Text Text action_timer.timer_action),
    field!(Time Text action_timer.action_time),
    field!(Texts Texts disaster_recover_group_ids),
    Field {
        path: "instance_market_options.spot_options.max_price",
        kind: Kind::Text,
        find: Find::One(|spec, make| {
            let options = part(&mut spec.instance_market_options, make)?;
            Some(Slot::Required(&mut options.spot_options.max_price))
        }),
    },
    Field {
        path: "instance_market_options.spot_options.spot_instance_type",
        kind: Kind::Text,
        find: Find::One(|spec, make| {
            let options = part(&mut spec.instance_market_options, make)?;
            Some(Slot::Text(&mut options.spot_options.spot_instance_type))
        }),
    },
    field!(Text Text instance_market_options.market_type),
    field!(Secret Secret user_data),
    field!(Flag Flag dry_run),
    field!(Number Number cpu_topology.core_count),
    field!(Number Number cpu_topology.thread_per_core),
    field!(Text Text cam_role_name),
    field!(Text Text hpc_cluster_id),
    field!(Text Text launch_template.launch_template_id),
    field!(Number Natural launch_template.launch_template_version),
    field!(Text Text dedicated_cluster_id),
    field!(Texts Texts chc_ids),
    field!(Number Number partition_number),
    field!(Flag Flag disable_api_termination),
    field!(Flag Flag enable_jumbo_frame),
    each!(Text Required network_interfaces.interface_type),
    each!(Text Required network_interfaces.vpc_id),
    each!(Text Required network_interfaces.subnet_id),
    each!(Number Count network_interfaces.private_ipv4_address_count),
    each!(Text Text network_interfaces.network_interface_id),
    each!(Texts Texts network_interfaces.security_group_ids),
    each!(Flag Flag network_interfaces.delete_with_instance),
];
