//! The console: what its pages show, to whom, and what they never show.

mod browser;
mod story;

use crate::policy::until;
use crate::world::{Served, World, ask, client, get, run, wish};
use cvm_gateway::domain::operation::StateName;
use std::time::Duration;
use story::{HOSTILE, Story};

const PAGES: [&str; 4] = [
    "/console",
    "/console/accounts",
    "/console/denials",
    "/console/gateway",
];

/// What a page shows: its text without markup, in one line.
fn text_of(page: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in page.chars() {
        match letter {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            letter if !inside => text.push(letter),
            _ => {}
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text, |text, (escaped, letter)| {
        text.replace(escaped, letter)
    })
}

async fn shown(gateway: &Served, path: &str) -> String {
    let (head, page) = get(gateway.admin_addr(), path).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}\n{page}");
    harmless(path, &page);
    text_of(&page)
}

/// A browser may do nothing that the policy of the page forbids, and nothing that a text asks for.
fn harmless(path: &str, page: &str) {
    assert!(
        page.starts_with("<!DOCTYPE html><html lang=\"en\">"),
        "{path}"
    );
    for bad in [
        " style=",
        "<style",
        "javascript:",
        "<iframe",
        "<base",
        "http-equiv",
        " onclick=",
    ] {
        assert!(!page.contains(bad), "{path} has {bad}");
    }
    assert_eq!(page.matches("<script").count(), 1, "{path}");
    for (at, _) in page.match_indices("href=\"") {
        let target = &page[at + 6..];
        let ours = target.starts_with("/console") || target.starts_with("#main");
        let target = target.split('"').next();
        assert!(ours, "{path} leads elsewhere: {target:?}");
    }
    for markup in [HOSTILE, "<b>", "<script>"] {
        assert!(!page.contains(markup), "{path} shows {markup} as it came");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_tell_what_happened() {
    let story = Story::new().await;
    let gateway = &story.gateway;
    let first = shown(gateway, "/console").await;
    for expected in [
        "1 operation waits for an operator",
        "New launches on the account main are stopped",
        "the cloud launched 2 instances where 1 were asked for",
        "Succeeded 2",
        "Failed 2",
        "Partial 1",
        "Reconciling 1",
        "Needs operator 1",
    ] {
        assert!(first.contains(expected), "{expected} is not in: {first}");
    }
    let accounts = shown(gateway, "/console/accounts").await;
    let keys = accounts.find("main development Stopped the cloud launched 2 instances");
    let other = accounts.find("spare development Go on");
    assert!(keys.is_some() && keys < other, "{accounts}");
    for expected in [
        "configuration or environment – Has a key never",
        "1 waits for an operator",
        "RunInstances",
        "Throttled",
        "ap-shanghai-2 ap-shanghai SOLDOUT.SMALL1 shared 1 at once 1",
        "team instances",
    ] {
        assert!(
            accounts.contains(expected),
            "{expected} is not in: {accounts}"
        );
    }
    let denials = shown(gateway, "/console/denials").await;
    for expected in [
        "Denied developer development RunInstances ap-shanghai no-sa2 forbidden by the rule `no-sa2`: <b>SA2</b> is \"given up\"",
        "Refused developer development RunInstances",
        "no-rule-permits",
    ] {
        assert!(
            denials.contains(expected),
            "{expected} is not in: {denials}"
        );
    }
    let this = shown(gateway, "/console/gateway").await;
    for expected in [
        "Ready New launches are taken.",
        "Journal SQLite",
        "This replica 1",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(this.contains(expected), "{expected} is not in: {this}");
    }
    story.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operation_is_told_whole() {
    let story = Story::new().await;
    let good = shown(&story.gateway, &story.page_of("good")).await;
    for expected in [
        "Launch Succeeded",
        "Asked by developer",
        "Request id good",
        "Allowed by run-small",
        "Attempt 1: Accepted",
        "cost",
        "layers/all.toml",
        "intent RunInstances developer",
        "outcome RunInstances developer",
        HOSTILE,
        "RUNNING",
    ] {
        assert!(good.contains(expected), "{expected} is not in: {good}");
    }
    let order = ["Accepted", "Sent", "Attempt 1", "Launched", "Succeeded"];
    let timeline = good.split("Timeline").nth(1).unwrap();
    let places = order.map(|word| timeline.find(word).unwrap());
    assert!(places.is_sorted(), "{places:?} in {timeline}");
    let failed = shown(&story.gateway, &story.page_of("failing")).await;
    assert!(failed.contains("LAUNCH_FAILED"), "{failed}");
    assert!(
        failed.contains("The host failed to start the instance."),
        "{failed}"
    );
    let sold_out = shown(&story.gateway, &story.page_of("sold-out")).await;
    for expected in [
        "CAPACITY",
        "Refused ResourcesSoldOut.SpecifiedInstanceType",
        "Sold out",
    ] {
        assert!(
            sold_out.contains(expected),
            "{expected} is not in: {sold_out}"
        );
    }
    let doubt = shown(&story.gateway, &story.page_of("in-doubt")).await;
    assert!(
        doubt.contains("Launch Reconciling") && doubt.contains("In doubt"),
        "{doubt}"
    );
    assert!(doubt.contains("Open for"), "{doubt}");
    let doubled = shown(&story.gateway, &story.page_of("doubled")).await;
    assert!(doubled.contains("Launch Needs operator"), "{doubled}");
    story.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_filtered_and_searched() {
    let story = Story::new().await;
    let gateway = &story.gateway;
    for state in StateName::ALL {
        let page = shown(gateway, &format!("/console?state={}", state.as_str())).await;
        let list = page.split("Newest first").nth(1).unwrap();
        let expected = match state {
            StateName::Succeeded | StateName::Failed => "2 operations",
            StateName::Partial | StateName::Reconciling | StateName::NeedsOperator => "1 operation",
            StateName::Accepted
            | StateName::Sent
            | StateName::Launched
            | StateName::Terminating
            | StateName::Cancelled => "No operation fits.",
        };
        assert!(list.trim().starts_with(expected), "{state:?}: {list}");
    }
    let none = shown(gateway, "/console?account=spare&region=ap-tokyo").await;
    assert!(none.contains("No operation fits."), "{none}");
    let development = shown(
        gateway,
        "/console?organization=development&account=main&region=ap-shanghai",
    )
    .await;
    assert!(development.contains("5 operations"), "{development}");
    let good = story.page_of("good");
    let id = good.rsplit('/').next().unwrap();
    let machine = &story.machine;
    for asked in ["good", id, &format!("operations%2F{id}"), machine] {
        let (head, _) = get(gateway.admin_addr(), &format!("/console?q={asked}")).await;
        assert!(head.starts_with("HTTP/1.1 303"), "{asked}: {head}");
        assert!(
            head.to_lowercase()
                .contains(&format!("location: {good}\r\n")),
            "{head}"
        );
    }
    let nothing = shown(
        gateway,
        "/console?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    )
    .await;
    assert!(nothing.contains("No operation has this id"), "{nothing}");
    story.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_makes_no_sense_is_told_in_a_page() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    for (path, status) in [
        (
            "/console/operations/019b7d5e-0000-7000-8000-000000000001",
            404,
        ),
        ("/console/operations/%3Cscript%3E", 404),
        ("/console?state=ODD", 400),
        ("/console?account=%3Cscript%3E", 400),
        ("/console?before=1", 400),
        ("/console/denials?before=1.2", 400),
    ] {
        let (head, page) = get(gateway.admin_addr(), path).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {head}"
        );
        harmless(path, &page);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_only_read_only_here_and_kept_nowhere() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let address = gateway.admin_addr();
    let host = format!("host: {address}\r\n");
    let assets = [
        "/console/console.css",
        "/console/console.js",
        "/console/icon.svg",
    ];
    for path in PAGES.iter().chain(&assets) {
        let (head, _) = get(address, path).await;
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "cross-origin-resource-policy: same-origin",
            "cross-origin-opener-policy: same-origin",
        ] {
            assert!(head.contains(header), "{path} has no {header}:\n{head}");
        }
        let (bare, body) = ask(address, "HEAD", path, &host, "").await;
        assert!(
            bare.starts_with("HTTP/1.1 200") && body.is_empty(),
            "{path}: {bare}"
        );
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let (head, _) = ask(address, method, path, &host, "").await;
            assert!(head.starts_with("HTTP/1.1 405"), "{method} {path}: {head}");
        }
        // As a page of elsewhere comes that had its name point here, and as a proxy comes.
        for refused in [
            "host: evil.example\r\n",
            &format!("{host}x-forwarded-for: 10.0.0.1\r\n"),
        ] {
            let (head, body) = ask(address, "GET", path, refused, "").await;
            assert!(head.starts_with("HTTP/1.1 403"), "{refused} {path}: {head}");
            assert!(body.contains("admin.show_console_to_all_at"), "{body}");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_says_whether_there_is_a_console_and_for_whom() {
    let world = World::new(100.0).await;
    let with = |text: &str| {
        let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
        let endpoint = format!("http://{}", world.simulator.addr());
        let all = crate::world::config_text(&world.folder.0, &endpoint, "");
        let all = all.replace(admin, &format!("{admin}{text}\n"));
        cvm_gateway::config::Config::parse("test.toml", &all, &world.folder.0).unwrap()
    };
    let gateway = world.gateway_of(with("console = false")).await;
    for path in PAGES {
        let (head, _) = get(gateway.admin_addr(), path).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
    gateway.stop().await;
    let named = with("show_console_to_all_at = [\"console.internal\"]");
    let gateway = world.gateway_of(named).await;
    let proxied = "host: console.internal\r\nvia: 1.1 proxy\r\n";
    let (head, _) = ask(gateway.admin_addr(), "GET", "/console", proxied, "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    gateway.stop().await;
}

/// What `get` answers is searched for every secret, and the launches have some of each kind.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_holds_a_secret_and_older_operations_are_a_page_away() {
    let world = World::new(400.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    for number in 0..51 {
        let mut launched = client
            .run_instances(wish(&format!("r-{number}"), 1))
            .await
            .unwrap();
        launched.get_mut().message().await.unwrap();
    }
    let first = shown(&gateway, "/console").await;
    assert!(
        first.contains("50 operations") && first.contains("Older"),
        "{first}"
    );
    let (_, page) = get(gateway.admin_addr(), "/console").await;
    let older = page
        .split("href=\"")
        .find(|link| link.contains("before="))
        .unwrap();
    let older = older.split('"').next().unwrap();
    let second = shown(&gateway, older).await;
    assert!(
        second.contains("1 operation ") && second.contains("r-0"),
        "{second}"
    );
    assert!(
        second.contains("Newest") && !second.contains("Older"),
        "{second}"
    );
    let seen = run(&mut client, wish("r-0", 1)).await;
    let id = seen
        .last()
        .name
        .replace("operations/", "/console/operations/");
    shown(&gateway, &id).await;
    gateway.stop().await;
}

/// What is shown on a page follows what happens without anything being kept for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_as_new_as_its_request() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let empty = shown(&gateway, "/console").await;
    assert!(empty.contains("No operation fits.") && empty.contains("Nothing waits for a person."));
    let mut client = client(&gateway).await;
    run(&mut client, wish("r", 1)).await.end.unwrap();
    until(async || shown(&gateway, "/console").await.contains("Succeeded 1")).await;
    let many = (0..40).map(|_| get(gateway.admin_addr(), "/console"));
    let clock = cvm_gateway::clock::Clock::system();
    let answers = clock.timeout(
        Duration::from_secs(20),
        futures_util::future::join_all(many),
    );
    for (head, _) in answers.await.unwrap() {
        let answered = head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 503");
        assert!(answered, "{head}");
    }
    gateway.stop().await;
}
