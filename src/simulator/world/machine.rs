//! One machine: what was ordered, what it holds, and how DescribeInstances shows it.

use super::capacity::Seat;
use super::faults::Lateness;
use super::guest::Guest;
use super::life::{Life, Switch, iso_seconds};
use super::{Call, random_uuid};
use crate::simulator::names;
use crate::simulator::validate::{Billing, Order};
use crate::simulator::wire::answer::{self, State};
use crate::simulator::wire::{Refusal, RunInstances};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::sync::Arc;
use time::UtcDateTime;

/// The display name of a machine that was given none.
const UNNAMED: &str = "未命名";

/// Stops, starts and reboots of one machine that are remembered.
const SWITCHES_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// What does not change; the rest is filled in when it is shown.
    fixed: answer::Instance,
    pub(super) life: Life,
    pub(super) seat: Seat,
    pub(super) billing: Billing,
    pub(super) region: String,
    pub(super) secret_id: String,
    /// Of the RunInstances call.
    pub(super) request_id: String,
    pub(super) client_token: Option<String>,
    /// Of the call, which may be before there was a machine.
    pub(super) accepted_at: UtcDateTime,
    shown_at: UtcDateTime,
    tags_shown_at: UtcDateTime,
    /// Of the last TerminateInstances call.
    terminate_request_id: Option<String>,
    /// Of the last call that stopped, started or rebooted it.
    switch_request_id: Option<String>,
    /// Stopped without being charged.
    stopped_for_nothing: bool,
    /// None: it is gone, and so is what it held.
    guest: Option<Arc<Guest>>,
}

/// All that a machine is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) request: &'a RunInstances,
    pub(super) order: &'a Order<'a>,
    /// Which machine of how many of its request.
    pub(super) index: u32,
    pub(super) count: u32,
    pub(super) speed: f64,
    pub(super) late: Lateness,
    pub(super) guest: &'a Arc<Guest>,
}

