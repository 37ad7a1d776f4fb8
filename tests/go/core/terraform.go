package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	"cvm-gateway.test/cases"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// The provider gives up later; the simulator is faster than the cloud.
const patience = 20 * time.Second

// Says whose calls they are on the way out, as the provider does.
type transport struct {
	instance string
	inner    http.RoundTripper
}

func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	client := "Terraform-latest"
	if t.instance != "" {
		client += ",id=" + t.instance
	}
	request.Header.Set("X-TC-RequestClient", client)
	return t.inner.RoundTrip(request)
}

// The calls of the provider's resource tencentcloud_instance, in its order, for one machine of one configuration. What is not a pointer
// here is what the provider reads without a look whether it is there.
type resource struct {
	client    *common.Client
	transport *transport
	config    cases.Object
	id        string
}

// How the provider is told where the simulator is: `provider "tencentcloud" { protocol = "HTTP", domain = … }`.
type door struct {
	domain string
	inner  http.RoundTripper
}

// With HTTP_PROXY in the environment: nobody needs to know the names.
func byProxy() door { return door{"localhost", http.DefaultTransport} }

// Where cvm.localhost and the others are known, as by /etc/hosts; here the dialer knows them.
func byName(endpoint string) door {
	_, port, _ := strings.Cut(endpoint, ":")
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.HasSuffix(address, ".localhost:"+port) {
			return nil, fmt.Errorf("a call to %s", address)
		}
		return new(net.Dialer).DialContext(ctx, network, endpoint)
	}
	return door{"localhost:" + port, &http.Transport{DialContext: dial}}
}

func (d door) provider(config cases.Object) *resource {
	settings := profile.NewClientProfile()
	settings.Language = "en-US"
	settings.HttpProfile.ReqMethod = "POST"
	settings.HttpProfile.ReqTimeout = 300
	settings.HttpProfile.Scheme = "HTTP"
	settings.HttpProfile.RootDomain = d.domain
	transport := &transport{inner: d.inner}
	return &resource{client(settings, cases.How{}).WithHttpTransport(transport), transport, config, ""}
}

func (r *resource) call(service, action string, request cases.Object, answer any) error {
	return call(r.client, service, action, request, answer)
}

type disk struct {
	DiskId                *string
	DiskType              *string `name:"DiskType"`
	DiskSize              *int64  `name:"DiskSize"`
	DiskName, DiskState   *string
	DeleteWithInstance    *bool
	Encrypt               *bool
	ThroughputPerformance *int64
}

// What the provider takes over into its state.
type machine struct {
	InstanceId, InstanceState, InstanceType, InstanceName, ImageId *string
	InstanceChargeType, CreatedTime, OsName, Uuid                  *string
	ExpiredTime, RenewFlag, CamRoleName, LatestOperationState      *string
	CPU, Memory                                                    *int
	Placement                                                      *struct{ Zone, ProjectId any }
	InternetAccessible                                             *struct{ InternetChargeType, InternetMaxBandwidthOut any }
	VirtualPrivateCloud                                            *struct{ VpcId, SubnetId *string }
	LoginSettings                                                  *struct{ KeyIds []string }
	SystemDisk                                                     *disk
	DataDisks                                                      []disk
	SecurityGroupIds, PrivateIpAddresses, PublicIpAddresses        []string
	DisableApiTermination                                          *bool
}

// What a refresh puts into the state.
type state struct {
	machine  machine
	tags     map[string]string
	disks    []disk
	userData string
	inImages bool
}

func (r *resource) describe() (*machine, error) {
	var answer struct{ InstanceSet []machine }
	err := r.call("cvm", "DescribeInstances", cases.Object{"InstanceIds": []string{r.id}}, &answer)
	if err != nil || len(answer.InstanceSet) == 0 {
		return nil, err
	}
	return &answer.InstanceSet[0], nil
}

// Asks until it is so.
func eventually(what string, ask func() (bool, error)) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if done, err := ask(); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("not %s after %v", what, patience)
}

func (r *resource) until(wanted string) error {
	return eventually(wanted, func() (bool, error) {
		now, err := r.describe()
		if err != nil {
			return false, err
		}
		if now == nil {
			// The provider dies of it.
			return false, fmt.Errorf("%s is not shown", r.id)
		}
		return *now.InstanceState == wanted, nil
	})
}

func (r *resource) create() error {
	r.config["ClientToken"] = cases.Token()
	var launched struct{ InstanceIdSet []string }
	if err := r.call("cvm", "RunInstances", r.config, &launched); err != nil {
		return err
	}
	r.id = launched.InstanceIdSet[0]
	r.transport.instance = r.id
	if err := r.until("RUNNING"); err != nil {
		return err
	}
	return eventually("tagged", func() (bool, error) {
		tags, err := r.tags()
		return reflect.DeepEqual(tags, r.wantedTags()), err
	})
}

