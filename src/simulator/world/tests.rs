//! The fake cloud on a hand-moved time: life cycle, stock, tokens, limits, queries.

use super::*;
use answer::State;
use serde_json::{Value, json};
use std::collections::HashSet;
use time::Duration;
use time::macros::utc_datetime;

const START: UtcDateTime = utc_datetime!(2026-11-23 12:00);
const KEY: &str = "AKIDfakeForLoopbackTestsOnly0000001";

/// A world with its own time, spoken to in JSON.
pub(super) struct Fixture {
    world: World,
    now: UtcDateTime,
    region: &'static str,
    endpoint: &'static str,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::seeded(7)
    }

    fn seeded(seed: u64) -> Self {
        let world = World::new(Arc::new(Catalog::embedded()), seed, 1.0);
        Self {
            world,
            now: START,
            region: "ap-shanghai",
            endpoint: "cvm.tencentcloudapi.com",
        }
    }

    /// A world that misbehaves as these lines of `[faults]` say.
    pub(super) fn faulty(lines: &str) -> Self {
        let faults = format!("[faults]\n{lines}");
        let text = crate::simulator::EMBEDDED.replacen("[faults]", &faults, 1);
        let catalog = Arc::new(Catalog::parse(&text).unwrap());
        Self {
            world: World::new(catalog, 7, 1.0),
            ..Self::new()
        }
    }

    pub(super) fn after(&mut self, seconds: i64) -> &mut Self {
        self.now += Duration::seconds(seconds);
        self
    }

    fn call<T>(
        &mut self,
        act: impl FnOnce(&mut World, &Call<'_>) -> Result<T, Refusal>,
    ) -> Result<T, &'static str> {
        let request_id = self.world.next_request_id();
        let call = Call {
            now: self.now,
            secret_id: KEY,
            region: self.region,
            endpoint: self.endpoint,
            request_id: &request_id,
        };
        act(&mut self.world, &call).map_err(|refusal| refusal.into_code())
    }

    /// What the ledger tells of the machines by now.
    pub(super) fn machines(&self) -> Vec<Value> {
        self.world.books().machines(self.now).collect()
    }

    pub(super) fn now(&self) -> UtcDateTime {
        self.now
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Any action, in the way that a call from outside takes.
    pub(super) fn ask(&mut self, action: &str, body: &Value) -> Result<Value, &'static str> {
        let action = crate::simulator::action::Action::parse(action).unwrap();
        self.call(|world, call| action.carry_out(world, call, body))
    }

    /// RunInstances of the smallest request with `changes` laid over it.
    pub(super) fn run(&mut self, changes: Value) -> Result<Vec<String>, &'static str> {
        let mut body = json!({"Placement": {"Zone": "ap-shanghai-2"}, "ImageId": "img-pmqg1cw7"});
        body.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let request = wire::decode(&body).unwrap();
        self.call(|world, call| world.run_instances(call, &request))
            .map(|launched| launched.instance_id_set.unwrap_or_default())
    }

    fn describe(&mut self, body: Value) -> Result<Value, &'static str> {
        let request = wire::decode(&body).unwrap();
        self.call(|world, call| world.describe_instances(call, &request))
            .map(|found| serde_json::to_value(found).unwrap())
    }

    /// The ids that DescribeInstances finds with these filters.
    fn find(&mut self, filters: &Value) -> Vec<String> {
        let found = self.describe(json!({"Filters": filters})).unwrap();
        let machines = found["InstanceSet"].as_array().unwrap().iter();
        machines
            .map(|machine| machine["InstanceId"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The one machine with this id, as DescribeInstances shows it.
    pub(super) fn show(&mut self, id: &str) -> Value {
        self.describe(json!({"InstanceIds": [id]})).unwrap()["InstanceSet"][0].take()
    }

    pub(super) fn state(&mut self, id: &str) -> Option<State> {
        let request = wire::decode(&json!({"InstanceIds": [id]})).unwrap();
        let statuses = self
            .call(|world, call| world.describe_instances_status(call, &request))
            .unwrap();
        statuses
            .instance_status_set
            .first()
            .map(|status| status.instance_state)
    }

    pub(super) fn terminate(&mut self, ids: &[String]) -> Result<(), &'static str> {
        let request = wire::decode(&json!({"InstanceIds": ids})).unwrap();
        self.call(|world, call| world.terminate_instances(call, &request))
            .map(|_| ())
    }
}

#[test]
fn a_machine_is_pending_then_runs_then_terminates_and_is_gone() {
    let mut cloud = Fixture::new();
    let id = &cloud
        .run(json!({"InternetAccessible": {"InternetMaxBandwidthOut": 1}}))
        .unwrap()[0];
    let pending = cloud.show(id);
    assert_eq!(pending["InstanceState"], "PENDING");
    assert_eq!(pending["LatestOperation"], "RunInstances");
    assert_eq!(pending["LatestOperationState"], "OPERATING");
    assert_eq!(pending["PrivateIpAddresses"], json!([]));
    assert_eq!(pending["PublicIpAddresses"], Value::Null);
    assert_eq!(pending["RenewFlag"], Value::Null);
    assert_eq!(
        cloud.terminate(std::slice::from_ref(id)),
        Err("UnsupportedOperation.InstanceStatePending")
    );

    let running = cloud.after(180).show(id);
    assert_eq!(running["InstanceState"], "RUNNING");
    assert_eq!(running["LatestOperationState"], "SUCCESS");
    assert_eq!(running["LatestOperationErrorMsg"], "");
    assert_eq!(running["PrivateIpAddresses"], json!(["10.192.0.2"]));
    assert_eq!(running["PublicIpAddresses"], json!(["198.18.0.2"]));
    assert_eq!(running["HostName"], "VM-0-2");
    assert_eq!(running["InstanceName"], "未命名");
    assert_eq!(running["InstanceType"], "S1.SMALL1");
    assert_eq!(running["CreatedTime"], "2026-11-23T12:00:00Z");

    cloud.terminate(std::slice::from_ref(id)).unwrap();
    let terminating = cloud.show(id);
    assert_eq!(terminating["InstanceState"], "TERMINATING");
    assert_eq!(terminating["LatestOperation"], "TerminateInstances");
    assert_ne!(
        terminating["LatestOperationRequestId"],
        running["LatestOperationRequestId"]
    );
    assert_eq!(
        cloud.terminate(std::slice::from_ref(id)),
        Err("UnsupportedOperation.InstanceStateTerminating")
    );
    assert_eq!(cloud.after(30).state(id), None);
    assert_eq!(
        cloud.describe(json!({"InstanceIds": [id]})),
        Ok(json!({"TotalCount": 0, "InstanceSet": []}))
    );
    assert_eq!(
        cloud.terminate(std::slice::from_ref(id)),
        Err("InvalidInstanceId.NotFound")
    );
    let machine = cloud.machines().remove(0);
    let states: Vec<_> = machine["states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["state"].clone())
        .collect();
    assert_eq!(states, ["PENDING", "RUNNING", "TERMINATING", "GONE"]);
}

#[test]
fn launches_take_about_half_a_minute_and_speed_divides_it() {
    let launch = |speed: f64| {
        let mut cloud = Fixture::new();
        cloud.world = World::new(Arc::new(Catalog::embedded()), 7, speed);
        cloud.run(json!({"InstanceCount": 500})).unwrap();
        let machines = cloud.world.machines.iter();
        let mut times: Vec<_> = machines
            .map(|machine| {
                (8_000..=180_000)
                    .step_by(100)
                    .find(|after| {
                        let now = START + std::time::Duration::from_millis(*after).div_f64(speed);
                        machine.life.state(now) == Some(State::Running)
                    })
                    .unwrap()
            })
            .collect();
        times.sort_unstable();
        times
    };
    let times = launch(1.0);
    let (fastest, median, slowest) = (times[0], times[250], times[499]);
    assert!((25_000..35_000).contains(&median), "{median}");
    assert!(fastest < 15_000 && slowest > 60_000, "{fastest} {slowest}");
    assert!(
        launch(50.0)
            .iter()
            .zip(&times)
            .all(|(scaled, time)| scaled.abs_diff(*time) <= 100)
    );
}

#[test]
fn addresses_appear_while_the_machine_is_still_pending() {
    let mut cloud = Fixture::new();
    let id = &cloud.run(json!({})).unwrap()[0];
    let mut seen = HashSet::new();
    for _ in 0..180 {
        let shown = cloud.after(1).show(id);
        seen.insert((
            shown["InstanceState"].clone(),
            shown["PrivateIpAddresses"] != json!([]),
        ));
    }
    let expected = [
        (json!("PENDING"), false),
        (json!("PENDING"), true),
        (json!("RUNNING"), true),
    ];
    assert_eq!(seen, HashSet::from(expected));
}

#[test]
fn a_failed_launch_says_why_cannot_be_terminated_and_is_recycled() {
    let mut cloud = Fixture::new();
    let by_type = cloud
        .run(json!({"InstanceType": "LAUNCHFAIL.SMALL1"}))
        .unwrap();
    let by_image = cloud.run(json!({"ImageId": "img-launchno"})).unwrap();
    let shown = cloud.after(180).show(&by_type[0]);
    assert_eq!(shown["InstanceState"], "LAUNCH_FAILED");
    assert_eq!(shown["LatestOperationState"], "FAILED");
    assert_eq!(
        shown["LatestOperationErrorMsg"],
        "The host failed to start the instance."
    );
    assert_eq!(cloud.state(&by_image[0]), Some(State::LaunchFailed));
    assert_eq!(
        cloud.terminate(&by_type),
        Err("UnsupportedOperation.InstanceStateLaunchFailed")
    );
    assert_eq!(cloud.after(2 * 60 * 60).state(&by_type[0]), None);
}

#[test]
fn a_prepaid_machine_goes_to_the_recycle_bin_first() {
    let mut cloud = Fixture::new();
    let prepaid = json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 3}});
    let ids = cloud.run(prepaid.clone()).unwrap();
    let shown = cloud.after(180).show(&ids[0]);
    assert_eq!(shown["ExpiredTime"], "2027-02-23T12:00:00Z");
    assert_eq!(shown["RenewFlag"], "NOTIFY_AND_MANUAL_RENEW");
    cloud.terminate(&ids).unwrap();
    let shown = cloud.show(&ids[0]);
    assert_eq!(
        (&shown["InstanceState"], &shown["IsolatedSource"]),
        (&json!("SHUTDOWN"), &json!("MANMADE"))
    );
    cloud.after(3600).terminate(&ids).unwrap();
    assert_eq!(cloud.state(&ids[0]), Some(State::Terminating));
    assert_eq!(cloud.after(30).state(&ids[0]), None);

    let ids = cloud.run(prepaid).unwrap();
    cloud.after(180).terminate(&ids).unwrap();
    assert_eq!(cloud.after(7 * 24 * 60 * 60).state(&ids[0]), None);
}

