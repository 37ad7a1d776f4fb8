//! What a person sees who looks through a journal: all organisations' operations, page by page, and the
//! calls that were not carried out.

use super::*;
use cvm_gateway::domain::audit::Refused;
use cvm_gateway::domain::ids::Principal;
use cvm_gateway::store::{Browse, Mark, Page};

on_both! {
    browses_by_every_filter
    browses_in_pages
    searches_by_every_id
    tells_one_in_detail
    tells_who_holds_what
    tells_what_was_not_done
}

fn ids(page: &Page) -> Vec<OperationId> {
    page.records.iter().map(|record| record.id).collect()
}

fn newest_first(operations: &[&Operation]) -> Vec<OperationId> {
    let mut ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    ids.sort();
    ids.reverse();
    ids
}

async fn browse(store: &Store, wanted: Browse) -> Page {
    let limit = if wanted.limit == 0 { 50 } else { wanted.limit };
    let page = store.browse(&Browse { limit, ..wanted }).await;
    page.unwrap()
}

async fn browses_by_every_filter(journal: Journal) {
    let store = journal.open().await;
    let (ours, theirs) = (operation("acme", "ours"), operation("globex", "theirs"));
    let mut elsewhere = operation("acme", "elsewhere");
    elsewhere.region = Region::parse("ap-tokyo").unwrap();
    let mut other = operation("acme", "other");
    other.account = AccountName::parse("other").unwrap();
    for operation in [&ours, &theirs, &elsewhere] {
        admit(&store, operation).await;
    }
    let lease = admit(&store, &other).await;
    save(&store, lease, &next(&other, State::Failed)).await;
    let all = Browse::default();
    let every = newest_first(&[&ours, &theirs, &elsewhere, &other]);
    assert_eq!(ids(&browse(&store, all.clone()).await), every);
    let acme = Some(OrganizationId::parse("acme").unwrap());
    for (wanted, expected) in [
        (
            Browse {
                organization: acme.clone(),
                ..all.clone()
            },
            newest_first(&[&ours, &elsewhere, &other]),
        ),
        (
            Browse {
                state: Some(StateName::Accepted),
                ..all.clone()
            },
            newest_first(&[&ours, &theirs, &elsewhere]),
        ),
        (
            Browse {
                state: Some(StateName::Accepted),
                organization: acme,
                region: Some(ours.region.clone()),
                ..all.clone()
            },
            newest_first(&[&ours]),
        ),
        (
            Browse {
                account: Some(other.account.clone()),
                ..all.clone()
            },
            newest_first(&[&other]),
        ),
        (
            Browse {
                state: Some(StateName::Succeeded),
                ..all
            },
            Vec::new(),
        ),
    ] {
        assert_eq!(
            ids(&browse(&store, wanted.clone()).await),
            expected,
            "{wanted:?}"
        );
    }
    assert_eq!(store.organizations().await.unwrap(), ["acme", "globex"]);
}

async fn browses_in_pages(journal: Journal) {
    let store = journal.open().await;
    assert_eq!(store.organizations().await.unwrap(), [""; 0]);
    let mut all = Vec::new();
    for number in 0..2100 {
        all.push(operation("acme", &format!("r-{number}")));
    }
    let mut last = operation("acme", "last");
    last.account = AccountName::parse("rare").unwrap();
    last.id = OperationId::new(NOW - HOUR, &[0; 10]);
    admit(&store, &last).await;
    for some in all.chunks(100) {
        for admitted in super::all(some.iter().map(|one| store.admit(new(one)))).await {
            admitted.unwrap();
        }
    }
    let expected = newest_first(&all.iter().collect::<Vec<_>>());
    let first = browse(
        &store,
        Browse {
            limit: 3,
            ..Browse::default()
        },
    )
    .await;
    assert_eq!(ids(&first), expected[..3]);
    assert_eq!((first.next, first.cut_short), (Some(expected[2]), false));
    let second = Browse {
        before: first.next,
        limit: 3,
        ..Browse::default()
    };
    assert_eq!(ids(&browse(&store, second).await), expected[3..6]);
    // What no index finds is looked for in a bounded part at a time.
    let rare = Browse {
        account: Some(last.account.clone()),
        ..Browse::default()
    };
    let page = browse(&store, rare.clone()).await;
    assert_eq!(ids(&page), []);
    assert_eq!((page.next, page.cut_short), (Some(expected[1999]), true));
    let further = Browse {
        before: page.next,
        ..rare
    };
    let page = browse(&store, further).await;
    assert_eq!((ids(&page), page.next), (vec![last.id], None));
}

