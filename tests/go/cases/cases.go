// Package cases is what every Go client must be able to do with a CVM API, such as the simulator.
package cases

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

const (
	poll     = 100 * time.Millisecond
	patience = 20 * time.Second
)

// Object is a JSON object.
type Object = map[string]any

// Key signs calls; a temporary one has a token.
type Key struct{ ID, Secret, Token string }

// The simulator's keys.
var (
	Permanent = Key{"AKIDfakeForLoopbackTestsOnly0000001", "fakeSecretKeyLoopbackTestsOnly001", ""}
	Temporary = Key{"AKIDfakeForLoopbackTestsOnly0000002", "fakeSecretKeyLoopbackTestsOnly002", "fake-session-token-0002"}
)

// How is how a client talks: what is empty is as the SDK has it.
type How struct {
	Key    Key
	Method string
	Sign   string
	Region string
	HTTPS  bool
}

// Cloud makes one call; the members of the answer's Response come into `answer`.
type Cloud func(action string, request Object, answer any) error

// Dial makes a client.
type Dial func(How) Cloud

// Case is one thing that must work.
type Case struct {
	Name string
	Run  func() error
}

// Launch is a request with most of what people set.
func Launch(changes Object) Object {
	request := Object{
		"Placement":           Object{"Zone": "ap-shanghai-2"},
		"InstanceChargeType":  "POSTPAID_BY_HOUR",
		"ImageId":             "img-pmqg1cw7",
		"InstanceType":        "S5.MEDIUM4",
		"SystemDisk":          Object{"DiskType": "CLOUD_PREMIUM", "DiskSize": 50},
		"DataDisks":           []Object{{"DiskType": "CLOUD_PREMIUM", "DiskSize": 100}},
		"VirtualPrivateCloud": Object{"VpcId": "vpc-1urkhbj4", "SubnetId": "subnet-dcs9x3gz"},
		"InternetAccessible": Object{
			"InternetChargeType":      "TRAFFIC_POSTPAID_BY_HOUR",
			"InternetMaxBandwidthOut": 10,
			"PublicIpAssigned":        true,
		},
		"InstanceName":    "QCLOUD-测试-{R:3,F:3}",
		"LoginSettings":   Object{"Password": "Qcloud@TestApi123++"},
		"EnhancedService": Object{"SecurityService": Object{"Enabled": true}, "MonitorService": Object{"Enabled": true}},
		"TagSpecification": []Object{
			{"ResourceType": "instance", "Tags": []Object{{"Key": "env", "Value": "dev test"}}},
		},
		"InstanceCount": 1,
	}
	for name, value := range changes {
		request[name] = value
	}
	return request
}

type launched struct {
	InstanceIdSet []string
	RequestId     string
}

type instances struct {
	TotalCount  int
	InstanceSet []struct {
		InstanceId                            string
		InstanceType                          string
		CPU, Memory                           int
		SystemDisk                            struct{ DiskSize int }
		DataDisks                             []struct{ DiskSize int }
		PrivateIpAddresses, PublicIpAddresses []string
		LatestOperation, LatestOperationState string
		LatestOperationRequestId              string
		Tags                                  []struct{ Key, Value string }
	}
}

// WaitFor polls the states of machines until `done` takes what they are.
func WaitFor(cloud Cloud, ids []string, done func(states []string) bool) error {
	var states []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(poll) {
		var answer struct {
			InstanceStatusSet []struct{ InstanceState string }
		}
		if err := cloud("DescribeInstancesStatus", Object{"InstanceIds": ids}, &answer); err != nil {
			return err
		}
		states = nil
		for _, status := range answer.InstanceStatusSet {
			states = append(states, status.InstanceState)
		}
		if done(states) {
			return nil
		}
	}
	return fmt.Errorf("still %v after %v", states, patience)
}

func all(wanted string, count int) func([]string) bool {
	return func(states []string) bool {
		for _, state := range states {
			if state != wanted {
				return false
			}
		}
		return len(states) == count
	}
}

// Equal says what differs.
func Equal(what string, actual, expected any) error {
	if reflect.DeepEqual(actual, expected) {
		return nil
	}
	return fmt.Errorf("%s: %#v is not %#v", what, actual, expected)
}

// Token is another one for each launch.
func Token() string {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		panic(err)
	}
	return fmt.Sprintf("go-%x", random)
}

