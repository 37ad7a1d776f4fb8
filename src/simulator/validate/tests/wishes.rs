//! Random specifications of a launch, sound ones and bad ones, for comparing two judges of them.

mod guest;

use crate::domain::spec::{
    DataDisk, EnhancedService, InstanceChargePrepaid, InstanceMarketOptions, InstanceSpec,
    InternetAccessible, LaunchTemplate, NetworkInterface, Placement, RunMonitorServiceEnabled,
    SpotMarketOptions, SystemDisk, VirtualPrivateCloud,
};
use guest::{guest, login, names, tags, timer};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What decides: the same seed, the same specification.
pub(super) struct Dice(ChaCha8Rng);

type Texts<'a> = &'a [&'a str];

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn hits(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// One of the texts, or nothing at all.
    fn maybe(&mut self, from: Texts<'_>) -> Option<String> {
        self.hits(60).then(|| self.text(from))
    }

    fn text(&mut self, from: Texts<'_>) -> String {
        self.pick(from).to_owned()
    }

    fn number(&mut self, from: &[i64]) -> Option<i64> {
        self.hits(70).then(|| self.pick(from))
    }

    fn flag(&mut self) -> Option<bool> {
        self.pick(&[None, Some(false), Some(true)])
    }

    fn texts(&mut self, most: usize, from: Texts<'_>) -> Vec<String> {
        (0..self.below(most + 1)).map(|_| self.text(from)).collect()
    }
}

const TOPICS: [fn(&mut Dice, &mut InstanceSpec); 23] = [
    counts,
    charge,
    spot,
    kind,
    place,
    hosts,
    image,
    system_disk,
    data_disks,
    many_disks,
    network,
    addresses,
    internet,
    groups,
    names,
    login,
    guest,
    timer,
    tags,
    elsewhere,
    interfaces,
    switches,
    pairs,
];

/// A specification in ap-shanghai of the embedded catalogue: a sound one with some topics drawn anew.
pub(super) fn specification(dice: &mut Dice) -> InstanceSpec {
    let mut spec = InstanceSpec {
        placement: Some(Placement {
            zone: "ap-shanghai-2".to_owned(),
            ..Placement::default()
        }),
        image_id: Some("img-pmqg1cw7".to_owned()),
        instance_type: Some("S5.SMALL1".to_owned()),
        ..InstanceSpec::default()
    };
    for _ in 0..=dice.below(4) {
        let topic = dice.pick(&TOPICS);
        topic(dice, &mut spec);
    }
    spec
}

fn counts(dice: &mut Dice, spec: &mut InstanceSpec) {
    spec.instance_count = dice.number(&[1, 2, 3, 9, 10, 20, 21, 100, 500, 0, -1, 501, i64::MAX]);
    if dice.hits(30) {
        spec.min_count = dice.number(&[1, 2, 3, 10, 0, -1, 501]);
    }
}

fn charge(dice: &mut Dice, spec: &mut InstanceSpec) {
    const KINDS: Texts<'_> = &[
        "PREPAID",
        "PREPAID",
        "POSTPAID_BY_HOUR",
        "SPOTPAID",
        "CDHPAID",
        "CDCPAID",
        "FREE",
        "prepaid",
        "",
    ];
    const FLAGS: Texts<'_> = &[
        "NOTIFY_AND_AUTO_RENEW",
        "NOTIFY_AND_MANUAL_RENEW",
        "DISABLE_NOTIFY_AND_MANUAL_RENEW",
        "SOMETIMES",
    ];
    spec.instance_charge_type = dice.maybe(KINDS);
    if dice.hits(60) {
        spec.instance_charge_prepaid = Some(InstanceChargePrepaid {
            period: dice.pick(&[1, 2, 11, 12, 24, 36, 48, 60, 0, 13, 37, -1]),
            renew_flag: dice.maybe(FLAGS),
        });
    }
}

fn spot(dice: &mut Dice, spec: &mut InstanceSpec) {
    const PRICES: Texts<'_> = &[
        "0.12", "1", "10.5", "0.0001", "0", "-1", "+1", "1e3", ".5", "1.", "inf", "NaN", "", "0.0",
    ];
    if dice.hits(70) {
        spec.instance_charge_type = Some("SPOTPAID".to_owned());
    }
    spec.instance_market_options = Some(InstanceMarketOptions {
        spot_options: SpotMarketOptions {
            max_price: dice.text(PRICES),
            spot_instance_type: dice.maybe(&["one-time", "one-time", "persistent"]),
        },
        market_type: dice.maybe(&["spot", "spot", "Spot"]),
    });
}

