// Drives a CVM API, such as the simulator, with the official Node.js SDK.
//
// Usage: NODE_EXTRA_CA_CERTS=FILE node sdk_check.js --endpoint 127.0.0.1:18080
//
// Prints one line for each case, `ok <case>` or `FAILED <case>: <why>`, and exits with 1 if any failed.

"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { setTimeout: sleep } = require("node:timers/promises");
const { parseArgs } = require("node:util");
const { cvm } = require("tencentcloud-sdk-nodejs-cvm");

const KEY = { secretId: "AKIDfakeForLoopbackTestsOnly0000001", secretKey: "fakeSecretKeyLoopbackTestsOnly001" };
const TEMPORARY = {
  secretId: "AKIDfakeForLoopbackTestsOnly0000002",
  secretKey: "fakeSecretKeyLoopbackTestsOnly002",
  token: "fake-session-token-0002",
};
const POLL_MS = 100;
const PATIENCE_MS = 20_000;

const LAUNCH = {
  Placement: { Zone: "ap-shanghai-2" },
  InstanceChargeType: "POSTPAID_BY_HOUR",
  ImageId: "img-pmqg1cw7",
  InstanceType: "S5.MEDIUM4",
  SystemDisk: { DiskType: "CLOUD_PREMIUM", DiskSize: 50 },
  DataDisks: [{ DiskType: "CLOUD_PREMIUM", DiskSize: 100 }],
  VirtualPrivateCloud: { VpcId: "vpc-1urkhbj4", SubnetId: "subnet-dcs9x3gz" },
  InternetAccessible: { InternetChargeType: "TRAFFIC_POSTPAID_BY_HOUR", InternetMaxBandwidthOut: 10, PublicIpAssigned: true },
  InstanceName: "QCLOUD-测试-{R:3,F:3}",
  LoginSettings: { Password: "Qcloud@TestApi123++" },
  EnhancedService: { SecurityService: { Enabled: true }, MonitorService: { Enabled: true } },
  TagSpecification: [{ ResourceType: "instance", Tags: [{ Key: "env", Value: "dev test" }] }],
  InstanceCount: 3,
};

const { values } = parseArgs({ options: { endpoint: { type: "string" } } });

function dial({ credential = KEY, region = "ap-shanghai", protocol = "http://", reqMethod = "POST", signMethod } = {}) {
  const httpProfile = { endpoint: values.endpoint, protocol, reqMethod, reqTimeout: 10 };
  return new cvm.v20170312.Client({ credential, region, profile: { signMethod, httpProfile, language: "en-US" } });
}

async function waitFor(cloud, ids, done) {
  let states = [];
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(POLL_MS)) {
    const answer = await cloud.DescribeInstancesStatus({ InstanceIds: ids });
    states = answer.InstanceStatusSet.map((status) => status.InstanceState);
    if (done(states)) return;
  }
  throw new Error(`still ${states} after ${PATIENCE_MS} ms`);
}

const all = (wanted) => (states) => states.length === 3 && states.every((state) => state === wanted);

async function lifeOfThree(cloud) {
  const name = `life-${randomUUID()}`;
  const launch = { ...LAUNCH, InstanceName: `${name}-{R:3,F:3}`, ClientToken: randomUUID() };
  const { Price } = await cloud.InquiryPriceRunInstances(LAUNCH);
  assert(Price.InstancePrice.UnitPrice > 0 && Price.BandwidthPrice.UnitPrice > 0);

  const launched = await cloud.RunInstances(launch);
  const ids = launched.InstanceIdSet;
  assert.equal(new Set(ids).size, 3);
  const replayed = await cloud.RunInstances(launch);
  assert.deepEqual(replayed.InstanceIdSet, ids);
  assert.notEqual(replayed.RequestId, launched.RequestId);
  await waitFor(cloud, ids, all("RUNNING"));

  const names = [3, 4, 5].map((number) => `${name}-00${number}`);
  const found = await cloud.DescribeInstances({
    Filters: [
      { Name: "tag:env", Values: ["dev test"] },
      { Name: "instance-name", Values: names },
    ],
  });
  assert.equal(found.TotalCount, 3);
  assert.deepEqual(new Set(found.InstanceSet.map((machine) => machine.InstanceId)), new Set(ids));
  for (const machine of found.InstanceSet) {
    assert.deepEqual([machine.InstanceType, machine.CPU, machine.Memory], ["S5.MEDIUM4", 2, 4]);
    assert.deepEqual([machine.SystemDisk.DiskSize, machine.DataDisks[0].DiskSize], [50, 100]);
    assert.deepEqual([machine.PrivateIpAddresses.length, machine.PublicIpAddresses.length], [1, 1]);
    assert.deepEqual([machine.LatestOperation, machine.LatestOperationState], ["RunInstances", "SUCCESS"]);
    assert.deepEqual(machine.Tags, [{ Key: "env", Value: "dev test" }]);
  }
  const page = await cloud.DescribeInstances({ InstanceIds: ids, Limit: 2, Offset: 2 });
  assert.deepEqual([page.TotalCount, page.InstanceSet.length], [3, 1]);

  for (const [action, state] of [["StopInstances", "STOPPED"], ["StartInstances", "RUNNING"], ["RebootInstances", "RUNNING"]]) {
    const changed = await cloud[action]({ InstanceIds: ids });
    await waitFor(cloud, ids, all(state));
    const [machine] = (await cloud.DescribeInstances({ InstanceIds: ids.slice(0, 1) })).InstanceSet;
    assert.deepEqual([machine.LatestOperation, machine.LatestOperationRequestId], [action, changed.RequestId]);
  }
  await cloud.TerminateInstances({ InstanceIds: ids });
  await waitFor(cloud, ids, (states) => states.length === 0);
  assert.equal((await cloud.DescribeInstances({ InstanceIds: ids })).TotalCount, 0);
}