impl Machine {
    /// `chance` is why it fails whatever it is.
    pub(super) fn new(
        birth: &Birth<'_>,
        seat: Seat,
        chance: Option<String>,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let Birth {
            call,
            request,
            order,
            late,
            ..
        } = birth;
        let kind = order.model.kind;
        let failure = kind.and_then(|kind| kind.launch_fails.clone());
        let failure = failure.or_else(|| order.image.launch_fails.clone());
        let failure = failure.or(chance);
        let created_at = call.now.saturating_add(late.create);
        let shown_at = created_at.saturating_add(late.instance_lag);
        let fixed = fixed(birth, &seat, random);
        let mut life = Life::new(created_at, failure, birth.speed, random);
        if let Some(at) = order.terminate_at.filter(|_| life.failure().is_none()) {
            end(&mut life, &order.billing, at);
        }
        Self {
            fixed,
            life,
            seat,
            billing: order.billing.clone(),
            region: order.region.id.clone(),
            secret_id: call.secret_id.to_owned(),
            request_id: call.request_id.to_owned(),
            client_token: request.client_token.clone(),
            accepted_at: call.now,
            shown_at,
            tags_shown_at: shown_at.saturating_add(late.tag_lag),
            terminate_request_id: None,
            switch_request_id: None,
            stopped_for_nothing: false,
            guest: Some(Arc::clone(birth.guest)),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.fixed.instance_id
    }

    pub(super) fn zone(&self) -> &str {
        &self.fixed.placement.zone
    }

    pub(super) fn instance_type(&self) -> &str {
        &self.fixed.instance_type
    }

    pub(super) fn tags(&self) -> &[answer::Tag] {
        &self.fixed.tags
    }

    /// The tags that show by now.
    pub(super) fn shown_tags(&self, now: UtcDateTime) -> &[answer::Tag] {
        let shown = self.tags_shown_at <= now;
        if shown { &self.fixed.tags } else { &[] }
    }

    /// Whether Describe and Terminate know it by now.
    pub(super) fn is_shown(&self, now: UtcDateTime) -> bool {
        self.shown_at <= now
    }

    /// Draws another id, when the first is taken.
    pub(super) fn rename(&mut self, random: &mut ChaCha8Rng) {
        self.fixed.instance_id = random_id("ins-", random);
    }

    /// Refuses what TerminateInstances refuses in the state of `now`.
    pub(super) fn refuse_termination(&self, now: UtcDateTime) -> Result<(), Refusal> {
        let code = match self.life.state(now) {
            Some(State::Running | State::Stopped | State::Shutdown) => {
                if !self.fixed.disable_api_termination {
                    return Ok(());
                }
                "UnsupportedOperation.InstancesProtected"
            }
            state => in_state(state),
        };
        let message = format!("The instance `{}` cannot be terminated now.", self.id());
        Err(Refusal::new(code, message))
    }

    /// Refuses what StopInstances, StartInstances and RebootInstances refuse in the state of `now`.
    pub(super) fn refuse_switch(&self, switch: Switch, now: UtcDateTime) -> Result<(), Refusal> {
        let state = self.life.state(now);
        match (switch, state) {
            (Switch::Start, Some(State::Stopped))
            | (Switch::Stop | Switch::Reboot, Some(State::Running)) => {}
            _ => {
                let message = format!("The instance `{}` is not in the right state.", self.id());
                return Err(Refusal::new(in_state(state), message));
            }
        }
        if self.life.switches() >= SWITCHES_MAX {
            let message = "The simulator remembers too much of this instance; restart it.";
            return Err(Refusal::new("ServiceUnavailable", message));
        }
        Ok(())
    }

    /// Only a machine that is paid by the hour and holds no local disk can stop for nothing.
    pub(super) fn refuse_stop_for_nothing(&self) -> Result<(), Refusal> {
        let mut disks = self.fixed.data_disks.iter().map(|disk| &disk.disk_type);
        let local = |class: &String| class.starts_with("LOCAL_");
        let local = local(&self.fixed.system_disk.disk_type) || disks.any(local);
        if self.billing == Billing::Hourly && !local {
            return Ok(());
        }
        let message = format!(
            "The instance `{}` is charged while it is stopped.",
            self.id()
        );
        Err(Refusal::new(
            "UnsupportedOperation.StoppedModeStopCharging",
            message,
        ))
    }

    pub(super) fn switch(
        &mut self,
        switch: Switch,
        for_nothing: bool,
        call: &Call<'_>,
        speed: f64,
        random: &mut ChaCha8Rng,
    ) {
        self.life
            .switch(switch, for_nothing, call.now, speed, random);
        self.switch_request_id = Some(call.request_id.to_owned());
        self.stopped_for_nothing = for_nothing;
    }

    /// In Base64, as it was given.
    pub(super) fn user_data(&self) -> &str {
        let guest = self.guest.as_ref();
        guest.map_or("", |guest| guest.user_data())
    }

    /// Of a machine that is gone, what the ledger does not tell.
    pub(super) fn forget(&mut self) {
        self.guest = None;
    }

    /// A prepaid machine goes to the recycle bin first; the second call destroys it.
    pub(super) fn terminate(&mut self, now: UtcDateTime, request_id: &str) {
        if self.life.state(now) == Some(State::Shutdown) {
            self.life.terminate(now);
        } else {
            end(&mut self.life, &self.billing, now);
        }
        self.terminate_request_id = Some(request_id.to_owned());
    }

    /// The machine as DescribeInstances shows it.
    pub(super) fn view(&self, now: UtcDateTime) -> answer::Instance {
        let mut view = self.fixed.clone();
        let state = self.life.state(now).unwrap_or(State::Terminating);
        view.instance_state = state;
        view.tags = self.shown_tags(now).to_vec();
        let guest = self.guest.as_ref();
        view.metadata.items = guest.map(|guest| guest.metadata()).unwrap_or_default();
        if self.life.shows_addresses(now) {
            view.private_ip_addresses = self.private_addresses(now);
            view.public_ip_addresses =
                Some(self.public_addresses(now)).filter(|list| !list.is_empty());
        }
        let run = (Some("RunInstances"), Some(self.request_id.clone()));
        let terminate = (
            Some("TerminateInstances"),
            self.terminate_request_id.clone(),
        );
        let switched = self.life.switched(now).map(|switch| {
            let action = match switch {
                Switch::Stop => "StopInstances",
                Switch::Start => "StartInstances",
                Switch::Reboot => "RebootInstances",
            };
            (Some(action), self.switch_request_id.clone())
        });
        let settled = Some(String::new());
        let ((operation, request_id), progress, message) = match state {
            State::Pending => (run, "OPERATING", None),
            State::Running | State::Stopped => (switched.unwrap_or(run), "SUCCESS", settled),
            State::Stopping | State::Starting | State::Rebooting => {
                (switched.unwrap_or(run), "OPERATING", None)
            }
            State::LaunchFailed => (run, "FAILED", self.life.failure().map(str::to_owned)),
            State::Shutdown => (terminate, "SUCCESS", settled),
            State::Terminating => (terminate, "OPERATING", None),
        };
        view.latest_operation = operation;
        view.latest_operation_request_id = request_id;
        view.latest_operation_state = Some(progress);
        view.latest_operation_error_msg = message;
        if state == State::Stopped && self.billing == Billing::Hourly {
            view.stop_charging_mode = if self.stopped_for_nothing {
                "STOP_CHARGING"
            } else {
                "KEEP_CHARGING"
            };
        }
        if state == State::Shutdown {
            view.isolated_source = "MANMADE";
        }
        view
    }

    /// The private addresses that show by now.
    pub(super) fn private_addresses(&self, now: UtcDateTime) -> Vec<String> {
        let address = self.seat.private_address.to_string();
        self.life
            .shows_addresses(now)
            .then_some(address)
            .into_iter()
            .collect()
    }

    /// The public addresses that show by now.
    pub(super) fn public_addresses(&self, now: UtcDateTime) -> Vec<String> {
        let address = self.seat.public_address.map(|address| address.to_string());
        address
            .filter(|_| self.life.shows_addresses(now))
            .into_iter()
            .collect()
    }

    /// The members that do not change, for filters.
    pub(super) fn fixed(&self) -> &answer::Instance {
        &self.fixed
    }
}

/// The refusal that tells in what state a machine is.
fn in_state(state: Option<State>) -> &'static str {
    match state {
        None => "InvalidInstanceId.NotFound",
        Some(State::Pending) => "UnsupportedOperation.InstanceStatePending",
        Some(State::Running) => "UnsupportedOperation.InstanceStateRunning",
        Some(State::LaunchFailed) => "UnsupportedOperation.InstanceStateLaunchFailed",
        Some(State::Stopping) => "UnsupportedOperation.InstanceStateStopping",
        Some(State::Stopped) => "UnsupportedOperation.InstanceStateStopped",
        Some(State::Starting) => "UnsupportedOperation.InstanceStateStarting",
        Some(State::Rebooting) => "UnsupportedOperation.InstanceStateRebooting",
        Some(State::Shutdown) => "UnsupportedOperation.InstanceStateShutdown",
        Some(State::Terminating) => "UnsupportedOperation.InstanceStateTerminating",
    }
}