#[test]
fn termination_is_all_or_nothing() {
    let mut cloud = Fixture::new();
    let hourly = cloud.run(json!({})).unwrap();
    let spot = cloud
        .run(json!({"InstanceChargeType": "SPOTPAID"}))
        .unwrap();
    let guarded = cloud.run(json!({"DisableApiTermination": true})).unwrap();
    cloud.after(180);
    let with = |other: &[String]| [hourly.as_slice(), other].concat();
    assert_eq!(
        cloud.terminate(&with(&spot)),
        Err("UnsupportedOperation.InstanceMixedPricingModel")
    );
    assert_eq!(
        cloud.terminate(&with(&guarded)),
        Err("UnsupportedOperation.InstancesProtected")
    );
    assert_eq!(
        cloud.terminate(&with(&["ins-00000000".to_owned()])),
        Err("InvalidInstanceId.NotFound")
    );
    assert_eq!(
        cloud.terminate(&with(&["i-1".to_owned()])),
        Err("InvalidInstanceId.Malformed")
    );
    assert_eq!(
        cloud.terminate(&vec!["ins-00000000".to_owned(); 101]),
        Err("InvalidParameterValue.LimitExceeded")
    );
    assert_eq!(cloud.terminate(&[]), Err("MissingParameter"));
    assert_eq!(cloud.state(&hourly[0]), Some(State::Running));
    cloud.region = "ap-guangzhou";
    assert_eq!(cloud.terminate(&hourly), Err("InvalidInstanceId.NotFound"));
}

