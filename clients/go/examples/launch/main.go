// Launches machines through the gateway and follows them until they run, whatever happens to the connection.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	pb "cvm-gateway.example/client/cvmgateway/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const pauseMax = 15 * time.Second

// What gRPC itself says of connections that fail or break.
var broken = []codes.Code{codes.Unavailable, codes.Unknown, codes.Internal, codes.Canceled}

// The states in which nothing goes on by itself.
var over = []pb.OperationState{
	pb.OperationState_OPERATION_STATE_SUCCEEDED,
	pb.OperationState_OPERATION_STATE_PARTIAL,
	pb.OperationState_OPERATION_STATE_FAILED,
	pb.OperationState_OPERATION_STATE_CANCELLED,
	pb.OperationState_OPERATION_STATE_NEEDS_OPERATOR,
}

// launch is one that is followed.
type launch struct {
	// newest is the last snapshot of it.
	newest *pb.Operation
	// broke tells whether a call broke. It may have been accepted.
	broke bool
}

// follow shows each new snapshot of a launch, and returns once the launch has ended, or why it did not succeed.
//
// A stream that breaks is opened again from where it was. Nothing is launched twice: until the launch has a name, the
// call is repeated with the same request_id, which finds the operation that exists. The context's deadline, if it has
// one, is for everything.
func (l *launch) follow(ctx context.Context, gateway pb.CvmGatewayServiceClient, request *pb.RunInstancesRequest, show func(*pb.Operation)) error {
	pause := time.Second
	for {
		alive, err := l.stream(ctx, gateway, request, show)
		if err == nil {
			return nil
		}
		// That nobody waits any longer looks like a broken connection.
		if ctx.Err() != nil {
			return err
		}
		if alive {
			pause = time.Second
		}
		wait := max(pause, retryDelay(err))
		deadline, ok := ctx.Deadline()
		if !mayResume(err) || ok && time.Now().Add(wait).After(deadline) {
			return err
		}
		l.broke = true
		fmt.Fprintf(os.Stderr, "the stream broke (%s); going on in %s\n", what(err), wait)
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-time.After(wait):
		}
		pause = min(2*pause, pauseMax)
	}
}

// stream reads one stream to its end, and tells whether it brought anything.
func (l *launch) stream(ctx context.Context, gateway pb.CvmGatewayServiceClient, request *pb.RunInstancesRequest, show func(*pb.Operation)) (alive bool, err error) {
	next, err := open(ctx, gateway, request, l.newest)
	for err == nil {
		var operation *pb.Operation
		if operation, err = next(); err != nil {
			break
		}
		alive = true
		// The other event is a heartbeat.
		if operation != nil {
			l.newest = operation
			show(operation)
		}
	}
	if errors.Is(err, io.EOF) {
		return alive, nil
	}
	return alive, err
}

// open launches, or goes on after the newest snapshot.
func open(ctx context.Context, gateway pb.CvmGatewayServiceClient, request *pb.RunInstancesRequest, newest *pb.Operation) (func() (*pb.Operation, error), error) {
	if newest == nil {
		return messages(gateway.RunInstances(ctx, request))
	}
	cursor := &pb.WatchOperationRequest{Name: newest.GetName(), AfterSequence: newest.GetSequence()}
	return messages(gateway.WatchOperation(ctx, cursor))
}

// message is one of either stream.
type message[T any] interface {
	*T
	GetOperation() *pb.Operation
}

func messages[T any, M message[T]](stream grpc.ServerStreamingClient[T], err error) (func() (*pb.Operation, error), error) {
	return func() (*pb.Operation, error) {
		message, err := stream.Recv()
		return M(message).GetOperation(), err
	}, err
}

// mayResume tells whether the same call helps, once it is made later.
func mayResume(err error) bool {
	// The gateway says so by this. Every status of its own has a reason; one without comes from the connection.
	if detail[*errdetails.RetryInfo](err) != nil {
		return true
	}
	return detail[*errdetails.ErrorInfo](err) == nil && slices.Contains(broken, status.Code(err))
}

// goesOn tells whether the launch may be under way all the same.
func (l *launch) goesOn(err error) bool {
	if l.newest != nil {
		return !slices.Contains(over, l.newest.GetState())
	}
	// The gateway alone gives reasons, and a call that broke may have been accepted, whatever the next one was told.
	late := status.Code(err) == codes.DeadlineExceeded && detail[*errdetails.ErrorInfo](err) == nil
	return late || mayResume(err) || l.broke
}

// retryDelay is how long the gateway wants to be left alone.
func retryDelay(err error) time.Duration {
	return detail[*errdetails.RetryInfo](err).GetRetryDelay().AsDuration()
}

// detail returns the error's detail of this kind, or nil.
func detail[T any](err error) (none T) {
	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(T); ok {
			return found
		}
	}
	return none
}

// what returns the code and the message.
func what(err error) string {
	return fmt.Sprintf("%s: %s", status.Code(err), status.Convert(err).Message())
}

