//! Stops, starts and reboots machines: all that are named, or none of them.

use super::life::Switch;
use super::machine::Machine;
use super::{Call, World};
use crate::simulator::validate::invalid;
use crate::simulator::wire::{RebootInstances, Refusal, StartInstances, StopInstances, answer};
use std::sync::Arc;

const STOP_TYPES: [&str; 3] = ["SOFT", "SOFT_FIRST", "HARD"];

impl World {
    pub(in crate::simulator) fn start_instances(
        &mut self,
        call: &Call<'_>,
        request: &StartInstances,
    ) -> Result<answer::Nothing, Refusal> {
        self.switch(call, &request.instance_ids, Switch::Start, false)
    }

    pub(in crate::simulator) fn stop_instances(
        &mut self,
        call: &Call<'_>,
        request: &StopInstances,
    ) -> Result<answer::Nothing, Refusal> {
        check_stop_type(
            "ForceStop",
            request.force_stop,
            request.stop_type.as_deref(),
        )?;
        let for_nothing = match request.stopped_mode.as_deref() {
            None | Some("KEEP_CHARGING") => false,
            Some("STOP_CHARGING") => true,
            Some(_) => {
                let rule = "must be KEEP_CHARGING or STOP_CHARGING";
                return Err(invalid("StoppedMode", rule));
            }
        };
        self.switch(call, &request.instance_ids, Switch::Stop, for_nothing)
    }

    pub(in crate::simulator) fn reboot_instances(
        &mut self,
        call: &Call<'_>,
        request: &RebootInstances,
    ) -> Result<answer::Nothing, Refusal> {
        let forced = request.force_reboot;
        check_stop_type("ForceReboot", forced, request.stop_type.as_deref())?;
        self.switch(call, &request.instance_ids, Switch::Reboot, false)
    }

    fn switch(
        &mut self,
        call: &Call<'_>,
        ids: &[String],
        switch: Switch,
        for_nothing: bool,
    ) -> Result<answer::Nothing, Refusal> {
        self.settle(call.now);
        let found = self.all_named(call, ids)?;
        for machine in &found {
            machine.refuse_switch(switch, call.now)?;
            if for_nothing {
                machine.refuse_stop_for_nothing()?;
            }
        }
        let ids: Vec<_> = found.into_iter().map(Machine::id).collect();
        let indexes = ids.iter().filter_map(|id| self.by_id.get(*id).copied());
        for index in indexes.collect::<Vec<_>>() {
            if let Some(machine) = self.machines.get_mut(index).map(Arc::make_mut) {
                machine.switch(switch, for_nothing, call, self.speed, &mut self.power);
            }
        }
        Ok(answer::Nothing {})
    }
}

