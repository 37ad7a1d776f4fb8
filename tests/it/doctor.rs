//! `cvm-gateway doctor`: what it finds of each kind, and that it disturbs no gateway.

use crate::canary;
use crate::cloud::server::{Server, answer};
use crate::credentials::misbehave;
use crate::identity::pki::{Authority, from_now};
use crate::identity::tokens::Signer;
use crate::plan::calls;
use crate::postgres;
use crate::world::{Folder, World, client, config_text, put_secret, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::net::TcpListener;
use std::process::Command;

/// The configuration of a gateway of `world`, in a file.
fn written(world: &World, change: impl FnOnce(String) -> String) -> String {
    let endpoint = format!("http://{}", world.simulator.addr());
    let path = world.folder.join("doctor.toml");
    put_secret(&path, &change(config_text(&world.folder.0, &endpoint, "")));
    path.to_str().unwrap().to_owned()
}

/// What the doctor says of a configuration, and its exit code.
async fn examined(path: &str) -> (i32, Value) {
    examined_with(path, &[]).await
}

/// The same, with more arguments.
async fn examined_with(path: &str, more: &[&str]) -> (i32, Value) {
    let path = path.to_owned();
    let more: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
        command.args(["doctor", "--format", "json", "--config", &path]);
        command.args(more);
        canary::output(&mut command)
    });
    let output = ran.await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&said);
    let report = report.unwrap_or_else(|_| panic!("{said}{:?}", output.stderr));
    (output.status.code().unwrap(), report)
}

/// The one finding of a check whose subject or words hold `about`.
fn finding<'a>(report: &'a Value, check: &str, about: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap().iter();
    let holds = |value: &Value| value.as_str().unwrap().contains(about);
    let found: Vec<_> = checks
        .filter(|finding| finding["check"] == check)
        .filter(|finding| holds(&finding["subject"]) || holds(&finding["says"]))
        .collect();
    assert_eq!(found.len(), 1, "{check} {about}: {report:#}");
    found[0]
}

/// Holds a finding against its verdict, and part of what it says.
fn is(finding: &Value, verdict: &str, says: &str) {
    assert_eq!(finding["verdict"], verdict, "{finding:#}");
    assert!(
        finding["says"].as_str().unwrap().contains(says),
        "{finding:#}"
    );
    let remedy = finding["fix"].as_str().unwrap();
    assert_eq!(remedy.is_empty(), verdict == "ok", "{finding:#}");
}

