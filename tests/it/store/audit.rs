//! The audit's promises: whatever happens to a journal, its chains tell what was done to their rows.

use super::*;
use cvm_gateway::domain::audit::Refused;
use cvm_gateway::domain::ids::Principal;
use cvm_gateway::store::{Anchor, Desk, Verified};
use sha2::{Digest, Sha256};

on_both! {
    chains_what_was_done
    finds_what_was_done_to_the_rows
    finds_what_only_the_end_knew
    tells_what_is_older_than_the_chains
    keeps_a_chain_for_each_replica
    does_nothing_that_cannot_be_told
}

/// Two openings of a journal, and three operations: one that ended, one that was cancelled, one more.
async fn written(journal: &Journal) -> [Operation; 3] {
    let store = journal.open().await;
    let ended = operation("acme", "ended");
    let lease = admit(&store, &ended).await;
    save(&store, lease, &next(&ended, State::Failed)).await;
    let cancelled = operation("acme", "cancelled");
    admit(&store, &cancelled).await;
    let order = Order {
        operation: cancelled.id,
        principal: "ops".to_owned(),
        time: NOW + HOUR,
    };
    order_of(&store, &order).await.unwrap();
    order_of(&store, &order).await.unwrap();
    store.close().await;
    let store = journal.open().await;
    let mut more = operation("acme", "more");
    more.create_time = NOW + HOUR;
    admit(&store, &more).await;
    store.close().await;
    [ended, cancelled, more]
}

pub(super) async fn verify(journal: &Journal, anchors: &[Anchor]) -> Verified {
    let desk = Desk::open(&journal.settings()).await.unwrap();
    let verified = desk.verify(anchors).await.unwrap();
    desk.close().await;
    verified
}

/// The records of a chain, as JSON.
async fn records(journal: &Journal, chain: &str) -> Vec<serde_json::Value> {
    let sql = "SELECT record FROM audit_rows WHERE chain = $1 ORDER BY sequence";
    let mut connection = journal.connect().await;
    let rows = sqlx::query(sql).bind(chain).fetch_all(&mut connection);
    let rows = rows.await.unwrap();
    let record = |row: &sqlx::any::AnyRow| serde_json::from_str(row.get(0)).unwrap();
    rows.iter().map(record).collect()
}

async fn chains_what_was_done(journal: Journal) {
    let [ended, cancelled, more] = written(&journal).await;
    let verified = verify(&journal, &[]).await;
    assert_eq!(verified.findings, [""; 0]);
    assert_eq!((verified.rows, verified.unchained), (7, 0));
    let [first, second] = &verified.ends[..] else {
        panic!("a chain for each opening: {verified:?}");
    };
    let rows = records(&journal, &first.chain).await;
    let told = |row: &serde_json::Value| {
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        let name = row["principal"]["name"].as_str().unwrap_or("-");
        let operation = text("operation");
        format!("{} {} {name} {operation}", text("event"), text("action"))
    };
    let told: Vec<_> = rows.iter().map(told).collect();
    let (ended, cancelled) = (ended.id.resource_name(), cancelled.id.resource_name());
    let expected = [
        "chain - - -".to_owned(),
        format!("intent RunInstances dev {ended}"),
        format!("outcome RunInstances dev {ended}"),
        format!("intent RunInstances dev {cancelled}"),
        format!("intent CancelOperation ops {cancelled}"),
    ];
    assert_eq!(told, expected);
    assert_eq!(rows[1]["time"], "2026-01-02T03:04:05.678Z");
    assert_eq!(rows[1]["decision"]["verdict"], "allow");
    assert_eq!(rows[2]["outcome"]["state"], "FAILED");

    // The next one names its end, and nothing else.
    let rows = records(&journal, &second.chain).await;
    let links = serde_json::to_value([first]).unwrap();
    assert_eq!((rows.len(), &rows[0]["links"]), (2, &links));
    assert_eq!(rows[1]["operation"], more.id.resource_name());
}