#[test]
fn an_action_timer_terminates_by_itself() {
    let mut cloud = Fixture::new();
    let timer = json!({"TimerAction": "TerminateInstances", "ActionTime": "2026-11-23T12:10:00Z"});
    let id = &cloud.run(json!({"ActionTimer": timer})).unwrap()[0];
    assert_eq!(cloud.after(599).state(id), Some(State::Running));
    assert_eq!(cloud.after(1).state(id), Some(State::Terminating));
    assert_eq!(cloud.after(30).state(id), None);
}

#[test]
fn the_end_of_time_is_no_panic() {
    let mut cloud = Fixture::new();
    let timer = json!({"TimerAction": "TerminateInstances", "ActionTime": "9999-12-31T23:59:59Z"});
    let id = &cloud.run(json!({"ActionTimer": timer})).unwrap()[0];
    assert_eq!(cloud.after(180).state(id), Some(State::Running));
}

#[test]
fn a_client_token_is_answered_the_same_for_ever() {
    let mut cloud = Fixture::new();
    let ids = cloud
        .run(json!({"ClientToken": "t1", "InstanceCount": 2}))
        .unwrap();
    assert_eq!(
        cloud.run(json!({"ClientToken": "t1", "InstanceCount": 9})),
        Ok(ids.clone())
    );
    assert_ne!(
        cloud.run(json!({"ClientToken": "t2", "InstanceCount": 2})),
        Ok(ids.clone())
    );
    cloud.after(180).terminate(&ids).unwrap();
    cloud.after(30 * 24 * 60 * 60);
    assert_eq!(cloud.run(json!({"ClientToken": "t1"})), Ok(ids));
    assert_eq!(cloud.world.machines.len(), 4);
}

#[test]
fn a_client_token_is_forgotten_after_its_memory() {
    let mut cloud = Fixture::faulty("token_memory_s = 60.0");
    let token = json!({"ClientToken": "t"});
    let first = cloud.run(token.clone()).unwrap();
    assert_eq!(cloud.after(59).run(token.clone()).unwrap(), first);
    assert_ne!(cloud.after(1).run(token.clone()).unwrap(), first);
    let mut cloud = Fixture::faulty("token_memory_s = 0.0");
    let first = cloud.run(token.clone()).unwrap();
    assert_ne!(cloud.run(token).unwrap(), first);
}

#[test]
fn a_client_token_with_another_request_is_answered_refused_or_launched() {
    let first = json!({"ClientToken": "t"});
    let other = json!({"ClientToken": "t", "InstanceCount": 2});
    for (mismatch, expected) in [
        ("answer", Ok(1)),
        ("refuse", Err("InvalidParameterValue")),
        ("launch", Ok(2)),
    ] {
        let mut cloud = Fixture::faulty(&format!("token_mismatch = \"{mismatch}\""));
        let ids = cloud.run(first.clone()).unwrap();
        let count = cloud.run(other.clone()).map(|ids| ids.len());
        assert_eq!(count, expected, "{mismatch}");
        if mismatch != "launch" {
            assert_eq!(cloud.run(first.clone()).unwrap(), ids, "{mismatch}");
        }
    }
}

