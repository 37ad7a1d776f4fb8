//! What is lost, late, cut or doubled on the way to the cloud, and processes that die of it: each
//! story by itself, so that a planted mistake is caught by name.

use crate::meddler::Mischief;
use crate::settings::IMPATIENCE;
use crate::world::{Engine, Memory, Story, Want, play};
use cvm_gateway::pb::v1::OperationState;

async fn holds(story: Story) {
    let told = play(&story).await;
    let violations = told.violations.join("\n");
    assert!(told.violations.is_empty(), "{story:?}\n{violations}");
    // Of several in one process the last is meant; those before it only widen its window.
    let planted = story
        .faults
        .iter()
        .filter_map(|faults| faults.split(',').next_back());
    for fault in planted.filter(|fault| !fault.is_empty()) {
        let point = fault.split(':').next().unwrap();
        let reached = told.planted.iter().any(|planted| planted == point);
        assert!(reached, "{point} was never reached");
    }
}

/// What the mistaken cloud says of a launch that it did carry out.
const STRANGE: &str =
    r#"{"Response":{"Error":{"Code":"Strange.Code","Message":"?"},"RequestId":"r"}}"#;
const INTERNAL: &str =
    r#"{"Response":{"Error":{"Code":"InternalError","Message":"?"},"RequestId":"r"}}"#;

/// Tags come when a launch in doubt was made again, however slow a machine is, and before its quarantine ends.
const LATE_TAGS: (f64, f64) = (0.1, 6.0);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_wrong() {
    holds(Story::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_lost() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::LoseAnswer],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_held_back_for_ever() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::HoldAnswer],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_lost() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::LoseRequest],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_come_late_while_the_token_is_known() {
    holds(Story {
        script: vec![Mischief::LoseAnswer],
        lags: LATE_TAGS,
        setting: Some(("quarantine", "\"12s\"")),
        attempts_min: 2,
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_come_late_and_no_token_is_known() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::LoseAnswer],
        lags: LATE_TAGS,
        setting: Some(("quarantine", "\"12s\"")),
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_on_the_way_answers_500() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::Replace("502 Bad Gateway", "")],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_code_comes_back() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::Replace("200 OK", STRANGE)],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_error_comes_back() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::Replace("200 OK", INTERNAL)],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_follows_a_doubt() {
    let refusal = Mischief::Refuse("LimitExceeded.InstanceQuota");
    holds(Story {
        script: vec![Mischief::LoseAnswer, refusal, refusal, refusal],
        lags: (0.1, 1.2),
        end: OperationState::Succeeded,
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attempts_are_used_up_while_the_machines_are_hidden() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::LoseAnswer],
        lags: (0.1, 1.2),
        setting: Some(("attempts_max", "1")),
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_arrives_twice_at_a_cloud_that_forgets() {
    holds(Story {
        memory: Memory::Nothing,
        script: vec![Mischief::RepeatAndLose, Mischief::RepeatAndLose],
        lags: (0.0, 0.0),
        end: OperationState::NeedsOperator,
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_dies_when_it_has_sent() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        holds(Story {
            engine,
            memory: Memory::Nothing,
            faults: vec!["driver.call:crash-after".to_owned()],
            ..Story::default()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_dies_before_it_has_written_anything() {
    holds(Story {
        faults: vec!["submit.admit:delay,store.admit:crash-before".to_owned()],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_dies_before_it_has_told_the_audit() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for pass in 1..=2 {
            holds(Story {
                engine,
                faults: vec![format!("store.audit:crash-before:{pass}")],
                alone: true,
                ..Story::default()
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_waits_between_the_journal_and_the_wire() {
    holds(Story {
        faults: vec!["driver.body:delay".to_owned()],
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_waits_for_too_long_before_it_is_sent() {
    holds(Story {
        faults: vec!["driver.send:delay".to_owned()],
        setting: Some(("attempt_life", "\"1s\"")),
        attempts_min: 2,
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machines_are_shown_late() {
    holds(Story {
        lags: (1.5, 0.1),
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_fails_and_is_given_back() {
    holds(Story {
        doomed: 1.0,
        end: OperationState::Failed,
        ..Story::default()
    })
    .await;
}

/// The callers give back what they launched. A machine counts as gone a second after it was shown
/// last, for in a fast world none is seen to go.
pub(crate) fn returning(story: Story) -> Story {
    Story {
        setting: Some(("missing_grace", "\"1s\"")),
        want: Want::GiveBack,
        ..story
    }
}

/// The callers cancel what was launched already. The machines are shown late, so that there is time
/// to repeat the order.
pub(crate) fn cancelling(story: Story) -> Story {
    Story {
        lags: (2.0, 0.1),
        setting: Some(("missing_grace", "\"1s\"")),
        want: Want::Cancel,
        end: OperationState::Cancelled,
        ..story
    }
}

/// One of two machines fails, and the caller wants all or nothing.
pub(crate) fn failing(story: Story) -> Story {
    Story {
        setting: Some(("missing_grace", "\"1s\"")),
        doomed: 0.5,
        alone: true,
        end: OperationState::Failed,
        ..story
    }
}

/// A launch is in doubt and cannot be looked up, until a person has seen to it.
pub(crate) fn releasing(story: Story) -> Story {
    Story {
        script: vec![Mischief::LoseAnswer],
        setting: Some(IMPATIENCE),
        deaf: true,
        alone: true,
        want: Want::Release,
        ..story
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_give_their_machines_back() {
    holds(returning(Story::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_cancelled_and_given_back() {
    holds(cancelling(Story::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_beside_a_failed_machine_is_given_back() {
    holds(failing(Story::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_dies_when_it_has_given_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        holds(Story {
            engine,
            faults: vec!["terminate.call:crash-after".to_owned()],
            ..returning(Story::default())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_cancel_outlives_the_process_that_took_it() {
    holds(Story {
        faults: vec!["cancel.order:crash-after".to_owned()],
        ..cancelling(Story::default())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_releases_what_could_not_be_looked_up() {
    holds(releasing(Story {
        memory: Memory::Nothing,
        ..Story::default()
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_what_another_gateway_steps() {
    holds(Story {
        engine: Engine::Postgres,
        twin: true,
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_for_orphans_takes_nothing_that_is_somebody_s() {
    holds(Story {
        sweeping: true,
        ..Story::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_and_a_start_lose_nothing() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        holds(Story {
            engine,
            stopped: true,
            ..Story::default()
        })
        .await;
    }
}