async fn finds_what_was_done_to_the_rows(journal: Journal) {
    written(&journal).await;
    let ends = verify(&journal, &[]).await.ends;
    let [first, second] = &ends[..] else {
        panic!("a chain for each opening: {ends:?}");
    };
    let (a, b) = (&first.chain, &second.chain);
    let forged = forged(&journal, a).await;
    journal
        .run("CREATE TABLE kept AS SELECT * FROM audit_rows")
        .await;
    for (sql, expected) in damages(a, b, forged) {
        journal.run(&sql).await;
        let findings = verify(&journal, &[]).await.findings;
        for expected in expected {
            let expected = expected.replace("{a}", a).replace("{b}", b);
            let found = findings.iter().any(|finding| finding.contains(&expected));
            assert!(found, "{sql}: {expected}: {findings:#?}");
        }
        journal.run("DELETE FROM audit_rows").await;
        journal
            .run("INSERT INTO audit_rows SELECT * FROM kept")
            .await;
        assert_eq!(verify(&journal, &[]).await.findings, [""; 0]);
    }
}

/// What somebody may do to the rows of two chains, and what must be found then.
fn damages(a: &str, b: &str, forged: String) -> [(String, &'static [&'static str]); 9] {
    [
        (
            format!(
                "UPDATE audit_rows SET record = replace(record, 'dev', 'eve') WHERE chain = '{a}' AND sequence = 2"
            ),
            &["chain {a}: row 2 was changed"],
        ),
        (
            format!(
                "UPDATE audit_rows SET hash = substr(hash, 2) || substr(hash, 1, 1) WHERE chain = '{a}' AND sequence = 3"
            ),
            &[
                "chain {a}: row 3 was changed",
                "chain {a}: row 4 was changed",
            ],
        ),
        (
            format!("DELETE FROM audit_rows WHERE chain = '{a}' AND sequence BETWEEN 3 AND 4"),
            &[
                "chain {a}: rows 3 to 4 are missing",
                "is not in the audit",
                "is not in the audit",
            ],
        ),
        (
            format!("DELETE FROM audit_rows WHERE chain = '{a}' AND sequence = 1"),
            &["chain {a}: rows 1 to 1 are missing"],
        ),
        (
            format!("DELETE FROM audit_rows WHERE chain = '{a}' AND sequence = 5"),
            &["row 5 of chain {a} is missing, and the chain {b}, which began later, names it"],
        ),
        (
            format!(
                "DELETE FROM audit_rows WHERE chain = '{a}' AND event <> 'intent'; UPDATE audit_rows SET chain = 'x' WHERE chain = '{a}'"
            ),
            &["chain x", "row 5 of chain {a} is missing"],
        ),
        (
            format!(
                "UPDATE audit_rows SET record = (SELECT record FROM kept WHERE kept.chain = '{a}' \
                 AND kept.sequence = 6 - audit_rows.sequence) WHERE chain = '{a}' AND sequence IN (2, 4)"
            ),
            &[
                "row 2 stands in the place of another one",
                "row 4 stands in the place of another one",
            ],
        ),
        (
            format!("UPDATE audit_rows SET time = time + 1 WHERE chain = '{b}' AND sequence = 2"),
            &["chain {b}: row 2 is filed under another event, time or operation"],
        ),
        (
            forged,
            &["row 5 of chain {a} is not what it was, and the chain {b}"],
        ),
    ]
}

/// A chain whose last row tells something else, with the hash that it must have.
async fn forged(journal: &Journal, chain: &str) -> String {
    let sql = "SELECT record, hash FROM audit_rows WHERE chain = $1 ORDER BY sequence";
    let mut connection = journal.connect().await;
    let rows = sqlx::query(sql).bind(chain).fetch_all(&mut connection);
    let rows = rows.await.unwrap();
    let before: String = rows[3].get(1);
    let record = rows[4].get::<String, _>(0).replace("ops", "eve");
    let hash = Sha256::new()
        .chain_update(hex::decode(before).unwrap())
        .chain_update(&record);
    let hash = hex::encode(hash.finalize());
    format!(
        "UPDATE audit_rows SET record = '{record}', hash = '{hash}' WHERE chain = '{chain}' AND sequence = 5"
    )
}