#[test]
fn machines_and_their_tags_show_late() {
    let mut cloud = Fixture::faulty(
        "create_delay_s = [10.0, 10.0]\ninstance_lag_s = [5.0, 5.0]\ntag_lag_s = [3.0, 3.0]",
    );
    let tags = json!([{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]);
    let ids = cloud.run(json!({"TagSpecification": tags})).unwrap();
    let by_tag = json!([{"Name": "tag:k", "Values": ["v"]}]);
    let all = json!([]);
    cloud.after(14);
    assert_eq!(cloud.find(&all), [""; 0]);
    assert_eq!(cloud.state(&ids[0]), None);
    assert_eq!(cloud.terminate(&ids), Err("InvalidInstanceId.NotFound"));
    cloud.after(1);
    assert_eq!(cloud.find(&all), ids);
    assert_eq!(cloud.show(&ids[0])["CreatedTime"], "2026-11-23T12:00:10Z");
    assert_eq!(cloud.show(&ids[0])["Tags"], json!([]));
    cloud.after(2);
    assert_eq!(cloud.find(&by_tag), [""; 0]);
    cloud.after(1);
    assert_eq!(cloud.find(&by_tag), ids);
    assert_eq!(
        cloud.show(&ids[0])["Tags"],
        json!([{"Key": "k", "Value": "v"}])
    );
}

#[test]
fn chance_cuts_launches_fails_machines_and_breaks_calls() {
    let mut cloud = Fixture::faulty("partial_p = 1.0");
    let counts: HashSet<usize> = (0..20)
        .map(|_| {
            let partial = json!({"InstanceCount": 5, "MinCount": 2});
            cloud.run(partial).unwrap().len()
        })
        .collect();
    assert!(
        counts.iter().all(|count| (2..5).contains(count)),
        "{counts:?}"
    );
    assert!(counts.len() > 1, "{counts:?}");
    assert_eq!(cloud.run(json!({"InstanceCount": 5})).unwrap().len(), 5);

    let mut cloud = Fixture::faulty("launch_failed_p = 1.0");
    let ids = cloud.run(json!({})).unwrap();
    cloud.after(300);
    assert_eq!(cloud.state(&ids[0]), Some(State::LaunchFailed));

    let mut cloud = Fixture::faulty("internal_error_p = { RunInstances = 1.0 }");
    let refusal = cloud.world.admit(START, KEY, "RunInstances").unwrap_err();
    assert_eq!(refusal.code, "InternalError");
    cloud.world.admit(START, KEY, "DescribeZones").unwrap();
}

#[test]
fn twins_both_launch_until_the_token_is_known() {
    let mut cloud = Fixture::faulty("token_lag_s = 5.0");
    let token = json!({"ClientToken": "t"});
    let first = cloud.run(token.clone()).unwrap();
    let twin = cloud.after(4).run(token.clone()).unwrap();
    assert_ne!(twin, first);
    assert_eq!(cloud.after(1).run(token.clone()).unwrap(), first);
    let mut cloud = Fixture::new();
    let first = cloud.run(token.clone()).unwrap();
    assert_eq!(cloud.run(token).unwrap(), first, "twins are serialised");
}

#[test]
fn a_client_token_is_known_in_its_scope() {
    let token = json!({"ClientToken": "t", "ImageId": "img-pmqg1cw7"});
    for (scope, elsewhere, by_another_host) in [
        ("account", true, true),
        ("region", false, true),
        ("endpoint", true, false),
    ] {
        let mut cloud = Fixture::faulty(&format!("token_scope = \"{scope}\""));
        let first = cloud.run(token.clone()).unwrap();
        cloud.endpoint = "cvm.ap-shanghai.tencentcloudapi.com";
        let same = cloud.run(token.clone()).unwrap() == first;
        assert_eq!(same, by_another_host, "{scope}");
        let mut cloud = Fixture::faulty(&format!("token_scope = \"{scope}\""));
        let first = cloud.run(token.clone()).unwrap();
        cloud.region = "ap-guangzhou";
        let mut there = token.clone();
        there["Placement"] = json!({"Zone": "ap-guangzhou-3"});
        let same = cloud.run(there).unwrap() == first;
        assert_eq!(same, elsewhere, "{scope}");
    }
}

#[test]
fn a_client_token_of_machines_that_are_gone_is_answered_or_refused() {
    let token = json!({"ClientToken": "t"});
    for (dead, refused) in [("answer", false), ("refuse", true)] {
        let mut cloud = Fixture::faulty(&format!("token_dead = \"{dead}\""));
        let ids = cloud.run(token.clone()).unwrap();
        cloud.after(180).terminate(&ids).unwrap();
        assert_eq!(cloud.run(token.clone()), Ok(ids.clone()), "not gone yet");
        let expected = if refused {
            Err("InvalidParameterValue")
        } else {
            Ok(ids)
        };
        assert_eq!(cloud.after(60).run(token.clone()), expected, "{dead}");
    }
}

#[test]
fn a_tag_key_that_no_machine_has_is_refused() {
    let mut cloud = Fixture::faulty("tag_key_not_found = true");
    let by_key = || json!({"Filters": [{"Name": "tag-key", "Values": ["k"]}]});
    let by_tag = || json!({"Filters": [{"Name": "tag:k", "Values": ["w"]}]});
    let refused = "InvalidParameterValue.TagKeyNotFound";
    assert_eq!(cloud.describe(by_key()).unwrap_err(), refused);
    assert_eq!(cloud.describe(by_tag()).unwrap_err(), refused);
    let tags = json!([{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]);
    cloud.run(json!({"TagSpecification": tags})).unwrap();
    assert_eq!(cloud.describe(by_key()).unwrap()["TotalCount"], 1);
    assert_eq!(cloud.describe(by_tag()).unwrap()["TotalCount"], 0);
    let mut cloud = Fixture::new();
    assert_eq!(cloud.describe(by_key()).unwrap()["TotalCount"], 0);
}

#[test]
fn pages_shift_by_a_machine() {
    let offsets = |lines: &str| {
        let mut cloud = Fixture::faulty(lines);
        let ids = cloud.run(json!({"InstanceCount": 9})).unwrap();
        let mut seen = HashSet::new();
        for _ in 0..20 {
            let page = cloud.describe(json!({"Offset": 3, "Limit": 2})).unwrap();
            let first = page["InstanceSet"][0]["InstanceId"].as_str().unwrap();
            seen.insert(ids.iter().position(|id| id == first).unwrap());
            let page = cloud.describe(json!({"Limit": 2})).unwrap();
            assert_eq!(
                page["InstanceSet"][0]["InstanceId"], ids[0],
                "the first stays"
            );
        }
        seen
    };
    assert_eq!(offsets("page_shift_p = 1.0"), HashSet::from([2, 4]));
    assert_eq!(offsets(""), HashSet::from([3]));
}

#[test]
fn what_is_sold_out_or_over_quota_comes_and_goes() {
    let mut cloud = Fixture::new();
    let sold_out = |name: &str| Faults {
        sold_out: [name.to_owned()].into(),
        ..Faults::default()
    };
    let quota = Faults {
        quota: Some(1),
        ..Faults::default()
    };
    let rows = [
        (
            sold_out("ap-shanghai-2"),
            Err("ResourceInsufficient.AvailabilityZoneSoldOut"),
        ),
        (
            sold_out("S1.SMALL1"),
            Err("ResourcesSoldOut.SpecifiedInstanceType"),
        ),
        (quota, Err("LimitExceeded.InstanceQuota")),
        (Faults::default(), Ok(2)),
    ];
    for (faults, expected) in rows {
        cloud.world.misbehave(faults);
        let made = cloud.run(json!({"InstanceCount": 2}));
        assert_eq!(made.map(|ids| ids.len()), expected);
    }
}

#[test]
fn calls_are_refused_by_chance_and_by_another_rate() {
    let chance = "refuse_p = { RunInstances = { \"ResourceInsufficient.Madeup\" = 0.5 } }";
    let mut cloud = Fixture::faulty(chance);
    let refused = (0..40).filter(|second| {
        let at = START + Duration::seconds(*second);
        let refused = cloud.world.admit(at, KEY, "RunInstances").err();
        refused.is_some_and(|refusal| refusal.code == "ResourceInsufficient.Madeup")
    });
    let refused = refused.count();
    assert!((5..35).contains(&refused), "{refused}");
    cloud.world.admit(START, KEY, "DescribeZones").unwrap();

    let mut cloud = Fixture::faulty("rates = { DescribeZones = 1 }");
    cloud.world.admit(START, KEY, "DescribeZones").unwrap();
    let refused = cloud.world.admit(START, KEY, "DescribeZones").unwrap_err();
    assert_eq!(refused.code, "RequestLimitExceeded");
}

#[test]
fn what_temporary_keys_called_in_seconds_that_are_over_is_dropped() {
    let mut cloud = Fixture::new();
    for number in 0..WINDOWS_MAX + 100 {
        let key = format!("AKID{number}");
        let at = START + Duration::seconds(i64::try_from(number / 100).unwrap());
        cloud.world.admit(at, &key, "DescribeZones").unwrap();
    }
    assert_eq!(cloud.world.windows.len(), 100);
}

#[test]
fn refusals_and_dry_runs_use_no_token_and_launch_nothing() {
    let mut cloud = Fixture::new();
    assert_eq!(
        cloud.run(json!({"ClientToken": "t", "ImageId": "img-00000000"})),
        Err("InvalidImageId.NotFound")
    );
    assert_eq!(
        cloud.run(json!({"ClientToken": "t", "DryRun": true})),
        Ok(vec![])
    );
    assert_eq!(
        cloud.run(json!({"DryRun": true, "InstanceType": "SOLDOUT.SMALL1"})),
        Err("ResourcesSoldOut.SpecifiedInstanceType")
    );
    assert!(cloud.world.machines.is_empty());
    assert_eq!(cloud.run(json!({"ClientToken": "t"})).unwrap().len(), 1);
}

#[test]
fn stock_runs_out_and_comes_back() {
    let mut cloud = Fixture::new();
    let scarce = |count: u32| json!({"InstanceType": "SCARCE.SMALL1", "InstanceCount": count});
    let ids = cloud.run(scarce(2)).unwrap();
    assert_eq!(
        cloud.run(scarce(2)),
        Err("ResourceInsufficient.SpecifiedInstanceType")
    );
    assert_eq!(cloud.run(scarce(1)).unwrap().len(), 1);
    assert_eq!(
        cloud.run(scarce(1)),
        Err("ResourcesSoldOut.SpecifiedInstanceType")
    );
    let elsewhere =
        json!({"InstanceType": "SCARCE.SMALL1", "Placement": {"Zone": "ap-shanghai-4"}});
    assert_eq!(cloud.run(elsewhere).unwrap().len(), 1);
    cloud.after(180).terminate(&ids).unwrap();
    assert_eq!(
        cloud.run(scarce(1)),
        Err("ResourcesSoldOut.SpecifiedInstanceType")
    );
    assert_eq!(cloud.after(30).run(scarce(2)).unwrap().len(), 2);
}

/// The recycle bin's own end must not give back a second time what the second termination gave back.
#[test]
fn what_a_machine_held_is_given_back_once() {
    let mut cloud = Fixture::new();
    let scarce = |charge: &str| json!({"InstanceType": "SCARCE.SMALL1", "InstanceCount": 3, "InstanceChargeType": charge, "InstanceChargePrepaid": {"Period": 1}});
    let prepaid = cloud.run(scarce("PREPAID")).unwrap();
    cloud.after(180).terminate(&prepaid).unwrap();
    cloud.terminate(&prepaid).unwrap();
    assert_eq!(
        cloud
            .after(30)
            .run(scarce("POSTPAID_BY_HOUR"))
            .unwrap()
            .len(),
        3
    );
    let week = 7 * 24 * 60 * 60;
    assert_eq!(
        cloud.after(week).run(scarce("POSTPAID_BY_HOUR")),
        Err("ResourcesSoldOut.SpecifiedInstanceType")
    );
}

#[test]
fn addresses_run_out_and_come_back() {
    let mut catalog = Catalog::embedded();
    catalog.networks.public = "198.18.0.0/29".to_owned().try_into().unwrap();
    let mut cloud = Fixture::new();
    cloud.world = World::new(Arc::new(catalog), 7, 1.0);
    let tiny = json!({"VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-tinyaaaa"});
    let public = |count: u32| json!({"InternetAccessible": {"InternetMaxBandwidthOut": 1}, "InstanceCount": count});
    let private = |count: u32| json!({"VirtualPrivateCloud": tiny, "InstanceCount": count});
    assert_eq!(
        cloud.run(public(6)),
        Err("ResourcesSoldOut.EipInsufficient")
    );
    let mut ids = cloud.run(public(5)).unwrap();
    assert_eq!(
        cloud.run(public(1)),
        Err("ResourcesSoldOut.EipInsufficient")
    );
    ids.extend(cloud.run(private(5)).unwrap());
    assert_eq!(cloud.run(private(1)), Err("LimitExceeded.VpcSubnetNum"));
    cloud.after(180).terminate(&ids).unwrap();
    cloud.after(30);
    assert_eq!(cloud.run(public(5)).unwrap().len(), 5);
    assert_eq!(cloud.run(private(5)).unwrap().len(), 5);
}

#[test]
fn what_runs_out_has_its_own_code() {
    let mut cloud = Fixture::new();
    let spot = |count: u32, kind: &str| json!({"InstanceChargeType": "SPOTPAID", "InstanceType": kind, "InstanceCount": count});
    assert_eq!(
        cloud.run(spot(1, "SOLDOUT.SMALL1")),
        Err("InvalidParameterValue.InsufficientOffering")
    );
    assert_eq!(
        cloud.run(spot(4, "SCARCE.SMALL1")),
        Err("LimitExceeded.SpotQuota")
    );
    assert_eq!(
        cloud.run(json!({"Placement": {"Zone": "ap-shanghai-8"}})),
        Err("ResourceInsufficient.AvailabilityZoneSoldOut")
    );

    let partial = |least: u32| json!({"InstanceType": "SCARCE.SMALL1", "InstanceCount": 5, "MinCount": least});
    assert_eq!(
        cloud.run(partial(4)),
        Err("ResourceInsufficient.InsufficientOfferingMinimum")
    );
    assert_eq!(cloud.run(partial(2)).unwrap().len(), 3);

    let tiny = json!({"VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-tinyaaaa"});
    let in_tiny = |count: u32| json!({"VirtualPrivateCloud": tiny, "InstanceCount": count});
    assert_eq!(cloud.run(in_tiny(6)), Err("LimitExceeded.VpcSubnetNum"));
    assert_eq!(cloud.run(in_tiny(5)).unwrap().len(), 5);
    assert_eq!(cloud.run(in_tiny(1)), Err("LimitExceeded.VpcSubnetNum"));

    let grouped =
        |count: u32| json!({"DisasterRecoverGroupIds": ["ps-tinyaaaa"], "InstanceCount": count});
    assert_eq!(
        cloud.run(grouped(3)),
        Err("ResourceInsufficient.DisasterRecoverGroupCvmQuota")
    );
    assert_eq!(cloud.run(grouped(2)).unwrap().len(), 2);
}

#[test]
fn quotas_count_by_zone_and_billing() {
    let mut catalog = Catalog::embedded();
    (
        catalog.limits.hourly_per_zone,
        catalog.limits.spot_per_zone,
        catalog.limits.prepaid_per_zone,
    ) = (2, 1, 0);
    let mut cloud = Fixture::new();
    cloud.world = World::new(Arc::new(catalog), 7, 1.0);
    assert_eq!(
        cloud.run(json!({"InstanceCount": 3})),
        Err("LimitExceeded.InstanceQuota")
    );
    assert_eq!(cloud.run(json!({"InstanceCount": 2})).unwrap().len(), 2);
    assert_eq!(cloud.run(json!({})), Err("LimitExceeded.InstanceQuota"));
    assert_eq!(
        cloud
            .run(json!({"Placement": {"Zone": "ap-shanghai-4"}}))
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        cloud
            .run(json!({"InstanceChargeType": "SPOTPAID"}))
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        cloud.run(json!({"InstanceChargeType": "SPOTPAID"})),
        Err("LimitExceeded.UserSpotQuota")
    );
    let prepaid = json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1}});
    assert_eq!(cloud.run(prepaid), Err("LimitExceeded.PrepayQuota"));
}