// Life is a whole life of three machines.
func Life(cloud Cloud) error {
	token := Token()
	request := Launch(Object{"InstanceName": "life-" + token + "-{R:3,F:3}", "ClientToken": token, "InstanceCount": 3})
	if err := price(cloud); err != nil {
		return err
	}
	ids, err := launchTwice(cloud, request)
	if err != nil {
		return err
	}
	if err := WaitFor(cloud, ids, all("RUNNING", 3)); err != nil {
		return err
	}
	if err := find(cloud, ids, "life-"+token); err != nil {
		return err
	}
	steps := []struct{ action, state string }{
		{"StopInstances", "STOPPED"}, {"StartInstances", "RUNNING"}, {"RebootInstances", "RUNNING"},
	}
	for _, step := range steps {
		if err := change(cloud, ids, step.action, step.state); err != nil {
			return err
		}
	}
	var nothing struct{ RequestId string }
	if err := cloud("TerminateInstances", Object{"InstanceIds": ids}, &nothing); err != nil {
		return err
	}
	if err := WaitFor(cloud, ids, func(states []string) bool { return len(states) == 0 }); err != nil {
		return err
	}
	var gone instances
	if err := cloud("DescribeInstances", Object{"InstanceIds": ids}, &gone); err != nil {
		return err
	}
	return Equal("machines that are left", gone.TotalCount, 0)
}

func price(cloud Cloud) error {
	var answer struct {
		Price struct{ InstancePrice, BandwidthPrice struct{ UnitPrice float64 } }
	}
	request := Launch(Object{"InstanceCount": 3})
	if err := cloud("InquiryPriceRunInstances", request, &answer); err != nil {
		return err
	}
	if answer.Price.InstancePrice.UnitPrice <= 0 || answer.Price.BandwidthPrice.UnitPrice <= 0 {
		return fmt.Errorf("a price that is none: %+v", answer.Price)
	}
	return nil
}

// The second time answers the machines of the first.
func launchTwice(cloud Cloud, request Object) ([]string, error) {
	var first, second launched
	if err := cloud("RunInstances", request, &first); err != nil {
		return nil, err
	}
	if err := cloud("RunInstances", request, &second); err != nil {
		return nil, err
	}
	if first.RequestId == "" || first.RequestId == second.RequestId {
		return nil, fmt.Errorf("request ids %q and %q", first.RequestId, second.RequestId)
	}
	if err := Equal("machines", len(first.InstanceIdSet), 3); err != nil {
		return nil, err
	}
	return first.InstanceIdSet, Equal("the replay", second.InstanceIdSet, first.InstanceIdSet)
}

func find(cloud Cloud, ids []string, name string) error {
	filters := []Object{
		{"Name": "tag:env", "Values": []string{"dev test"}},
		{"Name": "instance-name", "Values": []string{name + "-003", name + "-004", name + "-005"}},
	}
	var found, page instances
	if err := cloud("DescribeInstances", Object{"Filters": filters}, &found); err != nil {
		return err
	}
	known := map[string]bool{ids[0]: true, ids[1]: true, ids[2]: true}
	for _, machine := range found.InstanceSet {
		shape := []any{
			known[machine.InstanceId], machine.InstanceType, machine.CPU, machine.Memory, machine.SystemDisk.DiskSize,
			machine.DataDisks[0].DiskSize, len(machine.PrivateIpAddresses), len(machine.PublicIpAddresses),
			machine.LatestOperation, machine.LatestOperationState, machine.Tags[0].Key, machine.Tags[0].Value,
		}
		wanted := []any{true, "S5.MEDIUM4", 2, 4, 50, 100, 1, 1, "RunInstances", "SUCCESS", "env", "dev test"}
		if err := Equal(machine.InstanceId, shape, wanted); err != nil {
			return err
		}
		delete(known, machine.InstanceId)
	}
	if err := Equal("machines that the filters do not find", len(known), 0); err != nil {
		return err
	}
	if err := cloud("DescribeInstances", Object{"InstanceIds": ids, "Limit": 2, "Offset": 2}, &page); err != nil {
		return err
	}
	return Equal("the second page", []int{found.TotalCount, page.TotalCount, len(page.InstanceSet)}, []int{3, 3, 1})
}

func change(cloud Cloud, ids []string, action, state string) error {
	var changed struct{ RequestId string }
	if err := cloud(action, Object{"InstanceIds": ids}, &changed); err != nil {
		return err
	}
	if err := WaitFor(cloud, ids, all(state, len(ids))); err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	var now instances
	if err := cloud("DescribeInstances", Object{"InstanceIds": ids[:1]}, &now); err != nil {
		return err
	}
	last := []string{now.InstanceSet[0].LatestOperation, now.InstanceSet[0].LatestOperationRequestId}
	return Equal("the latest operation", last, []string{action, changed.RequestId})
}

