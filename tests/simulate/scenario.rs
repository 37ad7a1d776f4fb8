//! What one seed stands for: who asks for what, and everything that goes wrong.

use crate::dice::Dice;
use cvm_gateway::domain::ids::{OrganizationId, RequestId};
use cvm_gateway::domain::names::Region;
use cvm_gateway::domain::operation::OnFailure;
use cvm_gateway::domain::quota::{Callers, Measure, Quota};
use cvm_gateway::domain::request::{Alternative, Wish};
use cvm_gateway::domain::spec::{InstanceSpec, Placement};
use std::collections::BTreeMap;
use std::time::Duration;

/// The catalogue of the simulated cloud, small because each seed reads it anew.
const CATALOG: &str = include_str!("catalog.toml");
const MINUTE: u64 = 60_000;

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) catalog: String,
    pub(crate) replicas: usize,
    pub(crate) token_trust_window: Duration,
    pub(crate) callers: Vec<Caller>,
    /// What all callers together may have.
    pub(crate) quotas: Vec<Quota>,
    /// Offsets of the replicas' clocks and the journal's to the cloud's, in milliseconds.
    pub(crate) skews: Vec<i64>,
    pub(crate) journal_skew: i64,
    /// Whether the network may repeat a request: only where the cloud remembers its token, for
    /// nothing else tells a repetition from a second launch.
    pub(crate) repeats: bool,
    pub(crate) network: Network,
    pub(crate) journal: Journal,
    /// When all that goes wrong stops.
    pub(crate) calm_at: Duration,
    pub(crate) events: Vec<Event>,
    /// A replica dies at this call of the journal or the cloud, before or after.
    pub(crate) crash_at: Option<(usize, u64)>,
    /// Every request arrives twice, and every write is answered only the second time.
    pub(crate) twice: bool,
}

/// Someone who wants an operation, and follows it to its end, come what may.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) start: Duration,
    pub(crate) wish: Wish,
    /// How long after it was accepted it is no longer wanted.
    pub(crate) cancels_after: Option<Duration>,
    /// Whether the machines are given back once they run.
    pub(crate) gives_back: bool,
}

/// Chances in a thousand of what happens to a call, and its usual time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Network {
    pub(crate) refused: u64,
    pub(crate) request_lost: u64,
    pub(crate) late: u64,
    pub(crate) repeated: u64,
    pub(crate) answer_lost: u64,
    pub(crate) cut: u64,
    pub(crate) status_5xx: u64,
    pub(crate) malformed: u64,
    pub(crate) unknown_code: u64,
    pub(crate) throttled: u64,
    pub(crate) bad_credential: u64,
}

/// Chances in a thousand of what happens to a call of the journal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) unavailable: u64,
    pub(crate) commit_unknown: u64,
    pub(crate) busy: u64,
    pub(crate) full: u64,
    pub(crate) slow: u64,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A replica dies, and its successor starts so much later.
    Crash(usize, Duration),
    /// A replica stands still for so long.
    Pause(usize, Duration),
    /// Nothing reaches the cloud for so long.
    CloudOutage(Duration),
    /// Nothing reaches the journal for so long.
    JournalOutage(Duration),
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let replicas = 1 + usize::try_from(dice.below(3)).unwrap();
        let calm_at = dice.millis(MINUTE, 5 * MINUTE);
        let (faults, token_trust_window, repeats) = cloud_faults(&dice);
        let count = 3 + dice.below(6);
        let skew = |dice: &Dice| i64::try_from(dice.below(60_000)).unwrap() - 30_000;
        Self {
            seed,
            catalog: CATALOG.replacen("[faults]", &faults, 1),
            replicas,
            token_trust_window,
            callers: callers(&dice, count, calm_at),
            // Of dice of their own, so that what else a seed stands for stays as it was.
            quotas: quotas(&Dice::new(seed ^ 0x0011_1750)),
            skews: (0..replicas).map(|_| skew(&dice)).collect(),
            journal_skew: skew(&dice),
            repeats,
            network: network(&dice),
            journal: journal(&dice),
            calm_at,
            events: events(&dice, replicas, calm_at),
            crash_at: dice.hits(300).then(|| {
                (
                    usize::try_from(dice.below(3)).unwrap() % replicas,
                    dice.below(300),
                )
            }),
            twice: dice.hits(100),
        }
    }

    /// One caller and one replica, and nothing goes wrong but what the test adds.
    pub(crate) fn quiet(seed: u64, request: u64) -> Self {
        let dice = Dice::new(seed);
        Self {
            seed,
            catalog: CATALOG.to_owned(),
            replicas: 1,
            token_trust_window: dice.pick(&[Duration::ZERO, Duration::from_secs(600)]),
            callers: vec![Caller {
                start: Duration::ZERO,
                wish: wish(&dice, request),
                cancels_after: dice.hits(300).then(|| dice.millis(0, 30_000)),
                gives_back: dice.hits(500),
            }],
            quotas: Vec::new(),
            skews: vec![0],
            journal_skew: 0,
            repeats: true,
            network: Network::default(),
            journal: Journal::default(),
            calm_at: Duration::from_secs(300),
            events: Vec::new(),
            crash_at: None,
            twice: false,
        }
    }
}