fn end(life: &mut Life, billing: &Billing, at: UtcDateTime) {
    match billing {
        Billing::Prepaid { .. } => life.shut_down(at),
        Billing::Hourly | Billing::Spot | Billing::DedicatedHost => life.terminate(at),
    }
}

/// What differs between the machines of one request, on top of what they share.
fn fixed(birth: &Birth<'_>, seat: &Seat, random: &mut ChaCha8Rng) -> answer::Instance {
    let Birth {
        call,
        request,
        order,
        index,
        count,
        ..
    } = *birth;
    let mut fixed = shared(request, order);
    fixed.instance_id = random_id("ins-", random);
    fixed.uuid = random_uuid(random);
    fixed.instance_name = instance_name(birth);
    fixed.host_name = host_name(request, seat, index, count);
    fixed.placement.host_id = seat.host.clone();
    fixed.system_disk.disk_id = random_id("disk-", random);
    for disk in &mut fixed.data_disks {
        disk.disk_id = random_id("disk-", random);
    }
    fixed.created_time = iso_seconds(call.now.saturating_add(birth.late.create));
    if let Billing::Prepaid { months, renew_flag } = &order.billing {
        fixed.renew_flag = Some(renew_flag.clone());
        fixed.expired_time = Some(iso_seconds(months_later(call.now, *months)));
    }
    fixed
}

