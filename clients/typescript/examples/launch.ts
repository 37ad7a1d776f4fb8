// Launches machines through the gateway and follows them until they run, whatever happens to the connection.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { CvmGatewayService, type RunInstancesRequestSchema } from "../src/cvmgateway/v1/cvm_gateway_service_pb.js";
import { type Operation, OperationState } from "../src/cvmgateway/v1/operation_pb.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from "../src/google/rpc/error_details_pb.js";

/** What Connect itself says of connections that fail or break. */
const BROKEN = [Code.Unavailable, Code.Unknown, Code.Internal, Code.Canceled, Code.Aborted];
/** The states in which nothing goes on by itself. */
const OVER = [
  OperationState.SUCCEEDED,
  OperationState.PARTIAL,
  OperationState.FAILED,
  OperationState.CANCELLED,
  OperationState.NEEDS_OPERATOR,
];
const PAUSE_MAX_MS = 15_000;

/** How far a launch has come, for who must tell whether it goes on. */
interface Progress {
  newest?: Operation;
  /** Whether a call broke. It may have been accepted. */
  broke: boolean;
}

/**
 * Yields each new snapshot of a launch; ends when it has ended, or throws why it did not succeed.
 *
 * A stream that breaks is opened again from where it was. Nothing is launched twice: until the launch has a name, the
 * call is repeated with the same requestId, which finds the operation that exists. The deadline is for everything.
 */
async function* follow(
  gateway: Client<typeof CvmGatewayService>,
  request: MessageInitShape<typeof RunInstancesRequestSchema> & { requestId: string },
  deadlineMs: number,
  progress: Progress,
): AsyncGenerator<Operation> {
  let pauseMs = 1_000;
  for (;;) {
    const { newest } = progress;
    const options = { timeoutMs: deadlineMs - Date.now() };
    const stream = newest
      ? gateway.watchOperation({ name: newest.name, afterSequence: newest.sequence }, options)
      : gateway.runInstances(request, options);
    try {
      for await (const { event } of stream) {
        pauseMs = 1_000;
        // The other event is a heartbeat.
        if (event.case === "operation") {
          progress.newest = event.value;
          yield event.value;
        }
      }
      return;
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      const waitMs = Math.max(pauseMs, retryDelayMs(error));
      if (!mayResume(error) || Date.now() + waitMs >= deadlineMs) {
        throw error;
      }
      progress.broke = true;
      console.error(`the stream broke (${what(error)}); going on in ${waitMs / 1000} s`);
      await sleep(waitMs);
      pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS);
    }
  }
}

/** Whether the same call helps, once it is made later. */
function mayResume(error: ConnectError): boolean {
  // The gateway says so by this. Every status of its own has a reason; one without comes from the connection.
  if (detail(error, RetryInfoSchema)) {
    return true;
  }
  return !detail(error, ErrorInfoSchema) && BROKEN.includes(error.code);
}

/** Whether the launch may be under way all the same. */
function goesOn(error: ConnectError, { newest, broke }: Progress): boolean {
  if (newest) {
    return !OVER.includes(newest.state);
  }
  // The gateway alone gives reasons, and a call that broke may have been accepted, whatever the next one was told.
  const late = error.code === Code.DeadlineExceeded && !detail(error, ErrorInfoSchema);
  return late || mayResume(error) || broke;
}

/** How long the gateway wants to be left alone. */
function retryDelayMs(error: ConnectError): number {
  const delay = detail(error, RetryInfoSchema)?.retryDelay;
  return delay ? Number(delay.seconds) * 1000 + delay.nanos / 1e6 : 0;
}

/** The error's detail of this kind. */
function detail<Desc extends DescMessage>(error: ConnectError, kind: Desc): MessageShape<Desc> | undefined {
  return error.findDetails(kind)[0];
}

/** Everything that the gateway says about an error, a line each. */
function explain(error: ConnectError): string[] {
  const lines = [what(error)];
  const info = detail(error, ErrorInfoSchema);
  if (info) {
    lines.push(`reason ${info.reason}`);
  }
  for (const it of detail(error, BadRequestSchema)?.fieldViolations ?? []) {
    lines.push(`field ${it.field}: ${it.description}`);
  }
  for (const it of detail(error, QuotaFailureSchema)?.violations ?? []) {
    lines.push(`quota ${it.subject}: ${it.description}`);
  }
  if (detail(error, RetryInfoSchema)) {
    lines.push(`come back in ${retryDelayMs(error) / 1000} s`);
  }
  return lines;
}

/** The code, as other languages write it, and the message. */
function what(error: ConnectError): string {
  const code = Code[error.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
  return `${code}: ${error.rawMessage}`;
}

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "https://localhost:7080" },
    ca: { type: "string" },
    cert: { type: "string" },
    key: { type: "string" },
    "token-file": { type: "string" },
    "request-id": { type: "string", default: randomUUID() },
    type: { type: "string", default: "S5.SMALL1" },
    count: { type: "string", default: "1" },
    timeout: { type: "string", default: "600" },
  },
});

/** Adds the caller's token, read for each call anew: tokens of Kubernetes change every hour. */
function bearer(file: string): Interceptor {
  const token = () => readFileSync(file, "utf8").trim();
  // One that cannot be read is told at once: a call that it fails looks like a broken connection.
  token();
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token()}`);
    return next(request);
  };
}

const file = (path?: string) => (path === undefined ? undefined : readFileSync(path));
const tokenFile = options["token-file"];
if (tokenFile !== undefined && !options.server.startsWith("https:")) {
  throw new Error("a token is sent over https only");
}
const transport = createGrpcTransport({
  baseUrl: options.server,
  nodeOptions: { ca: file(options.ca), cert: file(options.cert), key: file(options.key) },
  interceptors: tokenFile === undefined ? [] : [bearer(tokenFile)],
  // A connection that died in silence is noticed by this, not by the end of the deadline.
  pingIntervalMs: 20_000,
  pingTimeoutMs: 10_000,
});
const request = {
  requestId: options["request-id"],
  region: "ap-shanghai",
  spec: {
    placement: { zone: "ap-shanghai-2" },
    imageId: "img-pmqg1cw7",
    instanceType: options.type,
    instanceCount: BigInt(options.count),
  },
};

const progress: Progress = { broke: false };
// Before the first call: whatever ends this program, who has the id can go on.
console.error(`request_id ${request.requestId}`);
try {
  const deadlineMs = Date.now() + Number(options.timeout) * 1000;
  for await (const it of follow(createClient(CvmGatewayService, transport), request, deadlineMs, progress)) {
    console.log(`${it.sequence} ${OperationState[it.state]} ${it.name}`);
  }
  const operation = progress.newest;
  for (const it of operation?.instances ?? []) {
    console.log(it.instanceId, it.instanceState, ...it.privateIpAddresses);
  }
  // A stream that was resumed ends well at every end: the snapshot tells which one.
  if (operation?.failure) {
    console.error(operation.failure.message);
    process.exitCode = 1;
  }
} catch (thrown) {
  const error = ConnectError.from(thrown);
  console.error(explain(error).join("\n  "));
  if (goesOn(error, progress)) {
    const again = `run this again with --request-id ${request.requestId}, which never launches twice`;
    console.error(`the launch goes on if it was accepted: ${again}`);
  }
  process.exitCode = 1;
}