func (r *resource) wantedTags() map[string]string {
	tags := map[string]string{}
	specification, _ := r.config["TagSpecification"].([]cases.Object)
	for _, one := range specification {
		for _, tag := range one["Tags"].([]cases.Object) {
			tags[tag["Key"].(string)] = tag["Value"].(string)
		}
	}
	return tags
}

// In pages, until one is not full.
func (r *resource) tags() (map[string]string, error) {
	const limit = 20
	tags := map[string]string{}
	for offset, count := 0, limit; count == limit; offset += count {
		var answer struct {
			Tags []struct{ ResourceId, TagKey, TagValue *string }
		}
		request := cases.Object{
			"ServiceType": "cvm", "ResourcePrefix": "instance", "ResourceRegion": "ap-shanghai",
			"ResourceIds": []string{r.id}, "Limit": limit, "Offset": offset,
		}
		if err := r.call("tag", "DescribeResourceTagsByResourceIds", request, &answer); err != nil {
			return nil, err
		}
		for _, tag := range answer.Tags {
			if *tag.ResourceId == r.id {
				tags[*tag.TagKey] = *tag.TagValue
			}
		}
		count = len(answer.Tags)
	}
	return tags, nil
}

func (r *resource) disks(ids ...string) ([]disk, error) {
	var answer struct{ DiskSet []disk }
	err := r.call("cbs", "DescribeDisks", cases.Object{"DiskIds": ids, "Limit": 100}, &answer)
	if err == nil && len(answer.DiskSet) != len(ids) {
		err = fmt.Errorf("%d of %d disks", len(answer.DiskSet), len(ids))
	}
	return answer.DiskSet, err
}

func (r *resource) read() (state, error) {
	var now *machine
	err := eventually("done with its operation", func() (done bool, err error) {
		now, err = r.describe()
		return now != nil && (now.LatestOperationState == nil || *now.LatestOperationState != "OPERATING"), err
	})
	if err != nil {
		return state{}, err
	}
	read := state{machine: *now}
	var images struct {
		TotalCount *int
		ImageSet   []struct{ ImageId *string }
	}
	if err := r.call("cvm", "DescribeImages", cases.Object{}, &images); err != nil {
		return state{}, err
	}
	for _, image := range images.ImageSet {
		read.inImages = read.inImages || *image.ImageId == *now.ImageId
	}
	if *images.TotalCount < len(images.ImageSet) {
		return state{}, fmt.Errorf("%d images of %d", len(images.ImageSet), *images.TotalCount)
	}
	if read.tags, err = r.tags(); err != nil {
		return state{}, err
	}
	ids := []string{*now.SystemDisk.DiskId}
	for _, disk := range now.DataDisks {
		ids = append(ids, *disk.DiskId)
	}
	for _, some := range [][]string{ids[:1], ids[1:], ids[1:]} {
		if len(some) > 0 {
			if read.disks, err = r.disks(some...); err != nil {
				return state{}, err
			}
		}
	}
	var attributes struct {
		InstanceSet []struct{ Attributes struct{ UserData *string } }
	}
	asked := cases.Object{"InstanceIds": []string{r.id}, "Attributes": []string{"UserData"}}
	if err := r.call("cvm", "DescribeInstancesAttributes", asked, &attributes); err != nil {
		return state{}, err
	}
	raw, err := base64.StdEncoding.DecodeString(*attributes.InstanceSet[0].Attributes.UserData)
	read.userData = string(raw)
	return read, err
}

// `running_flag = false`, or true again.
func (r *resource) power(action, wanted string) error {
	request := cases.Object{"InstanceIds": []string{r.id}}
	if action == "StopInstances" {
		request["StopType"] = "SOFT"
		request["StoppedMode"] = "KEEP_CHARGING"
	}
	var nothing cases.Object
	if err := r.call("cvm", action, request, &nothing); err != nil {
		return err
	}
	if err := r.until(wanted); err != nil {
		return err
	}
	now, err := r.read()
	if err != nil {
		return err
	}
	return cases.Equal("the state that is read", *now.machine.InstanceState, wanted)
}

