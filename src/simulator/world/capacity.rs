//! What runs out: quotas, stock, room on hosts and in placement groups, addresses.

use crate::simulator::catalog::misbehaviour::Faults;
use crate::simulator::catalog::{Catalog, Cidr, InstanceType, Limits, Zone};
use crate::simulator::validate::{Billing, Order};
use crate::simulator::wire::Refusal;
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// The pool of private addresses outside any VPC.
const CLASSIC: &str = "";

#[derive(Debug)]
pub(super) struct Capacity {
    limits: Limits,
    /// Zones and instance types that are sold out whatever their stock is.
    sold_out: BTreeSet<String>,
    /// (zone, instance type) → machines.
    sold: HashMap<(String, String), u32>,
    /// (zone, charge type) → machines, cores of spot ones.
    alive: HashMap<(String, &'static str), u32>,
    /// Dedicated host → cores and GiB taken.
    hosts: HashMap<String, (i64, i64)>,
    /// Placement group → machines.
    groups: HashMap<String, u32>,
    /// Subnet → its addresses.
    private: HashMap<String, Pool>,
    public: Pool,
}

/// What one machine holds until it is gone.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) private_address: Ipv4Addr,
    pub(super) public_address: Option<Ipv4Addr>,
    pub(super) host: Option<String>,
    subnet: String,
    zone: String,
    instance_type: String,
    charge_type: &'static str,
    /// What it counts in the quota of its billing.
    quota: u32,
    group: Option<String>,
    cpu: i64,
    memory_gib: i64,
}

/// The addresses of one network; freed ones are used again only after a round.
#[derive(Debug)]
struct Pool {
    cidr: Cidr,
    taken: BTreeSet<u32>,
    next: u32,
}

