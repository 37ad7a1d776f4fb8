package main

import (
	"context"
	"testing"
	"time"

	pb "cvm-gateway.example/client/cvmgateway/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// brokenOnce is a gateway whose first call breaks, and which refuses all others.
type brokenOnce struct {
	pb.CvmGatewayServiceClient
	calls int
	first func() error
}

func (g *brokenOnce) RunInstances(context.Context, *pb.RunInstancesRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[pb.RunInstancesResponse], error) {
	g.calls++
	if g.calls == 1 {
		return nil, g.first()
	}
	return nil, status.Error(codes.PermissionDenied, "called again")
}

func TestFollowEndsWithItsContext(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "the connection broke")
	denied := status.Error(codes.PermissionDenied, "called once")
	for _, it := range []struct {
		name    string
		timeout time.Duration
		first   func(cancel func()) error
		code    codes.Code
		calls   int
		goesOn  bool
	}{
		{"it goes on without a deadline", 0, func(func()) error { return unavailable }, codes.PermissionDenied, 2, true},
		{"it goes on before the deadline", time.Hour, func(func()) error { return unavailable }, codes.PermissionDenied, 2, true},
		{"it has no time to go on", time.Second, func(func()) error { return unavailable }, codes.Unavailable, 1, true},
		{"refused at once", time.Hour, func(func()) error { return denied }, codes.PermissionDenied, 1, false},
		{"cancelled in a call", time.Hour, func(cancel func()) error {
			cancel()
			return status.FromContextError(context.Canceled).Err()
		}, codes.Canceled, 1, true},
		{"cancelled in a pause", time.Hour, func(cancel func()) error {
			time.AfterFunc(100*time.Millisecond, cancel)
			return unavailable
		}, codes.Canceled, 1, true},
	} {
		t.Run(it.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			if it.timeout > 0 {
				ctx, cancel = context.WithTimeout(ctx, it.timeout)
			}
			defer cancel()
			gateway := &brokenOnce{first: func() error { return it.first(cancel) }}
			var launched launch
			err := launched.follow(ctx, gateway, &pb.RunInstancesRequest{}, func(*pb.Operation) {})
			if code := status.Code(err); code != it.code || gateway.calls != it.calls {
				t.Fatalf("%s after %d calls", code, gateway.calls)
			}
			if goesOn := launched.goesOn(err); goesOn != it.goesOn {
				t.Fatalf("goes on: %t", goesOn)
			}
		})
	}
}

func TestALaunchThatWasSeenGoesOnUntilItIsOver(t *testing.T) {
	// As when a token has ended.
	denied := status.Error(codes.PermissionDenied, "called again")
	for state, goesOn := range map[pb.OperationState]bool{
		pb.OperationState_OPERATION_STATE_ACCEPTED: true,
		pb.OperationState_OPERATION_STATE_LAUNCHED: true,
		pb.OperationState_OPERATION_STATE_FAILED:   false,
	} {
		launched := launch{newest: &pb.Operation{State: state}}
		if launched.goesOn(denied) != goesOn {
			t.Errorf("%s goes on: %t", state, !goesOn)
		}
	}
}