func (r *resource) destroy(force bool) error {
	last, err := r.describe()
	if err != nil {
		return err
	}
	terminate := func() error {
		var nothing cases.Object
		return r.call("cvm", "TerminateInstances", cases.Object{"InstanceIds": []string{r.id}, "ReleaseAddress": false}, &nothing)
	}
	if err := terminate(); err != nil {
		return err
	}
	gone := false
	err = eventually("gone", func() (bool, error) {
		now, err := r.describe()
		gone = now == nil
		return err == nil && (gone || *now.InstanceState == "SHUTDOWN" && *now.LatestOperationState != "OPERATING"), err
	})
	if err != nil {
		return err
	}
	if err := cases.Equal("gone at once", gone, !force); err != nil {
		return err
	}
	if force {
		if err := terminate(); err != nil {
			return err
		}
		err := eventually("gone", func() (bool, error) {
			now, err := r.describe()
			return now == nil, err
		})
		if err != nil {
			return err
		}
	}
	return eventually("rid of its address", func() (bool, error) {
		var used struct{ IpAddressStates []cases.Object }
		request := cases.Object{
			"VpcId": *last.VirtualPrivateCloud.VpcId, "SubnetId": *last.VirtualPrivateCloud.SubnetId,
			"IpAddresses": last.PrivateIpAddresses, "Offset": 0, "Limit": 20,
		}
		err := r.call("vpc", "DescribeUsedIpAddress", request, &used)
		return len(used.IpAddressStates) == 0, err
	})
}

// A configuration with all that the provider sends by itself: it knows no unset for a disk or a service.
func configuration(changes cases.Object) cases.Object {
	enabled := cases.Object{"Enabled": true}
	config := cases.Launch(cases.Object{
		"DataDisks": []cases.Object{
			{"DiskType": "CLOUD_PREMIUM", "DiskSize": 100, "ThroughputPerformance": 0, "DeleteWithInstance": true, "Encrypt": false, "DiskName": "data"},
			{"DiskType": "CLOUD_SSD", "DiskSize": 200, "ThroughputPerformance": 0, "DeleteWithInstance": true, "Encrypt": false},
		},
		"EnhancedService":  cases.Object{"SecurityService": enabled, "MonitorService": enabled, "AutomationService": enabled},
		"InstanceName":     "terraform",
		"SecurityGroupIds": []string{"sg-web00001"},
		"UserData":         base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n")),
	})
	delete(config, "InstanceCount")
	for name, value := range changes {
		config[name] = value
	}
	return config
}

// What the provider compares with the configuration: a difference would be a change in each plan.
func (s state) differs(config cases.Object) error {
	m := s.machine
	disks := config["DataDisks"].([]cases.Object)
	if err := cases.Equal("data disks", len(m.DataDisks), len(disks)); err != nil {
		return err
	}
	for i, disk := range disks {
		for _, shown := range []struct {
			from string
			is   any
		}{
			{"cvm", []any{*m.DataDisks[i].DiskType, *m.DataDisks[i].DiskSize, *m.DataDisks[i].DeleteWithInstance, *m.DataDisks[i].Encrypt, *m.DataDisks[i].ThroughputPerformance}},
			{"cbs", []any{*s.disks[i].DiskType, *s.disks[i].DiskSize, *s.disks[i].DeleteWithInstance, *s.disks[i].Encrypt, *s.disks[i].ThroughputPerformance}},
		} {
			wanted := []any{disk["DiskType"], int64(disk["DiskSize"].(int)), disk["DeleteWithInstance"], disk["Encrypt"], int64(0)}
			if err := cases.Equal(shown.from+" of a disk", shown.is, wanted); err != nil {
				return err
			}
		}
		if *s.disks[i].DiskState != "ATTACHED" || *s.disks[i].DiskId != *m.DataDisks[i].DiskId {
			return fmt.Errorf("disk %s is %s", *s.disks[i].DiskId, *s.disks[i].DiskState)
		}
	}
	network := config["VirtualPrivateCloud"].(cases.Object)
	system := config["SystemDisk"].(cases.Object)
	is := []any{
		m.Placement.Zone, *m.ImageId, *m.InstanceType, *m.InstanceName, *m.InstanceChargeType, m.SecurityGroupIds,
		*m.VirtualPrivateCloud.VpcId, *m.VirtualPrivateCloud.SubnetId, *m.SystemDisk.DiskType, *m.SystemDisk.DiskSize,
		m.InternetAccessible.InternetChargeType, m.InternetAccessible.InternetMaxBandwidthOut, len(m.PublicIpAddresses), len(m.PrivateIpAddresses),
		s.inImages, s.userData, *m.DisableApiTermination,
	}
	wanted := []any{
		config["Placement"].(cases.Object)["Zone"], config["ImageId"], config["InstanceType"], config["InstanceName"], config["InstanceChargeType"], config["SecurityGroupIds"],
		network["VpcId"], network["SubnetId"], system["DiskType"], int64(system["DiskSize"].(int)),
		"TRAFFIC_POSTPAID_BY_HOUR", float64(10), 1, 1, true, "#!/bin/sh\n", false,
	}
	return cases.Equal("the state", is, wanted)
}