async fn searches_by_every_id(journal: Journal) {
    let store = journal.open().await;
    let (ours, theirs) = (operation("acme", "same"), operation("globex", "same"));
    let lease = admit(&store, &ours).await;
    admit(&store, &theirs).await;
    let mut launched = next(&ours, State::Launched);
    let machine = InstanceId::parse("ins-1").unwrap();
    launched.instances = vec![Instance::named(machine)];
    save(&store, lease, &launched).await;
    let mut back = operation("acme", "back");
    back.kind = Kind::Termination;
    back.instances = launched.instances.clone();
    admit(&store, &back).await;
    let id = theirs.id.to_string();
    for (text, expected) in [
        (id.as_str(), newest_first(&[&theirs])),
        (&ours.id.resource_name(), newest_first(&[&ours])),
        ("same", newest_first(&[&ours, &theirs])),
        ("ins-1", newest_first(&[&ours, &back])),
        ("ins-2", Vec::new()),
        ("' OR 1=1 --", Vec::new()),
    ] {
        let found = store.search(text).await.unwrap();
        let found: Vec<_> = found.iter().map(|record| record.id).collect();
        assert_eq!(found, expected, "{text}");
    }
}

async fn tells_one_in_detail(journal: Journal) {
    let store = journal.open().await;
    let one = operation("acme", "one");
    let lease = admit(&store, &one).await;
    let failed = next(&one, State::Failed);
    save(&store, lease, &failed).await;
    let detail = store.detail(one.id).await.unwrap().unwrap();
    assert_eq!(detail.record.operation.unwrap(), failed);
    let events: Vec<_> = detail.audit.iter().map(|row| &row["event"]).collect();
    assert_eq!(events, ["intent", "outcome"]);
    let unknown = OperationId::generate(NOW);
    assert!(store.detail(unknown).await.unwrap().is_none());
}

async fn tells_who_holds_what(journal: Journal) {
    let store = journal.open().await;
    for (owner, name) in [("first", "a"), ("first", "b"), ("second", "c")] {
        let mut new = new(&operation("acme", name));
        new.owner = owner.to_owned();
        store.admit(new).await.unwrap();
    }
    let ended = operation("acme", "ended");
    let lease = admit(&store, &ended).await;
    save(&store, lease, &next(&ended, State::Failed)).await;
    let holders = store.holders().await.unwrap();
    let told: Vec<_> = holders
        .iter()
        .map(|one| (one.owner.as_str(), one.operations))
        .collect();
    assert_eq!(told, [("first", 2), ("second", 1)]);
    assert!(holders.iter().all(|one| one.lease_until.is_some()));
}

async fn tells_what_was_not_done(journal: Journal) {
    let store = journal.open().await;
    admit(&store, &operation("acme", "done")).await;
    let refused = |number: u32, decision| Refused {
        // Two in each second.
        time: NOW + Duration::from_secs((number / 2).into()),
        action: "RunInstances",
        principal: Principal {
            name: "dev".to_owned(),
            organization: OrganizationId::parse("acme").unwrap(),
        },
        asked: Call::default(),
        account: String::new(),
        region: String::new(),
        decision,
        reason: format!("reason {number}"),
    };
    for number in 0..5 {
        let decision = (number % 2 == 0).then(|| Decision {
            policy: "p".to_owned(),
            rule: "no-sa2".to_owned(),
        });
        store.refused(refused(number, decision)).await.unwrap();
    }
    let mut told = Vec::new();
    let mut mark = None;
    for rows in [2, 2, 1] {
        let page = store.not_done(mark, 2).await.unwrap();
        assert_eq!(page.rows.len(), rows);
        let reasons = page
            .rows
            .iter()
            .map(|row| row["reason"].as_str().unwrap().to_owned());
        told.extend(reasons);
        mark = page.next.map(|mark| {
            let text = mark.to_string();
            let read: Mark = text.parse().unwrap();
            assert_eq!(read, mark);
            read
        });
    }
    assert_eq!(
        told,
        ["reason 4", "reason 3", "reason 2", "reason 1", "reason 0"]
    );
    assert_eq!(mark, None, "nothing is older");
    assert!("1.x.c".parse::<Mark>().is_err() && "1.2".parse::<Mark>().is_err());
    let first = store.not_done(None, 1).await.unwrap();
    assert_eq!(first.rows[0]["decision"]["rules"][0], "no-sa2");
}
