//! A gateway to which everything has happened that the console tells of.

use crate::layers::layer;
use crate::policy::{until, write};
use crate::world::{Client, Served, World, ask, client, get, run, wish};
use cvm_gateway::pb::v1 as pb;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The name of a machine that a browser must not take for markup.
pub(super) const HOSTILE: &str = "<img/src=x/onerror=alert(1)>";

const RULES: &str = r#"
@id("run-small") permit(principal, action in [Action::"RunInstances", Action::"PlanRunInstances"], resource)
when { context.instance_count <= 30 };
@id("no-sa2") @reason("<b>SA2</b> is \"given up\"") forbid(principal, action == Action::"RunInstances", resource)
when { context has instance_type && context.instance_type like "SA2.*" };
"#;

const SETTINGS: &str = r#"
token_trust_window = "0s"
first_look_up = "50ms"
look_up_interval = "200ms"

[policy]
directory = "policy"

[quotas.team]
organization = "development"
instances = 4000

[organizations.development.accounts.spare]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"
"#;

/// The gateway, and what it was asked for.
pub(super) struct Story {
    pub(super) world: World,
    pub(super) gateway: Served,
    pub(super) client: Client,
    /// A machine of the launch `good`.
    pub(super) machine: String,
    /// The operations, by their request_id.
    operations: BTreeMap<String, String>,
}

impl Story {
    /// Two launches succeed, one comes up in part, one fails and one is sold out, one is in doubt, and for one the
    /// cloud made two machines; calls are throttled, denied and refused.
    pub(super) async fn new() -> Self {
        let world = World::new(100.0).await;
        write(&world, RULES);
        layer(&world, "[append.tags]\ncost = \"42\"\n");
        let gateway = world.gateway(SETTINGS).await;
        let client = client(&gateway).await;
        let mut story = Self {
            world,
            gateway,
            client,
            machine: String::new(),
            operations: BTreeMap::new(),
        };
        Box::pin(story.ends()).await;
        Box::pin(story.goes_wrong()).await;
        story
    }

    /// The page of an operation.
    pub(super) fn page_of(&self, request_id: &str) -> String {
        let name = &self.operations[request_id];
        format!("/console/{name}")
    }

    pub(super) async fn stop(self) {
        self.gateway.stop().await;
    }
}

impl Story {
    /// What comes to an end, and what never begins.
    async fn ends(&mut self) {
        let mut good = wish("good", 3);
        good.spec.as_mut().unwrap().instance_name = Some(HOSTILE.to_owned());
        self.launch(good).await;
        let mut spare = wish("spare", 1);
        spare.account = Some("spare".to_owned());
        self.launch(spare).await;
        control(&self.world, "faults", &json!({"launch_failed_p": 0.5})).await;
        self.launch(wish("partial", 20)).await;
        control(&self.world, "faults", &json!({})).await;
        self.launch(of_model("failing", "LAUNCHFAIL.SMALL1")).await;
        for refused in [
            wish("many", 31),
            of_model("given-up", "SA2.MEDIUM4"),
            wish("none", 0),
        ] {
            self.client.run_instances(refused).await.unwrap_err();
        }
    }

    /// What does not, because the cloud's answers are lost.
    async fn goes_wrong(&mut self) {
        let forgets = json!({"token_memory_s": 0});
        control(&self.world, "faults", &forgets).await;
        let twice = json!([{"action": "RunInstances", "arrivals": 2, "ending": "cut"}]);
        control(&self.world, "scenes", &twice).await;
        self.begin("doubled").await;
        let waits = "/console?state=NEEDS_OPERATOR&account=main";
        let address = self.gateway.admin_addr();
        until(async || get(address, waits).await.1.contains("doubled")).await;
        let lost = json!([
            {"action": "RunInstances", "carried_out": false, "ending": "cut"},
            {"action": "DescribeInstances", "times": 1_000_000, "p": 0.5, "refuse": {"code": "RequestLimitExceeded"}},
        ]);
        control(&self.world, "scenes", &lost).await;
        self.begin("in-doubt").await;
        let doubt = self.page_of("in-doubt");
        until(async || get(address, &doubt).await.1.contains("In doubt")).await;
        let accounts = "/console/accounts";
        until(async || get(address, accounts).await.1.contains("Throttled")).await;
        // Last, because what is known of stock is forgotten after half a minute.
        let mut sold_out = of_model("sold-out", "SOLDOUT.SMALL1");
        sold_out.account = Some("spare".to_owned());
        self.launch(sold_out).await;
    }

    /// Launches and follows to the end.
    async fn launch(&mut self, wish: pb::RunInstancesRequest) {
        let request_id = wish.request_id.clone();
        let seen = run(&mut self.client, wish).await;
        let last = seen.last();
        if request_id == "good" {
            self.machine = last.instances[0].instance_id.clone();
        }
        self.operations.insert(request_id, last.name.clone());
    }

    /// Begins a launch, and goes on when it is durable.
    async fn begin(&mut self, request_id: &str) {
        let launched = self.client.run_instances(wish(request_id, 1)).await;
        let message = launched.unwrap().into_inner().message().await.unwrap();
        let Some(pb::run_instances_response::Event::Operation(first)) = message.unwrap().event
        else {
            panic!("the first message is no snapshot");
        };
        self.operations.insert(request_id.to_owned(), first.name);
    }
}

fn of_model(request_id: &str, model: &str) -> pb::RunInstancesRequest {
    let mut wish = wish(request_id, 1);
    wish.spec.as_mut().unwrap().instance_type = Some(model.to_owned());
    wish
}

/// Has the simulator misbehave.
async fn control(world: &World, what: &str, body: &Value) {
    let (address, body) = (world.simulator.addr(), body.to_string());
    let headers = format!("host: {address}\r\ncontent-length: {}\r\n", body.len());
    // The body goes with the head: both are small.
    let path = format!("/_control/{what}");
    let (head, said) = ask(address, "PUT", &path, &headers, &body).await;
    assert!(head.starts_with("HTTP/1.1 2"), "{head}\n{said}");
}