impl Capacity {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let subnets = catalog.subnets.iter();
        let mut private: HashMap<_, _> = subnets
            .map(|subnet| (subnet.id.clone(), Pool::new(subnet.cidr)))
            .collect();
        private.insert(CLASSIC.to_owned(), Pool::new(catalog.networks.classic));
        let mut capacity = Self {
            limits: catalog.limits.clone(),
            sold_out: BTreeSet::new(),
            sold: HashMap::new(),
            alive: HashMap::new(),
            hosts: HashMap::new(),
            groups: HashMap::new(),
            private,
            public: Pool::new(catalog.networks.public),
        };
        capacity.misbehave(catalog, &catalog.faults);
        capacity
    }

    /// What is short from now on.
    pub(super) fn misbehave(&mut self, catalog: &Catalog, faults: &Faults) {
        self.sold_out.clone_from(&faults.sold_out);
        self.limits = catalog.limits.clone();
        if let Some(quota) = faults.quota {
            self.limits.hourly_per_zone = quota;
            self.limits.prepaid_per_zone = quota;
            self.limits.spot_per_zone = quota;
        }
    }

    /// What the zones may hold.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn is_sold_out(&self, zone: &Zone) -> bool {
        zone.sold_out || self.sold_out.contains(&zone.id)
    }

    /// How many machines of the order can be had: all, or with MinCount at least that many.
    pub(super) fn check(&self, order: &Order<'_>) -> Result<u32, Refusal> {
        self.check_quota(order)?;
        let granted = self.check_stock(order)?;
        self.check_hosts(order, granted)?;
        self.check_group(order, granted)?;
        self.check_addresses(order, granted)?;
        Ok(granted)
    }

    /// Takes the place of machine `index` of an order that [`Capacity::check`] has passed.
    pub(super) fn take(&mut self, order: &Order<'_>, index: u32) -> Seat {
        let subnet = subnet_id(order).to_owned();
        let fixed = usize::try_from(index)
            .ok()
            .and_then(|index| order.network.fixed_addresses.get(index));
        let private = self.private.get_mut(&subnet).and_then(|pool| match fixed {
            Some(address) => pool.take(*address),
            None => pool.take_any(),
        });
        let wants_public = order.network.internet.public_ip_assigned;
        let public = wants_public.then(|| self.public.take_any()).flatten();
        let spot = order.billing == Billing::Spot;
        let seat = Seat {
            quota: if spot { cores(order.model.cpu) } else { 1 },
            private_address: private.unwrap_or_default().into(),
            public_address: public.map(Ipv4Addr::from),
            host: self.free_hosts(order).next().map(str::to_owned),
            subnet,
            zone: order.zone.id.clone(),
            instance_type: order.model.name.clone(),
            charge_type: order.billing.as_str(),
            group: order.group.map(|group| group.id.clone()),
            cpu: order.model.cpu,
            memory_gib: order.model.memory_gib,
        };
        self.count(&seat, u32::saturating_add, 1);
        seat
    }

    pub(super) fn release(&mut self, seat: &Seat) {
        if let Some(pool) = self.private.get_mut(&seat.subnet) {
            pool.taken.remove(&seat.private_address.into());
        }
        if let Some(address) = seat.public_address {
            self.public.taken.remove(&address.into());
        }
        self.count(seat, u32::saturating_sub, -1);
    }

    fn count(&mut self, seat: &Seat, change: fn(u32, u32) -> u32, sign: i64) {
        let kind = (seat.zone.clone(), seat.instance_type.clone());
        let billing = (seat.zone.clone(), seat.charge_type);
        for (number, by) in [
            (self.sold.entry(kind).or_default(), 1),
            (self.alive.entry(billing).or_default(), seat.quota),
        ] {
            *number = change(*number, by);
        }
        if let Some(group) = &seat.group {
            let number = self.groups.entry(group.clone()).or_default();
            *number = change(*number, 1);
        }
        if let Some(host) = &seat.host {
            let (cpu, memory_gib) = self.hosts.entry(host.clone()).or_default();
            *cpu += sign * seat.cpu;
            *memory_gib += sign * seat.memory_gib;
        }
    }

    fn check_quota(&self, order: &Order<'_>) -> Result<(), Refusal> {
        let (limit, code) = match order.billing {
            Billing::Hourly => (self.limits.hourly_per_zone, "LimitExceeded.InstanceQuota"),
            Billing::Prepaid { .. } => (self.limits.prepaid_per_zone, "LimitExceeded.PrepayQuota"),
            Billing::Spot => (self.limits.spot_per_zone, "LimitExceeded.UserSpotQuota"),
            Billing::DedicatedHost => return Ok(()), // the host is paid, not its machines
        };
        let charge_type = order.billing.as_str();
        let left = limit.saturating_sub(self.used(order.zone, charge_type));
        let (wanted, most) = match order.billing {
            Billing::Spot => (order.count.saturating_mul(cores(order.model.cpu)), left),
            Billing::Prepaid { .. } => (order.count, left.min(self.limits.prepaid_once)),
            Billing::Hourly | Billing::DedicatedHost => (order.count, left),
        };
        if wanted <= most {
            return Ok(());
        }
        let zone = &order.zone.id;
        let message =
            format!("The quota of `{charge_type}` in `{zone}` has {most} of {limit} left.");
        Err(Refusal::new(code, message))
    }

    /// What the machines of a zone use of the quota of their billing.
    pub(super) fn used(&self, zone: &Zone, charge_type: &'static str) -> u32 {
        let key = (zone.id.clone(), charge_type);
        self.alive.get(&key).copied().unwrap_or(0)
    }

    /// How many addresses a subnet has left, and how many it has.
    pub(super) fn addresses(&self, subnet: &str) -> (u32, u32) {
        let pool = self.private.get(subnet);
        pool.map_or((0, 0), |pool| {
            let range = pool.cidr.usable();
            (pool.free(), range.end - range.start)
        })
    }

    /// How many machines of this kind are left in the zone.
    pub(super) fn left(&self, zone: &Zone, kind: &InstanceType) -> u32 {
        if self.is_sold_out(zone) || self.sold_out.contains(&kind.name) {
            return 0;
        }
        let key = (zone.id.clone(), kind.name.clone());
        let stock = kind.stock(&zone.id).unwrap_or(0);
        stock.saturating_sub(self.sold.get(&key).copied().unwrap_or(0))
    }

    fn check_stock(&self, order: &Order<'_>) -> Result<u32, Refusal> {
        if self.is_sold_out(order.zone) {
            let message = format!("The zone `{}` is sold out.", order.zone.id);
            return Err(Refusal::new(
                "ResourceInsufficient.AvailabilityZoneSoldOut",
                message,
            ));
        }
        let Some(kind) = order.model.kind else {
            return Ok(order.count); // a dedicated host has room, not stock
        };
        let left = self.left(order.zone, kind);
        let granted = order.count.min(left);
        if granted >= order.min_count.unwrap_or(order.count) {
            return Ok(granted);
        }
        let code = match (order.min_count, &order.billing, left) {
            (Some(_), _, _) => "ResourceInsufficient.InsufficientOfferingMinimum",
            (None, Billing::Spot, 0) => "InvalidParameterValue.InsufficientOffering",
            (None, Billing::Spot, _) => "LimitExceeded.SpotQuota",
            (None, _, 0) => "ResourcesSoldOut.SpecifiedInstanceType",
            (None, _, _) => "ResourceInsufficient.SpecifiedInstanceType",
        };
        let message = format!(
            "`{}` has {left} instances left of the type `{}`.",
            order.zone.id, kind.name
        );
        Err(Refusal::new(code, message))
    }

    fn check_hosts(&self, order: &Order<'_>, granted: u32) -> Result<(), Refusal> {
        if order.hosts.is_empty() {
            return Ok(());
        }
        let room = |host: &&crate::simulator::catalog::Host| {
            let (cpu, memory_gib) = self.hosts.get(&host.id).copied().unwrap_or_default();
            let by_cpu = (host.cpu - cpu) / order.model.cpu;
            let by_memory = (host.memory_gib - memory_gib) / order.model.memory_gib;
            by_cpu.min(by_memory)
        };
        if order.hosts.iter().map(room).sum::<i64>() >= i64::from(granted) {
            return Ok(());
        }
        let message = format!("No specified CDH has room for `{}`.", order.model.name);
        Err(Refusal::new(
            "InvalidParameter.InstanceTypeSupportedHostNotFound",
            message,
        ))
    }

    /// The order's hosts that have room for one machine more.
    fn free_hosts<'o>(&self, order: &'o Order<'_>) -> impl Iterator<Item = &'o str> {
        order
            .hosts
            .iter()
            .filter(|host| {
                let (cpu, memory_gib) = self.hosts.get(&host.id).copied().unwrap_or_default();
                cpu + order.model.cpu <= host.cpu
                    && memory_gib + order.model.memory_gib <= host.memory_gib
            })
            .map(|host| host.id.as_str())
    }

    fn check_group(&self, order: &Order<'_>, granted: u32) -> Result<(), Refusal> {
        let Some(group) = order.group else {
            return Ok(());
        };
        let used = self.groups.get(&group.id).copied().unwrap_or(0);
        if granted <= group.machines_max.saturating_sub(used) {
            return Ok(());
        }
        let message = format!(
            "The placement group `{}` holds {used} of {} instances.",
            group.id, group.machines_max
        );
        Err(Refusal::new(
            "ResourceInsufficient.DisasterRecoverGroupCvmQuota",
            message,
        ))
    }

    fn check_addresses(&self, order: &Order<'_>, granted: u32) -> Result<(), Refusal> {
        let Some(pool) = self.private.get(subnet_id(order)) else {
            return Ok(());
        };
        if let Some(taken) = order
            .network
            .fixed_addresses
            .iter()
            .find(|address| pool.taken.contains(address))
        {
            let message = format!("The address {} is already used.", Ipv4Addr::from(*taken));
            return Err(Refusal::new("VpcIpIsUsed", message));
        }
        if pool.free() < granted {
            let message = format!("The subnet has {} addresses left.", pool.free());
            return Err(Refusal::new("LimitExceeded.VpcSubnetNum", message));
        }
        if order.network.internet.public_ip_assigned && self.public.free() < granted {
            let message = "The public IP has been sold out.";
            return Err(Refusal::new("ResourcesSoldOut.EipInsufficient", message));
        }
        Ok(())
    }
}

fn cores(cpu: i64) -> u32 {
    u32::try_from(cpu).unwrap_or(u32::MAX)
}

fn subnet_id<'o>(order: &'o Order<'_>) -> &'o str {
    order.network.subnet.map_or(CLASSIC, |subnet| &subnet.id)
}

impl Pool {
    fn new(cidr: Cidr) -> Self {
        let next = cidr.usable().start;
        Self {
            cidr,
            taken: BTreeSet::new(),
            next,
        }
    }

    fn free(&self) -> u32 {
        let range = self.cidr.usable();
        let taken = u32::try_from(self.taken.len()).unwrap_or(u32::MAX);
        (range.end - range.start).saturating_sub(taken)
    }

    fn take(&mut self, address: u32) -> Option<u32> {
        self.taken.insert(address).then_some(address)
    }

    fn take_any(&mut self) -> Option<u32> {
        let range = self.cidr.usable();
        let round = (self.next..range.end).chain(range.start..self.next);
        let address = round
            .into_iter()
            .find(|address| !self.taken.contains(address))?;
        self.next = address + 1;
        self.take(address)
    }
}