fn kind(dice: &mut Dice, spec: &mut InstanceSpec) {
    const KINDS: Texts<'_> = &[
        "S5.SMALL1",
        "S6.SMALL2",
        "S5.16XLARGE256",
        "SR1.MEDIUM4",
        "S99.SMALL1",
        "S5",
        "S5.",
        "S5.SMALL1 ",
        "CDH_4C8G",
        "",
    ];
    spec.instance_type = dice.maybe(KINDS);
}

fn place(dice: &mut Dice, spec: &mut InstanceSpec) {
    const ZONES: Texts<'_> = &[
        "ap-shanghai-2",
        "ap-shanghai-4",
        "ap-shanghai-9",
        "ap-beijing-6",
        "ap-shanghai",
        "",
    ];
    if dice.hits(10) {
        spec.placement = None;
        return;
    }
    spec.placement = Some(Placement {
        zone: dice.text(ZONES),
        project_id: dice.number(&[0, 1_000_001, 7, -1]),
        dedicated_resource_pack_tenancy: dice
            .hits(20)
            .then(|| dice.text(&["ResourcePool", "Pool"])),
        dedicated_resource_pack_ids: match dice.hits(20) {
            true => dice.texts(2, &["rpp-1a2b3c4d", "rpp"]),
            false => Vec::new(),
        },
        ..Placement::default()
    });
}

fn hosts(dice: &mut Dice, spec: &mut InstanceSpec) {
    const KINDS: Texts<'_> = &[
        "CDH_4C8G",
        "CDH_1C1G",
        "CDH_0C1G",
        "CDH_+4C8G",
        "CDH_C1G",
        "CDH_99999999999C1G",
        "S5.SMALL1",
    ];
    if dice.hits(80) {
        spec.instance_charge_type = Some("CDHPAID".to_owned());
    }
    spec.instance_type = dice.maybe(KINDS);
    if let Some(placement) = &mut spec.placement {
        placement.host_ids =
            dice.texts(2, &["host-q88gab4i", "host-q88gab4i", "host-none0000", "q"]);
    }
}

fn image(dice: &mut Dice, spec: &mut InstanceSpec) {
    const IMAGES: Texts<'_> = &[
        "img-pmqg1cw7",
        "img-9id7emv7",
        "img-custom01",
        "img-nocloud1",
        "img-busyaaaa",
        "img-none0000",
        "img-1",
        "IMG-pmqg1cw7",
        "ubuntu",
        "",
    ];
    spec.image_id = dice.maybe(IMAGES);
}

const CLASSES: Texts<'_> = &[
    "CLOUD_PREMIUM",
    "CLOUD_PREMIUM",
    "CLOUD_SSD",
    "CLOUD_HSSD",
    "CLOUD_TSSD",
    "CLOUD_BSSD",
    "LOCAL_BASIC",
    "LOCAL_SSD",
    "LOCAL_NVME",
    "LOCAL_PRO",
    "CLOUD_NEXT",
    "cloud_ssd",
    "",
];

fn disk_name(dice: &mut Dice) -> Option<String> {
    dice.hits(20)
        .then(|| "盘".repeat(dice.pick(&[1, 127, 128, 129])))
}

fn system_disk(dice: &mut Dice, spec: &mut InstanceSpec) {
    spec.system_disk = Some(SystemDisk {
        disk_type: dice.maybe(CLASSES),
        disk_size: dice.number(&[20, 50, 51, 100, 2048, 2049, 0, -1]),
        disk_name: disk_name(dice),
        encrypt: dice.flag(),
        ..SystemDisk::default()
    });
}

fn data_disk(dice: &mut Dice) -> DataDisk {
    DataDisk {
        disk_size: dice.pick(&[0, 10, 20, 50, 90, 100, 100, 200, 32_000, 5, 15, -10, 40_000]),
        disk_type: dice.maybe(CLASSES),
        snapshot_id: dice
            .hits(10)
            .then(|| dice.text(&["snap-1a2b3c4d", "snap", ""])),
        throughput_performance: match dice.hits(20) {
            true => dice.number(&[0, 1, 100, -1]),
            false => None,
        },
        disk_name: disk_name(dice),
        delete_with_instance: dice.flag(),
        ..DataDisk::default()
    }
}