/// The older switch and the newer one exclude each other.
fn check_stop_type(
    older: &str,
    forced: Option<bool>,
    stop_type: Option<&str>,
) -> Result<(), Refusal> {
    match (forced, stop_type) {
        (Some(_), Some(_)) => {
            let message = format!("`{older}` and `StopType` exclude each other.");
            Err(Refusal::new("InvalidParameterCombination", message))
        }
        (None, Some(kind)) if !STOP_TYPES.contains(&kind) => {
            Err(invalid("StopType", "must be SOFT, SOFT_FIRST or HARD"))
        }
        (_, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::simulator::wire::answer::State;
    use crate::simulator::world::tests::Fixture;
    use serde_json::{Value, json};

    /// A machine that runs.
    fn running(changes: Value) -> (Fixture, String) {
        let mut cloud = Fixture::new();
        let id = cloud.run(changes).unwrap().remove(0);
        cloud.after(180);
        (cloud, id)
    }

    #[test]
    fn a_machine_stops_starts_and_reboots() {
        let (mut cloud, id) = running(json!({}));
        let ids = json!({"InstanceIds": [id]});
        let mut steps = |action: &str, on_the_way: State, at_the_end: State| {
            assert_eq!(cloud.ask(action, &ids), Ok(json!({})), "{action}");
            assert_eq!(cloud.after(1).state(&id), Some(on_the_way), "{action}");
            let shown = cloud.show(&id);
            assert_eq!(shown["LatestOperation"], action);
            assert_eq!(shown["LatestOperationState"], "OPERATING");
            assert_eq!(cloud.after(60).state(&id), Some(at_the_end), "{action}");
            let shown = cloud.show(&id);
            assert_eq!(shown["LatestOperation"], action);
            assert_eq!(shown["LatestOperationState"], "SUCCESS");
            shown["StopChargingMode"].clone()
        };
        let stopped = steps("StopInstances", State::Stopping, State::Stopped);
        assert_eq!(stopped, "KEEP_CHARGING");
        let started = steps("StartInstances", State::Starting, State::Running);
        assert_eq!(started, "NOT_APPLICABLE");
        steps("RebootInstances", State::Rebooting, State::Running);
        steps("StopInstances", State::Stopping, State::Stopped);
        assert_eq!(cloud.terminate(std::slice::from_ref(&id)), Ok(()));
        cloud.after(60);
        let machine = cloud.machines().remove(0);
        let states = machine["states"].as_array().unwrap().iter();
        let states: Vec<_> = states
            .map(|change| change["state"].as_str().unwrap())
            .collect();
        let expected = "PENDING RUNNING STOPPING STOPPED STARTING RUNNING REBOOTING RUNNING STOPPING STOPPED TERMINATING GONE";
        assert_eq!(states.join(" "), expected);
    }

    #[test]
    fn a_machine_in_the_wrong_state_is_left_alone() {
        let (mut cloud, running) = running(json!({"DisableApiTermination": true}));
        let pending = cloud.run(json!({})).unwrap().remove(0);
        let rows = [
            (
                "StartInstances",
                vec![&running],
                "UnsupportedOperation.InstanceStateRunning",
            ),
            (
                "StopInstances",
                vec![&running, &pending],
                "UnsupportedOperation.InstanceStatePending",
            ),
            (
                "RebootInstances",
                vec![&pending],
                "UnsupportedOperation.InstanceStatePending",
            ),
            ("StopInstances", vec![], "MissingParameter"),
        ];
        for (action, ids, code) in rows {
            let refused = cloud.ask(action, &json!({"InstanceIds": ids}));
            assert_eq!(refused, Err(code), "{action}");
        }
        let strange = json!({"InstanceIds": [running, "ins-00000000"]});
        assert_eq!(
            cloud.ask("StopInstances", &strange),
            Err("InvalidInstanceId.NotFound")
        );
        assert_eq!(cloud.state(&running), Some(State::Running), "all or none");
        let ids = json!({"InstanceIds": [running]});
        assert_eq!(cloud.ask("StopInstances", &ids), Ok(json!({})));
        let stopping = Err("UnsupportedOperation.InstanceStateStopping");
        assert_eq!(cloud.after(1).ask("StopInstances", &ids), stopping);
        assert_eq!(
            cloud.terminate(std::slice::from_ref(&running)),
            stopping.map(drop)
        );
        let protected = Err("UnsupportedOperation.InstancesProtected");
        assert_eq!(cloud.after(60).terminate(&[running]), protected);
    }

    #[test]
    fn how_to_stop_is_checked() {
        let (mut cloud, id) = running(json!({}));
        let prepaid =
            json!({"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": {"Period": 1}});
        let prepaid = cloud.run(prepaid).unwrap().remove(0);
        cloud.after(180);
        let rows = [
            (
                &id,
                json!({"StopType": "SOON"}),
                Err("InvalidParameterValue"),
            ),
            (
                &id,
                json!({"StopType": "HARD", "ForceStop": true}),
                Err("InvalidParameterCombination"),
            ),
            (
                &id,
                json!({"StoppedMode": "FREE"}),
                Err("InvalidParameterValue"),
            ),
            (&id, json!({"ForceReboot": true}), Err("UnknownParameter")),
            (
                &prepaid,
                json!({"StoppedMode": "STOP_CHARGING"}),
                Err("UnsupportedOperation.StoppedModeStopCharging"),
            ),
            (
                &id,
                json!({"StopType": "SOFT_FIRST", "StoppedMode": "STOP_CHARGING"}),
                Ok(json!({})),
            ),
            (&prepaid, json!({"ForceStop": true}), Ok(json!({}))),
        ];
        for (id, changes, expected) in rows {
            let mut body = json!({"InstanceIds": [id]});
            body.as_object_mut()
                .unwrap()
                .extend(changes.as_object().unwrap().clone());
            assert_eq!(cloud.ask("StopInstances", &body), expected, "{body}");
        }
        cloud.after(60);
        assert_eq!(cloud.show(&id)["StopChargingMode"], "STOP_CHARGING");
        assert_eq!(cloud.show(&prepaid)["StopChargingMode"], "NOT_APPLICABLE");
    }
}
