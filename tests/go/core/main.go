// Drives a CVM API, such as the simulator, with the core of the official Go SDK, which every service's client is made of, and as the
// official Terraform provider does with it.
package main

import (
	"os"

	"cvm-gateway.test/cases"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// The versions of the services' APIs.
var versions = map[string]string{
	"cvm": "2017-03-12", "cbs": "2017-03-12", "vpc": "2017-03-12", "tag": "2018-08-13", "sts": "2018-08-13",
}

func settings(endpoint string, how cases.How) *profile.ClientProfile {
	settings := profile.NewClientProfile()
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
	return settings
}

func client(settings *profile.ClientProfile, how cases.How) *common.Client {
	key, region := how.Key, how.Region
	if key.ID == "" {
		key = cases.Permanent
	}
	if region == "" {
		region = "ap-shanghai"
	}
	return common.NewCommonClient(common.NewTokenCredential(key.ID, key.Secret, key.Token), region, settings)
}

// Makes one call of one service.
func call(client *common.Client, service, action string, request cases.Object, answer any) error {
	sent := tchttp.NewCommonRequest(service, versions[service], action)
	if err := sent.SetActionParameters(request); err != nil {
		return err
	}
	answered := tchttp.NewCommonResponse()
	if err := client.Send(sent, answered); err != nil {
		return err
	}
	return cases.Read(answered.GetBody(), answer)
}

func cvm(client *common.Client) cases.Cloud {
	return func(action string, request cases.Object, answer any) error {
		return call(client, "cvm", action, request, answer)
	}
}

// A launch as the SDK generates it: only such requests can be sent as a query or a form.
type launch struct {
	*tchttp.BaseRequest
	Placement     *placement `name:"Placement"`
	ImageId       *string    `name:"ImageId"`
	InstanceName  *string    `name:"InstanceName"`
	InstanceCount *int64     `name:"InstanceCount"`
	DataDisks     []*disk    `name:"DataDisks"`
}

type placement struct {
	Zone *string `name:"Zone"`
}

func launchByForm(client *common.Client) error {
	request := &launch{
		BaseRequest:   &tchttp.BaseRequest{},
		Placement:     &placement{common.StringPtr("ap-shanghai-2")},
		ImageId:       common.StringPtr("img-pmqg1cw7"),
		InstanceName:  common.StringPtr("a + b = 测试 ~*"),
		InstanceCount: common.Int64Ptr(2),
		DataDisks:     []*disk{{DiskType: common.StringPtr("CLOUD_SSD"), DiskSize: common.Int64Ptr(200)}},
	}
	request.Init().WithApiInfo("cvm", versions["cvm"], "RunInstances")
	answered := tchttp.NewCommonResponse()
	if err := client.Send(request, answered); err != nil {
		return err
	}
	var launched struct{ InstanceIdSet []string }
	if err := cases.Read(answered.GetBody(), &launched); err != nil {
		return err
	}
	return cases.Equal("machines", len(launched.InstanceIdSet), 2)
}

// What only this client can say: the typed one of the older SDK has no such members.
var refusals = []cases.Refusal{
	{Code: "InvalidParameter.LackCoreCountOrThreadPerCore", Action: "RunInstances", Request: cases.Launch(cases.Object{"CpuTopology": cases.Object{"CoreCount": 1}})},
	{Code: "ResourceInsufficient.InsufficientOfferingMinimum", Action: "RunInstances", Request: cases.Launch(cases.Object{"InstanceType": "SOLDOUT.SMALL1", "InstanceCount": 3, "MinCount": 2})},
	{Code: "UnknownParameter", Action: "RunInstances", Request: cases.Launch(cases.Object{"SystemDisk": cases.Object{"DiskId": "disk-00000000"}})},
	{Code: "InvalidAction", Action: "SellInstances", Request: cases.Object{}},
}

func main() {
	cases.Main(func(endpoint string) []cases.Case {
		dial := func(how cases.How) *common.Client { return client(settings(endpoint, how), how) }
		all := cases.All(func(how cases.How) cases.Cloud { return cvm(dial(how)) }, cases.JSON)
		for _, way := range cases.Form {
			cloud := dial(way.How)
			all = append(all, cases.Case{Name: "a launch with " + way.Name, Run: func() error { return launchByForm(cloud) }})
		}
		for _, refusal := range refusals {
			all = append(all, refusal.Case(cvm(dial(cases.How{}))))
		}
		unsigned := settings(endpoint, cases.How{})
		unsigned.UnsignedPayload = true
		all = append(all, cases.Case{Name: "the life of three with an unsigned payload", Run: func() error {
			return cases.Life(cvm(client(unsigned, cases.How{})))
		}})
		// Read at the first call that is not to a loopback address, so it is not too late.
		os.Setenv("HTTP_PROXY", "http://"+endpoint)
		return append(all, terraform(endpoint)...)
	})
}