/// The cloud's own faults, within what the protocol promises to survive: either tokens are
/// remembered for longer than they are trusted, or they are not trusted at all.
fn cloud_faults(dice: &Dice) -> (String, Duration, bool) {
    let mut lines = vec!["[faults]".to_owned()];
    let (memory, window) = dice.pick(&[
        (None, 600),
        (None, 600),
        (None, 0),
        (Some(1200), 600),
        (Some(60), 0),
        (Some(0), 0),
        (Some(0), 0),
    ]);
    if let Some(memory) = memory {
        lines.push(format!("token_memory_s = {memory}.0"));
    }
    let mismatch = dice.pick(&["answer", "refuse", "launch"]);
    lines.push(format!("token_mismatch = \"{mismatch}\""));
    let span = |name: &str, most: u64| format!("{name} = [0.0, {most}.0]");
    lines.push(span("create_delay_s", dice.pick(&[0, 0, 5, 120])));
    lines.push(span("instance_lag_s", dice.pick(&[0, 0, 5, 30])));
    lines.push(span("tag_lag_s", dice.pick(&[0, 0, 5, 30])));
    lines.push(format!("partial_p = 0.{}", dice.pick(&[0, 0, 3])));
    lines.push(format!("launch_failed_p = 0.{:02}", dice.pick(&[0, 0, 5])));
    let remembers = memory.is_none_or(|memory| memory > 600);
    (lines.join("\n"), Duration::from_secs(window), remembers)
}

/// Limits that some launches of a run go over, or none.
fn quotas(dice: &Dice) -> Vec<Quota> {
    let limits = [
        (Measure::Instances, dice.pick(&[0, 0, 2, 4, 6])),
        (Measure::ConcurrentOperations, dice.pick(&[0, 0, 1, 2])),
        (Measure::LaunchesPerMinute, dice.pick(&[0, 0, 0, 1, 3])),
    ];
    let limits = limits.into_iter().filter(|(_, limit)| *limit > 0);
    let limits: BTreeMap<_, _> = limits.collect();
    let quota = (!limits.is_empty()).then(|| Quota {
        name: "team".to_owned(),
        organization: OrganizationId::parse("development").unwrap(),
        account: None,
        callers: Callers::Any,
        limits,
    });
    quota.into_iter().collect()
}

fn callers(dice: &Dice, count: u64, calm_at: Duration) -> Vec<Caller> {
    let mut callers = Vec::new();
    let latest = u64::try_from(calm_at.as_millis()).unwrap();
    for number in 0..count {
        let start = dice.millis(0, latest);
        let wish = wish(dice, number);
        callers.push(Caller {
            start,
            wish: wish.clone(),
            cancels_after: dice.hits(150).then(|| dice.millis(0, MINUTE)),
            gives_back: dice.hits(200),
        });
        // The same again, at once or later, or another wish under the same name.
        for _ in 0..dice.pick(&[0, 0, 0, 0, 1, 2]) {
            let mut wish = wish.clone();
            if dice.hits(300) {
                wish.spec.instance_name = Some("other".to_owned());
            }
            let start = start + dice.pick(&[Duration::ZERO, dice.millis(0, 2 * MINUTE)]);
            callers.push(Caller {
                start,
                wish,
                cancels_after: dice.hits(50).then(|| dice.millis(0, MINUTE)),
                gives_back: dice.hits(50),
            });
        }
    }
    callers
}