/// Nothing came after it, so only who remembers it can tell.
async fn finds_what_only_the_end_knew(journal: Journal) {
    let [_, _, more] = written(&journal).await;
    let ends = verify(&journal, &[]).await.ends;
    let id = more.id;
    journal
        .run(&format!(
            "DELETE FROM audit_rows WHERE operation_id = '{id}'; \
             DELETE FROM reservations WHERE operation_id = '{id}'; \
             DELETE FROM operations WHERE id = '{id}'"
        ))
        .await;
    assert_eq!(verify(&journal, &[]).await.findings, [""; 0]);
    let findings = verify(&journal, &ends).await.findings;
    let chain = &ends[1].chain;
    let expected = format!("row 2 of chain {chain} is missing, and the anchor names it");
    assert_eq!(findings, [expected]);
}

async fn tells_what_is_older_than_the_chains(journal: Journal) {
    let [ended, ..] = written(&journal).await;
    let id = ended.id;
    let sql = format!(
        "INSERT INTO audit (operation_id, time, action, organization, principal, account, region, detail) \
         VALUES ('{id}', 1, 'LAUNCH', 'acme', 'dev', 'main', 'ap-shanghai', '{{}}')"
    );
    journal.run(&sql).await;
    let verified = verify(&journal, &[]).await;
    assert_eq!((verified.unchained, verified.findings.len()), (1, 0));
}

/// They write at once and never wait for each other's chain.
async fn keeps_a_chain_for_each_replica(journal: Journal) {
    let stores = if journal.is_sqlite() {
        vec![journal.open().await]
    } else {
        vec![
            journal.open().await,
            journal.open().await,
            journal.open().await,
        ]
    };
    let admit = |number: usize| {
        let store = stores[number % stores.len()].clone();
        async move {
            let operation = operation("acme", &format!("r-{number}"));
            let lease = admit(&store, &operation).await;
            save(&store, lease, &next(&operation, State::Failed)).await
        }
    };
    let saved = all((0..96).map(admit)).await;
    assert!(saved.iter().all(|saved| *saved == Saved::Done));
    let verified = verify(&journal, &[]).await;
    assert_eq!(verified.findings, [""; 0]);
    assert_eq!(verified.ends.len(), stores.len());
    let expected = u64::try_from(2 * 96 + stores.len()).unwrap();
    assert_eq!(verified.rows, expected);
}

fn denied(organization: &OrganizationId) -> Refused {
    Refused {
        time: NOW,
        action: "RunInstances",
        principal: Principal {
            name: "dev".to_owned(),
            organization: organization.clone(),
        },
        asked: Call::default(),
        account: "foreign".to_owned(),
        region: "ap-shanghai".to_owned(),
        decision: Some(Decision {
            policy: "p".to_owned(),
            rule: "r".to_owned(),
        }),
        reason: "not yours".to_owned(),
    }
}

/// No audit, no launch; nor anything else that the audit is told of.
async fn does_nothing_that_cannot_be_told(journal: Journal) {
    let store = journal.open().await;
    let known = operation("acme", "known");
    let lease = admit(&store, &known).await;
    journal
        .run("ALTER TABLE audit_rows RENAME TO elsewhere")
        .await;
    let wish = operation("acme", "wish");
    let ended = Save {
        lease,
        operation: next(&known, State::Failed),
        attempt: true,
    };
    let order = Order {
        operation: known.id,
        principal: "ops".to_owned(),
        time: NOW,
    };
    assert!(store.admit(new(&wish)).await.is_err());
    assert!(store.save(std::slice::from_ref(&ended)).await.is_err());
    assert!(order_of(&store, &order).await.is_err());
    let organization = &known.organization;
    assert!(store.refused(denied(organization)).await.is_err());
    assert_eq!(store.get(organization, wish.id).await.unwrap(), None);
    assert_eq!(journal.state(&store, &known).await, known);
    assert_eq!(store.orders(10).await.unwrap(), []);

    journal
        .run("ALTER TABLE elsewhere RENAME TO audit_rows")
        .await;
    admit(&store, &wish).await;
    assert_eq!(save(&store, lease, &ended.operation).await, Saved::Done);
    store.refused(denied(organization)).await.unwrap();
    let verified = verify(&journal, &[]).await;
    assert_eq!(verified.findings, [""; 0]);
    // Two chains begin, for the connection of before is not trusted.
    assert_eq!((verified.rows, verified.ends.len()), (6, 2));
}
