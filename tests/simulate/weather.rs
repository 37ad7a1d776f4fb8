//! What happens on the way to the journal and to the cloud.

use crate::process::Process;
use crate::sim::Sim;
use cvm_gateway::cloud::Fault;
use cvm_gateway::cloud::limiter::Source;
use cvm_gateway::simulator::{Answer, Network, Passage};
use cvm_gateway::store::{Call, Moment, StoreError, Weather};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A call that arrives and is answered.
pub(crate) fn fair() -> Passage {
    Passage {
        arrivals: vec![Duration::from_millis(20)],
        back: Duration::from_millis(20),
        answer: Answer::Given,
    }
}

/// The network between a replica and the cloud.
pub(crate) fn network(sim: &Arc<Sim>) -> Network {
    let sim = Arc::downgrade(sim);
    Arc::new(move |action| {
        let Some(sim) = sim.upgrade() else {
            return fair();
        };
        let passage = passage(&sim, action);
        sim.note(format_args!("{action} travels as {passage:?}"));
        passage
    })
}

fn passage(sim: &Sim, action: &'static str) -> Passage {
    let dice = &sim.dice;
    let mut passage = Passage {
        arrivals: vec![dice.millis(5, 400)],
        back: dice.millis(5, 400),
        answer: Answer::Given,
    };
    if sim.scenario.twice && sim.scenario.repeats {
        passage.arrivals.push(dice.millis(5, 2_000));
    }
    if sim.cloud_is_down() {
        return Passage {
            arrivals: Vec::new(),
            answer: Answer::Broken(dice.pick(&[Fault::ConnectFailed, Fault::Timeout])),
            ..passage
        };
    }
    if sim.is_calm() {
        return passage;
    }
    let chances = &sim.scenario.network;
    let not_arrived = |answer| Passage {
        arrivals: Vec::new(),
        back: Duration::from_millis(50),
        answer,
    };
    if dice.hits(chances.refused) {
        return not_arrived(Answer::Broken(Fault::ConnectFailed));
    }
    if dice.hits(chances.throttled) {
        return not_arrived(Answer::Replaced(error("RequestLimitExceeded")));
    }
    if dice.hits(chances.bad_credential) {
        let code = dice.pick(&["AuthFailure.SignatureFailure", "AuthFailure.TokenFailure"]);
        return not_arrived(Answer::Replaced(error(code)));
    }
    if dice.hits(chances.unknown_code / 2) {
        return not_arrived(Answer::Replaced(error("InternalError")));
    }
    if dice.hits(chances.request_lost) {
        return not_arrived(dice.pick(&[Lost::Silence, Lost::Cut]).into());
    }
    if dice.hits(chances.late) {
        // Long after its caller has given up; after five minutes the signature stops it.
        passage.arrivals = vec![dice.millis(10_000, 400_000)];
    }
    if sim.scenario.repeats && dice.hits(chances.repeated) {
        passage.arrivals.push(dice.millis(5, 350_000));
    }
    if dice.hits(chances.answer_lost) {
        passage.answer = Answer::Silence;
    } else if dice.hits(chances.cut) {
        passage.answer = Answer::Broken(Fault::ConnectionLost);
    } else if dice.hits(chances.status_5xx) {
        passage.answer = Answer::Broken(Fault::HttpStatus);
    } else if dice.hits(chances.malformed) {
        let text = dice.pick(&["", "<html>", "{\"Response\":{}}", "{\"Response\":{\"Ins"]);
        passage.answer = Answer::Replaced(text.as_bytes().to_vec());
    } else if dice.hits(chances.unknown_code) {
        let code = dice.pick(&[
            "InternalError",
            "FailedOperation.Strange",
            "InternalError.TradeUnknownError",
        ]);
        passage.answer = Answer::Replaced(error(code));
    }
    if action != "RunInstances" {
        // What asks may be asked again at once, so that its times do not fill the run.
        passage.arrivals.truncate(1);
    }
    passage
}

/// How a request gets lost.
#[derive(Clone, Copy)]
enum Lost {
    Silence,
    Cut,
}

