//! What the account pays: prepaid machines at once, all others for the time that they run. Like the
//! states of a machine, it is a function of the time; only the sum of those that are gone is kept.

use super::life::timestamp;
use super::machine::Machine;
use super::offers::prices::{Priced, bandwidth_price, instance_price};
use super::{Books, World};
use crate::simulator::catalog::Catalog;
use crate::simulator::validate::{Billing, Order};
use crate::simulator::wire::Refusal;
use crate::simulator::wire::answer::State;
use serde_json::{Value, json};
use std::sync::Arc;
use time::UtcDateTime;

/// What one machine costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Paid at once.
    at_once: f64,
    /// For an hour, ...
    hour: f64,
    /// ... and for one in which only its disks are charged.
    disks_hour: f64,
}

/// What was paid for one thing.
struct Charge {
    reason: &'static str,
    from: UtcDateTime,
    to: Option<UtcDateTime>,
    price_hour: Option<f64>,
    amount: f64,
    /// Whether it does not grow any more.
    settled: bool,
}

impl Cost {
    fn of(catalog: &Catalog, priced: &Priced<'_>) -> Self {
        let machine = instance_price(catalog, priced);
        let bandwidth = bandwidth_price(&catalog.prices, priced);
        let disks = Priced {
            kind: None,
            ..*priced
        };
        // What is paid by the gigabyte costs nothing here: nobody sends any.
        let by_time = bandwidth.charge_unit == "HOUR";
        let bandwidth_hour = if by_time {
            bandwidth.unit_price_discount
        } else {
            0.0
        };
        Self {
            at_once: machine.discount_price + bandwidth.discount_price,
            hour: machine.unit_price_discount + bandwidth_hour,
            disks_hour: instance_price(catalog, &disks).unit_price_discount,
        }
    }

    fn of_machine(catalog: &Catalog, machine: &Machine) -> Self {
        let fixed = machine.fixed();
        let priced = Priced {
            count: 1,
            billing: &machine.billing,
            kind: catalog.instance_type(&fixed.instance_type),
            system_disk: &fixed.system_disk,
            data_disks: &fixed.data_disks,
            internet: &fixed.internet_accessible,
        };
        Self::of(catalog, &priced)
    }
}

impl Charge {
    fn line(&self, machine: &Machine) -> Value {
        json!({
            "kind": "charge",
            "instance_id": machine.id(),
            "key_id": machine.secret_id,
            "charge_type": machine.billing.as_str(),
            "for": self.reason,
            "from": timestamp(self.from),
            "to": self.to.map(timestamp),
            "price_hour": self.price_hour,
            "amount": rounded(self.amount),
            "settled": self.settled,
        })
    }
}

impl Books {
    /// Every charge up to `now`; those that still grow as large as they are.
    pub(super) fn charges(&self, now: UtcDateTime) -> impl Iterator<Item = Value> {
        self.machines.iter().flat_map(move |machine| {
            let charges = charges(&self.catalog, machine, now);
            charges.into_iter().map(|charge| charge.line(machine))
        })
    }

    /// What is left of the balance, when there is one.
    pub(super) fn account(&self, now: UtcDateTime) -> Option<Value> {
        let balance = self.balance?;
        let machines = self.machines.iter().map(Arc::as_ref);
        let (charged, frozen) = owed(&self.catalog, machines, now);
        Some(json!({
            "kind": "account",
            "balance": balance,
            "charged": rounded(charged),
            "frozen": rounded(frozen),
            "available": rounded(balance - charged - frozen),
        }))
    }
}

impl World {
    /// Refuses an order that the account cannot pay: what is paid at once, and one hour of the rest.
    pub(super) fn refuse_unpayable(
        &self,
        order: &Order<'_>,
        granted: u32,
        now: UtcDateTime,
    ) -> Result<(), Refusal> {
        let Some(balance) = self.faults.settings().balance else {
            return Ok(());
        };
        let priced = Priced {
            count: 1,
            billing: &order.billing,
            kind: order.model.kind,
            system_disk: &order.system_disk,
            data_disks: &order.data_disks,
            internet: &order.network.internet,
        };
        let cost = Cost::of(&self.catalog, &priced);
        let needed = rounded(f64::from(granted) * (cost.at_once + cost.hour));
        // Those that are gone cost no more: however many there were, nobody waits for them.
        let alive = self.alive.iter().filter_map(|index| self.machine(*index));
        let (charged, frozen) = owed(&self.catalog, alive, now);
        let available = rounded(balance.amount() - self.settled - charged - frozen);
        if needed <= available {
            return Ok(());
        }
        let message = format!("The order needs {needed}, and the account has {available} left.");
        Err(Refusal::new("InvalidAccount.InsufficientBalance", message))
    }
}

