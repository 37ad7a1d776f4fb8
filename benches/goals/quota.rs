//! P10: how much of the account's launches a second is used when ten times as many are asked for.

use crate::cloud::{Cloud, now};
use crate::load::{Until, connect, launch, wish};
use crate::program::{Bed, Program};
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::Spread;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

/// What the cloud takes of one account.
const LIMIT: f64 = 10.0;
/// How long ten times as many are asked for.
const SECONDS: f64 = 60.0;
const OFFERED: u32 = 6_000;
const LIMITS: &str = "[cloud.limits]\nrun_instances_per_second = 10";

const P10: Goal = Goal {
    id: "P10",
    what: "share of the account's 10 launches a second that is used, at 100 asked for",
    must: Bound::AtLeast(0.97),
    best: Bound::AtLeast(0.99),
};
const P10_REFUSED: Goal = Goal {
    id: "P10",
    what: "% of calls that the cloud refuses for their rate",
    must: Bound::AtMost(0.1),
    best: Bound::AtMost(0.0),
};

pub(crate) fn measure() -> Chapter {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (paced, unpaced) = runtime.block_on(async { (through_gateway().await, alone().await) });
    let figure = |goal, measured| Figure {
        goal,
        measured: Spread::single(measured),
        short: SHORT,
    };
    let row = |name: &str, calls: &[(f64, String)]| {
        vec![
            name.to_owned(),
            calls.len().to_string(),
            digits(used(calls)),
            digits(refused(calls)),
        ]
    };
    Chapter {
        title: "Use of the account's rate",
        how: "A hundred launches a second for a minute; the simulator lets ten a second in, by arrival, as the cloud documents. The gateway is told \
              that limit. Without it each caller asks when it wants to, and again after a second.",
        figures: vec![
            figure(P10, used(&paced)),
            figure(P10_REFUSED, refused(&paced)),
        ],
        parts: table(
            &[
                "",
                "RunInstances calls in the minute",
                "share of the limit used",
                "% refused",
            ],
            [
                row("gateway", &paced),
                row("callers by themselves", &unpaced),
            ],
        ),
    }
}

const SHORT: &str = "slots are spaced evenly from their begin, and one that is missed is lost.";

async fn through_gateway() -> Vec<(f64, String)> {
    let cloud = Cloud::new(1.0, true).await;
    let bed = Bed::new(cloud.address(), LIMITS);
    let _gateway = Program::gateway(&bed);
    let clients = connect(bed.grpc, 4).await;
    let begin = now();
    let asking = (0..OFFERED).map(|number| {
        let mut client = clients[number as usize % clients.len()].clone();
        async move {
            tokio::time::sleep(due(number)).await;
            launch(&mut client, wish(1), Until::Accepted).await
        }
    });
    let asked = join_all(asking);
    let streams = asked.await;
    drop(streams);
    tokio::time::sleep(Duration::from_secs_f64(
        (begin + SECONDS + 1.0 - now()).max(0.0),
    ))
    .await;
    within_the_minute(cloud.calls("RunInstances", true).await)
}

/// Callers without a gateway.
async fn alone() -> Vec<(f64, String)> {
    let cloud = Cloud::new(1.0, true).await;
    let begin = now();
    let asking = (0..OFFERED).map(|number| {
        let cloud = &cloud;
        async move {
            tokio::time::sleep(due(number)).await;
            while now() < begin + SECONDS && is_refused(cloud).await {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });
    join_all(asking).await;
    within_the_minute(cloud.calls("RunInstances", false).await)
}

async fn is_refused(cloud: &Cloud) -> bool {
    let wish = json!({
        "Placement": {"Zone": "ap-shanghai-2"}, "ImageId": "img-pmqg1cw7", "InstanceType": "S5.SMALL1",
    });
    cloud.call("RunInstances", &wish).await["Error"].is_object()
}

fn due(number: u32) -> Duration {
    Duration::from_secs_f64(f64::from(number) * SECONDS / f64::from(OFFERED))
}

/// The minute begins with the first call.
fn within_the_minute(calls: Vec<(f64, String)>) -> Vec<(f64, String)> {
    let first = calls.iter().map(|(at, _)| *at).fold(f64::MAX, f64::min);
    calls
        .into_iter()
        .filter(|(at, _)| *at < first + SECONDS)
        .collect()
}

fn used(calls: &[(f64, String)]) -> f64 {
    let taken = calls.iter().filter(|(_, verdict)| verdict == "OK").count();
    taken as f64 / (LIMIT * SECONDS)
}

fn refused(calls: &[(f64, String)]) -> f64 {
    let refused = calls.iter().filter(|(_, verdict)| verdict != "OK").count();
    refused as f64 / calls.len() as f64 * 100.0
}
