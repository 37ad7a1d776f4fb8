module cvm-gateway.test/core

go 1.19

require (
	cvm-gateway.test/cases v0.0.0
	github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common v1.3.211
)

replace cvm-gateway.test/cases => ../cases