// explain returns everything that the gateway says about an error, a line each.
func explain(err error) []string {
	lines := []string{what(err)}
	if info := detail[*errdetails.ErrorInfo](err); info != nil {
		lines = append(lines, "reason "+info.GetReason())
	}
	for _, it := range detail[*errdetails.BadRequest](err).GetFieldViolations() {
		lines = append(lines, fmt.Sprintf("field %s: %s", it.GetField(), it.GetDescription()))
	}
	for _, it := range detail[*errdetails.QuotaFailure](err).GetViolations() {
		lines = append(lines, fmt.Sprintf("quota %s: %s", it.GetSubject(), it.GetDescription()))
	}
	if retry := detail[*errdetails.RetryInfo](err); retry != nil {
		lines = append(lines, fmt.Sprintf("come back in %g s", retry.GetRetryDelay().AsDuration().Seconds()))
	}
	return lines
}

// bearer adds the caller's token. It is read for each call anew: tokens of Kubernetes change every hour.
type bearer struct{ file string }

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := os.ReadFile(b.file)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

type arguments struct {
	server, ca, cert, key, tokenFile, requestID, instanceType string
	plaintext                                                 bool
	count                                                     int64
	timeout                                                   float64
}

func parse() (it arguments) {
	flag.StringVar(&it.server, "server", "localhost:7080", "`HOST:PORT` of the gateway")
	flag.BoolVar(&it.plaintext, "plaintext", false, "without TLS, for a gateway on this machine")
	flag.StringVar(&it.ca, "ca", "", "PEM `file` that vouches for the gateway; else the system's")
	flag.StringVar(&it.cert, "cert", "", "PEM `file` of the caller's certificate")
	flag.StringVar(&it.key, "key", "", "PEM `file` of its key")
	flag.StringVar(&it.tokenFile, "token-file", "", "`file` of the caller's token")
	flag.StringVar(&it.requestID, "request-id", rand.Text(), "the same one finds the same launch again")
	flag.StringVar(&it.instanceType, "type", "S5.SMALL1", "model")
	flag.Int64Var(&it.count, "count", 1, "how many machines")
	flag.Float64Var(&it.timeout, "timeout", 600, "how many `seconds` to wait in all")
	flag.Parse()
	// What follows it is not read: a launch without the request id that was meant for it would be another one.
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "there is no argument", flag.Arg(0))
		os.Exit(2)
	}
	return it
}

// connect makes a channel that proves who calls, as far as it is told to.
func connect(it arguments) (*grpc.ClientConn, error) {
	// A connection that died in silence is noticed by this, not by the end of the deadline.
	options := []grpc.DialOption{grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second})}
	if it.plaintext {
		return grpc.NewClient(it.server, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	}
	config := &tls.Config{}
	if it.ca != "" {
		pem, err := os.ReadFile(it.ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", it.ca)
		}
	}
	if it.cert != "" {
		identity, err := tls.LoadX509KeyPair(it.cert, it.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{identity}
	}
	if it.tokenFile != "" {
		caller := bearer{it.tokenFile}
		// One that cannot be read is told at once, not only when there is a connection.
		if _, err := caller.GetRequestMetadata(context.Background()); err != nil {
			return nil, err
		}
		options = append(options, grpc.WithPerRPCCredentials(caller))
	}
	return grpc.NewClient(it.server, append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))...)
}

func run(it arguments) error {
	channel, err := connect(it)
	if err != nil {
		return err
	}
	defer channel.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(it.timeout*float64(time.Second)))
	defer cancel()
	zone, image := "ap-shanghai-2", "img-pmqg1cw7"
	request := &pb.RunInstancesRequest{
		RequestId: it.requestID,
		Region:    "ap-shanghai",
		Spec: &pb.InstanceSpec{
			Placement:     &pb.Placement{Zone: zone},
			ImageId:       &image,
			InstanceType:  &it.instanceType,
			InstanceCount: &it.count,
		},
	}
	// Before the first call: whatever ends this program, who has the id can go on.
	fmt.Fprintln(os.Stderr, "request_id", it.requestID)
	var launched launch
	err = launched.follow(ctx, pb.NewCvmGatewayServiceClient(channel), request, func(operation *pb.Operation) {
		state := strings.TrimPrefix(operation.GetState().String(), "OPERATION_STATE_")
		fmt.Println(operation.GetSequence(), state, operation.GetName())
	})
	if err != nil {
		lines := strings.Join(explain(err), "\n  ")
		if launched.goesOn(err) {
			lines += fmt.Sprintf("\nthe launch goes on if it was accepted: run this again with --request-id %s, which never launches twice", it.requestID)
		}
		return errors.New(lines)
	}
	for _, instance := range launched.newest.GetInstances() {
		fmt.Println(instance.GetInstanceId(), instance.GetInstanceState(), strings.Join(instance.GetPrivateIpAddresses(), " "))
	}
	// A stream that was resumed ends well at every end: the snapshot tells which one.
	if failure := launched.newest.GetFailure(); failure != nil {
		return errors.New(failure.GetMessage())
	}
	return nil
}

func main() {
	if err := run(parse()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