// terraform apply, plan, apply with `running_flag` changed, destroy.
func (d door) apply(config cases.Object, force bool) error {
	one := d.provider(config)
	if err := one.create(); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	first, err := one.read()
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := first.differs(config); err != nil {
		return err
	}
	second, err := one.read()
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if !reflect.DeepEqual(first, second) {
		return fmt.Errorf("the state has changed by itself: %+v, %+v", first, second)
	}
	for _, step := range [][2]string{{"StopInstances", "STOPPED"}, {"StartInstances", "RUNNING"}} {
		if err := one.power(step[0], step[1]); err != nil {
			return fmt.Errorf("%s: %w", step[0], err)
		}
	}
	if err := one.destroy(force); err != nil {
		return fmt.Errorf("destroy: %w", err)
	}
	return nil
}

// The provider tells why a launch has failed, and forgets the machine.
func (d door) launchFails() error {
	one := d.provider(configuration(cases.Object{"InstanceType": "LAUNCHFAIL.SMALL1", "ClientToken": cases.Token()}))
	var launched struct{ InstanceIdSet []string }
	if err := one.call("cvm", "RunInstances", one.config, &launched); err != nil {
		return err
	}
	one.id = launched.InstanceIdSet[0]
	return one.until("LAUNCH_FAILED")
}

// What data sources and `allowed_account_ids` ask.
func (d door) dataSources() error {
	cloud := d.provider(nil)
	filter := func(name string, values ...string) []cases.Object {
		return []cases.Object{{"Name": name, "Values": values}}
	}
	for _, asked := range []struct {
		service, action, set string
		request              cases.Object
	}{
		{"cvm", "DescribeZones", "ZoneSet", cases.Object{}},
		{"cvm", "DescribeImages", "ImageSet", cases.Object{"Filters": filter("image-type", "PUBLIC_IMAGE"), "Offset": 0, "Limit": 100}},
		{"cvm", "DescribeInstanceTypeConfigs", "InstanceTypeConfigSet", cases.Object{"Filters": filter("zone", "ap-shanghai-2")}},
		{"cvm", "DescribeZoneInstanceConfigInfos", "InstanceTypeQuotaSet", cases.Object{"Filters": filter("zone", "ap-shanghai-2")}},
		{"cvm", "DescribeKeyPairs", "KeyPairSet", cases.Object{"Offset": 0, "Limit": 100}},
		{"vpc", "DescribeVpcs", "VpcSet", cases.Object{"Filters": filter("is-default", "false"), "Offset": "0", "Limit": "100"}},
		{"vpc", "DescribeSubnets", "SubnetSet", cases.Object{"Filters": filter("vpc-id", "vpc-1urkhbj4"), "Offset": "0", "Limit": "100"}},
		{"vpc", "DescribeSecurityGroups", "SecurityGroupSet", cases.Object{"Offset": "0", "Limit": "100"}},
	} {
		var answer cases.Object
		if err := cloud.call(asked.service, asked.action, asked.request, &answer); err != nil {
			return fmt.Errorf("%s: %w", asked.action, err)
		}
		if set, _ := answer[asked.set].([]any); len(set) == 0 {
			return fmt.Errorf("%s: no %s in %v", asked.action, asked.set, answer)
		}
	}
	var caller struct{ AccountId, Type string }
	if err := cloud.call("sts", "GetCallerIdentity", cases.Object{}, &caller); err != nil {
		return err
	}
	return cases.Equal("the caller", caller.AccountId != "" && caller.Type != "", true)
}

func terraform(endpoint string) []cases.Case {
	monthly := cases.Object{"InstanceChargeType": "PREPAID", "InstanceChargePrepaid": cases.Object{"Period": 1}}
	proxy, name := byProxy(), byName(endpoint)
	return []cases.Case{
		{Name: "Terraform's calls for a machine by the hour", Run: func() error { return proxy.apply(configuration(nil), false) }},
		{Name: "Terraform's calls for a machine by the hour, by name", Run: func() error { return name.apply(configuration(nil), false) }},
		{Name: "Terraform's calls for a prepaid machine with force_delete", Run: func() error { return proxy.apply(configuration(monthly), true) }},
		{Name: "Terraform's calls for a launch that fails", Run: proxy.launchFails},
		{Name: "Terraform's calls for data sources", Run: proxy.dataSources},
	}
}
