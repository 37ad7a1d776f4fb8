//! The console in a real browser: without JavaScript, live with it, by the keyboard, light and dark and narrow.

use super::story::Story;
use crate::canary;
use crate::official_clients::program;
use crate::world::wish;
use cvm_gateway::clock::Clock;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_console() {
    let story = Story::new().await;
    let mut command = Command::new(program("CVM_GATEWAY_TEST_NODE"));
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    command.current_dir(scripts).arg("console_check.js");
    command.arg(format!("http://{}", story.gateway.admin_addr()));
    command
        .arg(story.page_of("good"))
        .arg(story.page_of("in-doubt"));
    command.arg(program("CVM_GATEWAY_TEST_CHROMIUM"));
    // The page must show each without being loaded again.
    let mut client = story.client.clone();
    let launches = async {
        for number in 0.. {
            let mut wish = wish(&format!("live-{number}"), 1);
            wish.account = Some("spare".to_owned());
            client.run_instances(wish).await.unwrap();
            Clock::system().sleep(Duration::from_millis(500)).await;
        }
    };
    let checked = tokio::task::spawn_blocking(move || canary::output(&mut command));
    let output = tokio::select! {
        output = checked => output.unwrap(),
        () = launches => unreachable!(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    story.stop().await;
}