#[test]
fn a_dedicated_host_fills_up() {
    let mut cloud = Fixture::new();
    cloud.region = "ap-guangzhou";
    let placement = json!({"Zone": "ap-guangzhou-3", "HostIds": ["host-smallaaa"]});
    let on_host = |kind: &str| json!({"Placement": placement, "InstanceChargeType": "CDHPAID", "InstanceType": kind});
    assert_eq!(
        cloud.run(on_host("CDH_1C8G")),
        Err("InvalidParameter.InstanceTypeSupportedHostNotFound")
    );
    let ids = cloud.run(on_host("CDH_2C2G")).unwrap();
    assert_eq!(cloud.show(&ids[0])["Placement"]["HostId"], "host-smallaaa");
    assert_eq!(
        cloud.run(on_host("CDH_1C1G")),
        Err("InvalidParameter.InstanceTypeSupportedHostNotFound")
    );
    cloud.after(180).terminate(&ids).unwrap();
    assert_eq!(cloud.after(30).run(on_host("CDH_1C1G")).unwrap().len(), 1);
}

#[test]
fn fixed_addresses_are_given_in_order_and_only_once() {
    let mut cloud = Fixture::new();
    let vpc = json!({"VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-dcs9x3gz", "PrivateIpAddresses": ["10.0.0.19", "10.0.0.18"]});
    let request = json!({"VirtualPrivateCloud": vpc, "InstanceCount": 2, "HostName": "vm-{IP}", "InstanceName": "vm{R:5}"});
    let ids = cloud.run(request.clone()).unwrap();
    assert_eq!(cloud.run(request), Err("VpcIpIsUsed"));
    let shown = cloud
        .after(180)
        .describe(json!({"InstanceIds": ids}))
        .unwrap();
    let column = |name: &str| {
        shown["InstanceSet"]
            .as_array()
            .unwrap()
            .iter()
            .map(|machine| machine[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        column("PrivateIpAddresses"),
        [json!(["10.0.0.19"]), json!(["10.0.0.18"])]
    );
    assert_eq!(column("HostName"), ["vm-10.0.0.19", "vm-10.0.0.18"]);
    assert_eq!(column("InstanceName"), ["vm5", "vm6"]);
}

#[test]
fn the_first_calls_of_each_second_pass() {
    let mut cloud = Fixture::new();
    let mut admit = |now, key: &str, action| {
        cloud
            .world
            .admit(now, key, action)
            .map_err(|refusal| refusal.into_code())
    };
    for _ in 0..10 {
        assert_eq!(admit(START, KEY, "RunInstances"), Ok(()));
    }
    assert_eq!(
        admit(START, KEY, "RunInstances"),
        Err("RequestLimitExceeded")
    );
    assert_eq!(admit(START, KEY, "DescribeInstances"), Ok(()));
    assert_eq!(admit(START, "another key", "RunInstances"), Ok(()));
    assert_eq!(
        admit(START + Duration::milliseconds(999), KEY, "RunInstances"),
        Err("RequestLimitExceeded")
    );
    assert_eq!(admit(START + Duration::SECOND, KEY, "RunInstances"), Ok(()));
}

#[test]
fn filters_find() {
    let mut cloud = Fixture::new();
    let tags = |value: &str| json!([{"ResourceType": "instance", "Tags": [{"Key": "env", "Value": value}]}]);
    let vpc = json!({"VpcId": "DEFAULT", "SubnetId": "DEFAULT"});
    let a = cloud.run(json!({"InstanceName": "a", "TagSpecification": tags("dev"), "VirtualPrivateCloud": vpc})).unwrap().remove(0);
    let b = cloud.after(180).run(json!({"InstanceName": "b", "TagSpecification": tags("prod"), "Placement": {"Zone": "ap-shanghai-4"}})).unwrap().remove(0);
    let shown = cloud.show(&a);
    let uuid = shown["Uuid"].as_str().unwrap().to_owned();
    let address = shown["PrivateIpAddresses"][0].as_str().unwrap().to_owned();
    let rows: [(&str, &[&str], &[&String]); 19] = [
        ("instance-name", &["a", "c"], &[&a]),
        ("zone", &["ap-shanghai-4"], &[&b]),
        ("tag-key", &["env"], &[&a, &b]),
        ("tag-value", &["prod"], &[&b]),
        ("tag:env", &["dev"], &[&a]),
        ("instance-state", &["RUNNING"], &[&a]),
        ("instance-state", &["PENDING", "STOPPED"], &[&b]),
        ("instance-id", &[&b], &[&b]),
        ("uuid", &[&uuid], &[&a]),
        ("private-ip-address", &[&address], &[&a]),
        ("vpc-id", &["vpc-defaultb"], &[&a]),
        ("subnet-id", &["subnet-defaulb2"], &[&a]),
        ("project-id", &["0"], &[&a, &b]),
        ("security-group-id", &["sg-default1"], &[&a, &b]),
        ("instance-charge-type", &["POSTPAID_BY_HOUR"], &[&a, &b]),
        ("creation-start-time", &["2026-11-23 12:01:00"], &[&b]),
        ("creation-end-time", &["2026-11-23 12:01:00"], &[&a]),
        ("ipv6-address", &["::1"], &[]),
        ("host-id", &["host-q88gab4i"], &[]),
    ];
    for (name, values, expected) in rows {
        let filters = json!([{"Name": name, "Values": values}]);
        let found = cloud.find(&filters);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filters}");
    }
    let both =
        json!([{"Name": "tag-key", "Values": ["env"]}, {"Name": "instance-name", "Values": ["b"]}]);
    assert_eq!(cloud.find(&both), [b]);
}

#[test]
fn filters_are_checked() {
    let mut cloud = Fixture::new();
    let rows = [
        ("colour", "red", "InvalidFilter"),
        ("tag:", "x", "InvalidFilter"),
        ("zone", "ap-guangzhou-3", "InvalidZone.MismatchRegion"),
        ("project-id", "x", "InvalidParameterValue"),
        ("vpc-id", "x", "InvalidParameterValue.VpcIdMalformed"),
        ("subnet-id", "x", "InvalidParameterValue.SubnetIdMalformed"),
        ("security-group-id", "x", "InvalidSgId.Malformed"),
        ("host-id", "x", "InvalidHostId.Malformed"),
        ("instance-id", "x", "InvalidInstanceId.Malformed"),
        ("uuid", "x", "InvalidParameterValue.UuidMalformed"),
        (
            "private-ip-address",
            "x",
            "InvalidParameterValue.IPAddressMalformed",
        ),
        (
            "ipv6-address",
            "x",
            "InvalidParameterValue.IPv6AddressMalformed",
        ),
        (
            "creation-start-time",
            "2026-11-23",
            "InvalidParameterValue.InvalidTimeFormat",
        ),
    ];
    for (name, value, code) in rows {
        let filters = json!([{"Name": name, "Values": [value]}]);
        assert_eq!(
            cloud.describe(json!({"Filters": filters})),
            Err(code),
            "{name}"
        );
    }
}

#[test]
fn pages_and_ids_have_limits() {
    let mut cloud = Fixture::new();
    let ids = cloud.run(json!({"InstanceCount": 120})).unwrap();
    let page = |found: Value| {
        (
            found["TotalCount"].as_u64().unwrap(),
            found["InstanceSet"].as_array().unwrap().len(),
        )
    };
    let filter = json!({"Name": "zone", "Values": ["ap-shanghai-2"]});
    let rows = [
        (json!({}), Ok((120, 20))),
        (json!({"Limit": 100}), Ok((120, 100))),
        (json!({"Limit": 100, "Offset": 100}), Ok((120, 20))),
        (json!({"Offset": 500}), Ok((120, 0))),
        (
            json!({"InstanceIds": ids[..100], "Limit": 100}),
            Ok((100, 100)),
        ),
        (
            json!({"InstanceIds": [ids[0], ids[0], "ins-00000000"]}),
            Ok((1, 1)),
        ),
        (
            json!({"InstanceIds": ids[..101]}),
            Err("InvalidParameterValue.LimitExceeded"),
        ),
        (json!({"Limit": 0}), Err("InvalidParameterValue")),
        (json!({"Limit": 101}), Err("InvalidParameterValue")),
        (json!({"Offset": -1}), Err("InvalidParameterValue")),
        (
            json!({"InstanceIds": [ids[0]], "Filters": [filter]}),
            Err("InvalidParameter"),
        ),
        (
            json!({"Filters": vec![&filter; 11]}),
            Err("InvalidFilterValue.LimitExceeded"),
        ),
        (
            json!({"Filters": [{"Name": "zone", "Values": vec!["ap-shanghai-2"; 6]}]}),
            Err("InvalidFilterValue.LimitExceeded"),
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(cloud.describe(body.clone()).map(page), expected, "{body}");
    }
    cloud.region = "ap-guangzhou";
    assert_eq!(
        cloud.describe(json!({"InstanceIds": [ids[0]]})).map(page),
        Ok((0, 0))
    );
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let history = |seed| {
        let mut cloud = Fixture::seeded(seed);
        cloud.run(json!({"InstanceCount": 3})).unwrap();
        cloud.after(180).run(json!({})).unwrap();
        cloud.machines()
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2));
}

#[test]
fn an_instance_has_exactly_the_members_of_the_contract() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/contract/cvm-contract.json"
    );
    let contract: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut cloud = Fixture::new();
    let rich = json!({"InstanceType": "GN7.2XLARGE32", "DataDisks": [{"DiskSize": 10, "DiskType": "CLOUD_PREMIUM"}], "Metadata": {"Items": [{"Key": "a", "Value": "b"}]},
    "TagSpecification": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]});
    let id = &cloud.run(rich).unwrap()[0];
    let shown = cloud.after(180).show(id);
    check_members(&contract, "Instance", &shown);
}

/// Members that the contract always returns are there, others are known to it.
pub(super) fn check_members(contract: &Value, object: &str, shown: &Value) {
    let members = contract["objects"][object]["members"].as_array().unwrap();
    let shown = shown.as_object().unwrap();
    for member in members {
        let name = member["name"].as_str().unwrap();
        let value = shown.get(name);
        // An input's echo: the password and the image's login never come back.
        let required = member["output_required"] == true && member["direction"] != "in";
        assert!(value.is_some() || !required, "{object}.{name} is missing");
        let may_be_null = member["nullable"] == true || member["nullable_note"].is_string();
        assert!(
            value != Some(&Value::Null) || may_be_null,
            "{object}.{name} is null"
        );
        let (inner, items) = (member["object"].as_str(), value.and_then(Value::as_array));
        match (inner, value, items) {
            (Some(inner), _, Some(items)) => items
                .iter()
                .for_each(|item| check_members(contract, inner, item)),
            (Some(inner), Some(value), None) => check_members(contract, inner, value),
            (Some(_), None, None) | (None, _, _) => {}
        }
    }
    for name in shown.keys() {
        assert!(
            members.iter().any(|member| member["name"] == name.as_str()),
            "{object}.{name} is not in the contract"
        );
    }
}