/// What was charged by now, and what is held back: an hour of each machine that is not ended.
fn owed<'m>(
    catalog: &Catalog,
    machines: impl Iterator<Item = &'m Machine>,
    now: UtcDateTime,
) -> (f64, f64) {
    let machines = machines.map(|machine| {
        let ended = matches!(
            machine.life.state(now),
            None | Some(State::LaunchFailed | State::Shutdown | State::Terminating)
        );
        let hour = Cost::of_machine(catalog, machine).hour;
        let held = if ended { 0.0 } else { hour };
        (charged(catalog, machine, now), held)
    });
    machines.fold((0.0, 0.0), |(charged, frozen), (more, held)| {
        (charged + more, frozen + held)
    })
}

/// What a machine cost by now.
pub(super) fn charged(catalog: &Catalog, machine: &Machine, now: UtcDateTime) -> f64 {
    let charges = charges(catalog, machine, now);
    charges.iter().map(|charge| charge.amount).sum()
}

fn charges(catalog: &Catalog, machine: &Machine, now: UtcDateTime) -> Vec<Charge> {
    let cost = Cost::of_machine(catalog, machine);
    let mut charges = Vec::new();
    if matches!(machine.billing, Billing::Prepaid { .. }) {
        let paid = |reason, from, amount| Charge {
            reason,
            from,
            to: None,
            price_hour: None,
            amount,
            settled: true,
        };
        charges.push(paid("months", machine.accepted_at, cost.at_once));
        let failed_at = machine.life.failed_at();
        if let Some(failed_at) = failed_at.filter(|at| *at <= now) {
            charges.push(paid("refund", failed_at, -cost.at_once));
        }
        if cost.hour <= 0.0 {
            return charges;
        }
    }
    charges.extend(machine.life.stretches(now).into_iter().map(|stretch| {
        let (reason, hour) = if stretch.stopped {
            ("disks", cost.disks_hour)
        } else {
            ("running", cost.hour)
        };
        Charge {
            reason,
            from: stretch.from,
            to: Some(stretch.to),
            price_hour: Some(hour),
            amount: hour * (stretch.to - stretch.from).as_seconds_f64() / 3600.0,
            settled: stretch.ended,
        }
    }));
    charges
}

