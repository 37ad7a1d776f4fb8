import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RetryInfo;
import cvmgateway.v1.CvmGatewayServiceGrpc;
import cvmgateway.v1.CvmGatewayServiceGrpc.CvmGatewayServiceBlockingStub;
import cvmgateway.v1.Instance;
import cvmgateway.v1.InstanceSpec;
import cvmgateway.v1.Operation;
import cvmgateway.v1.OperationState;
import cvmgateway.v1.Placement;
import cvmgateway.v1.RunInstancesRequest;
import cvmgateway.v1.RunInstancesResponse;
import cvmgateway.v1.WatchOperationRequest;
import cvmgateway.v1.WatchOperationResponse;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;

/** Launches machines through the gateway and follows them until they run, whatever happens to the connection. */
public final class Launch {
  private static final Duration PAUSE_MAX = Duration.ofSeconds(15);

  /** What gRPC itself says of connections that fail or break. */
  private static final Set<Status.Code> BROKEN =
      EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.UNKNOWN, Status.Code.INTERNAL, Status.Code.CANCELLED);

  /** The states in which nothing goes on by itself. */
  private static final Set<OperationState> OVER =
      EnumSet.of(
          OperationState.OPERATION_STATE_SUCCEEDED,
          OperationState.OPERATION_STATE_PARTIAL,
          OperationState.OPERATION_STATE_FAILED,
          OperationState.OPERATION_STATE_CANCELLED,
          OperationState.OPERATION_STATE_NEEDS_OPERATOR);

  /** What may be given with a value, as {@code --name value} or {@code --name=value}. */
  private static final Set<String> NAMES =
      Set.of("server", "ca", "cert", "key", "token-file", "request-id", "type", "count", "timeout");

  private final CvmGatewayServiceBlockingStub gateway;
  private Operation newest;

  /** Whether a call broke. It may have been accepted. */
  private boolean broke;

  private Launch(CvmGatewayServiceBlockingStub gateway) {
    this.gateway = gateway;
  }

  /**
   * Shows each new snapshot of a launch; ends when it has ended, or throws why it did not succeed.
   *
   * <p>A stream that breaks is opened again from where it was. Nothing is launched twice: until the launch has a name,
   * the call is repeated with the same request_id, which finds the operation that exists. The deadline is for
   * everything.
   */
  private void follow(RunInstancesRequest request, Deadline deadline, Consumer<Operation> show)
      throws InterruptedException {
    Duration pause = Duration.ofSeconds(1);
    while (true) {
      long before = newest == null ? 0 : newest.getSequence();
      try {
        stream(request, deadline, show);
        return;
      } catch (StatusRuntimeException error) {
        if (newest != null && newest.getSequence() > before) {
          pause = Duration.ofSeconds(1);
        }
        Duration wait = longer(pause, retryDelay(error));
        if (!mayResume(error) || deadline.timeRemaining(TimeUnit.MILLISECONDS) <= wait.toMillis()) {
          throw error;
        }
        broke = true;
        System.err.printf("the stream broke (%s); going on in %s s%n", what(error), wait.toMillis() / 1000.0);
        Thread.sleep(wait.toMillis());
        pause = pause.multipliedBy(2).compareTo(PAUSE_MAX) < 0 ? pause.multipliedBy(2) : PAUSE_MAX;
      }
    }
  }

  /** Reads one stream to its end: that of the launch, or one that goes on after the newest snapshot. */
  private void stream(RunInstancesRequest request, Deadline deadline, Consumer<Operation> show) {
    CvmGatewayServiceBlockingStub called = gateway.withDeadline(deadline);
    if (newest == null) {
      // The other event is a heartbeat.
      each(called.runInstances(request), RunInstancesResponse::hasOperation, RunInstancesResponse::getOperation, show);
      return;
    }
    WatchOperationRequest cursor =
        WatchOperationRequest.newBuilder().setName(newest.getName()).setAfterSequence(newest.getSequence()).build();
    each(
        called.watchOperation(cursor),
        WatchOperationResponse::hasOperation,
        WatchOperationResponse::getOperation,
        show);
  }

  private <T> void each(
      Iterator<T> messages,
      Predicate<T> hasOperation,
      Function<T, Operation> operation,
      Consumer<Operation> show) {
    while (messages.hasNext()) {
      T message = messages.next();
      if (hasOperation.test(message)) {
        newest = operation.apply(message);
        show.accept(newest);
      }
    }
  }

  /** Whether the same call helps, once it is made later. */
  private static boolean mayResume(StatusRuntimeException error) {
    // The gateway says so by this. Every status of its own has a reason; one without comes from the connection.
    if (detail(error, RetryInfo.class).isPresent()) {
      return true;
    }
    return detail(error, ErrorInfo.class).isEmpty() && BROKEN.contains(error.getStatus().getCode());
  }

  /** Whether the launch may be under way all the same. */
  private boolean goesOn(StatusRuntimeException error) {
    if (newest != null) {
      return !OVER.contains(newest.getState());
    }
    // The gateway alone gives reasons, and a call that broke may have been accepted, whatever the next one was told.
    boolean late =
        error.getStatus().getCode() == Status.Code.DEADLINE_EXCEEDED && detail(error, ErrorInfo.class).isEmpty();
    return late || mayResume(error) || broke;
  }

  /** How long the gateway wants to be left alone. */
  private static Duration retryDelay(StatusRuntimeException error) {
    return detail(error, RetryInfo.class)
        .map(RetryInfo::getRetryDelay)
        .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos()))
        .orElse(Duration.ZERO);
  }

  private static Duration longer(Duration one, Duration other) {
    return one.compareTo(other) > 0 ? one : other;
  }

  /** The error's detail of this kind. */
  private static <T extends Message> Optional<T> detail(StatusRuntimeException error, Class<T> kind) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    for (Any packed : status.getDetailsList()) {
      if (packed.is(kind)) {
        try {
          return Optional.of(packed.unpack(kind));
        } catch (InvalidProtocolBufferException malformed) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }

  /** The code, the message and the last cause, which often alone tells what is wrong with a connection. */
  private static String what(StatusRuntimeException error) {
    String what = error.getStatus().getCode() + ": " + error.getStatus().getDescription();
    Throwable cause = error.getStatus().getCause();
    while (cause != null && cause.getCause() != null) {
      cause = cause.getCause();
    }
    return cause == null ? what : what + ": " + cause.getMessage();
  }

  /** Everything that the gateway says about an error, a line each. */
  private static List<String> explain(StatusRuntimeException error) {
    List<String> lines = new ArrayList<>();
    lines.add(what(error));
    detail(error, ErrorInfo.class).ifPresent(info -> lines.add("reason " + info.getReason()));
    detail(error, BadRequest.class)
        .map(BadRequest::getFieldViolationsList)
        .orElse(List.of())
        .forEach(it -> lines.add("field " + it.getField() + ": " + it.getDescription()));
    detail(error, QuotaFailure.class)
        .map(QuotaFailure::getViolationsList)
        .orElse(List.of())
        .forEach(it -> lines.add("quota " + it.getSubject() + ": " + it.getDescription()));
    detail(error, RetryInfo.class)
        .ifPresent(it -> lines.add("come back in " + retryDelay(error).toMillis() / 1000.0 + " s"));
    return lines;
  }

  /** The caller's token, read for each call anew: tokens of Kubernetes change every hour. */
  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final Path file;

    private Bearer(Path file) throws IOException {
      this.file = file;
      // One that cannot be read is told at once, not only when there is a connection.
      token();
    }

    private String token() throws IOException {
      return Files.readString(file).strip();
    }

    @Override
    public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
      executor.execute(
          () -> {
            try {
              Metadata headers = new Metadata();
              headers.put(AUTHORIZATION, "Bearer " + token());
              applier.apply(headers);
            } catch (IOException unreadable) {
              applier.fail(Status.UNAUTHENTICATED.withDescription("cannot read " + file).withCause(unreadable));
            }
          });
    }
  }

  /** What proves the gateway to the caller, and the caller to the gateway, as far as it is told to. */
  private static ChannelCredentials credentials(Map<String, String> options) throws IOException {
    if (options.containsKey("plaintext")) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    if (options.containsKey("ca")) {
      tls.trustManager(new File(options.get("ca")));
    }
    if (options.containsKey("cert")) {
      tls.keyManager(new File(options.get("cert")), new File(options.get("key")));
    }
    return options.containsKey("token-file")
        ? CompositeChannelCredentials.create(tls.build(), new Bearer(Path.of(options.get("token-file"))))
        : tls.build();
  }

  /** Refuses what it does not know: a launch without the request id that was meant for it would be another one. */
  private static Map<String, String> parse(String[] arguments) {
    Map<String, String> options = new HashMap<>();
    Iterator<String> rest = List.of(arguments).iterator();
    while (rest.hasNext()) {
      String argument = rest.next();
      if (argument.equals("--plaintext")) {
        options.put("plaintext", "");
        continue;
      }
      String[] pair = argument.split("=", 2);
      String name = pair[0].replaceFirst("^--", "");
      if (!pair[0].startsWith("--") || !NAMES.contains(name)) {
        throw new IllegalArgumentException("there is no argument " + pair[0]);
      }
      if (pair.length == 1 && !rest.hasNext()) {
        throw new IllegalArgumentException(argument + " has no value");
      }
      options.put(name, pair.length == 2 ? pair[1] : rest.next());
    }
    return options;
  }

  public static void main(String[] arguments) throws IOException, InterruptedException {
    Map<String, String> options;
    try {
      options = parse(arguments);
    } catch (IllegalArgumentException wrong) {
      System.err.println(wrong.getMessage());
      System.exit(2);
      return;
    }
    String requestId = options.getOrDefault("request-id", UUID.randomUUID().toString());
    RunInstancesRequest request =
        RunInstancesRequest.newBuilder()
            .setRequestId(requestId)
            .setRegion("ap-shanghai")
            .setSpec(
                InstanceSpec.newBuilder()
                    .setPlacement(Placement.newBuilder().setZone("ap-shanghai-2"))
                    .setImageId("img-pmqg1cw7")
                    .setInstanceType(options.getOrDefault("type", "S5.SMALL1"))
                    .setInstanceCount(Long.parseLong(options.getOrDefault("count", "1"))))
            .build();
    double seconds = Double.parseDouble(options.getOrDefault("timeout", "600"));
    // A connection that died in silence is noticed by the keepalive, not by the end of the deadline.
    ManagedChannel channel =
        Grpc.newChannelBuilder(options.getOrDefault("server", "localhost:7080"), credentials(options))
            .keepAliveTime(20, TimeUnit.SECONDS)
            .keepAliveTimeout(10, TimeUnit.SECONDS)
            .build();
    Launch launch = new Launch(CvmGatewayServiceGrpc.newBlockingStub(channel));
    boolean succeeded = launch.run(request, Deadline.after((long) (seconds * 1000), TimeUnit.MILLISECONDS));
    channel.shutdownNow();
    System.exit(succeeded ? 0 : 1);
  }

  private boolean run(RunInstancesRequest request, Deadline deadline) throws InterruptedException {
    // Before the first call: whatever ends this program, who has the id can go on.
    System.err.println("request_id " + request.getRequestId());
    try {
      follow(request, deadline, Launch::show);
    } catch (StatusRuntimeException error) {
      System.err.println(String.join("\n  ", explain(error)));
      if (goesOn(error)) {
        System.err.printf(
            "the launch goes on if it was accepted: run this again with --request-id %s, which never launches twice%n",
            request.getRequestId());
      }
      return false;
    }
    for (Instance it : newest.getInstancesList()) {
      System.out.println(
          it.getInstanceId() + " " + it.getInstanceState() + " " + String.join(" ", it.getPrivateIpAddressesList()));
    }
    // A stream that was resumed ends well at every end: the snapshot tells which one.
    if (newest.hasFailure()) {
      System.err.println(newest.getFailure().getMessage());
    }
    return !newest.hasFailure();
  }

  private static void show(Operation operation) {
    String state = operation.getState().name().replaceFirst("^OPERATION_STATE_", "");
    System.out.println(operation.getSequence() + " " + state + " " + operation.getName());
  }
}
