//! P6, P7 and P8: what watching a fleet start costs the account, and how late a change is seen.

use crate::cloud::{Cloud, Machine, now};
use crate::load::{Client, Messages, Until, connect, launch, wish};
use crate::program::{Bed, Program};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::{Spread, at, mean, sorted};
use cvm_gateway::pb::v1::run_instances_response::Event;
use futures_util::future::join_all;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Launches a second, and machines of each, for P6 and P7: a thousand machines.
const FLEET: Fleet = Fleet {
    launches: 200,
    each: 5,
    limits: "run_instances_per_second = 10\ndescribe_per_second = 32",
};
/// Ten thousand machines for P8, read at 20 calls a second.
const CROWD: Fleet = Fleet {
    launches: 100,
    each: 100,
    limits: "run_instances_per_second = 10\ndescribe_per_second = 20",
};
const READS_PER_SECOND: f64 = 20.0;
/// One call tells of so many.
const IDS_PER_CALL: usize = 100;
/// The rounds of a gateway that is told to look at all that starts, each second.
const TICK: &str = "[operations]\npoll_interval = \"1s\"\npoll_interval_max = \"1s\"";
/// How long Terraform's provider waits between two looks: doubled from the first to the last.
const TERRAFORM: (f64, f64) = (0.5, 10.0);

const P6: Goal = Goal {
    id: "P6",
    what: "calls to watch 1,000 machines start: to ⌈active/100⌉ a second",
    must: Bound::AtMost(1.25),
    best: Bound::AtMost(1.05),
};
const P6_TERRAFORM: Goal = Goal {
    id: "P6",
    what: "fewer calls than a poller on Terraform's schedule, times",
    must: Bound::AtLeast(10.0),
    best: Bound::AtLeast(20.0),
};
const P7: Goal = Goal {
    id: "P7",
    what: "a machine runs to its caller sees it, mean, in ticks of a second",
    must: Bound::AtMost(0.55),
    best: Bound::AtMost(0.55),
};
const P7_TAIL: Goal = Goal {
    id: "P7",
    what: "the same, p99",
    must: Bound::AtMost(1.1),
    best: Bound::AtMost(1.1),
};
const P7_TERRAFORM: Goal = Goal {
    id: "P7",
    what: "sooner than a poller on Terraform's schedule, times",
    must: Bound::AtLeast(5.0),
    best: Bound::AtLeast(10.0),
};
const P8: Goal = Goal {
    id: "P8",
    what: "mean lag with 10,000 machines at once: to machines/(200 × calls a second)",
    must: Bound::AtMost(1.3),
    best: Bound::AtMost(1.1),
};
const P8_REFUSED: Goal = Goal {
    id: "P8",
    what: "reads refused for their rate meanwhile",
    must: Bound::AtMost(0.0),
    best: Bound::AtMost(0.0),
};

struct Fleet {
    launches: usize,
    each: i64,
    limits: &'static str,
}

/// What watching a fleet came to.
struct Watched {
    machines: Vec<Machine>,
    /// When callers saw each machine run.
    seen: BTreeMap<String, f64>,
    /// When the gateway asked for states, and what it was told.
    states: Vec<(f64, String)>,
    /// And for details of machines that had come up.
    details: usize,
}

pub(crate) fn measure() -> Chapter {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cloud = Arc::new(Cloud::new(1.0, true).await);
        let fleet = watch(&cloud, &FLEET).await;
        let terraform = terraform(&fleet.machines).await;
        let crowd = watch(&Arc::new(Cloud::new(1.0, true).await), &CROWD).await;
        chapter(&fleet, &terraform, &crowd)
    })
}

fn chapter(fleet: &Watched, terraform: &(Vec<f64>, usize), crowd: &Watched) -> Chapter {
    let lags = fleet.lags();
    let (rival_lags, rival_calls) = (sorted(terraform.0.iter().copied()), terraform.1);
    let bound = fleet.fewest_calls();
    let calls = fleet.states.len();
    let crowd_lags = crowd.lags();
    let crowd_bound = crowd.machines.len() as f64 / (2.0 * IDS_PER_CALL as f64 * READS_PER_SECOND);
    let refused = crowd
        .states
        .iter()
        .filter(|(_, verdict)| verdict != "OK")
        .count();
    let figure = |goal, measured, short| Figure {
        goal,
        measured: Spread::single(measured),
        short,
    };
    let row = |name: &str, calls: usize, lags: &[f64]| {
        vec![
            name.to_owned(),
            calls.to_string(),
            digits(mean(lags)),
            digits(at(lags, 0.99)),
        ]
    };
    Chapter {
        title: "Watching machines start",
        how: "200 launches of five machines each, ten a second, which the simulator starts at the real cloud's speed: when each came to run is in its \
              ledger, when its caller saw that is the time of the message. The gateway looks each second (`poll_interval_max = \"1s\"`; the default \
              of 5 s halves the calls). A poller on the schedule of Terraform's provider, one DescribeInstances for each machine after 0.5, 1, 2, 4, \
              8, 10, 10 … s, then watches machines that take as long. Then 100 launches of a hundred machines each, with 20 reads a second.",
        figures: vec![
            figure(P6, calls as f64 / bound, SHORT_CALLS),
            figure(
                P6_TERRAFORM,
                rival_calls as f64 / (calls + fleet.details) as f64,
                SHORT_CALLS,
            ),
            figure(P7, mean(&lags), SHORT_LAG),
            figure(P7_TAIL, at(&lags, 0.99), SHORT_LAG),
            figure(P7_TERRAFORM, mean(&rival_lags) / mean(&lags), SHORT_LAG),
            figure(P8, mean(&crowd_lags) / crowd_bound, SHORT_CROWD),
            figure(P8_REFUSED, refused as f64, SHORT_CROWD),
        ],
        parts: table(
            &["", "calls", "mean lag, s", "p99, s"],
            [
                row("gateway: states of 1,000 machines", calls, &lags),
                vec![
                    "gateway: details of those that came up".to_owned(),
                    fleet.details.to_string(),
                    String::new(),
                    String::new(),
                ],
                vec![
                    "⌈active/100⌉ each second".to_owned(),
                    digits(bound),
                    String::new(),
                    String::new(),
                ],
                row("on Terraform's schedule", rival_calls, &rival_lags),
                row(
                    "gateway: states of 10,000 machines",
                    crowd.states.len(),
                    &crowd_lags,
                ),
            ],
        ),
    }
}