fn data_disks(dice: &mut Dice, spec: &mut InstanceSpec) {
    spec.data_disks = (0..dice.below(4)).map(|_| data_disk(dice)).collect();
}

fn many_disks(dice: &mut Dice, spec: &mut InstanceSpec) {
    let disk = |disk_type: Option<&str>, disk_size| DataDisk {
        disk_size,
        disk_type: disk_type.map(str::to_owned),
        ..DataDisk::default()
    };
    let class = dice.pick(&[None, Some("CLOUD_PREMIUM"), Some("LOCAL_SSD")]);
    let size = dice.pick(&[100, 100, 0]);
    spec.data_disks = vec![disk(class, size); dice.pick(&[1, 2, 19, 20, 21, 22])];
    if dice.hits(50) {
        let more = dice.pick(&[None, Some("CLOUD_SSD"), Some("LOCAL_BASIC")]);
        spec.data_disks.push(disk(more, 100));
    }
    if dice.hits(50) {
        spec.instance_type = Some("IT3.4XLARGE64".to_owned());
    }
}

fn network(dice: &mut Dice, spec: &mut InstanceSpec) {
    let pairs = [
        ("DEFAULT", "DEFAULT"),
        ("vpc-1urkhbj4", "subnet-dcs9x3gz"),
        ("vpc-1urkhbj4", "subnet-tinyaaaa"),
        ("vpc-defaultb", "subnet-defaulb4"),
        ("vpc-defaultb", "subnet-dcs9x3gz"),
        ("vpc-1urkhbj4", "DEFAULT"),
        ("DEFAULT", "subnet-dcs9x3gz"),
        ("vpc-none0000", "subnet-none0000"),
        ("vpc-1", "subnet-1"),
        ("VPC-1urkhbj4", "subnet_dcs9x3gz"),
        ("", ""),
    ];
    let (vpc, subnet) = dice.pick(&pairs);
    spec.virtual_private_cloud = Some(VirtualPrivateCloud {
        vpc_id: vpc.to_owned(),
        subnet_id: subnet.to_owned(),
        as_vpc_gateway: match dice.hits(30) {
            true => dice.flag(),
            false => None,
        },
        ipv6_address_count: dice.hits(10).then(|| dice.pick(&[0, 1])),
        ..VirtualPrivateCloud::default()
    });
}

fn addresses(dice: &mut Dice, spec: &mut InstanceSpec) {
    let count = dice.pick(&[0_usize, 1, 2, 3, 19, 20, 21, 30]);
    let mut addresses: Vec<String> = (0..count).map(|at| format!("10.0.1.{at}")).collect();
    if dice.hits(20) {
        addresses.push(dice.text(&["10.0.1.0", "10.0.1", "010.0.1.1", "::1", "", "192.168.0.1"]));
    }
    let given = i64::try_from(addresses.len()).unwrap();
    if dice.hits(80) {
        spec.instance_count = Some(given);
    }
    spec.virtual_private_cloud = Some(VirtualPrivateCloud {
        vpc_id: "vpc-1urkhbj4".to_owned(),
        subnet_id: "subnet-dcs9x3gz".to_owned(),
        private_ip_addresses: addresses,
        ..VirtualPrivateCloud::default()
    });
}

fn internet(dice: &mut Dice, spec: &mut InstanceSpec) {
    const KINDS: Texts<'_> = &[
        "BANDWIDTH_PREPAID",
        "TRAFFIC_POSTPAID_BY_HOUR",
        "BANDWIDTH_POSTPAID_BY_HOUR",
        "BANDWIDTH_PACKAGE",
        "FREE",
    ];
    let rarely = |dice: &mut Dice, from: Texts<'_>| dice.hits(15).then(|| dice.text(from));
    spec.internet_accessible = Some(InternetAccessible {
        internet_charge_type: dice.maybe(KINDS),
        internet_max_bandwidth_out: dice.number(&[0, 1, 100, 2000, 2001, -1]),
        public_ip_assigned: dice.flag(),
        bandwidth_package_id: rarely(dice, &["bwp-1a2b3c4d", "bwp"]),
        internet_service_provider: rarely(dice, &["BGP", "CMCC", "bgp"]),
        ipv4_address_type: rarely(dice, &["WanIP", "HighQualityEIP", "AntiDDoSEIP", "EIP"]),
        ipv6_address_type: rarely(dice, &["EIPv6", "EIP"]),
        anti_ddos_package_id: rarely(dice, &["bgp-1a2b3c4d"]),
    });
}