/// What all machines of a request have in common; the members left out are null, empty or change.
fn shared(request: &RunInstances, order: &Order<'_>) -> answer::Instance {
    let group = order.group.map(|group| group.id.clone());
    let subnet = order.network.subnet;
    let gpu = order.model.kind.and_then(|kind| kind.gpu.as_ref());
    answer::Instance {
        placement: answer::Placement {
            zone: order.zone.id.clone(),
            project_id: order.project_id,
            host_id: None,
        },
        instance_type: order.model.name.clone(),
        cpu: order.model.cpu,
        memory: order.model.memory_gib,
        restrict_state: "NORMAL",
        instance_charge_type: order.billing.as_str(),
        system_disk: order.system_disk.clone(),
        data_disks: order.data_disks.clone(),
        internet_accessible: order.network.internet.clone(),
        virtual_private_cloud: answer::VirtualPrivateCloud {
            vpc_id: subnet.map(|subnet| subnet.vpc.clone()).unwrap_or_default(),
            subnet_id: subnet.map(|subnet| subnet.id.clone()).unwrap_or_default(),
            as_vpc_gateway: order.network.as_vpc_gateway,
        },
        image_id: order.image.id.clone(),
        os_name: order.image.os.clone(),
        security_group_ids: order.network.security_groups.clone(),
        login_settings: answer::LoginSettings {
            key_ids: order.key_ids.clone(),
        },
        tags: order.tags.clone(),
        stop_charging_mode: "NOT_APPLICABLE",
        disaster_recover_group_id: group.clone().unwrap_or_default(),
        disaster_recover_group_ids: group.into_iter().collect(),
        cam_role_name: request.cam_role_name.clone(),
        isolated_source: "NOTISOLATED",
        gpu_info: gpu.map(|gpu| answer::GpuInfo {
            count: gpu.count,
            ids: Vec::new(),
            model: gpu.model.clone(),
        }),
        license_type: "TencentCloud",
        disable_api_termination: request.disable_api_termination.unwrap_or(false),
        default_login_user: if order.image.windows {
            "Administrator"
        } else {
            "root"
        },
        default_login_port: if order.image.windows { 3389 } else { 22 },
        enable_jumbo_frame: request.enable_jumbo_frame.unwrap_or(false),
        cpu_topology: order.cpu_topology.clone(),
        ..answer::Instance::default()
    }
}

fn instance_name(birth: &Birth<'_>) -> String {
    match birth.request.instance_name.as_deref() {
        None | Some("") => UNNAMED.to_owned(),
        Some(pattern) => names::instance_name(pattern, birth.index, birth.count),
    }
}

/// As asked, or like the cloud's own `VM-0-18`: the last two octets of the private address.
fn host_name(request: &RunInstances, seat: &Seat, index: u32, count: u32) -> String {
    match request.host_name.as_deref() {
        None | Some("") => {
            let [.., third, fourth] = seat.private_address.octets();
            format!("VM-{third}-{fourth}")
        }
        Some(pattern) => names::host_name(pattern, index, count, &seat.private_address.to_string()),
    }
}

/// `prefix` and eight lower-case letters or digits.
fn random_id(prefix: &str, random: &mut ChaCha8Rng) -> String {
    let mut draw = |_| char::from_digit(random.next_u32() % 36, 36).unwrap_or('0');
    let id: String = (0..8).map(&mut draw).collect();
    format!("{prefix}{id}")
}

/// The same day and time `months` later, or the last day of a shorter month.
fn months_later(at: UtcDateTime, months: u8) -> UtcDateTime {
    let month_from_zero = u8::from(at.month()) - 1 + months % 12;
    let year = at.year() + i32::from(months / 12) + i32::from(month_from_zero / 12);
    let month = time::Month::try_from(month_from_zero % 12 + 1).unwrap_or(at.month());
    let day = at.day().min(month.length(year));
    time::Date::from_calendar_date(year, month, day).map_or(at, |date| at.replace_date(date))
}