impl From<Lost> for Answer {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Silence => Self::Silence,
            Lost::Cut => Self::Broken(Fault::ConnectionLost),
        }
    }
}

fn error(code: &str) -> Vec<u8> {
    let text = format!(
        "{{\"Response\":{{\"Error\":{{\"Code\":\"{code}\",\"Message\":\"on purpose\"}},\"RequestId\":\"q\"}}}}"
    );
    text.into_bytes()
}

/// The way between a replica and the journal. What has left a replica that dies may still be done.
pub(crate) fn journal(sim: &Arc<Sim>, process: &Arc<Process>) -> Weather {
    let (sim, process) = (Arc::downgrade(sim), Arc::clone(process));
    Arc::new(move |call, moment| {
        let (sim, process) = (sim.clone(), Arc::clone(&process));
        Box::pin(async move { pass(sim, &process, call, moment).await })
    })
}

async fn pass(
    sim: Weak<Sim>,
    process: &Process,
    call: Call,
    moment: Moment,
) -> Result<(), StoreError> {
    let Some(sim) = sim.upgrade() else {
        return Ok(());
    };
    if moment == Moment::Before {
        process.gate().await;
    }
    let (latency, result) = fate(&sim, call, moment);
    if !latency.is_zero() {
        sim.clock.sleep(latency).await;
    }
    if moment == Moment::After {
        process.gate().await;
    }
    sim.count_gate(process);
    if result.is_err() {
        let replica = process.replica;
        sim.note(format_args!("replica {replica} {call:?} fails {moment:?}"));
    } else if moment == Moment::After {
        sim.note(format_args!("replica {} {call:?}", process.replica));
    }
    result
}

/// The budget of the account's calls, which is the journal's to give out.
pub(crate) fn slots(sim: &Arc<Sim>, process: &Arc<Process>) -> Source {
    let (sim, process) = (Arc::downgrade(sim), Arc::clone(process));
    Arc::new(move |ask| {
        let (sim, process) = (sim.clone(), Arc::clone(&process));
        Box::pin(async move {
            let Some(sim) = sim.upgrade() else {
                return std::future::pending().await;
            };
            process.gate().await;
            sim.clock.sleep(sim.dice.millis(1, 8)).await;
            let block = sim.take_slots(&ask);
            process.gate().await;
            if sim.journal_is_down() {
                return Err(unavailable().into());
            }
            Ok(block)
        })
    })
}

fn fate(sim: &Sim, call: Call, moment: Moment) -> (Duration, Result<(), StoreError>) {
    let dice = &sim.dice;
    // Most answers come with what was done, so that most of a run is not waiting for them.
    let at_once = moment == Moment::After && dice.hits(800);
    let latency = if at_once {
        Duration::ZERO
    } else {
        dice.millis(1, 8)
    };
    if sim.journal_is_down() {
        return (dice.millis(1, 5_000), Err(unavailable()));
    }
    let writes = matches!(call, Call::Admit | Call::Save | Call::Claim | Call::Renew);
    let steps = matches!(call, Call::Admit | Call::Save);
    if sim.scenario.twice && moment == Moment::After && steps && dice.hits(500) {
        return (latency, Err(unavailable()));
    }
    if sim.is_calm() {
        return (latency, Ok(()));
    }
    let chances = &sim.scenario.journal;
    let latency = if dice.hits(chances.slow) {
        dice.millis(100, 20_000)
    } else {
        latency
    };
    let result = match moment {
        Moment::Before if dice.hits(chances.unavailable) => Err(unavailable()),
        Moment::Before if writes && dice.hits(chances.full) => Err(StoreError::Full {
            source: Arc::new(std::io::Error::other("on purpose")),
        }),
        Moment::Before if call == Call::Admit && dice.hits(chances.busy) => Err(StoreError::Busy),
        Moment::After if dice.hits(chances.commit_unknown) => Err(unavailable()),
        Moment::Before | Moment::After => Ok(()),
    };
    (latency, result)
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        source: Arc::new(std::io::Error::other("on purpose")),
    }
}