fn groups(dice: &mut Dice, spec: &mut InstanceSpec) {
    const GROUPS: Texts<'_> = &[
        "sg-default1",
        "sg-web00001",
        "sg-db000001",
        "sg-ops00001",
        "sg-extra001",
        "sg-extra002",
        "sg-none0000",
        "sg",
    ];
    spec.security_group_ids = match dice.hits(30) {
        true => dice.texts(7, GROUPS),
        false => GROUPS[..dice.below(7)]
            .iter()
            .map(|id| (*id).to_owned())
            .collect(),
    };
    spec.disaster_recover_group_ids = dice.texts(2, &["ps-1a2b3c4d", "ps-none0000", "ps"]);
    spec.partition_number = match dice.hits(20) {
        true => dice.number(&[1, 2, 0, -1]),
        false => None,
    };
}

/// What is nothing of the catalogue's.
fn elsewhere(dice: &mut Dice, spec: &mut InstanceSpec) {
    match dice.below(4) {
        0 => {
            spec.launch_template = Some(LaunchTemplate {
                launch_template_id: dice.maybe(&["lt-1a2b3c4d", "lt", ""]),
                launch_template_version: dice.hits(50).then(|| dice.pick(&[1, 2, 0])),
            });
        }
        1 => spec.hpc_cluster_id = dice.maybe(&["hpc-1a2b3c4d", "hpc", ""]),
        2 => spec.chc_ids = dice.texts(2, &["chc-1a2b3c4d", "chc"]),
        _ => {
            spec.instance_charge_type = dice.maybe(&["CDCPAID", "POSTPAID_BY_HOUR"]);
            spec.dedicated_cluster_id = dice.maybe(&["cluster-1a2b3c4d", "cluster", ""]);
        }
    }
}

fn interfaces(dice: &mut Dice, spec: &mut InstanceSpec) {
    let pairs = [
        ("vpc-1urkhbj4", "subnet-dcs9x3gz"),
        ("vpc-1urkhbj4", "subnet-dcs9x3gz"),
        ("DEFAULT", "DEFAULT"),
        ("vpc-1urkhbj4", "DEFAULT"),
        ("vpc-none0000", "subnet-none0000"),
        ("", ""),
    ];
    let kinds = ["PRIMARY", "SECONDARY", "SECONDARY", "primary"];
    let count = dice.pick(&[1, 1, 2, 3]);
    spec.network_interfaces = (0..count)
        .map(|index| {
            let (vpc, subnet) = dice.pick(&pairs);
            let kind = if index == 0 && dice.hits(80) {
                "PRIMARY"
            } else {
                dice.pick(&kinds)
            };
            NetworkInterface {
                interface_type: kind.to_owned(),
                vpc_id: vpc.to_owned(),
                subnet_id: subnet.to_owned(),
                private_ipv4_address_count: dice.pick(&[1, 1, 2, 50, 0, 51, -1]),
                network_interface_id: dice
                    .hits(25)
                    .then(|| dice.text(&["eni-1a2b3c4d", "eni", ""])),
                security_group_ids: dice.texts(1, &["sg-default1", "sg-none0000"]),
                delete_with_instance: match dice.hits(20) {
                    true => dice.flag(),
                    false => None,
                },
            }
        })
        .collect();
}

/// What fits only an image of another kind.
fn pairs(dice: &mut Dice, spec: &mut InstanceSpec) {
    match dice.below(3) {
        0 => {
            login(dice, spec);
            spec.image_id = Some("img-9id7emv7".to_owned());
        }
        1 => {
            guest(dice, spec);
            spec.image_id = Some("img-nocloud1".to_owned());
        }
        _ => {
            spec.instance_type = Some("SR1.MEDIUM4".to_owned());
            if let Some(placement) = &mut spec.placement {
                placement.zone = "ap-shanghai-5".to_owned();
            }
        }
    }
}

fn switches(dice: &mut Dice, spec: &mut InstanceSpec) {
    spec.dry_run = dice.flag();
    spec.disable_api_termination = dice.flag();
    spec.enable_jumbo_frame = dice.flag();
    let monitor_service = dice.flag().map(|enabled| RunMonitorServiceEnabled {
        enabled: Some(enabled),
    });
    spec.enhanced_service = Some(EnhancedService {
        monitor_service,
        ..EnhancedService::default()
    });
}