// Refused wants exactly this code.
func Refused(code string, err error) error {
	var refusal interface {
		GetCode() string
		GetMessage() string
		GetRequestId() string
	}
	if !errors.As(err, &refusal) {
		return fmt.Errorf("not refused with %s: %v", code, err)
	}
	if refusal.GetMessage() == "" || refusal.GetRequestId() == "" {
		return fmt.Errorf("says too little: %v", err)
	}
	return Equal("the code", refusal.GetCode(), code)
}

// Refusal is a call and the code that it gets.
type Refusal struct {
	Code, Action string
	Request      Object
}

var refusals = []Refusal{
	{"InvalidZone.MismatchRegion", "RunInstances", Launch(Object{"Placement": Object{"Zone": "ap-guangzhou-3"}})},
	{"InvalidImageId.NotFound", "RunInstances", Launch(Object{"ImageId": "img-00000000"})},
	{"InvalidParameterValue.InstanceTypeNotFound", "RunInstances", Launch(Object{"InstanceType": "S99.SMALL1"})},
	{"InvalidParameterValue.Range", "RunInstances", Launch(Object{"InstanceCount": 0})},
	{"InvalidPassword", "RunInstances", Launch(Object{"LoginSettings": Object{"Password": "short"}})},
	{"ResourcesSoldOut.SpecifiedInstanceType", "RunInstances", Launch(Object{"InstanceType": "SOLDOUT.SMALL1"})},
	{"InvalidSecurityGroupId.NotFound", "RunInstances", Launch(Object{"SecurityGroupIds": []string{"sg-00000000"}})},
	{"InvalidParameterValue.KeyPairNotFound", "RunInstances", Launch(Object{"LoginSettings": Object{"KeyIds": []string{"skey-00000000"}}})},
	{"InvalidInstanceId.NotFound", "TerminateInstances", Object{"InstanceIds": []string{"ins-00000000"}}},
	{"InvalidInstanceId.Malformed", "DescribeInstances", Object{"InstanceIds": []string{"i-1"}}},
	{"InvalidFilter", "DescribeInstances", Object{"Filters": []Object{{"Name": "colour", "Values": []string{"red"}}}}},
	{"InvalidKeyPairId.NotFound", "DescribeKeyPairs", Object{"KeyIds": []string{"skey-00000000"}}},
}

// Way is one way to sign and to send.
type Way struct {
	Name string
	How  How
}

// The ways that send JSON, and those that send a query or a form.
var (
	JSON = []Way{{"TC3 and POST", How{}}, {"a temporary key", How{Key: Temporary}}, {"TLS", How{HTTPS: true}}}
	Form = []Way{
		{"TC3 and GET", How{Method: "GET"}},
		{"HmacSHA1 and GET", How{Method: "GET", Sign: "HmacSHA1"}},
		{"HmacSHA256 and POST", How{Sign: "HmacSHA256"}},
		{"a temporary key and HmacSHA256", How{Key: Temporary, Method: "GET", Sign: "HmacSHA256"}},
	}
)

// All gives the cases of a client that has these ways.
func All(dial Dial, ways []Way) []Case {
	var cases []Case
	for _, way := range ways {
		how := way.How
		cases = append(cases, Case{"the life of three with " + way.Name, func() error { return Life(dial(how)) }})
	}
	for _, refusal := range refusals {
		cases = append(cases, refusal.Case(dial(How{})))
	}
	for _, wrong := range []struct {
		code string
		how  How
	}{
		{"AuthFailure.SignatureFailure", How{Key: Key{Permanent.ID, "wrong", ""}}},
		{"AuthFailure.SecretIdNotFound", How{Key: Key{"AKIDunknown", Permanent.Secret, ""}}},
		{"AuthFailure.TokenFailure", How{Key: Key{Temporary.ID, Temporary.Secret, ""}}},
		{"UnsupportedRegion", How{Region: "mars"}},
	} {
		cases = append(cases, Refusal{wrong.code, "DescribeZones", Object{}}.Case(dial(wrong.how)))
	}
	return cases
}

// Case makes the call.
func (r Refusal) Case(cloud Cloud) Case {
	return Case{r.Action + ": " + r.Code, func() error {
		var answer Object
		return Refused(r.Code, cloud(r.Action, r.Request, &answer))
	}}
}

// Read takes the members of Response out of what the API answered.
func Read(body []byte, answer any) error {
	return json.Unmarshal(body, &struct{ Response any }{answer})
}