async function oneLaunch(cloud) {
  const { InstanceIdSet } = await cloud.RunInstances({ ...LAUNCH, InstanceCount: 1 });
  assert.equal(InstanceIdSet.length, 1);
}

async function refused(code, call) {
  const refusal = await call().then(
    () => assert.fail(`was accepted instead of ${code}`),
    (error) => error,
  );
  assert.equal(refusal.code, code, refusal);
  assert(refusal.message && refusal.requestId, refusal);
}

const REFUSALS = [
  ["InvalidZone.MismatchRegion", "RunInstances", { Placement: { Zone: "ap-guangzhou-3" } }],
  ["InvalidImageId.NotFound", "RunInstances", { ImageId: "img-00000000" }],
  ["InvalidParameterValue.InstanceTypeNotFound", "RunInstances", { InstanceType: "S99.SMALL1" }],
  ["InvalidParameterValue.Range", "RunInstances", { InstanceCount: 0 }],
  ["InvalidPassword", "RunInstances", { LoginSettings: { Password: "short" } }],
  ["ResourcesSoldOut.SpecifiedInstanceType", "RunInstances", { InstanceType: "SOLDOUT.SMALL1" }],
  ["UnknownParameter", "RunInstances", { Colour: "red" }],
  ["InvalidInstanceId.NotFound", "TerminateInstances", { InstanceIds: ["ins-00000000"] }],
  ["InvalidInstanceId.Malformed", "DescribeInstances", { InstanceIds: ["i-1"] }],
  ["InvalidFilter", "DescribeInstances", { Filters: [{ Name: "colour", Values: ["red"] }] }],
];

function* cases() {
  const clients = {
    "TC3 and POST": {},
    "TC3 and GET": { reqMethod: "GET" },
    "HmacSHA1 and GET": { reqMethod: "GET", signMethod: "HmacSHA1" },
    "HmacSHA256 and POST": { signMethod: "HmacSHA256" },
    "a temporary key": { credential: TEMPORARY },
  };
  for (const [name, how] of Object.entries(clients)) yield [`the life of three with ${name}`, () => lifeOfThree(dial(how))];
  yield ["a launch over https", () => oneLaunch(dial({ protocol: "https://" }))];
  const cloud = dial();
  for (const [code, action, changes] of REFUSALS) {
    const request = action === "RunInstances" ? { ...LAUNCH, InstanceCount: 1, ...changes } : changes;
    yield [`${action}: ${code}`, () => refused(code, () => cloud[action](request))];
  }
  const keys = {
    "AuthFailure.SignatureFailure": { ...KEY, secretKey: "wrong" },
    "AuthFailure.SecretIdNotFound": { ...KEY, secretId: "AKIDunknown" },
    "AuthFailure.TokenFailure": { ...TEMPORARY, token: undefined },
  };
  for (const [code, credential] of Object.entries(keys)) yield [code, () => refused(code, () => dial({ credential }).DescribeZones({}))];
}

async function main() {
  for (const [name, run] of cases()) {
    try {
      await run();
      console.log(`ok ${name}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`FAILED ${name}: ${error.stack}`);
    }
    await sleep(POLL_MS); // stays below ten launches a second
  }
}

main();
