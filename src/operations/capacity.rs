//! Which places are known to have no stock: evidence that all callers share, and that decays.

use crate::domain::names::Region;
use crate::domain::operation::{Failure, Operation, Place};
use crate::domain::standing::SoldOut;
use std::collections::BTreeMap;
use std::time::Duration;
use time::UtcDateTime;

/// How long one refusal counts. Stock comes and goes within minutes, and a question costs a call.
const BLOCK: Duration = Duration::from_secs(30);
/// Each further refusal doubles it, this often at most: to 16 minutes.
const DOUBLINGS_MAX: u32 = 5;
/// Places remembered: the cloud has some hundred models in some hundred zones, and few are asked for.
const ENTRIES_MAX: usize = 10_000;

/// What the cloud had no stock of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The model in that zone.
    Model,
    /// Everything in that zone.
    Zone,
}

/// What is known of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) cause: Cause,
    /// The smallest number of machines that was refused: fewer may be had.
    pub(super) count: u32,
    /// How often in a row.
    pub(super) refusals: u32,
    pub(super) last: UtcDateTime,
    /// Until when it counts.
    pub(super) until: UtcDateTime,
}

/// Where machines may be in stock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shelf {
    region: Region,
    /// As an operation names it.
    stock: String,
    place: Place,
}

/// The evidence, shared by all callers of the process. It is a hint: it is lost with the process.
#[derive(Debug, Default)]
pub(super) struct Capacity(BTreeMap<Shelf, Evidence>);

impl Shelf {
    /// That of one of the places of an operation.
    pub(super) fn of(operation: &Operation, place: &Place) -> Self {
        Self {
            region: operation.region.clone(),
            stock: operation.stock.clone(),
            place: place.clone(),
        }
    }

    /// What evidence of that cause is about.
    fn concerned(&self, cause: Cause) -> Self {
        let mut concerned = self.clone();
        if cause == Cause::Zone {
            concerned.place.instance_type.clear();
        }
        concerned
    }
}

impl Capacity {
    /// The cloud refused `count` machines of `shelf`, between those two times. Nothing is learned from
    /// a lack of something that other launches there need not need: disks, addresses of a subnet, a least number.
    pub(super) fn refused(
        &mut self,
        shelf: &Shelf,
        count: u32,
        failure: &Failure,
        (asked_at, now): (UtcDateTime, UtcDateTime),
    ) {
        let Some(cause) = cause(failure) else {
            return;
        };
        let key = shelf.concerned(cause);
        let before = self.0.get(&key).filter(|before| is_recent(before, now));
        // Those that were under way together all tell of one moment.
        let refusals = before.map_or(1, |before| {
            let again = u32::from(before.last <= asked_at);
            before.refusals.saturating_add(again)
        });
        let smallest = before.map_or(count, |before| before.count.min(count));
        let evidence = Evidence {
            cause,
            count: smallest,
            refusals,
            last: now,
            until: now + block(refusals),
        };
        self.0.insert(key, evidence);
        if self.0.len() > ENTRIES_MAX {
            self.forget_one();
        }
    }

    /// The cloud delivered from `shelf`.
    pub(super) fn delivered(&mut self, shelf: &Shelf) {
        for cause in [Cause::Model, Cause::Zone] {
            self.0.remove(&shelf.concerned(cause));
        }
    }

    /// Why `count` machines cannot be had of `shelf`, as far as is known.
    #[must_use]
    pub(super) fn sold_out(
        &self,
        shelf: &Shelf,
        count: u32,
        now: UtcDateTime,
    ) -> Option<&Evidence> {
        let known = [Cause::Model, Cause::Zone].into_iter().filter_map(|cause| {
            let evidence = self.0.get(&shelf.concerned(cause))?;
            (now < evidence.until && count >= evidence.count).then_some(evidence)
        });
        known.max_by_key(|evidence| evidence.until)
    }

    /// All that is known to be sold out, by region, stock and place.
    pub(super) fn known(&self, now: UtcDateTime) -> Vec<SoldOut> {
        let known = self.0.iter().filter(|(_, known)| now < known.until);
        let told = known.map(|(shelf, known)| SoldOut {
            region: shelf.region.clone(),
            place: shelf.place.clone(),
            stock: shelf.stock.clone(),
            count: known.count,
            refusals: known.refusals,
            last: known.last,
            until: known.until,
        });
        told.collect()
    }

    fn forget_one(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, evidence)| evidence.until);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.0.remove(&key);
        }
    }
}

/// By what the refusal blames.
fn cause(failure: &Failure) -> Option<Cause> {
    let blamed: Vec<&str> = failure.parameters.iter().map(String::as_str).collect();
    match blamed.as_slice() {
        ["InstanceType", "Placement.Zone"] => Some(Cause::Model),
        ["Placement.Zone"] => Some(Cause::Zone),
        _ => None,
    }
}

fn block(refusals: u32) -> Duration {
    BLOCK.saturating_mul(1 << refusals.saturating_sub(1).min(DOUBLINGS_MAX))
}

