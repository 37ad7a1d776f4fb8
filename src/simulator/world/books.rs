//! What the ledger tells of machines and money, from a copy of the world: nobody waits while it is written.

use super::World;
use super::life::timestamp;
use super::machine::Machine;
use crate::simulator::catalog::Catalog;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::UtcDateTime;

/// The world as it was; machines that change later change in the world alone.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Books {
    pub(super) catalog: Arc<Catalog>,
    /// Every machine ever made.
    pub(super) machines: Vec<Arc<Machine>>,
    pub(super) balance: Option<f64>,
}

impl World {
    pub(in crate::simulator) fn books(&self) -> Books {
        let balance = self.faults.settings().balance;
        Books {
            catalog: Arc::clone(&self.catalog),
            machines: self.machines.clone(),
            balance: balance.map(|balance| balance.amount()),
        }
    }
}

impl Books {
    /// Every machine, then every charge, with their history up to `now`, and the account last.
    pub(in crate::simulator) fn lines(&self, now: UtcDateTime) -> impl Iterator<Item = Value> {
        let lines = self.machines(now).chain(self.charges(now));
        lines.chain(self.account(now))
    }

    pub(super) fn machines(&self, now: UtcDateTime) -> impl Iterator<Item = Value> {
        self.machines.iter().map(move |machine| {
            let tags = machine.tags().iter().map(|tag| (&tag.key, &tag.value));
            let tags: BTreeMap<_, _> = tags.collect();
            json!({
                "kind": "machine",
                "instance_id": machine.id(),
                "created_at": timestamp(machine.life.created_at()),
                "request_id": machine.request_id,
                "client_token": machine.client_token,
                "key_id": machine.secret_id,
                "region": machine.region,
                "zone": machine.zone(),
                "instance_type": machine.instance_type(),
                "tags": tags,
                "states": machine.life.history(now),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::simulator::world::tests::Fixture;
    use serde_json::{Value, json};
    use std::sync::Arc;

    #[test]
    fn books_stay_as_they_were_and_share_what_did_not_change() {
        let mut cloud = Fixture::faulty("balance = 100.0");
        let ids = cloud.run(json!({"InstanceCount": 2})).unwrap();
        cloud.after(180);
        let books = cloud.world().books();
        let lines = |now| books.lines(now).collect::<Vec<Value>>();
        let before = lines(cloud.now());
        cloud.terminate(&ids[..1]).unwrap();
        cloud.run(json!({})).unwrap();
        let now = cloud.now();
        assert_eq!(lines(now), before);
        assert_ne!(cloud.world().books().lines(now).collect::<Vec<_>>(), before);
        let pairs = books.machines.iter().zip(&cloud.world().machines);
        let shared: Vec<_> = pairs.map(|(then, now)| Arc::ptr_eq(then, now)).collect();
        assert_eq!(shared, [false, true], "only what changed was copied");
    }
}