/// To a hundredth of a cent, as prices are.
fn rounded(amount: f64) -> f64 {
    (amount * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::rounded;
    use crate::simulator::world::tests::Fixture;
    use serde_json::{Value, json};

    const HOUR: i64 = 3600;

    impl Fixture {
        fn charged(&self) -> Vec<Value> {
            self.world().books().charges(self.now()).collect()
        }

        /// What the price inquiry says of the smallest machine with these changes.
        fn price(&mut self, member: &str, changes: &Value) -> f64 {
            let mut body =
                json!({"Placement": {"Zone": "ap-shanghai-2"}, "ImageId": "img-pmqg1cw7"});
            let body_members = body.as_object_mut().unwrap();
            body_members.extend(changes.as_object().unwrap().clone());
            let told = self.ask("InquiryPriceRunInstances", &body).unwrap();
            told["Price"]["InstancePrice"][member].as_f64().unwrap()
        }

        fn available(&self) -> f64 {
            let account = self.world().books().account(self.now()).unwrap();
            account["available"].as_f64().unwrap()
        }
    }

    fn close(left: &Value, right: f64) -> bool {
        (left.as_f64().unwrap() - right).abs() < 0.0002
    }

    #[test]
    fn a_machine_that_is_paid_by_the_hour_is_charged_for_the_time_that_it_runs() {
        for charge_type in ["POSTPAID_BY_HOUR", "SPOTPAID"] {
            let mut cloud = Fixture::new();
            let wish = json!({"InstanceChargeType": charge_type});
            let price = cloud.price("UnitPriceDiscount", &wish);
            let ids = cloud.run(wish).unwrap();
            assert_eq!(cloud.charged(), [json!(null); 0], "it does not run yet");
            cloud.after(10 * HOUR);
            let open = cloud.charged().remove(0);
            assert_eq!(
                (&open["settled"], &open["for"]),
                (&json!(false), &json!("running"))
            );
            assert_eq!(open["instance_id"], ids[0]);
            assert_eq!(open["from"], cloud.machines()[0]["states"][1]["at"]);
            let amount = open["amount"].as_f64().unwrap();
            assert!(
                amount > 9.9 * price && amount < 10.0 * price,
                "{amount} of {price}"
            );
            assert!(close(&open["price_hour"], price));
            cloud.terminate(&ids).unwrap();
            let settled = cloud.after(100 * HOUR).charged();
            let [settled] = settled.as_slice() else {
                panic!("{settled:?}");
            };
            assert_eq!(settled["settled"], true);
            assert_eq!(
                settled["amount"], open["amount"],
                "it ends with the machine"
            );
        }
    }

    #[test]
    fn a_prepaid_machine_is_paid_at_once_and_a_failed_one_is_given_back() {
        let prepaid =
            json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 3}});
        let mut cloud = Fixture::new();
        let price = cloud.price("DiscountPrice", &prepaid);
        cloud.run(prepaid.clone()).unwrap();
        let paid = cloud.charged();
        assert!(close(&paid[0]["amount"], price) && price > 1.0, "{paid:?}");
        assert_eq!((paid.len(), &paid[0]["for"]), (1, &json!("months")));
        assert_eq!(cloud.after(100 * HOUR).charged(), paid);

        let mut cloud = Fixture::faulty("launch_failed_p = 1.0");
        cloud.run(prepaid).unwrap();
        cloud.run(json!({})).unwrap();
        let paid = cloud.after(HOUR).charged();
        let reasons: Vec<_> = paid.iter().map(|charge| &charge["for"]).collect();
        assert_eq!(reasons, ["months", "refund"]);
        let sum: f64 = paid
            .iter()
            .map(|charge| charge["amount"].as_f64().unwrap())
            .sum();
        assert!(sum.abs() < 1e-9, "{sum}");
    }

    #[test]
    fn a_machine_that_stopped_for_nothing_pays_its_disks() {
        let mut cloud = Fixture::new();
        let disk = json!({"SystemDisk": {"DiskType": "CLOUD_PREMIUM", "DiskSize": 500}});
        let price = cloud.price("UnitPriceDiscount", &disk);
        let ids = cloud.run(disk).unwrap();
        let mut power = |action: &str, mode: Value| {
            let mut body = json!({"InstanceIds": ids});
            body.as_object_mut()
                .unwrap()
                .extend(mode.as_object().unwrap().clone());
            cloud.after(HOUR).ask(action, &body).unwrap();
        };
        power("StopInstances", json!({"StoppedMode": "STOP_CHARGING"}));
        power("StartInstances", json!({}));
        power("StopInstances", json!({"StoppedMode": "KEEP_CHARGING"}));
        power("StartInstances", json!({}));
        let charges = cloud.after(HOUR).charged();
        let reasons: Vec<_> = charges.iter().map(|charge| &charge["for"]).collect();
        assert_eq!(reasons, ["running", "disks", "running"]);
        let hour = |index: usize| charges[index]["price_hour"].as_f64().unwrap();
        assert!((hour(0) - price).abs() < 1e-9 && hour(1) > 0.0 && hour(1) < price);
        assert_eq!(charges[0]["to"], charges[1]["from"]);
        assert_eq!(charges[1]["to"], charges[2]["from"]);
        let settled: Vec<_> = charges.iter().map(|charge| &charge["settled"]).collect();
        assert_eq!(settled, [true, true, false]);
    }

    #[test]
    fn what_machines_cost_that_are_gone_is_paid_for_good() {
        let mut cloud = Fixture::faulty("balance = 1.0");
        let ids = cloud.run(json!({})).unwrap();
        while cloud.available() > 0.0 {
            cloud.after(HOUR);
        }
        cloud.terminate(&ids).unwrap();
        let left = cloud.after(HOUR).available();
        assert_eq!(cloud.state(&ids[0]), None, "it is gone");
        let short = Err("InvalidAccount.InsufficientBalance");
        assert_eq!(cloud.run(json!({})), short);
        assert_eq!(cloud.after(100 * HOUR).run(json!({})), short);
        assert!((cloud.available() - left).abs() < 1e-9);
    }

    #[test]
    fn what_the_balance_cannot_pay_is_refused() {
        let mut cloud = Fixture::faulty("balance = 1.0");
        let price = cloud.price("UnitPriceDiscount", &json!({}));
        let machines = (1.0 / price).floor();
        let many =
            |count: f64| json!({"InstanceCount": format!("{count}").parse::<u32>().unwrap()});
        let short = Err("InvalidAccount.InsufficientBalance");
        assert_eq!(cloud.run(many(machines + 1.0)), short);
        let ids = cloud.run(many(machines)).unwrap();
        assert!(
            (cloud.available() - (1.0 - machines * price)).abs() < 0.001,
            "an hour is held"
        );
        assert_eq!(cloud.run(json!({})), short);
        let prepaid =
            json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1}});
        assert_eq!(cloud.run(prepaid), short);
        cloud.after(180).terminate(&ids).unwrap();
        let left = cloud.available();
        let spent: f64 = cloud
            .charged()
            .iter()
            .map(|it| it["amount"].as_f64().unwrap())
            .sum();
        assert!(
            spent > 0.0 && (left - (1.0 - spent)).abs() < 0.001,
            "{left} {spent}"
        );
        assert_eq!(cloud.run(json!({})).map(|ids| ids.len()), Ok(1));
        assert_eq!(Fixture::new().world().books().account(cloud.now()), None);
        assert!((rounded(0.123_449) - 0.1234).abs() < 1e-9);
    }
}
