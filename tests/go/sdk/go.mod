module cvm-gateway.test/sdk

go 1.19

require (
	cvm-gateway.test/cases v0.0.0
	github.com/tencentcloud/tencentcloud-sdk-go v1.0.162
)

replace cvm-gateway.test/cases => ../cases
