// Drives a CVM API, such as the simulator, with the typed client of the official Go SDK.
package main

import (
	"encoding/json"
	"fmt"

	"cvm-gateway.test/cases"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	cvm "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/cvm/v20170312"
)

// An action as the SDK has it: a request that is read from JSON, an answer that is written as JSON.
type action func(client *cvm.Client, request string) (string, error)

func typed[Q interface{ FromJsonString(string) error }, A interface{ ToJsonString() string }](
	empty func() Q, call func(*cvm.Client, Q) (A, error),
) action {
	return func(client *cvm.Client, given string) (string, error) {
		request := empty()
		if err := request.FromJsonString(given); err != nil {
			return "", err
		}
		answer, err := call(client, request)
		if err != nil {
			return "", err
		}
		return answer.ToJsonString(), nil
	}
}

var actions = map[string]action{
	"DescribeInstances":        typed(cvm.NewDescribeInstancesRequest, (*cvm.Client).DescribeInstances),
	"DescribeInstancesStatus":  typed(cvm.NewDescribeInstancesStatusRequest, (*cvm.Client).DescribeInstancesStatus),
	"DescribeKeyPairs":         typed(cvm.NewDescribeKeyPairsRequest, (*cvm.Client).DescribeKeyPairs),
	"DescribeZones":            typed(cvm.NewDescribeZonesRequest, (*cvm.Client).DescribeZones),
	"InquiryPriceRunInstances": typed(cvm.NewInquiryPriceRunInstancesRequest, (*cvm.Client).InquiryPriceRunInstances),
	"RebootInstances":          typed(cvm.NewRebootInstancesRequest, (*cvm.Client).RebootInstances),
	"RunInstances":             typed(cvm.NewRunInstancesRequest, (*cvm.Client).RunInstances),
	"StartInstances":           typed(cvm.NewStartInstancesRequest, (*cvm.Client).StartInstances),
	"StopInstances":            typed(cvm.NewStopInstancesRequest, (*cvm.Client).StopInstances),
	"TerminateInstances":       typed(cvm.NewTerminateInstancesRequest, (*cvm.Client).TerminateInstances),
}

func dial(endpoint string, how cases.How) cases.Cloud {
	key, settings := how.Key, profile.NewClientProfile()
	if key.ID == "" {
		key = cases.Permanent
	}
	settings.Language = "en-US"
	settings.HttpProfile.Endpoint = endpoint
	settings.HttpProfile.ReqTimeout = 10
	settings.HttpProfile.Scheme = "HTTP"
	if how.HTTPS {
		settings.HttpProfile.Scheme = "HTTPS"
	}
	if how.Method != "" {
		settings.HttpProfile.ReqMethod = how.Method
	}
	if how.Sign != "" {
		settings.SignMethod = how.Sign
	}
	region := how.Region
	if region == "" {
		region = "ap-shanghai"
	}
	client, err := cvm.NewClient(common.NewTokenCredential(key.ID, key.Secret, key.Token), region, settings)
	return func(name string, request cases.Object, answer any) error {
		if err != nil {
			return err
		}
		call, known := actions[name]
		if !known {
			return fmt.Errorf("this program does not know the action %s", name)
		}
		given, err := json.Marshal(request)
		if err != nil {
			return err
		}
		body, err := call(client, string(given))
		if err != nil {
			return err
		}
		return cases.Read([]byte(body), answer)
	}
}

func main() {
	cases.Main(func(endpoint string) []cases.Case {
		return cases.All(func(how cases.How) cases.Cloud { return dial(endpoint, how) }, append(cases.JSON, cases.Form...))
	})
}