/// Whether a new refusal continues a row: what is older by more than its own weight has decayed.
fn is_recent(evidence: &Evidence, now: UtcDateTime) -> bool {
    now < evidence.until + block(evidence.refusals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reason::Reason;
    use time::macros::utc_datetime;

    const START: UtcDateTime = utc_datetime!(2026-01-01 00:00:00);

    fn at(seconds: u64) -> UtcDateTime {
        START + Duration::from_secs(seconds)
    }

    fn shelf(zone: u32, instance_type: &str) -> Shelf {
        Shelf {
            region: Region::parse("ap-shanghai").unwrap(),
            stock: String::new(),
            place: Place {
                zone: format!("ap-shanghai-{zone}"),
                instance_type: instance_type.to_owned(),
            },
        }
    }

    fn blaming(parameters: &[&str]) -> Failure {
        Failure {
            reason: Reason::Capacity,
            message: "sold out".to_owned(),
            cloud_code: "Code".to_owned(),
            cloud_request_id: String::new(),
            parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    const MODEL: &[&str] = &["InstanceType", "Placement.Zone"];

    fn is_sold_out(capacity: &Capacity, shelf: &Shelf, count: u32, seconds: u64) -> bool {
        capacity.sold_out(shelf, count, at(seconds)).is_some()
    }

    #[test]
    fn a_refusal_counts_for_its_model_and_zone_and_for_as_many() {
        let mut capacity = Capacity::default();
        let here = shelf(2, "S5.SMALL1");
        capacity.refused(&here, 5, &blaming(MODEL), (START, START));
        assert!(is_sold_out(&capacity, &here, 5, 0));
        assert!(!is_sold_out(&capacity, &here, 4, 0), "fewer may be had");
        assert!(!is_sold_out(&capacity, &shelf(3, "S5.SMALL1"), 5, 0));
        assert!(!is_sold_out(&capacity, &shelf(2, "S6.SMALL2"), 5, 0));
        assert_eq!(
            capacity.known(at(29)),
            [SoldOut {
                region: here.region.clone(),
                place: here.place.clone(),
                stock: String::new(),
                count: 5,
                refusals: 1,
                last: START,
                until: at(30),
            }]
        );
        assert!(!is_sold_out(&capacity, &here, 5, 30), "it decays");
        assert_eq!(capacity.known(at(30)), []);
    }

    #[test]
    fn a_zone_without_stock_has_none_of_any_model() {
        let mut capacity = Capacity::default();
        let zone = blaming(&["Placement.Zone"]);
        capacity.refused(&shelf(2, "S5.SMALL1"), 1, &zone, (START, START));
        assert!(is_sold_out(&capacity, &shelf(2, "S6.SMALL2"), 1, 0));
        capacity.delivered(&shelf(2, "SA2.SMALL1"));
        assert!(!is_sold_out(&capacity, &shelf(2, "S6.SMALL2"), 1, 0));
    }

    /// Else a lack of spot machines would fail launches that are paid by the hour, with places left.
    #[test]
    fn what_one_stock_lacks_says_nothing_of_another() {
        let mut capacity = Capacity::default();
        let shared = shelf(2, "S5.SMALL1");
        let spot = Shelf {
            stock: "SPOTPAID".to_owned(),
            ..shared.clone()
        };
        capacity.refused(&spot, 1, &blaming(MODEL), (START, START));
        assert!(is_sold_out(&capacity, &spot, 1, 0));
        assert!(!is_sold_out(&capacity, &shared, 1, 0));
        capacity.delivered(&shared);
        assert!(is_sold_out(&capacity, &spot, 1, 0));
    }

    #[test]
    fn evidence_weighs_more_with_each_refusal_and_is_forgotten() {
        let mut capacity = Capacity::default();
        let here = shelf(2, "S5.SMALL1");
        let mut now = 0;
        for expected in [30, 60, 120, 240, 480, 960, 960] {
            capacity.refused(&here, 1, &blaming(MODEL), (at(now), at(now)));
            assert!(is_sold_out(&capacity, &here, 1, now + expected - 1));
            assert!(!is_sold_out(&capacity, &here, 1, now + expected));
            now += expected;
        }
        let late = now + 960;
        capacity.refused(&here, 1, &blaming(MODEL), (at(late), at(late)));
        assert!(!is_sold_out(&capacity, &here, 1, late + 30), "a new row");
    }

    #[test]
    fn refusals_of_one_moment_count_once() {
        let mut capacity = Capacity::default();
        let here = shelf(2, "S5.SMALL1");
        for answered in 1..=6 {
            capacity.refused(&here, 1, &blaming(MODEL), (START, at(answered)));
        }
        assert!(is_sold_out(&capacity, &here, 1, 35));
        assert!(!is_sold_out(&capacity, &here, 1, 36));
        capacity.refused(&here, 1, &blaming(MODEL), (at(36), at(37)));
        assert!(is_sold_out(&capacity, &here, 1, 96), "another moment");
    }

    #[test]
    fn what_says_nothing_of_the_place_is_not_learned() {
        let mut capacity = Capacity::default();
        let here = shelf(2, "S5.SMALL1");
        for blamed in [
            &["SystemDisk.DiskType", "DataDisks.DiskType"][..],
            &["VirtualPrivateCloud.SubnetId"],
            &["MinCount", "InstanceType"],
            &[],
        ] {
            capacity.refused(&here, 1, &blaming(blamed), (START, START));
            assert!(!is_sold_out(&capacity, &here, 1, 0), "{blamed:?}");
        }
    }

    #[test]
    fn the_map_is_bounded() {
        let mut capacity = Capacity::default();
        for number in 0..12_000 {
            let here = shelf(number, "S5.SMALL1");
            capacity.refused(
                &here,
                1,
                &blaming(MODEL),
                (at(number.into()), at(number.into())),
            );
        }
        assert_eq!(capacity.0.len(), ENTRIES_MAX);
        assert!(is_sold_out(
            &capacity,
            &shelf(11_999, "S5.SMALL1"),
            1,
            11_999
        ));
    }
}