fn wish(dice: &Dice, number: u64) -> Wish {
    let count = dice.pick(&[1, 1, 2, 5]);
    let kind = dice.pick(&[
        "S5.SMALL1",
        "S5.SMALL1",
        "S5.SMALL1",
        "S5.SMALL1",
        "SCARCE.SMALL1",
        "SOLDOUT.SMALL1",
        "LAUNCHFAIL.SMALL1",
    ]);
    let elsewhere = |zone: &str| Alternative {
        zone: Some(zone.to_owned()),
        instance_type: Some("S5.SMALL1".to_owned()),
        subnet_id: None,
    };
    Wish {
        request_id: RequestId::parse(&format!("r-{number}")).unwrap(),
        account: None,
        region: Region::parse("ap-shanghai").unwrap(),
        spec: InstanceSpec {
            min_count: (count > 1 && dice.hits(300)).then_some(1),
            instance_name: Some(format!("web-{number}")),
            dry_run: dice.hits(30).then_some(true),
            ..machines(kind, count)
        },
        alternatives: match dice.below(4) {
            0 => vec![elsewhere("ap-shanghai-4"), elsewhere("ap-shanghai-5")],
            _ => Vec::new(),
        },
        on_failure: dice.pick(&[
            OnFailure::Keep,
            OnFailure::Keep,
            OnFailure::TerminateFailed,
            OnFailure::TerminateAll,
        ]),
    }
}

/// So many machines of a model, and nothing else about them.
pub(crate) fn machines(instance_type: &str, count: i64) -> InstanceSpec {
    InstanceSpec {
        placement: Some(Placement {
            zone: "ap-shanghai-2".to_owned(),
            ..Placement::default()
        }),
        image_id: Some("img-pmqg1cw7".to_owned()),
        instance_type: Some(instance_type.to_owned()),
        instance_count: Some(count),
        ..InstanceSpec::default()
    }
}

fn network(dice: &Dice) -> Network {
    // Most seeds have few kinds of faults, but many of each.
    let chance = |dice: &Dice| dice.pick(&[0, 0, 0, 20, 100, 300]);
    Network {
        refused: chance(dice),
        request_lost: chance(dice),
        late: chance(dice),
        repeated: chance(dice),
        answer_lost: chance(dice),
        cut: chance(dice),
        status_5xx: chance(dice),
        malformed: chance(dice),
        unknown_code: chance(dice),
        throttled: dice.pick(&[0, 0, 0, 20, 100]),
        bad_credential: dice.pick(&[0, 0, 0, 0, 10]),
    }
}

fn journal(dice: &Dice) -> Journal {
    let chance = |dice: &Dice| dice.pick(&[0, 0, 0, 10, 100]);
    Journal {
        unavailable: chance(dice),
        commit_unknown: chance(dice),
        busy: chance(dice),
        full: chance(dice),
        slow: chance(dice),
    }
}

fn events(dice: &Dice, replicas: usize, calm_at: Duration) -> Vec<Event> {
    let latest = u64::try_from(calm_at.as_millis()).unwrap();
    let mut events = Vec::new();
    for _ in 0..dice.pick(&[0, 1, 3, 8]) {
        let replica = usize::try_from(dice.below(3)).unwrap() % replicas;
        let pause = dice.pick(&[dice.millis(1_000, 20_000), dice.millis(31_000, 400_000)]);
        let outage = dice.millis(1_000, 60_000);
        let what = match dice.below(6) {
            0..3 => What::Crash(replica, dice.millis(0, 40_000)),
            3 => What::Pause(replica, pause),
            4 => What::CloudOutage(outage),
            _ => What::JournalOutage(outage),
        };
        let at = dice.millis(0, latest);
        events.push(Event { at, what });
    }
    events
}
