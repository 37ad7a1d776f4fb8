package cvmgateway.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Launches Tencent Cloud CVM instances for services that hold no cloud credentials.
 * Identity. The caller's organisation follows from its verified credential alone. Nothing
 * in any message names a tenant. What belongs to another organisation is NOT_FOUND.
 * Errors. Every status that is not OK carries `google.rpc.ErrorInfo` with a reason of
 * ErrorReason and the domain "cvm-gateway"; where they apply also `BadRequest` (field paths
 * of the request message), `QuotaFailure`, `PreconditionFailure`, `ResourceInfo`,
 * `RetryInfo` and `RequestInfo`. Clients MUST branch on the reason or the gRPC code, never
 * on the message text.
 * Retries. Every method that changes something takes a `request_id` (for CancelOperation
 * the operation's name is enough) and MAY be repeated with the same one after any error:
 * it never acts twice, and answers with the operation that exists, whatever its state. A
 * status with `RetryInfo` says that the same call helps when it is made that much later;
 * after one without it, to repeat alone does not help. A client that got `RetryInfo`,
 * DEADLINE_EXCEEDED of its own, or a broken connection SHOULD repeat with the same
 * request_id, or go on with WatchOperation. An operation that has failed stays failed: a
 * new try is a new wish, with a new request_id.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class CvmGatewayServiceGrpc {

  private CvmGatewayServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "cvmgateway.v1.CvmGatewayService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.RunInstancesRequest,
      cvmgateway.v1.RunInstancesResponse> getRunInstancesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RunInstances",
      requestType = cvmgateway.v1.RunInstancesRequest.class,
      responseType = cvmgateway.v1.RunInstancesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.RunInstancesRequest,
      cvmgateway.v1.RunInstancesResponse> getRunInstancesMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.RunInstancesRequest, cvmgateway.v1.RunInstancesResponse> getRunInstancesMethod;
    if ((getRunInstancesMethod = CvmGatewayServiceGrpc.getRunInstancesMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getRunInstancesMethod = CvmGatewayServiceGrpc.getRunInstancesMethod) == null) {
          CvmGatewayServiceGrpc.getRunInstancesMethod = getRunInstancesMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.RunInstancesRequest, cvmgateway.v1.RunInstancesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RunInstances"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.RunInstancesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.RunInstancesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("RunInstances"))
              .build();
        }
      }
    }
    return getRunInstancesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.PlanRunInstancesRequest,
      cvmgateway.v1.PlanRunInstancesResponse> getPlanRunInstancesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "PlanRunInstances",
      requestType = cvmgateway.v1.PlanRunInstancesRequest.class,
      responseType = cvmgateway.v1.PlanRunInstancesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.PlanRunInstancesRequest,
      cvmgateway.v1.PlanRunInstancesResponse> getPlanRunInstancesMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.PlanRunInstancesRequest, cvmgateway.v1.PlanRunInstancesResponse> getPlanRunInstancesMethod;
    if ((getPlanRunInstancesMethod = CvmGatewayServiceGrpc.getPlanRunInstancesMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getPlanRunInstancesMethod = CvmGatewayServiceGrpc.getPlanRunInstancesMethod) == null) {
          CvmGatewayServiceGrpc.getPlanRunInstancesMethod = getPlanRunInstancesMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.PlanRunInstancesRequest, cvmgateway.v1.PlanRunInstancesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "PlanRunInstances"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.PlanRunInstancesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.PlanRunInstancesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("PlanRunInstances"))
              .build();
        }
      }
    }
    return getPlanRunInstancesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.WatchOperationRequest,
      cvmgateway.v1.WatchOperationResponse> getWatchOperationMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchOperation",
      requestType = cvmgateway.v1.WatchOperationRequest.class,
      responseType = cvmgateway.v1.WatchOperationResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.WatchOperationRequest,
      cvmgateway.v1.WatchOperationResponse> getWatchOperationMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.WatchOperationRequest, cvmgateway.v1.WatchOperationResponse> getWatchOperationMethod;
    if ((getWatchOperationMethod = CvmGatewayServiceGrpc.getWatchOperationMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getWatchOperationMethod = CvmGatewayServiceGrpc.getWatchOperationMethod) == null) {
          CvmGatewayServiceGrpc.getWatchOperationMethod = getWatchOperationMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.WatchOperationRequest, cvmgateway.v1.WatchOperationResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchOperation"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.WatchOperationRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.WatchOperationResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("WatchOperation"))
              .build();
        }
      }
    }
    return getWatchOperationMethod;
  }

  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.GetOperationRequest,
      cvmgateway.v1.GetOperationResponse> getGetOperationMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetOperation",
      requestType = cvmgateway.v1.GetOperationRequest.class,
      responseType = cvmgateway.v1.GetOperationResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.GetOperationRequest,
      cvmgateway.v1.GetOperationResponse> getGetOperationMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.GetOperationRequest, cvmgateway.v1.GetOperationResponse> getGetOperationMethod;
    if ((getGetOperationMethod = CvmGatewayServiceGrpc.getGetOperationMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getGetOperationMethod = CvmGatewayServiceGrpc.getGetOperationMethod) == null) {
          CvmGatewayServiceGrpc.getGetOperationMethod = getGetOperationMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.GetOperationRequest, cvmgateway.v1.GetOperationResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetOperation"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.GetOperationRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.GetOperationResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("GetOperation"))
              .build();
        }
      }
    }
    return getGetOperationMethod;
  }

  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.ListOperationsRequest,
      cvmgateway.v1.ListOperationsResponse> getListOperationsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListOperations",
      requestType = cvmgateway.v1.ListOperationsRequest.class,
      responseType = cvmgateway.v1.ListOperationsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.ListOperationsRequest,
      cvmgateway.v1.ListOperationsResponse> getListOperationsMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.ListOperationsRequest, cvmgateway.v1.ListOperationsResponse> getListOperationsMethod;
    if ((getListOperationsMethod = CvmGatewayServiceGrpc.getListOperationsMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getListOperationsMethod = CvmGatewayServiceGrpc.getListOperationsMethod) == null) {
          CvmGatewayServiceGrpc.getListOperationsMethod = getListOperationsMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.ListOperationsRequest, cvmgateway.v1.ListOperationsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListOperations"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.ListOperationsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.ListOperationsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("ListOperations"))
              .build();
        }
      }
    }
    return getListOperationsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.CancelOperationRequest,
      cvmgateway.v1.CancelOperationResponse> getCancelOperationMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CancelOperation",
      requestType = cvmgateway.v1.CancelOperationRequest.class,
      responseType = cvmgateway.v1.CancelOperationResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.CancelOperationRequest,
      cvmgateway.v1.CancelOperationResponse> getCancelOperationMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.CancelOperationRequest, cvmgateway.v1.CancelOperationResponse> getCancelOperationMethod;
    if ((getCancelOperationMethod = CvmGatewayServiceGrpc.getCancelOperationMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getCancelOperationMethod = CvmGatewayServiceGrpc.getCancelOperationMethod) == null) {
          CvmGatewayServiceGrpc.getCancelOperationMethod = getCancelOperationMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.CancelOperationRequest, cvmgateway.v1.CancelOperationResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CancelOperation"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.CancelOperationRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.CancelOperationResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("CancelOperation"))
              .build();
        }
      }
    }
    return getCancelOperationMethod;
  }

  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.TerminateInstancesRequest,
      cvmgateway.v1.TerminateInstancesResponse> getTerminateInstancesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "TerminateInstances",
      requestType = cvmgateway.v1.TerminateInstancesRequest.class,
      responseType = cvmgateway.v1.TerminateInstancesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.TerminateInstancesRequest,
      cvmgateway.v1.TerminateInstancesResponse> getTerminateInstancesMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.TerminateInstancesRequest, cvmgateway.v1.TerminateInstancesResponse> getTerminateInstancesMethod;
    if ((getTerminateInstancesMethod = CvmGatewayServiceGrpc.getTerminateInstancesMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getTerminateInstancesMethod = CvmGatewayServiceGrpc.getTerminateInstancesMethod) == null) {
          CvmGatewayServiceGrpc.getTerminateInstancesMethod = getTerminateInstancesMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.TerminateInstancesRequest, cvmgateway.v1.TerminateInstancesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "TerminateInstances"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.TerminateInstancesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.TerminateInstancesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("TerminateInstances"))
              .build();
        }
      }
    }
    return getTerminateInstancesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<cvmgateway.v1.ListInstancesRequest,
      cvmgateway.v1.ListInstancesResponse> getListInstancesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListInstances",
      requestType = cvmgateway.v1.ListInstancesRequest.class,
      responseType = cvmgateway.v1.ListInstancesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<cvmgateway.v1.ListInstancesRequest,
      cvmgateway.v1.ListInstancesResponse> getListInstancesMethod() {
    io.grpc.MethodDescriptor<cvmgateway.v1.ListInstancesRequest, cvmgateway.v1.ListInstancesResponse> getListInstancesMethod;
    if ((getListInstancesMethod = CvmGatewayServiceGrpc.getListInstancesMethod) == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        if ((getListInstancesMethod = CvmGatewayServiceGrpc.getListInstancesMethod) == null) {
          CvmGatewayServiceGrpc.getListInstancesMethod = getListInstancesMethod =
              io.grpc.MethodDescriptor.<cvmgateway.v1.ListInstancesRequest, cvmgateway.v1.ListInstancesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListInstances"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.ListInstancesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  cvmgateway.v1.ListInstancesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CvmGatewayServiceMethodDescriptorSupplier("ListInstances"))
              .build();
        }
      }
    }
    return getListInstancesMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static CvmGatewayServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceStub>() {
        @java.lang.Override
        public CvmGatewayServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CvmGatewayServiceStub(channel, callOptions);
        }
      };
    return CvmGatewayServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static CvmGatewayServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceBlockingV2Stub>() {
        @java.lang.Override
        public CvmGatewayServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CvmGatewayServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return CvmGatewayServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static CvmGatewayServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceBlockingStub>() {
        @java.lang.Override
        public CvmGatewayServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CvmGatewayServiceBlockingStub(channel, callOptions);
        }
      };
    return CvmGatewayServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static CvmGatewayServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CvmGatewayServiceFutureStub>() {
        @java.lang.Override
        public CvmGatewayServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CvmGatewayServiceFutureStub(channel, callOptions);
        }
      };
    return CvmGatewayServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Launches Tencent Cloud CVM instances for services that hold no cloud credentials.
   * Identity. The caller's organisation follows from its verified credential alone. Nothing
   * in any message names a tenant. What belongs to another organisation is NOT_FOUND.
   * Errors. Every status that is not OK carries `google.rpc.ErrorInfo` with a reason of
   * ErrorReason and the domain "cvm-gateway"; where they apply also `BadRequest` (field paths
   * of the request message), `QuotaFailure`, `PreconditionFailure`, `ResourceInfo`,
   * `RetryInfo` and `RequestInfo`. Clients MUST branch on the reason or the gRPC code, never
   * on the message text.
   * Retries. Every method that changes something takes a `request_id` (for CancelOperation
   * the operation's name is enough) and MAY be repeated with the same one after any error:
   * it never acts twice, and answers with the operation that exists, whatever its state. A
   * status with `RetryInfo` says that the same call helps when it is made that much later;
   * after one without it, to repeat alone does not help. A client that got `RetryInfo`,
   * DEADLINE_EXCEEDED of its own, or a broken connection SHOULD repeat with the same
   * request_id, or go on with WatchOperation. An operation that has failed stays failed: a
   * new try is a new wish, with a new request_id.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Launches instances and follows them until they run.
     * The first message is sent only after the operation is durable: from then on the launch
     * goes on whatever happens to this stream, its caller or the gateway's process. Each
     * later message is a newer snapshot, or a heartbeat while nothing changes. A slow reader
     * is sent the newest snapshot, not every one; snapshots never go backwards.
     * The stream ends with OK when every instance runs, else with the operation's error,
     * after a last message that holds the final snapshot. When it ends with the reason
     * GATEWAY_UNAVAILABLE, or breaks, the operation goes on, and the caller SHOULD resume with
     * WatchOperation.
     * The same request_id with the same request attaches to the operation that exists, in
     * whatever state it is. With another request it is ALREADY_EXISTS, and nothing is sent to
     * the cloud. Cancelling this RPC does not cancel the operation: see CancelOperation.
     * </pre>
     */
    default void runInstances(cvmgateway.v1.RunInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.RunInstancesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRunInstancesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Tells what RunInstances would do, without doing it: the verdict with the deciding rules,
     * every field that policy would inject, the price, the quota head-room and the stock.
     * Returns a plan that RunInstances carries out unchanged.
     * </pre>
     */
    default void planRunInstances(cvmgateway.v1.PlanRunInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.PlanRunInstancesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPlanRunInstancesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Follows an operation from a cursor. No change after the cursor is missed, and no
     * snapshot is older than it. Ends with OK at a final state or at NEEDS_OPERATOR, whatever
     * it is: the snapshot's `failure` tells why it did not succeed.
     * </pre>
     */
    default void watchOperation(cvmgateway.v1.WatchOperationRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.WatchOperationResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchOperationMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns the current snapshot of an operation.
     * </pre>
     */
    default void getOperation(cvmgateway.v1.GetOperationRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.GetOperationResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetOperationMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists the organisation's operations, newest first.
     * </pre>
     */
    default void listOperations(cvmgateway.v1.ListOperationsRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.ListOperationsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListOperationsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Cancels a launch. Before it was sent to the cloud nothing is launched; afterwards what
     * was launched is terminated. Returns once the wish is durable: follow the operation for the
     * end, which may still be another one when the launch came to it at the same moment. MAY be
     * repeated: an operation that is cancelled already is returned as it is. One that
     * has come to another end is FAILED_PRECONDITION: give its instances back with
     * TerminateInstances. So is one in NEEDS_OPERATOR, which waits for a person, and a
     * termination, which goes on to its end.
     * </pre>
     */
    default void cancelOperation(cvmgateway.v1.CancelOperationRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.CancelOperationResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCancelOperationMethod(), responseObserver);
    }

    /**
     * <pre>
     * Gives machines back. Only instances that the caller's organisation launched through the
     * gateway are accepted; all others are NOT_FOUND. Durable like a launch: the stream
     * follows the same rules as that of RunInstances.
     * </pre>
     */
    default void terminateInstances(cvmgateway.v1.TerminateInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.TerminateInstancesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getTerminateInstancesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists what the organisation launched through the gateway, with its last known state.
     * </pre>
     */
    default void listInstances(cvmgateway.v1.ListInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.ListInstancesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListInstancesMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service CvmGatewayService.
   * <pre>
   * Launches Tencent Cloud CVM instances for services that hold no cloud credentials.
   * Identity. The caller's organisation follows from its verified credential alone. Nothing
   * in any message names a tenant. What belongs to another organisation is NOT_FOUND.
   * Errors. Every status that is not OK carries `google.rpc.ErrorInfo` with a reason of
   * ErrorReason and the domain "cvm-gateway"; where they apply also `BadRequest` (field paths
   * of the request message), `QuotaFailure`, `PreconditionFailure`, `ResourceInfo`,
   * `RetryInfo` and `RequestInfo`. Clients MUST branch on the reason or the gRPC code, never
   * on the message text.
   * Retries. Every method that changes something takes a `request_id` (for CancelOperation
   * the operation's name is enough) and MAY be repeated with the same one after any error:
   * it never acts twice, and answers with the operation that exists, whatever its state. A
   * status with `RetryInfo` says that the same call helps when it is made that much later;
   * after one without it, to repeat alone does not help. A client that got `RetryInfo`,
   * DEADLINE_EXCEEDED of its own, or a broken connection SHOULD repeat with the same
   * request_id, or go on with WatchOperation. An operation that has failed stays failed: a
   * new try is a new wish, with a new request_id.
   * </pre>
   */
  public static abstract class CvmGatewayServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return CvmGatewayServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service CvmGatewayService.
   * <pre>
   * Launches Tencent Cloud CVM instances for services that hold no cloud credentials.
   * Identity. The caller's organisation follows from its verified credential alone. Nothing
   * in any message names a tenant. What belongs to another organisation is NOT_FOUND.
   * Errors. Every status that is not OK carries `google.rpc.ErrorInfo` with a reason of
   * ErrorReason and the domain "cvm-gateway"; where they apply also `BadRequest` (field paths
   * of the request message), `QuotaFailure`, `PreconditionFailure`, `ResourceInfo`,
   * `RetryInfo` and `RequestInfo`. Clients MUST branch on the reason or the gRPC code, never
   * on the message text.
   * Retries. Every method that changes something takes a `request_id` (for CancelOperation
   * the operation's name is enough) and MAY be repeated with the same one after any error:
   * it never acts twice, and answers with the operation that exists, whatever its state. A
   * status with `RetryInfo` says that the same call helps when it is made that much later;
   * after one without it, to repeat alone does not help. A client that got `RetryInfo`,
   * DEADLINE_EXCEEDED of its own, or a broken connection SHOULD repeat with the same
   * request_id, or go on with WatchOperation. An operation that has failed stays failed: a
   * new try is a new wish, with a new request_id.
   * </pre>
   */
  public static final class CvmGatewayServiceStub
      extends io.grpc.stub.AbstractAsyncStub<CvmGatewayServiceStub> {
    private CvmGatewayServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CvmGatewayServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CvmGatewayServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Launches instances and follows them until they run.
     * The first message is sent only after the operation is durable: from then on the launch
     * goes on whatever happens to this stream, its caller or the gateway's process. Each
     * later message is a newer snapshot, or a heartbeat while nothing changes. A slow reader
     * is sent the newest snapshot, not every one; snapshots never go backwards.
     * The stream ends with OK when every instance runs, else with the operation's error,
     * after a last message that holds the final snapshot. When it ends with the reason
     * GATEWAY_UNAVAILABLE, or breaks, the operation goes on, and the caller SHOULD resume with
     * WatchOperation.
     * The same request_id with the same request attaches to the operation that exists, in
     * whatever state it is. With another request it is ALREADY_EXISTS, and nothing is sent to
     * the cloud. Cancelling this RPC does not cancel the operation: see CancelOperation.
     * </pre>
     */
    public void runInstances(cvmgateway.v1.RunInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.RunInstancesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getRunInstancesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Tells what RunInstances would do, without doing it: the verdict with the deciding rules,
     * every field that policy would inject, the price, the quota head-room and the stock.
     * Returns a plan that RunInstances carries out unchanged.
     * </pre>
     */
    public void planRunInstances(cvmgateway.v1.PlanRunInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.PlanRunInstancesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPlanRunInstancesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Follows an operation from a cursor. No change after the cursor is missed, and no
     * snapshot is older than it. Ends with OK at a final state or at NEEDS_OPERATOR, whatever
     * it is: the snapshot's `failure` tells why it did not succeed.
     * </pre>
     */
    public void watchOperation(cvmgateway.v1.WatchOperationRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.WatchOperationResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchOperationMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns the current snapshot of an operation.
     * </pre>
     */
    public void getOperation(cvmgateway.v1.GetOperationRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.GetOperationResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetOperationMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists the organisation's operations, newest first.
     * </pre>
     */
    public void listOperations(cvmgateway.v1.ListOperationsRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.ListOperationsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListOperationsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Cancels a launch. Before it was sent to the cloud nothing is launched; afterwards what
     * was launched is terminated. Returns once the wish is durable: follow the operation for the
     * end, which may still be another one when the launch came to it at the same moment. MAY be
     * repeated: an operation that is cancelled already is returned as it is. One that
     * has come to another end is FAILED_PRECONDITION: give its instances back with
     * TerminateInstances. So is one in NEEDS_OPERATOR, which waits for a person, and a
     * termination, which goes on to its end.
     * </pre>
     */
    public void cancelOperation(cvmgateway.v1.CancelOperationRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.CancelOperationResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCancelOperationMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Gives machines back. Only instances that the caller's organisation launched through the
     * gateway are accepted; all others are NOT_FOUND. Durable like a launch: the stream
     * follows the same rules as that of RunInstances.
     * </pre>
     */
    public void terminateInstances(cvmgateway.v1.TerminateInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.TerminateInstancesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getTerminateInstancesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists what the organisation launched through the gateway, with its last known state.
     * </pre>
     */
    public void listInstances(cvmgateway.v1.ListInstancesRequest request,
        io.grpc.stub.StreamObserver<cvmgateway.v1.ListInstancesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListInstancesMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service CvmGatewayService.
   * <pre>
   * Launches Tencent Cloud CVM instances for services that hold no cloud credentials.
   * Identity. The caller's organisation follows from its verified credential alone. Nothing
   * in any message names a tenant. What belongs to another organisation is NOT_FOUND.
   * Errors. Every status that is not OK carries `google.rpc.ErrorInfo` with a reason of
   * ErrorReason and the domain "cvm-gateway"; where they apply also `BadRequest` (field paths
   * of the request message), `QuotaFailure`, `PreconditionFailure`, `ResourceInfo`,
   * `RetryInfo` and `RequestInfo`. Clients MUST branch on the reason or the gRPC code, never
   * on the message text.
   * Retries. Every method that changes something takes a `request_id` (for CancelOperation
   * the operation's name is enough) and MAY be repeated with the same one after any error:
   * it never acts twice, and answers with the operation that exists, whatever its state. A
   * status with `RetryInfo` says that the same call helps when it is made that much later;
   * after one without it, to repeat alone does not help. A client that got `RetryInfo`,
   * DEADLINE_EXCEEDED of its own, or a broken connection SHOULD repeat with the same
   * request_id, or go on with WatchOperation. An operation that has failed stays failed: a
   * new try is a new wish, with a new request_id.
   * </pre>
   */
  public static final class CvmGatewayServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<CvmGatewayServiceBlockingV2Stub> {
    private CvmGatewayServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CvmGatewayServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CvmGatewayServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Launches instances and follows them until they run.
     * The first message is sent only after the operation is durable: from then on the launch
     * goes on whatever happens to this stream, its caller or the gateway's process. Each
     * later message is a newer snapshot, or a heartbeat while nothing changes. A slow reader
     * is sent the newest snapshot, not every one; snapshots never go backwards.
     * The stream ends with OK when every instance runs, else with the operation's error,
     * after a last message that holds the final snapshot. When it ends with the reason
     * GATEWAY_UNAVAILABLE, or breaks, the operation goes on, and the caller SHOULD resume with
     * WatchOperation.
     * The same request_id with the same request attaches to the operation that exists, in
     * whatever state it is. With another request it is ALREADY_EXISTS, and nothing is sent to
     * the cloud. Cancelling this RPC does not cancel the operation: see CancelOperation.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, cvmgateway.v1.RunInstancesResponse>
        runInstances(cvmgateway.v1.RunInstancesRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getRunInstancesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Tells what RunInstances would do, without doing it: the verdict with the deciding rules,
     * every field that policy would inject, the price, the quota head-room and the stock.
     * Returns a plan that RunInstances carries out unchanged.
     * </pre>
     */
    public cvmgateway.v1.PlanRunInstancesResponse planRunInstances(cvmgateway.v1.PlanRunInstancesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPlanRunInstancesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Follows an operation from a cursor. No change after the cursor is missed, and no
     * snapshot is older than it. Ends with OK at a final state or at NEEDS_OPERATOR, whatever
     * it is: the snapshot's `failure` tells why it did not succeed.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, cvmgateway.v1.WatchOperationResponse>
        watchOperation(cvmgateway.v1.WatchOperationRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchOperationMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the current snapshot of an operation.
     * </pre>
     */
    public cvmgateway.v1.GetOperationResponse getOperation(cvmgateway.v1.GetOperationRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetOperationMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the organisation's operations, newest first.
     * </pre>
     */
    public cvmgateway.v1.ListOperationsResponse listOperations(cvmgateway.v1.ListOperationsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListOperationsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Cancels a launch. Before it was sent to the cloud nothing is launched; afterwards what
     * was launched is terminated. Returns once the wish is durable: follow the operation for the
     * end, which may still be another one when the launch came to it at the same moment. MAY be
     * repeated: an operation that is cancelled already is returned as it is. One that
     * has come to another end is FAILED_PRECONDITION: give its instances back with
     * TerminateInstances. So is one in NEEDS_OPERATOR, which waits for a person, and a
     * termination, which goes on to its end.
     * </pre>
     */
    public cvmgateway.v1.CancelOperationResponse cancelOperation(cvmgateway.v1.CancelOperationRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCancelOperationMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gives machines back. Only instances that the caller's organisation launched through the
     * gateway are accepted; all others are NOT_FOUND. Durable like a launch: the stream
     * follows the same rules as that of RunInstances.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, cvmgateway.v1.TerminateInstancesResponse>
        terminateInstances(cvmgateway.v1.TerminateInstancesRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getTerminateInstancesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists what the organisation launched through the gateway, with its last known state.
     * </pre>
     */
    public cvmgateway.v1.ListInstancesResponse listInstances(cvmgateway.v1.ListInstancesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListInstancesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service CvmGatewayService.
   * <pre>
   * Launches Tencent Cloud CVM instances for services that hold no cloud credentials.
   * Identity. The caller's organisation follows from its verified credential alone. Nothing
   * in any message names a tenant. What belongs to another organisation is NOT_FOUND.
   * Errors. Every status that is not OK carries `google.rpc.ErrorInfo` with a reason of
   * ErrorReason and the domain "cvm-gateway"; where they apply also `BadRequest` (field paths
   * of the request message), `QuotaFailure`, `PreconditionFailure`, `ResourceInfo`,
   * `RetryInfo` and `RequestInfo`. Clients MUST branch on the reason or the gRPC code, never
   * on the message text.
   * Retries. Every method that changes something takes a `request_id` (for CancelOperation
   * the operation's name is enough) and MAY be repeated with the same one after any error:
   * it never acts twice, and answers with the operation that exists, whatever its state. A
   * status with `RetryInfo` says that the same call helps when it is made that much later;
   * after one without it, to repeat alone does not help. A client that got `RetryInfo`,
   * DEADLINE_EXCEEDED of its own, or a broken connection SHOULD repeat with the same
   * request_id, or go on with WatchOperation. An operation that has failed stays failed: a
   * new try is a new wish, with a new request_id.
   * </pre>
   */
  public static final class CvmGatewayServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<CvmGatewayServiceBlockingStub> {
    private CvmGatewayServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CvmGatewayServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CvmGatewayServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Launches instances and follows them until they run.
     * The first message is sent only after the operation is durable: from then on the launch
     * goes on whatever happens to this stream, its caller or the gateway's process. Each
     * later message is a newer snapshot, or a heartbeat while nothing changes. A slow reader
     * is sent the newest snapshot, not every one; snapshots never go backwards.
     * The stream ends with OK when every instance runs, else with the operation's error,
     * after a last message that holds the final snapshot. When it ends with the reason
     * GATEWAY_UNAVAILABLE, or breaks, the operation goes on, and the caller SHOULD resume with
     * WatchOperation.
     * The same request_id with the same request attaches to the operation that exists, in
     * whatever state it is. With another request it is ALREADY_EXISTS, and nothing is sent to
     * the cloud. Cancelling this RPC does not cancel the operation: see CancelOperation.
     * </pre>
     */
    public java.util.Iterator<cvmgateway.v1.RunInstancesResponse> runInstances(
        cvmgateway.v1.RunInstancesRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getRunInstancesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Tells what RunInstances would do, without doing it: the verdict with the deciding rules,
     * every field that policy would inject, the price, the quota head-room and the stock.
     * Returns a plan that RunInstances carries out unchanged.
     * </pre>
     */
    public cvmgateway.v1.PlanRunInstancesResponse planRunInstances(cvmgateway.v1.PlanRunInstancesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPlanRunInstancesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Follows an operation from a cursor. No change after the cursor is missed, and no
     * snapshot is older than it. Ends with OK at a final state or at NEEDS_OPERATOR, whatever
     * it is: the snapshot's `failure` tells why it did not succeed.
     * </pre>
     */
    public java.util.Iterator<cvmgateway.v1.WatchOperationResponse> watchOperation(
        cvmgateway.v1.WatchOperationRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchOperationMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the current snapshot of an operation.
     * </pre>
     */
    public cvmgateway.v1.GetOperationResponse getOperation(cvmgateway.v1.GetOperationRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetOperationMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the organisation's operations, newest first.
     * </pre>
     */
    public cvmgateway.v1.ListOperationsResponse listOperations(cvmgateway.v1.ListOperationsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListOperationsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Cancels a launch. Before it was sent to the cloud nothing is launched; afterwards what
     * was launched is terminated. Returns once the wish is durable: follow the operation for the
     * end, which may still be another one when the launch came to it at the same moment. MAY be
     * repeated: an operation that is cancelled already is returned as it is. One that
     * has come to another end is FAILED_PRECONDITION: give its instances back with
     * TerminateInstances. So is one in NEEDS_OPERATOR, which waits for a person, and a
     * termination, which goes on to its end.
     * </pre>
     */
    public cvmgateway.v1.CancelOperationResponse cancelOperation(cvmgateway.v1.CancelOperationRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCancelOperationMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Gives machines back. Only instances that the caller's organisation launched through the
     * gateway are accepted; all others are NOT_FOUND. Durable like a launch: the stream
     * follows the same rules as that of RunInstances.
     * </pre>
     */
    public java.util.Iterator<cvmgateway.v1.TerminateInstancesResponse> terminateInstances(
        cvmgateway.v1.TerminateInstancesRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getTerminateInstancesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists what the organisation launched through the gateway, with its last known state.
     * </pre>
     */
    public cvmgateway.v1.ListInstancesResponse listInstances(cvmgateway.v1.ListInstancesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListInstancesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service CvmGatewayService.
   * <pre>
   * Launches Tencent Cloud CVM instances for services that hold no cloud credentials.
   * Identity. The caller's organisation follows from its verified credential alone. Nothing
   * in any message names a tenant. What belongs to another organisation is NOT_FOUND.
   * Errors. Every status that is not OK carries `google.rpc.ErrorInfo` with a reason of
   * ErrorReason and the domain "cvm-gateway"; where they apply also `BadRequest` (field paths
   * of the request message), `QuotaFailure`, `PreconditionFailure`, `ResourceInfo`,
   * `RetryInfo` and `RequestInfo`. Clients MUST branch on the reason or the gRPC code, never
   * on the message text.
   * Retries. Every method that changes something takes a `request_id` (for CancelOperation
   * the operation's name is enough) and MAY be repeated with the same one after any error:
   * it never acts twice, and answers with the operation that exists, whatever its state. A
   * status with `RetryInfo` says that the same call helps when it is made that much later;
   * after one without it, to repeat alone does not help. A client that got `RetryInfo`,
   * DEADLINE_EXCEEDED of its own, or a broken connection SHOULD repeat with the same
   * request_id, or go on with WatchOperation. An operation that has failed stays failed: a
   * new try is a new wish, with a new request_id.
   * </pre>
   */
  public static final class CvmGatewayServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<CvmGatewayServiceFutureStub> {
    private CvmGatewayServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CvmGatewayServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CvmGatewayServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Tells what RunInstances would do, without doing it: the verdict with the deciding rules,
     * every field that policy would inject, the price, the quota head-room and the stock.
     * Returns a plan that RunInstances carries out unchanged.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<cvmgateway.v1.PlanRunInstancesResponse> planRunInstances(
        cvmgateway.v1.PlanRunInstancesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPlanRunInstancesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns the current snapshot of an operation.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<cvmgateway.v1.GetOperationResponse> getOperation(
        cvmgateway.v1.GetOperationRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetOperationMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists the organisation's operations, newest first.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<cvmgateway.v1.ListOperationsResponse> listOperations(
        cvmgateway.v1.ListOperationsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListOperationsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Cancels a launch. Before it was sent to the cloud nothing is launched; afterwards what
     * was launched is terminated. Returns once the wish is durable: follow the operation for the
     * end, which may still be another one when the launch came to it at the same moment. MAY be
     * repeated: an operation that is cancelled already is returned as it is. One that
     * has come to another end is FAILED_PRECONDITION: give its instances back with
     * TerminateInstances. So is one in NEEDS_OPERATOR, which waits for a person, and a
     * termination, which goes on to its end.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<cvmgateway.v1.CancelOperationResponse> cancelOperation(
        cvmgateway.v1.CancelOperationRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCancelOperationMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists what the organisation launched through the gateway, with its last known state.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<cvmgateway.v1.ListInstancesResponse> listInstances(
        cvmgateway.v1.ListInstancesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListInstancesMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_RUN_INSTANCES = 0;
  private static final int METHODID_PLAN_RUN_INSTANCES = 1;
  private static final int METHODID_WATCH_OPERATION = 2;
  private static final int METHODID_GET_OPERATION = 3;
  private static final int METHODID_LIST_OPERATIONS = 4;
  private static final int METHODID_CANCEL_OPERATION = 5;
  private static final int METHODID_TERMINATE_INSTANCES = 6;
  private static final int METHODID_LIST_INSTANCES = 7;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_RUN_INSTANCES:
          serviceImpl.runInstances((cvmgateway.v1.RunInstancesRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.RunInstancesResponse>) responseObserver);
          break;
        case METHODID_PLAN_RUN_INSTANCES:
          serviceImpl.planRunInstances((cvmgateway.v1.PlanRunInstancesRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.PlanRunInstancesResponse>) responseObserver);
          break;
        case METHODID_WATCH_OPERATION:
          serviceImpl.watchOperation((cvmgateway.v1.WatchOperationRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.WatchOperationResponse>) responseObserver);
          break;
        case METHODID_GET_OPERATION:
          serviceImpl.getOperation((cvmgateway.v1.GetOperationRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.GetOperationResponse>) responseObserver);
          break;
        case METHODID_LIST_OPERATIONS:
          serviceImpl.listOperations((cvmgateway.v1.ListOperationsRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.ListOperationsResponse>) responseObserver);
          break;
        case METHODID_CANCEL_OPERATION:
          serviceImpl.cancelOperation((cvmgateway.v1.CancelOperationRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.CancelOperationResponse>) responseObserver);
          break;
        case METHODID_TERMINATE_INSTANCES:
          serviceImpl.terminateInstances((cvmgateway.v1.TerminateInstancesRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.TerminateInstancesResponse>) responseObserver);
          break;
        case METHODID_LIST_INSTANCES:
          serviceImpl.listInstances((cvmgateway.v1.ListInstancesRequest) request,
              (io.grpc.stub.StreamObserver<cvmgateway.v1.ListInstancesResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getRunInstancesMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              cvmgateway.v1.RunInstancesRequest,
              cvmgateway.v1.RunInstancesResponse>(
                service, METHODID_RUN_INSTANCES)))
        .addMethod(
          getPlanRunInstancesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              cvmgateway.v1.PlanRunInstancesRequest,
              cvmgateway.v1.PlanRunInstancesResponse>(
                service, METHODID_PLAN_RUN_INSTANCES)))
        .addMethod(
          getWatchOperationMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              cvmgateway.v1.WatchOperationRequest,
              cvmgateway.v1.WatchOperationResponse>(
                service, METHODID_WATCH_OPERATION)))
        .addMethod(
          getGetOperationMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              cvmgateway.v1.GetOperationRequest,
              cvmgateway.v1.GetOperationResponse>(
                service, METHODID_GET_OPERATION)))
        .addMethod(
          getListOperationsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              cvmgateway.v1.ListOperationsRequest,
              cvmgateway.v1.ListOperationsResponse>(
                service, METHODID_LIST_OPERATIONS)))
        .addMethod(
          getCancelOperationMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              cvmgateway.v1.CancelOperationRequest,
              cvmgateway.v1.CancelOperationResponse>(
                service, METHODID_CANCEL_OPERATION)))
        .addMethod(
          getTerminateInstancesMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              cvmgateway.v1.TerminateInstancesRequest,
              cvmgateway.v1.TerminateInstancesResponse>(
                service, METHODID_TERMINATE_INSTANCES)))
        .addMethod(
          getListInstancesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              cvmgateway.v1.ListInstancesRequest,
              cvmgateway.v1.ListInstancesResponse>(
                service, METHODID_LIST_INSTANCES)))
        .build();
  }

  private static abstract class CvmGatewayServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    CvmGatewayServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return cvmgateway.v1.CvmGatewayServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("CvmGatewayService");
    }
  }

  private static final class CvmGatewayServiceFileDescriptorSupplier
      extends CvmGatewayServiceBaseDescriptorSupplier {
    CvmGatewayServiceFileDescriptorSupplier() {}
  }

  private static final class CvmGatewayServiceMethodDescriptorSupplier
      extends CvmGatewayServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    CvmGatewayServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (CvmGatewayServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new CvmGatewayServiceFileDescriptorSupplier())
              .addMethod(getRunInstancesMethod())
              .addMethod(getPlanRunInstancesMethod())
              .addMethod(getWatchOperationMethod())
              .addMethod(getGetOperationMethod())
              .addMethod(getListOperationsMethod())
              .addMethod(getCancelOperationMethod())
              .addMethod(getTerminateInstancesMethod())
              .addMethod(getListInstancesMethod())
              .build();
        }
      }
    }
    return result;
  }
}