const SHORT_CALLS: &str =
    "a round begins when the first of its launches is due, and not by a common tick.";
const SHORT_LAG: &str =
    "a message waits for the details of its machine and for a commit after the call that saw it.";
const SHORT_CROWD: &str = "reads of details share the time of the rounds.";

impl Watched {
    /// How late each machine's caller saw it run.
    fn lags(&self) -> Vec<f64> {
        let lag = |machine: &Machine| Some(self.seen.get(&machine.id)? - machine.ran?);
        sorted(self.machines.iter().filter_map(lag))
    }

    /// A call for each hundred machines that start, in each second.
    fn fewest_calls(&self) -> f64 {
        let first = self
            .machines
            .iter()
            .map(|machine| machine.made)
            .fold(f64::MAX, f64::min);
        let last = self
            .machines
            .iter()
            .filter_map(|machine| machine.ran)
            .fold(0.0, f64::max);
        let seconds = (0..)
            .map(|second| first + f64::from(second))
            .take_while(|at| *at <= last);
        let active = |at: f64| {
            let starts =
                |machine: &&Machine| machine.made <= at && machine.ran.is_none_or(|ran| ran > at);
            self.machines.iter().filter(starts).count()
        };
        seconds
            .map(|at| active(at).div_ceil(IDS_PER_CALL) as f64)
            .sum()
    }
}

/// Launches a fleet through a gateway and watches it start.
async fn watch(cloud: &Arc<Cloud>, fleet: &Fleet) -> Watched {
    let extra = format!("{TICK}\n[cloud.limits]\n{}", fleet.limits);
    let bed = Bed::new(cloud.address(), &extra);
    let _gateway = Program::gateway(&bed);
    let clients = connect(bed.grpc, 4).await;
    let launches = (0..fleet.launches).map(|number| {
        let client = clients[number % clients.len()].clone();
        see_running(client, fleet.each)
    });
    let seen = join_all(launches).await.into_iter().flatten().collect();
    Watched {
        machines: cloud.machines().await,
        seen,
        states: cloud.calls("DescribeInstancesStatus", true).await,
        details: cloud.calls("DescribeInstances", true).await.len(),
    }
}

/// When the caller of a launch sees each of its machines run.
async fn see_running(mut client: Client, count: i64) -> Vec<(String, f64)> {
    let mut stream: Messages = launch(&mut client, wish(count), Until::Launched).await;
    let mut seen = BTreeMap::new();
    while let Some(message) = stream.message().await.unwrap() {
        let Some(Event::Operation(operation)) = message.event else {
            continue;
        };
        for instance in operation.instances {
            if instance.instance_state == "RUNNING" {
                seen.entry(instance.instance_id).or_insert_with(now);
            }
        }
    }
    seen.into_iter().collect()
}

/// Machines that take as long as those of `fleet`, each watched by itself; how late each is seen, and the calls.
async fn terraform(fleet: &[Machine]) -> (Vec<f64>, usize) {
    let cloud = Cloud::new(1.0, false).await;
    let watching = (0..fleet.len().div_ceil(IDS_PER_CALL / 20)).map(|number| {
        let cloud = &cloud;
        async move {
            tokio::time::sleep(Duration::from_millis(100) * number as u32).await;
            let wish = json!({
                "Placement": {"Zone": "ap-shanghai-2"}, "ImageId": "img-pmqg1cw7",
                "InstanceType": "S5.SMALL1", "InstanceCount": 5,
            });
            let launched = cloud.call("RunInstances", &wish).await;
            let ids = launched["InstanceIdSet"].as_array().unwrap().clone();
            join_all(
                ids.into_iter()
                    .map(|id| poll(cloud, id.as_str().unwrap().to_owned())),
            )
            .await
        }
    });
    let seen: BTreeMap<String, f64> = join_all(watching).await.into_iter().flatten().collect();
    let machines = cloud.machines().await;
    let lags = machines
        .iter()
        .filter_map(|machine| Some(seen.get(&machine.id)? - machine.ran?));
    (
        lags.collect(),
        cloud.calls("DescribeInstances", false).await.len(),
    )
}

/// When a poller sees a machine run.
async fn poll(cloud: &Cloud, id: String) -> (String, f64) {
    let (mut wait, longest) = TERRAFORM;
    loop {
        tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        wait = (wait * 2.0).min(longest);
        let answer = cloud
            .call("DescribeInstances", &json!({"InstanceIds": [id]}))
            .await;
        if answer["InstanceSet"][0]["InstanceState"] == "RUNNING" {
            return (id, now());
        }
    }
}
