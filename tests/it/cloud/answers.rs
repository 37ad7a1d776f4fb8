//! The corpus of answers: each is taken for what it says, whatever way it is broken.

use super::server::{Act, Server};
use super::{Client, SIGNING, id, target};
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::limiter::Action;
use cvm_gateway::cloud::{Cloud, CloudError};
use serde_json::Value;

/// Asks what the answer is one to.
async fn ask(client: &Client, action: &str) -> Result<(), CloudError> {
    let ids = [id("ins-1"), id("ins-2")];
    let (cloud, target) = (&client.cloud, target("prod"));
    let permit = |action| client.permit(action);
    match action {
        "RunInstances" => {
            let permit = permit(Action::RunInstances).await;
            let answer = cloud.run_instances(permit, &target, b"{}", SIGNING);
            answer.await.map(|_accepted| ())
        }
        "DescribeInstancesStatus" => {
            let permit = permit(Action::DescribeInstancesStatus).await;
            let answer = cloud.describe_instances_status(permit, &target, &ids);
            answer.await.map(|_states| ())
        }
        "DescribeInstances" => {
            let permit = permit(Action::DescribeInstances).await;
            let answer = cloud.describe_instances(permit, &target, &ids);
            answer.await.map(|_details| ())
        }
        action => panic!("the corpus has an answer to {action}"),
    }
}

#[tokio::test]
async fn every_answer_of_the_corpus_is_taken_for_what_it_is() {
    let corpus = include_str!("../../../testdata/corpus/answers.jsonl");
    let rows: Vec<Value> = corpus
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
    let acts = rows.iter().map(|row| Act::Send(text(row, "send")));
    let server = Server::start(acts.collect()).await;
    let mut client = Client::new(&format!("http://{}", server.address));
    let mut wrong = Vec::new();
    for row in &rows {
        // What it heard before slows it down.
        client.limiter = Client::limiter(1000, &Clock::system());
        let (code, effect, retry) = match ask(&client, &text(row, "action")).await {
            Ok(()) => ("OK".to_owned(), String::new(), String::new()),
            Err(error) => {
                let judged = (format!("{:?}", error.effect), format!("{:?}", error.retry));
                (error.code, judged.0, judged.1)
            }
        };
        let expected = (text(row, "code"), text(row, "effect"), text(row, "retry"));
        if (&code, &effect, &retry) != (&expected.0, &expected.1, &expected.2) {
            let name = text(row, "name");
            wrong.push(format!("{name}: {code} {effect} {retry}, not {expected:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(server.requests().len(), rows.len(), "one was sent again");
    assert!(rows.len() >= 400, "only {} answers", rows.len());
}