/// How many calls changed something in the cloud.
async fn changing_calls(world: &World) -> usize {
    let changing = ["RunInstances", "TerminateInstances"];
    let ledger = world.ledger().await;
    let calls = ledger.iter().filter(|entry| entry["kind"] == "attempt");
    calls
        .filter(|call| changing.contains(&call["action"].as_str().unwrap()))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_gateway_that_runs_all_is_well_and_nothing_changes() {
    let world = World::new(100.0).await;
    let port = || {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let (grpc, admin) = (port(), port());
    let path = written(&world, |text| {
        let text = text.replacen("127.0.0.1:0", &grpc.to_string(), 1);
        text.replacen("127.0.0.1:0", &admin.to_string(), 1)
    });
    let gateway = world.gateway_of(Config::load(path.as_ref()).unwrap()).await;
    let mut client = client(&gateway).await;
    run(&mut client, wish("doctor-before", 1))
        .await
        .end
        .unwrap();
    let before = changing_calls(&world).await;

    let (code, report) = examined(&path).await;
    assert_eq!(
        (code, &report["verdict"]),
        (0, &Value::from("warn")),
        "{report:#}"
    );
    for (check, about, verdict, says) in [
        ("configuration", "", "ok", "sound"),
        ("policy", "", "warn", "no rules"),
        ("ports", "admin.listen", "ok", "a gateway that runs has it"),
        ("ports", "grpc.listen", "ok", "a gateway that runs has it"),
        ("journal", "tables", "ok", "open to readers"),
        ("journal", "may write", "ok", ""),
        ("journal", "key_file", "ok", "open what is sealed"),
        ("credentials", "main", "ok", "takes its key"),
        ("clocks", "cloud", "ok", "the cloud's clock is"),
    ] {
        is(finding(&report, check, about), verdict, says);
    }

    assert_eq!(
        changing_calls(&world).await,
        before,
        "it launched something"
    );
    run(&mut client, wish("doctor-after", 1)).await.end.unwrap();
    gateway.stop().await;
    let (_, report) = examined(&path).await;
    is(finding(&report, "ports", "admin.listen"), "ok", "free");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_configuration_is_all_that_is_told() {
    let world = World::new(100.0).await;
    let path = written(&world, |text| {
        text.replace("heartbeat_interval", "hartbeat_interval")
    });
    let (code, report) = examined(&path).await;
    assert_eq!(code, 1);
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 1, "{report:#}");
    is(&checks[0], "fail", "doctor.toml:4:1: unknown key");
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_others_have_are_found() {
    let world = World::new(100.0).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let socket = world.folder.join("no-folder").join("grpc.sock");
    let path = written(&world, |text| {
        let listen = format!("[\"{address}\", \"unix:{}\"]", socket.display());
        text.replacen("\"127.0.0.1:0\"", &listen, 1)
    });
    let (code, report) = examined(&path).await;
    assert_eq!(code, 1);
    is(
        finding(&report, "ports", &address),
        "fail",
        "something else has it",
    );
    is(finding(&report, "ports", "unix:"), "fail", "No such file");
    is(finding(&report, "ports", "admin.listen"), "ok", "free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_serve_is_found() {
    let world = World::new(100.0).await;
    let journal = |place: String| {
        let old = format!("sqlite://{}/journal.db", world.folder.0.display());
        written(&world, |text| text.replace(&old, &place))
    };
    let (code, report) = examined(&journal(format!(
        "sqlite://{}/new.db",
        world.folder.0.display()
    )))
    .await;
    assert_eq!(code, 0);
    is(finding(&report, "journal", ""), "warn", "there is none");
    assert!(
        !world.folder.join("new.db").exists(),
        "only a gateway makes it"
    );

    let lost = format!("sqlite://{}/lost/new.db", world.folder.0.display());
    let (code, report) = examined(&journal(lost)).await;
    assert_eq!(code, 1);
    is(
        finding(&report, "journal", ""),
        "fail",
        "there is no journal",
    );

    std::fs::write(
        world.folder.join("text.db"),
        "this is no database, but long enough to be one".repeat(99),
    )
    .unwrap();
    let other = format!("sqlite://{}/text.db", world.folder.0.display());
    let (code, report) = examined(&journal(other)).await;
    assert_eq!(code, 1);
    is(
        finding(&report, "journal", ""),
        "fail",
        "is a file of something else",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_its_key_is_found() {
    let world = World::new(100.0).await;
    world.gateway("").await.stop().await;
    let key = world.folder.join("journal.db.key");
    std::fs::rename(&key, world.folder.join("other.key")).unwrap();
    let path = written(&world, |text| text);
    let (code, report) = examined(&path).await;
    assert_eq!(code, 1);
    is(finding(&report, "journal", "key_file"), "fail", "is not in");
    assert!(!key.exists(), "no key is made");
    std::fs::rename(world.folder.join("other.key"), &key).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_asked_for_its_clock_and_one_that_is_away_is_found() {
    let world = World::new(100.0).await;
    let database = postgres::new_database().await;
    let old = format!("url = \"sqlite://{}/journal.db\"", world.folder.0.display());
    let key = world.folder.join("journal.db.key");
    let named = |url: &str| {
        let url = format!("url = \"{url}\"\nkey_file = \"{}\"", key.display());
        written(&world, |text| text.replace(&old, &url))
    };
    let path = named(&database);
    let (_, report) = examined(&path).await;
    is(
        finding(&report, "journal", ""),
        "warn",
        "its tables are of version 0",
    );
    world
        .gateway_of(Config::load(path.as_ref()).unwrap())
        .await
        .stop()
        .await;
    let (code, report) = examined(&path).await;
    assert_eq!(code, 0, "{report:#}");
    is(
        finding(&report, "clocks", "database"),
        "ok",
        "the database's clock is",
    );
    is(finding(&report, "journal", "may write"), "ok", "");

    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (code, report) = examined(&named(&format!("postgres://nobody@{nobody}/none"))).await;
    assert_eq!(code, 1);
    is(finding(&report, "journal", ""), "fail", "");
}

/// As after an upgrade of the server's system, with which its indexes do not find what they hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sorts_otherwise_by_now_is_found() {
    let world = World::new(100.0).await;
    let database = postgres::new_database().await;
    let (url, folder) = database.split_once('?').unwrap();
    let (sorted, name) = (
        format!("{url}_sorted?{folder}"),
        url.rsplit('/').next().unwrap(),
    );
    let key = world.folder.join("journal.db.key");
    let old = format!("url = \"sqlite://{}/journal.db\"", world.folder.0.display());
    let new = format!("url = \"{sorted}\"\nkey_file = \"{}\"", key.display());
    let path = written(&world, |text| text.replace(&old, &new));
    let mut server = postgres::connect(&database).await;
    let created = format!(
        "CREATE DATABASE {name}_sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'"
    );
    let upgraded =
        format!("UPDATE pg_database SET datcollversion = '1' WHERE datname = '{name}_sorted'");
    let created = sqlx::raw_sql(AssertSqlSafe(created)).execute(&mut server);
    created.await.unwrap();
    let gateway = world.gateway_of(Config::load(path.as_ref()).unwrap());
    gateway.await.stop().await;
    let (_, report) = examined(&path).await;
    assert!(!report.to_string().contains("sorts texts"), "{report:#}");

    let upgraded = sqlx::raw_sql(AssertSqlSafe(upgraded)).execute(&mut server);
    upgraded.await.unwrap();
    let (code, report) = examined(&path).await;
    assert_eq!(code, 0, "{report:#}");
    is(finding(&report, "journal", "sorts texts"), "warn", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_cloud_does_not_take_and_clouds_that_do_not_answer_are_found() {
    let world = World::new(100.0).await;
    let path = written(&world, |text| {
        text.replace(
            "AKIDfakeForLoopbackTestsOnly0000001",
            "AKIDnobodyKnowsThisOne00000000000001",
        )
    });
    let (code, report) = examined(&path).await;
    assert_eq!(code, 1);
    let refused = finding(&report, "credentials", "main");
    is(refused, "fail", "ended with AuthFailure");
    assert!(refused["fix"].as_str().unwrap().contains("replace the key"));

    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let cloud = world.simulator.addr().to_string();
    let path = written(&world, |text| text.replace(&cloud, &nobody.to_string()));
    let (code, report) = examined(&path).await;
    assert_eq!(code, 1);
    is(
        finding(&report, "credentials", "main"),
        "fail",
        "ended with ConnectFailed",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_a_key_is_found_with_its_reason() {
    let world = World::new(100.0).await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let path = written(&world, |text| {
        let (before, after) = text.split_once("secret_id = ").unwrap();
        let (_, after) = after.split_once("[operations]").unwrap();
        format!(
            "{before}machine_role.endpoint = \"http://{nobody}\"\n[operations]{after}\n\
             [cloud.credentials]\nfirst_wait = \"3s\"\n"
        )
    });
    let (code, report) = examined(&path).await;
    assert_eq!(code, 1);
    let found = finding(&report, "credentials", "main");
    is(found, "fail", "role of the machine: the metadata service ");
    assert!(
        found["fix"]
            .as_str()
            .unwrap()
            .contains("docs/credentials.md")
    );
}

/// A launch, the account that it names, and an image.
fn launch(account: Option<&str>, image: &str) -> Value {
    let spec = json!({
        "placement": { "zone": "ap-shanghai-2" },
        "imageId": image,
        "instanceType": "S5.SMALL1",
        "instanceCount": "2",
    });
    json!({ "account": account, "region": "ap-shanghai", "spec": spec })
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_account_may_launch_is_asked_and_nothing_is_launched() {
    let world = World::new(100.0).await;
    let path = written(&world, |text| text);
    let file = world.folder.join("launch.json");
    let image = "img-pmqg1cw7";
    let denied =
        json!({"refuse_p": {"RunInstances": {"UnauthorizedOperation.PermissionDenied": 1.0}}});
    let well = json!({});
    for (faults, launch, about, verdict, says, fix) in [
        (
            &well,
            launch(None, image),
            "main",
            "ok",
            "would launch it",
            "",
        ),
        (
            &well,
            launch(Some("main"), image),
            "main",
            "ok",
            "would launch it",
            "",
        ),
        (
            &denied,
            launch(None, image),
            "main",
            "fail",
            "UnauthorizedOperation",
            "cam-policy.json",
        ),
        (
            &well,
            launch(None, "img-00000000"),
            "main",
            "fail",
            "for ImageId",
            "this account has",
        ),
        (
            &well,
            launch(Some("other"), image),
            "request",
            "fail",
            "not configured",
            "--dry-run",
        ),
    ] {
        misbehave(&world, faults).await;
        std::fs::write(&file, launch.to_string()).unwrap();
        let asked = ["--dry-run", file.to_str().unwrap()];
        let (code, report) = examined_with(&path, &asked).await;
        assert_eq!(code, i32::from(verdict == "fail"), "{report:#}");
        let finding = finding(&report, "dry run", about);
        is(finding, verdict, says);
        assert!(
            finding["fix"].as_str().unwrap().contains(fix),
            "{finding:#}"
        );
        is(finding_of_key(&report), "ok", "takes its key");
    }
    let asked = calls(&world, "RunInstances").await;
    assert_eq!(asked.len(), 4);
    for body in asked {
        assert_eq!(body["DryRun"], true);
        assert_eq!(body.get("ClientToken"), None);
    }
    assert!(world.machines().await.is_empty());
}

fn finding_of_key(report: &Value) -> &Value {
    finding(report, "credentials", "main")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_breaks_the_configured_limits_is_not_asked_about() {
    let world = World::new(100.0).await;
    let path = written(&world, |text| {
        format!("{text}\n[limits]\ninstance_count_max = 1\n")
    });
    let file = world.folder.join("launch.json");
    std::fs::write(&file, launch(None, "img-pmqg1cw7").to_string()).unwrap();
    let (code, report) = examined_with(&path, &["--dry-run", file.to_str().unwrap()]).await;
    assert_eq!(code, 1);
    is(
        finding(&report, "dry run", "request"),
        "fail",
        "spec.instance_count",
    );
    assert!(calls(&world, "RunInstances").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_end_are_found() {
    let world = World::new(100.0).await;
    let authority = Authority::new("an authority");
    let folder = Folder::new();
    let of_hours = |begin: i64, end: i64| {
        authority.issue(|params| {
            params.not_before = from_now(begin);
            params.not_after = from_now(end);
        })
    };
    let rows = [
        (of_hours(-1, 24), "ok", "good until"),
        (of_hours(-23, 2), "warn", "ends at"),
        (of_hours(-24, -1), "fail", "ended at"),
        (of_hours(1, 24), "fail", "counts only from"),
    ];
    for (issued, verdict, says) in rows {
        let files = ["server.pem", "server.key"].map(|name| folder.join(name));
        std::fs::write(&files[0], &issued.certificate).unwrap();
        put_secret(&files[1], &issued.key);
        let tls = format!(
            "[grpc.tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n[admin]",
            files[0].display(),
            files[1].display()
        );
        let path = written(&world, |text| text.replace("[admin]", &tls));
        let (code, report) = examined(&path).await;
        assert_eq!(code, i32::from(verdict == "fail"), "{report:#}");
        is(
            finding(&report, "certificates", "server.pem"),
            verdict,
            says,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_issuers_are_asked_for() {
    let world = World::new(100.0).await;
    let jwks = Signer::new().jwks();
    std::fs::write(world.folder.join("jwks.json"), &jwks).unwrap();
    let file = "jwks_file = \"jwks.json\"".to_owned();
    let url = |issuer: &Server| format!("jwks_url = \"http://{}/jwks\"", issuer.address);
    let [has_keys, has_none] = [answer(&jwks), answer("{}")].map(|act| Server::start(vec![act]));
    let (has_keys, has_none) = (has_keys.await, has_none.await);
    let deaf = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("jwks_url = \"http://{deaf}/jwks\"");
    let rows = [
        (&file, "ES256", "ok", "1 keys of jwks.json"),
        (&file, "RS256", "fail", "none of the 1 keys of jwks.json"),
        (
            &url(&has_keys),
            "ES256",
            "ok",
            "1 keys of http://127.0.0.1:",
        ),
        (&url(&has_none), "ES256", "fail", "is no JSON Web Key Set"),
        (&nobody, "ES256", "fail", "Connection refused"),
    ];
    for (source, algorithm, verdict, says) in rows {
        let issuer = format!(
            "[identity.issuers.cluster]\nissuer = \"https://cluster.example\"\naudiences = [\"cvm-gateway\"]\n\
             algorithms = [\"{algorithm}\"]\n{source}\n[admin]"
        );
        let path = written(&world, |text| text.replace("[admin]", &issuer));
        let (code, report) = examined(&path).await;
        assert_eq!(code, i32::from(verdict == "fail"), "{report:#}");
        is(finding(&report, "issuers", "cluster"), verdict, says);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_lines_with_what_to_do() {
    let world = World::new(100.0).await;
    let path = written(&world, |text| text);
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
        canary::output(command.args(["doctor", "--config", &path]))
    });
    let output = Clock::system()
        .timeout(std::time::Duration::from_secs(60), ran)
        .await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "ok    configuration ",
        "warn  policy         policy.directory: there are no rules",
        "\n                     -> write rules",
        " ok, ",
        " to look at, 0 wrong\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}
